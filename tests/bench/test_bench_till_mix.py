"""Every simulated till has the same mix of calls, however short the load."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from bench.till_mix import MIX, Deck, Move


@pytest.mark.parametrize("seed", range(5))
def test_any_ten_moves_of_a_till_are_eight_sales_one_redemption_and_one_return(seed: int) -> None:
    deck = Deck(random.Random(seed))
    for _ in range(20):
        drawn = Counter(deck.draw(set(Move)) for _ in range(10))
        assert drawn == {Move.ACCRUE: 8, Move.REDEEM: 1, Move.TAKE_BACK: 1}


def test_tills_do_not_all_do_the_same_at_the_same_time() -> None:
    decks = [Deck(random.Random(seed)) for seed in range(20)]
    assert len({tuple(deck.draw(set(Move)) for _ in MIX) for deck in decks}) > 10


def test_what_is_not_possible_yet_comes_later_and_sales_go_before_it() -> None:
    deck = Deck(random.Random(1))
    early = [deck.draw({Move.ACCRUE}) for _ in range(12)]
    assert early == [Move.ACCRUE] * 12  # eight of the deck, and four that were not in it
    assert {deck.draw(set(Move)), deck.draw(set(Move))} == {Move.REDEEM, Move.TAKE_BACK}
