"""Who may use an account is on record for ever, and an account closes only when nothing is left open."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger import adjusting, membership
from node.ledger.account import Account, AccountKind, Link, Purse, Status
from node.ledger.decision import Accepted, Decision
from node.ledger.events import Debited, LinkSet, Opened, PersonNoted, StatusSet
from node.ledger.lots import NEVER_MS, Lot
from node.ledger.membership import MAX_HOLDERS, MAX_LINKS
from node.ledger.postings import BREAKAGE
from node.ledger.refusals import Reason
from node.ledger.transactions import TransactionKind
from tests.ledger.ledger_shop import POINTS, Shop, award, day, reason

CARD, PHONE = b"card", b"phone"


def linked(shop: Shop, digest: bytes = CARD) -> None:
    now_ms = shop.world.now_ms
    shop.do(membership.link(shop.account, Link(digest, 1, now_ms), now_ms))


def closing(shop: Shop, forfeit: bool = False) -> Decision:
    return membership.close(shop.account, forfeit, "moved away", shop.context)


def test_an_account_opens_with_its_first_identifiers_and_its_person() -> None:
    links = (Link(CARD, 1, day(0)), Link(PHONE, 2, day(0)))
    shop = Shop()

    entry = shop.do(membership.open_account(AccountKind.PERSONAL, links, b"person", b"friend", "shop"))

    assert entry.kind is TransactionKind.ACCOUNT
    assert entry.events == (
        Opened(AccountKind.PERSONAL, (b"person",), b"friend", "shop"),
        LinkSet(links[0]),
        LinkSet(links[1]),
        PersonNoted("set", b"person"),
    )
    assert shop.account.links == links
    assert shop.account.opened_ms == day(0)


def test_an_identifier_that_is_unlinked_still_stands_for_what_occurred_before() -> None:
    shop = Shop()
    linked(shop)
    shop.on_day(5)

    shop.do(membership.unlink(shop.account, CARD, day(5)))

    assert shop.account.linked(CARD, day(5) - 1)
    assert not shop.account.linked(CARD, day(5))
    assert reason(membership.unlink(shop.account, CARD, day(6))) is Reason.IDENTIFIER_NOT_LINKED


def test_an_identifier_that_comes_back_leaves_the_gap_on_record() -> None:
    shop = Shop()
    linked(shop)
    shop.on_day(5)
    shop.do(membership.unlink(shop.account, CARD, day(5)))
    shop.on_day(9)
    linked(shop)

    assert [shop.account.linked(CARD, day(at)) for at in (0, 4, 5, 8, 9)] == [True, True, False, False, True]


def test_linking_twice_is_the_same_as_once() -> None:
    shop = Shop()
    linked(shop)
    linked(shop)

    assert len(shop.account.links) == 1


def test_identifiers_are_bounded_past_ones_included() -> None:
    shop = Shop()
    for number in range(MAX_LINKS):
        linked(shop, bytes([number]))
    shop.do(membership.unlink(shop.account, b"\x00", day(0)))

    assert reason(membership.link(shop.account, Link(CARD, 1, day(0)), day(0))) is Reason.LIMIT_EXCEEDED


def test_a_block_is_lifted_again() -> None:
    shop = Shop()

    entry = shop.do(membership.set_block(shop.account, True, "lost card", shop.context))
    assert entry.events == (StatusSet(Status.BLOCKED, "lost card", "ann"),)
    shop.do(membership.set_block(shop.account, False, "found", shop.context))
    assert shop.account.status is Status.ACTIVE


def test_an_empty_account_closes_for_good_and_its_identifiers_become_free() -> None:
    shop = Shop()
    linked(shop)
    shop.on_day(3)

    shop.do(closing(shop))

    assert shop.account.status is Status.CLOSED
    assert not shop.account.linked(CARD, day(3))
    assert shop.account.linked(CARD, day(2))
    assert shop.account.due_ms == NEVER_MS
    for decision in (
        closing(shop, forfeit=True),
        membership.set_block(shop.account, False, "", shop.context),
        membership.link(shop.account, Link(PHONE, 1, day(3)), day(3)),
        membership.join_pool(shop.account, b"pool"),
        membership.set_holder(shop.account, b"x", True),
        adjusting.adjust(shop.account, "points", 5, "why", 10, NEVER_MS, shop.context),
    ):
        assert reason(decision) is Reason.ACCOUNT_CLOSED


def test_what_an_account_still_holds_lapses_only_where_that_is_said() -> None:
    shop = Shop()
    shop.earn(award(5, 9), award(6, 20, available_ms=day(2)), award(7, purse="cash"))

    refused = closing(shop)
    assert reason(refused) is Reason.ACCOUNT_NOT_EMPTY
    assert refused.details == (("purses", "cash points"),)  # type: ignore[union-attr]
    entry = shop.do(closing(shop, forfeit=True))

    assert entry.events[:2] == (
        Debited("points", BREAKAGE, (Lot(5, day(9)),), (Lot(6, day(20), day(2)),)),
        Debited("cash", BREAKAGE, (Lot(7),)),
    )
    assert shop.account.purses == {"points": Purse(), "cash": Purse()}
    assert shop.world.books.units[BREAKAGE, "points"] == 11


def with_a_hold(shop: Shop) -> None:
    shop.earn(award(5))
    shop.authorize(points=5)


def below_zero(shop: Shop) -> None:
    shop.redeem(points=5)


def below_zero_with_as_much_pending(shop: Shop) -> None:
    shop.earn(award(5, available_ms=day(2)))
    shop.redeem(points=5)


def with_a_proposal(shop: Shop) -> None:
    shop.do(adjusting.adjust(shop.account, "points", 50, "why", 10, NEVER_MS, shop.context))


def with_a_transfer_under_way(shop: Shop) -> None:
    shop.earn(award(5))
    shop.do(adjusting.send_transfer(shop.account, b"other", "points", 5, "t1", shop.context))


def as_a_pool_with_members(shop: Shop) -> None:
    shop.do(membership.open_account(AccountKind.POOL, (), b"", b"", ""))
    shop.do(membership.set_holder(shop.account, b"x", True))


@pytest.mark.parametrize(
    "state",
    [
        with_a_hold,
        below_zero,
        below_zero_with_as_much_pending,
        with_a_proposal,
        with_a_transfer_under_way,
        as_a_pool_with_members,
    ],
    ids=lambda state: state.__name__,
)
def test_an_account_does_not_close_while_something_is_open(state: object) -> None:
    shop = Shop(replace(POINTS, credit_limit=10))
    state(shop)  # type: ignore[operator]

    assert reason(closing(shop, forfeit=True)) is Reason.ACCOUNT_NOT_EMPTY


def test_a_person_is_noted_and_never_named_in_the_journal() -> None:
    shop = Shop()

    entry = shop.do(membership.note_person(shop.account, "changed", b"person"))
    assert entry.events == (PersonNoted("changed", b"person"),)
    assert not shop.account.erased
    shop.do(membership.note_person(shop.account, "erased", b"person"))
    assert shop.account.erased


def test_an_account_belongs_to_one_pool_at_a_time_and_its_stay_is_on_record() -> None:
    shop = Shop()
    assert reason(membership.leave_pool(shop.account)) is Reason.WRONG_ACCOUNT_KIND

    shop.do(membership.join_pool(shop.account, b"family"))
    assert reason(membership.join_pool(shop.account, b"company")) is Reason.WRONG_ACCOUNT_KIND
    shop.on_day(5)
    shop.do(membership.leave_pool(shop.account))
    shop.do(membership.join_pool(shop.account, b"company"))

    assert [shop.account.pool_at(day(at)) for at in (0, 4, 5)] == [b"family", b"family", b"company"]


def test_joining_the_same_pool_again_changes_nothing() -> None:
    shop = Shop()
    shop.do(membership.join_pool(shop.account, b"family"))
    before = shop.account.pools

    again = membership.join_pool(shop.account, b"family")

    assert again == Accepted(TransactionKind.ACCOUNT, ())
    assert shop.account.pools == before


def test_only_persons_join_pools_and_only_pools_are_joined() -> None:
    pool = Account(b"p", AccountKind.POOL)

    assert reason(membership.join_pool(pool, b"family")) is Reason.WRONG_ACCOUNT_KIND
    assert reason(membership.set_holder(Account(b"a"), b"x", True)) is Reason.WRONG_ACCOUNT_KIND


def test_a_pool_holds_each_account_once_and_not_too_many() -> None:
    shop = Shop()
    shop.do(membership.open_account(AccountKind.POOL, (), b"", b"", ""))
    for number in [*range(MAX_HOLDERS), 0]:
        shop.do(membership.set_holder(shop.account, bytes([number]), True))
    assert len(shop.account.holders) == MAX_HOLDERS

    assert reason(membership.set_holder(shop.account, b"more", True)) is Reason.LIMIT_EXCEEDED
    shop.do(membership.set_holder(shop.account, b"\x00", False))
    shop.do(membership.set_holder(shop.account, b"more", True))
    assert b"\x00" not in shop.account.holders
