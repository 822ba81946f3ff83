"""What a simulated till does next: of ten calls of one till, eight are sales, one spends, one takes back."""

from __future__ import annotations

import random
from collections.abc import Container
from enum import StrEnum


class Move(StrEnum):
    """One thing that a till does, in the words of its cashier."""

    ACCRUE = "accrue"
    REDEEM = "redeem"
    TAKE_BACK = "take_back"


MIX = (Move.ACCRUE,) * 8 + (Move.REDEEM, Move.TAKE_BACK)


class Deck:
    """Moves in random order, each as often as in `MIX`: a short load has the same mix as a long one.

    Drawing each move by itself would leave some tills without a single redemption, by chance.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._left: list[Move] = []

    def draw(self, possible: Container[Move]) -> Move:
        """The next move that is `possible`; what is not yet stays in the deck, and a sale goes before it."""
        if not self._left:
            self._left = self._chance.sample(MIX, len(MIX))
        for at, move in enumerate(self._left):
            if move in possible:
                return self._left.pop(at)
        return Move.ACCRUE
