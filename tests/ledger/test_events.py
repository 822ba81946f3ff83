"""What the journal holds today can be read tomorrow: every event, in its shape and under its number."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from node.ledger import events as ev
from node.ledger.account import (
    Account,
    AccountKind,
    Counter,
    Entitlement,
    Hold,
    Link,
    PoolStay,
    Proposal,
    Purse,
    Status,
    Taken,
)
from node.ledger.awards import Award
from node.ledger.lots import Lot
from node.ledger.purchase import Activity, Line, Purchase, Tender
from node.ledger.transactions import Amendment, Entry, TransactionKind

LOTS = (Lot(5, 90, 7, "acme", "spring"), Lot(2**53 + 1))
TAKEN = (Taken("points", LOTS, 3), Taken("cash", ()))
AWARD = Award("base", "points", 9, 1, 2, "acme", "spring", ((1, 4), (2, 5)), "cap", 20_000, "۹ امتیاز وفا")
SALE = Purchase(
    "s1", "r1", 12_345, "IRR", "web", "c7", "2025-03-21",
    (Line(1, "sku", ("نان", "سنگک"), 1_500, 99, 100, 1, 9, 50, "b", "s", ("organic",)),),
    (Tender("نقد", 12_345),), ("CODE",),
)  # fmt: skip
ID = bytes(range(16))

EVERY: list[ev.AnyEvent] = [
    ev.Opened(AccountKind.POOL, (ID,), ID, "شعبه"),
    ev.LinkSet(Link(ID, 2, 5, 9, "••12")),
    ev.StatusSet(Status.BLOCKED, "كارت مفقود", "ann"),
    ev.Earned(SALE, (AWARD,), "t1"),
    ev.ActivityEarned(Activity("survey", "app", (("a", "b"),)), (AWARD,)),
    ev.Sold(SALE),
    ev.Spent(TAKEN, "s1", "r1", "payable:north"),
    ev.HoldPlaced(Hold(7, 99, TAKEN)),
    ev.HoldClosed(7, TAKEN[:1], TAKEN[1:], "r2", "payable:north"),
    ev.Matured("points", LOTS),
    ev.Expired("points", LOTS),
    ev.Credited("points", LOTS, "adjusted", 4),
    ev.Debited("points", "adjusted", LOTS, LOTS, 5),
    ev.Returned(3, ((1, 500),), 50, (4,), (("points", 2),)),
    ev.ReturnUndone(3, ((1, 500),), 50, (4,)),
    ev.Reversed(3, (Counter("cap", 20_000, 9),)),
    ev.Tombstoned("till", "request"),
    ev.Claimed(3, ID, SALE, 77),
    ev.EntitlementSet(Entitlement("gold", "staff", 1, 2)),
    ev.Proposed(Proposal(8, "points", -5, "why", "ann")),
    ev.ProposalClosed(8, True, "bob"),
    ev.Adjusted("ann", "why", "bob"),
    ev.PersonNoted("erased", ID),
    ev.PoolSet(ID),
    ev.HolderSet(ID, True),
    ev.TransferSent("t1", ID, "points", 5, 20_000),
    ev.TransferReceived("t1", ID, "points", 5),
    ev.TransferClosed("t1", False),
    ev.PositionMoved("receivable:north", "points", -5, ID, 3, 7),
]


def test_the_examples_here_show_every_event_there_is() -> None:
    assert {type(event) for event in EVERY} == set(get_args(ev.AnyEvent))


@pytest.mark.parametrize("event", EVERY, ids=lambda event: event.name)
def test_every_event_comes_back_from_its_bytes_as_it_was(event: ev.AnyEvent) -> None:
    data = msgspec.msgpack.encode(event)

    decoded = msgspec.msgpack.decode(data, type=ev.AnyEvent)

    assert decoded == event
    assert type(decoded) is type(event)


def test_the_numbers_of_events_are_those_that_journals_hold() -> None:
    tags = {msgspec.msgpack.decode(msgspec.msgpack.encode(event))[0]: event.name for event in EVERY}

    assert tags == {
        1: "opened", 2: "identifier_linked", 3: "status_set", 4: "earned", 5: "activity_earned", 6: "sold",
        7: "spent", 8: "hold_placed", 9: "hold_closed", 10: "matured", 11: "expired", 12: "credited",
        13: "debited", 14: "returned", 15: "return_undone", 16: "reversed", 17: "tombstoned", 18: "claimed",
        19: "entitlement_set", 20: "adjustment_proposed", 21: "adjustment_decided", 22: "adjusted",
        23: "person_noted", 24: "pool_set", 25: "holder_set", 26: "transfer_sent", 27: "transfer_received",
        28: "transfer_closed", 29: "position_moved",
    }  # fmt: skip


def test_an_event_of_an_unknown_number_is_not_taken_for_another() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([99, "points"]), type=ev.AnyEvent)


def test_a_journal_entry_with_every_event_comes_back_from_its_bytes_as_it_was() -> None:
    entry = Entry(1, TransactionKind.ACCRUAL, ID, 2, 3, "till", "request", 4, 0, tuple(EVERY), "trace")

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(entry), type=Entry) == entry


def test_an_account_with_everything_in_it_comes_back_from_its_bytes_as_it_was() -> None:
    account = Account(
        ID, AccountKind.PERSONAL, Status.BLOCKED, 1, 2, 3, 4,
        {"points": Purse(LOTS, LOTS, 0, 5, 6, 7), "کیف": Purse(debt=3, spendable=-3)},
        (Hold(7, 99, TAKEN),), (Link(ID, 2, 5, 9, "hint"),), (ID,), (Counter("cap", 1, 2),),
        (Entitlement("gold", "staff", 1, 2),), (Proposal(8, "points", -5, "why", "ann"),),
        (PoolStay(ID, 5, 6),), True, ("t1",),
    )  # fmt: skip

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(account), type=Account) == account


def test_an_account_stored_before_a_field_was_appended_is_read_with_the_fields_default() -> None:
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(Account(ID, opened_ms=5)))

    assert msgspec.convert(stored[:5], type=Account) == Account(ID, opened_ms=5)


def test_an_amendment_comes_back_from_its_bytes_as_it_was() -> None:
    amended = Amendment(3, {1: 500, 2: 0}, 50, (4, 0), 99, ID)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(amended), type=Amendment) == amended
