"""Every movement has two sides, so that the books of a node always sum to zero."""

from __future__ import annotations

import pytest

from node.ledger import events as ev
from node.ledger.account import Account, Hold, Purse, Taken
from node.ledger.evolve import evolve
from node.ledger.lots import Lot
from node.ledger.postings import (
    ABROAD,
    ADJUSTED,
    BREAKAGE,
    IN_TRANSIT,
    ISSUED,
    MEMBER,
    REDEEMED,
    Books,
    Posting,
    payable,
    postings_of,
    receivable,
)
from node.ledger.purchase import Activity
from tests.ledger.ledger_shop import BASKET, award

LOTS = (Lot(5, 90), Lot(2))
WAITING = (Lot(4, 90, 70),)
HOLD = Hold(7, 99, (Taken("points", LOTS[:1], 0),))
HELD = Account(
    b"a",
    purses={"points": Purse(LOTS, WAITING, 0, 7, 4, 5)},
    holds=(HOLD,),
)

CASES = [
    (ev.Earned(BASKET, (award(5), award(6))), {(ISSUED, "points"): -11}),
    (ev.ActivityEarned(Activity("survey"), (award(5, purse="cash"),)), {(ISSUED, "cash"): -5}),
    (ev.Spent((Taken("points", LOTS, 3),)), {(REDEEMED, "points"): 10}),
    (ev.HoldClosed(7, HOLD.taken), {(REDEEMED, "points"): 5}),
    (ev.HoldClosed(7, (), HOLD.taken), {}),
    (ev.Spent((Taken("points", LOTS),), book=payable("north")), {("payable:north", "points"): 7}),
    (ev.HoldClosed(7, HOLD.taken, book=payable("north")), {("payable:north", "points"): 5}),
    (ev.Credited("points", LOTS, receivable("north")), {("receivable:north", "points"): -7}),
    (
        ev.PositionMoved(receivable("north"), "points", -5, b"x", 3, 7),
        {("receivable:north", "points"): -5, (ABROAD, "points"): 5},
    ),
    (ev.HoldPlaced(Hold(8, 99, (Taken("points", LOTS[1:]),))), {}),
    (ev.Matured("points", WAITING), {}),
    (ev.Expired("points", LOTS), {(BREAKAGE, "points"): 7}),
    (ev.Credited("points", LOTS, ADJUSTED, 4), {(ADJUSTED, "points"): -11}),
    (ev.Debited("points", IN_TRANSIT, LOTS, WAITING, 3), {(IN_TRANSIT, "points"): 14}),
    (ev.Sold(BASKET), {}),
    (ev.Returned(1, (), 50, (5,)), {}),
]


@pytest.mark.parametrize(("event", "other_side"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_an_event_moves_for_the_member_exactly_what_the_other_book_gives(
    event: ev.AnyEvent, other_side: dict[tuple[str, str], int]
) -> None:
    books = Books()
    books.post([event])

    after = evolve(HELD, event, 80)
    gained = {code: after.purse(code).owned - HELD.purse(code).owned for code in after.purses | HELD.purses}
    assert {key: units for key, units in books.units.items() if key[0] != MEMBER} == other_side
    assert {code: books.units.get((MEMBER, code), 0) for code in gained} == gained
    assert set(books.sums().values()) <= {0}


def test_postings_come_in_pairs_and_none_says_nothing() -> None:
    events: list[ev.AnyEvent] = [ev.Earned(BASKET, (award(5), award(0))), ev.Expired("cash", (Lot(2),))]

    assert list(postings_of(events)) == [
        Posting(MEMBER, "points", 5),
        Posting(ISSUED, "points", -5),
        Posting(MEMBER, "cash", -2),
        Posting(BREAKAGE, "cash", 2),
    ]


def test_a_position_moves_between_the_nodes_own_books_and_touches_no_member() -> None:
    assert list(postings_of([ev.PositionMoved(payable("north"), "points", 5, b"x", 3, 7)])) == [
        Posting("payable:north", "points", 5),
        Posting(ABROAD, "points", -5),
    ]


def test_books_that_are_wrong_say_so() -> None:
    books = Books({(MEMBER, "points"): 5, (ISSUED, "points"): -4, (MEMBER, "cash"): 3, (ISSUED, "cash"): -3})

    assert books.sums() == {"points": 1, "cash": 0}
