"""Staff change balances with a reason and above a limit in pairs; what moves to others is never lost."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger import adjusting
from node.ledger.account import Account, Proposal, Purse, Status
from node.ledger.adjusting import MAX_PROPOSALS, MAX_SENDING
from node.ledger.decision import Accepted, Decision
from node.ledger.events import (
    Adjusted,
    Credited,
    Debited,
    ProposalClosed,
    Proposed,
    TransferClosed,
    TransferReceived,
    TransferSent,
)
from node.ledger.lots import GRACE_MS, Lot
from node.ledger.postings import ADJUSTED, IN_TRANSIT
from node.ledger.purses import MAX_UNITS
from node.ledger.refusals import Reason
from node.ledger.transactions import TransactionKind
from tests.ledger.ledger_shop import CASH, POINTS, Shop, award, day, reason

LIMIT = 100


def adjusting_by(shop: Shop, units: int, purse: str = "points", why: str = "late delivery") -> Decision:
    return adjusting.adjust(shop.account, purse, units, why, LIMIT, day(30), shop.context)


def deciding(shop: Shop, proposal: int, approve: bool, caller: str) -> Decision:
    context = shop.world.context(caller)
    return adjusting.decide_adjustment(shop.account, proposal, approve, day(40), context)


def sending(shop: Shop, units: int, purse: str = "points", to: bytes = b"other") -> Decision:
    transfer = f"t{shop.world.next_sequence}"
    return adjusting.send_transfer(shop.account, to, purse, units, transfer, shop.context)


def test_an_adjustment_says_who_why_and_what_and_can_expire() -> None:
    shop = Shop()

    entry = shop.do(adjusting_by(shop, 100))

    assert entry.kind is TransactionKind.ADJUSTMENT
    assert entry.events == (
        Adjusted("ann", "late delivery"),
        Credited("points", (Lot(100, day(30)),), ADJUSTED),
    )


def test_an_adjustment_takes_only_what_is_there_the_first_to_expire_first() -> None:
    shop = Shop(POINTS, replace(CASH, credit_limit=20))
    shop.earn(award(5, 5), award(5, 9), award(5, 9, "cash"))

    assert reason(adjusting_by(shop, -11)) is Reason.INSUFFICIENT_BALANCE
    shop.do(adjusting_by(shop, -7))
    assert shop.purse().lots == (Lot(3, day(9)),)
    assert reason(adjusting_by(shop, -26, "cash")) is Reason.INSUFFICIENT_BALANCE
    shop.do(adjusting_by(shop, -25, "cash"))
    assert shop.purse("cash") == Purse(debt=20, spendable=-20)


@pytest.mark.parametrize(
    ("units", "purse", "why", "refusal"),
    [
        (0, "points", "why", Reason.INVALID_ARGUMENT),
        (MAX_UNITS + 1, "points", "why", Reason.INVALID_ARGUMENT),
        (-(2**63), "points", "why", Reason.INVALID_ARGUMENT),
        (MAX_UNITS, "points", "why", Reason.LIMIT_EXCEEDED),
        (5, "points", " \n", Reason.INVALID_ARGUMENT),
        (5, "gold", "why", Reason.UNKNOWN_PURSE),
    ],
)
def test_an_absurd_adjustment_is_refused(units: int, purse: str, why: str, refusal: Reason) -> None:
    shop = Shop()
    shop.earn(award(10))

    assert reason(adjusting_by(shop, units, purse, why)) is refusal


def test_above_the_limit_an_adjustment_waits_for_somebody_else() -> None:
    shop = Shop()

    entry = shop.do(adjusting_by(shop, LIMIT + 1))
    assert entry.events == (Proposed(Proposal(entry.sequence, "points", LIMIT + 1, "late delivery", "ann")),)
    assert shop.purse() == Purse()

    assert reason(deciding(shop, entry.sequence, True, "ann")) is Reason.SAME_APPROVER
    done = shop.do(deciding(shop, entry.sequence, True, "bob"))
    assert done.events == (
        ProposalClosed(entry.sequence, True, "bob"),
        Adjusted("ann", "late delivery", "bob"),
        Credited("points", (Lot(LIMIT + 1, day(40)),), ADJUSTED),
    )
    assert reason(deciding(shop, entry.sequence, True, "bob")) is Reason.PROPOSAL_NOT_OPEN
    assert shop.purse().spendable == LIMIT + 1


def test_the_limit_is_one_for_giving_and_taking() -> None:
    shop = Shop()
    shop.earn(award(500))

    assert shop.do(adjusting_by(shop, -LIMIT)).events[1] == Debited("points", ADJUSTED, (Lot(LIMIT),))
    assert isinstance(shop.do(adjusting_by(shop, -LIMIT - 1)).events[0], Proposed)


def test_a_proposal_can_be_withdrawn_by_its_author_and_then_changes_nothing() -> None:
    shop = Shop()
    proposal = shop.do(adjusting_by(shop, 500)).sequence

    entry = shop.do(deciding(shop, proposal, False, "ann"))

    assert entry.events == (ProposalClosed(proposal, False, "ann"),)
    assert shop.account.proposals == ()
    assert shop.purse() == Purse()


def test_an_approval_takes_only_what_is_still_there() -> None:
    shop = Shop()
    shop.earn(award(500))
    proposal = shop.do(adjusting_by(shop, -500)).sequence
    shop.redeem(points=1)

    assert reason(deciding(shop, proposal, True, "bob")) is Reason.INSUFFICIENT_BALANCE
    assert shop.account.proposal(proposal) is not None, "it can still be rejected"


def test_only_so_many_proposals_wait_at_a_time() -> None:
    shop = Shop()
    for _ in range(MAX_PROPOSALS):
        shop.do(adjusting_by(shop, 500))

    assert reason(adjusting_by(shop, 500)) is Reason.LIMIT_EXCEEDED
    shop.do(adjusting_by(shop, 50))


def test_a_transfer_carries_the_very_lots_to_the_other_account() -> None:
    shop, other = Shop(), Account(b"other")
    shop.earn(award(5, 5), award(5, 9))

    entry = shop.do(sending(shop, 7))
    lots = (Lot(5, day(5)), Lot(2, day(9)))
    assert entry.events == (
        TransferSent("t2", b"other", "points", 7),
        Debited("points", IN_TRANSIT, lots),
    )
    assert shop.world.books.units[IN_TRANSIT, "points"] == 7

    assert adjusting.receive_transfer(other, b"member", "points", lots, "t2") == Accepted(
        TransactionKind.TRANSFER,
        (TransferReceived("t2", b"member", "points", 7), Credited("points", lots, IN_TRANSIT)),
    )
    shop.do(adjusting.close_transfer("t2", True, "points", lots, day(0)))
    assert shop.purse().spendable == 3
    assert shop.account.sending == ()


def test_a_transfer_that_is_refused_comes_back_with_days_of_grace_for_what_expired_on_the_way() -> None:
    shop = Shop()
    shop.earn(award(5, 5), award(5, 9))
    shop.do(sending(shop, 10))
    lots = (Lot(5, day(5)), Lot(5, day(9)))
    closed = Account(b"other", status=Status.CLOSED)
    assert (
        reason(adjusting.receive_transfer(closed, b"member", "points", lots, "t2")) is Reason.ACCOUNT_CLOSED
    )
    shop.on_day(6)

    entry = shop.do(adjusting.close_transfer("t2", False, "points", lots, day(6)))

    assert entry.events[0] == TransferClosed("t2", False)
    assert shop.purse().lots == (Lot(5, day(9)), Lot(5, day(6) + GRACE_MS))
    assert shop.world.books.units[IN_TRANSIT, "points"] == 0


@pytest.mark.parametrize(
    ("units", "purse", "to", "why"),
    [
        (0, "points", b"other", Reason.INVALID_ARGUMENT),
        (-5, "points", b"other", Reason.INVALID_ARGUMENT),
        (MAX_UNITS + 1, "points", b"other", Reason.INVALID_ARGUMENT),
        (11, "points", b"other", Reason.INSUFFICIENT_BALANCE),
        (5, "points", b"member", Reason.INVALID_ARGUMENT),
        (5, "cash", b"other", Reason.NOT_TRANSFERABLE),
        (5, "gold", b"other", Reason.UNKNOWN_PURSE),
    ],
)
def test_a_transfer_that_cannot_be_is_refused(units: int, purse: str, to: bytes, why: Reason) -> None:
    shop = Shop()
    shop.earn(award(10), award(10, purse="cash"))

    assert reason(sending(shop, units, purse, to)) is why


def test_credit_is_not_for_giving_away() -> None:
    shop = Shop(replace(POINTS, credit_limit=20))
    shop.earn(award(10))

    assert reason(sending(shop, 11)) is Reason.INSUFFICIENT_BALANCE


def test_a_blocked_account_sends_nothing_and_may_receive() -> None:
    shop = Shop()
    shop.earn(award(10))
    blocked = replace(shop.account, status=Status.BLOCKED)

    sent = adjusting.send_transfer(blocked, b"other", "points", 5, "t1", shop.context)
    assert reason(sent) is Reason.ACCOUNT_BLOCKED
    received = adjusting.receive_transfer(blocked, b"other", "points", (Lot(5),), "t1")
    assert isinstance(received, Accepted)


def test_a_purse_that_is_full_refuses_a_transfer_rather_than_losing_units() -> None:
    full = Account(b"other", purses={"points": Purse(lots=(Lot(MAX_UNITS),), spendable=MAX_UNITS)})

    refused = adjusting.receive_transfer(full, b"member", "points", (Lot(1),), "t1")
    assert reason(refused) is Reason.LIMIT_EXCEEDED


def test_no_more_leaves_a_purse_in_a_local_day_than_the_programme_allows() -> None:
    shop = Shop()
    shop.earn(award(100), award(100, purse="cash"))

    def moving(units: int, local_day: int) -> Decision:
        transfer = f"t{shop.world.next_sequence}"
        return adjusting.send_transfer(
            shop.account, b"other", "points", units, transfer, shop.context, local_day, 10
        )

    assert reason(moving(11, 20_000)) is Reason.LIMIT_EXCEEDED
    shop.do(moving(6, 20_000))
    assert reason(moving(5, 20_000)) is Reason.LIMIT_EXCEEDED
    shop.do(moving(4, 20_000))
    shop.do(moving(10, 20_001))
    shop.do(sending(shop, 50))


def test_a_transfer_of_several_purses_is_one_that_is_under_way() -> None:
    shop = Shop(POINTS, replace(CASH, transferable=True))
    shop.earn(award(10), award(10, purse="cash"))
    for code in ("points", "cash"):
        shop.do(adjusting.send_transfer(shop.account, b"other", code, 5, "t1", shop.context))

    assert shop.account.sending == ("t1",)


def test_only_so_many_transfers_are_under_way_at_a_time() -> None:
    shop = Shop()
    shop.earn(award(1_000))
    for _ in range(MAX_SENDING):
        shop.do(sending(shop, 1))

    assert reason(sending(shop, 1)) is Reason.LIMIT_EXCEEDED
    shop.do(adjusting.close_transfer(shop.account.sending[0], True, "points", (Lot(1),), day(0)))
    shop.do(sending(shop, 1))
