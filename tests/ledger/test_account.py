"""What can be read from an account: its purses, its identifiers as they were at any time, its caps."""

from __future__ import annotations

from node.ledger.account import Account, Counter, Hold, Link, PoolStay, Proposal, Purse, Taken
from node.ledger.lots import Lot


def test_an_identifier_stands_for_the_account_from_its_linking_to_just_before_its_unlinking() -> None:
    link = Link(b"card", 1, since_ms=10, until_ms=20)

    assert [link.covers(at) for at in (9, 10, 19, 20)] == [False, True, True, False]
    assert Link(b"card", 1, since_ms=10).covers(10**15)


def test_what_occurred_before_an_identifier_was_unlinked_still_finds_the_account() -> None:
    account = Account(b"a", links=(Link(b"card", 1, 10, 20), Link(b"card", 1, 30)))

    assert [account.linked(b"card", at) for at in (15, 25, 30)] == [True, False, True]
    assert not account.linked(b"other", 15)


def test_a_stay_in_a_pool_is_remembered_from_its_beginning_to_its_end() -> None:
    account = Account(b"a", pools=(PoolStay(b"p", 10, 20), PoolStay(b"q", 30)))

    assert [account.pool_at(at) for at in (9, 10, 19, 20, 30)] == [b"", b"p", b"p", b"", b"q"]
    assert account.pool_id == b"q"
    assert Account(b"a", pools=(PoolStay(b"p", 10, 20),)).pool_id == b""


def test_a_cap_counts_one_name_and_one_local_day() -> None:
    account = Account(b"a", counters=(Counter("x", 1, 5), Counter("x", 2, 7), Counter("y", 1, 9)))

    assert (account.counted("x", 1), account.counted("x", 2), account.counted("z", 1)) == (5, 7, 0)


def test_an_account_owns_what_it_may_spend_what_waits_and_what_is_reserved() -> None:
    assert Purse(debt=5, spendable=-5, pending=20, held=3).owned == 18
    assert Account(b"a").purse("points") == Purse()


def test_units_taken_are_those_of_the_lots_and_those_below_zero() -> None:
    assert Taken("points", (Lot(5), Lot(2, 9)), 4).units == 11


def test_holds_and_proposals_are_found_by_their_ids() -> None:
    hold, proposal = Hold(7, 99, ()), Proposal(8, "points", 5, "why", "ann")
    account = Account(b"a", holds=(Hold(6, 99, ()), hold), proposals=(proposal,))

    assert account.hold(7) is hold
    assert account.hold(8) is None
    assert account.proposal(8) is proposal
    assert account.proposal(7) is None
