"""Virtual cards in a bureau's hand: put on one after another, each kept in a file of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cards.apdu import CardLost
from simulators.cards.shelf import AnyCard, Profile, new_card, put_away, take_out


class VirtualHand:
    """A batch of new cards, then those of a directory that are there already.

    The files hold the cards' keys in clear, as only virtual cards' may be.
    """

    def __init__(self, profile: Profile, count: int, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        kept = [(path, take_out(path, os.urandom)) for path in sorted(directory.glob("*.json"))]
        made = [new_card(profile, os.urandom) for _ in range(max(0, count - len(kept)))]
        self._waiting = iter([*kept, *((self._path(card), card) for card in made)])
        self._lying: tuple[Path, AnyCard] | None = None

    def _path(self, card: AnyCard) -> Path:
        return self._directory / f"{card.memory.uid.hex()}.json"

    def wait_for_card(self) -> bool:
        """Put the next card on; False after the last one."""
        self._lying = next(self._waiting, None)
        return self._lying is not None

    @contextmanager
    def powered(self) -> Iterator[AnyCard]:
        """The card that lies there, with power; its memory is kept when the power goes."""
        if self._lying is None:
            raise CardLost("There is no card on the reader.")
        with _powered(*self._lying) as card:
            yield card

    def wait_for_removal(self) -> None:
        """Take it off."""
        self._lying = None


def batch(profile: str, count: int, directory: Path) -> VirtualHand:
    """For `vafa cards personalise --virtual`."""
    return VirtualHand(Profile(profile), count, directory)


@contextmanager
def card(path: Path) -> Iterator[AnyCard]:
    """For `vafa cards inspect --virtual` and the like: the card of a file, with power."""
    with _powered(path, take_out(path, os.urandom)) as found:
        yield found


@contextmanager
def _powered(path: Path, card: AnyCard) -> Iterator[AnyCard]:
    card.tap()
    try:
        yield card
    finally:
        card.power_off()
        put_away(card, path)
