"""Disputes: the first difference is found in few questions, named for what it is, and holds up nothing
else.
"""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.settlement.disputes import (
    CALLS_MAX,
    QUESTIONS_MAX,
    Bisection,
    Contradiction,
    Shown,
    begin,
    classify,
    held_back,
    narrow,
)
from node.settlement.documents import DisputedLane, MismatchClass

GOOD = Shown(b"a" * 32, home_signed=True, acquirer_signed=True)
OTHER = Shown(b"b" * 32, home_signed=True, acquirer_signed=True)
BARE = Shown(b"a" * 32, home_signed=True, acquirer_signed=False)
FORGED = Shown(b"b" * 32, home_signed=False, acquirer_signed=True)


def _chains(length: int, differs: int) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Two chains that are alike before record `differs`; each hash stands for all before it."""
    own = {number: b"own%d" % number for number in range(1, length + 1)}
    theirs = {number: own[number] if number < differs else b"their%d" % number for number in own}
    return own, theirs


def _search(own: dict[int, bytes], theirs: dict[int, bytes], agreed: int = 0) -> tuple[Bisection, int]:
    search, calls = begin(agreed, own.get(agreed, b""), len(own), len(theirs)), 0
    while not search.found:
        questions = search.questions()
        assert 0 < len(questions) <= QUESTIONS_MAX
        after = narrow(search, own, {number: theirs[number] for number in questions})
        assert isinstance(after, Bisection)
        search, calls = after, calls + 1
        assert calls <= CALLS_MAX
    return search, calls


@given(st.integers(1, 3_000), st.data())
def test_the_first_difference_is_found_wherever_it_is(length: int, data: st.DataObject) -> None:
    differs = data.draw(st.integers(1, length))
    own, theirs = _chains(length, differs)
    search, _ = _search(own, theirs)
    assert (search.agreed, search.differs) == (differs - 1, differs)
    assert search.agreed_hash == own.get(differs - 1, b"")


def test_ten_million_records_take_four_questions_rounds() -> None:
    class Endless(dict[int, bytes]):
        def __init__(self, differs: int, name: bytes) -> None:
            super().__init__()
            self.differs, self.name = differs, name

        def __missing__(self, number: int) -> bytes:
            return b"%d" % number + (self.name if number >= self.differs else b"")

        def get(self, number: int, default: object = None) -> bytes:
            return self[number]

    own, theirs = Endless(7_654_321, b"own"), Endless(7_654_321, b"their")
    search, calls = begin(0, b"", 10_000_000, 10_000_000), 0
    while not search.found:
        after = narrow(search, own, theirs)
        assert isinstance(after, Bisection)
        search, calls = after, calls + 1
    assert (search.differs, calls) == (7_654_321, 4)


@given(st.integers(0, 200), st.integers(1, 200))
def test_a_side_that_is_merely_shorter_differs_just_after_its_end(short: int, more: int) -> None:
    own, _ = _chains(short + more, short + more + 1)
    search, _ = _search(own, dict(list(own.items())[:short]))
    assert (search.agreed, search.differs) == (short, short + 1)


def test_answers_that_no_honest_side_gives_are_told_apart_from_differences() -> None:
    own, theirs = _chains(500, 501)
    search = begin(0, b"", 500, 500)
    questions = search.questions()
    honest = {number: theirs[number] for number in questions}
    assert narrow(search, own, {**honest, questions[3]: b""}) is Contradiction.UNANSWERED
    assert narrow(search, own, {**honest, questions[3]: b"lie"}) is Contradiction.IMPOSSIBLE


@pytest.mark.parametrize(
    ("home", "acquirer", "found"),
    [
        (GOOD, GOOD, None),
        (None, None, None),
        (GOOD, None, MismatchClass.MISSING_AT_ACQUIRER),
        (None, GOOD, MismatchClass.MISSING_AT_HOME),
        (GOOD, OTHER, MismatchClass.FORK),
        (BARE, GOOD, MismatchClass.UNSIGNED),
        (BARE, None, MismatchClass.UNSIGNED),
        (GOOD, FORGED, MismatchClass.UNSIGNED),
        (None, FORGED, MismatchClass.UNSIGNED),
    ],
)
def test_what_is_wrong_is_one_of_four_things(
    home: Shown | None, acquirer: Shown | None, found: MismatchClass | None
) -> None:
    assert classify(home, acquirer) is found


def test_only_the_lane_and_only_what_comes_after_the_agreed_records_is_held_back() -> None:
    own, theirs = _chains(20, 13)
    search, _ = _search(own, theirs)
    assert held_back(4, search, 20, 19, MismatchClass.FORK) == DisputedLane(4, 12, 20, 19, MismatchClass.FORK)


def test_a_search_goes_on_from_what_was_settled_before() -> None:
    chance = random.Random(5)
    for _ in range(50):
        length = chance.randrange(2, 400)
        settled = chance.randrange(length)
        differs = chance.randrange(settled + 1, length + 1)
        own, theirs = _chains(length, differs)
        search, _ = _search(own, theirs, agreed=settled)
        assert search.differs == differs
