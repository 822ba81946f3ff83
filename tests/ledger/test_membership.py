"""Who may use an account is on record for ever, and an account closes only when nothing is left open."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger import adjusting, membership
from node.ledger.account import Account, AccountKind, Link, Purse, Status
from node.ledger.decision import Accepted, Decision
from node.ledger.events import Debited, LinkSet, Opened, PersonNoted, StatusSet
from node.ledger.lots import NEVER_MS, Lot
from node.ledger.membership import MAX_HOLDERS, MAX_LINKS, MAX_STAYS
from node.ledger.postings import BREAKAGE
from node.ledger.refusals import Reason
from node.ledger.transactions import TransactionKind
from tests.ledger.ledger_shop import POINTS, Shop, award, day, reason

CARD, PHONE = b"card", b"phone"


def linked(shop: Shop, digest: bytes = CARD) -> None:
    now_ms = shop.world.now_ms
    shop.do(membership.link(shop.account, Link(digest, 1, now_ms), now_ms))


def opening(shop: Shop, kind: AccountKind, *links: Link) -> Decision:
    return membership.open_account(shop.account, kind, links, kind is AccountKind.PERSONAL, b"friend", "shop")


def unlinking(shop: Shop, digest: bytes = CARD, occurred: int = 0) -> Decision:
    return membership.unlink(shop.account, digest, shop.world.now_ms, day(occurred))


def closing(shop: Shop, forfeit: bool = False) -> Decision:
    return membership.close(shop.account, forfeit, "moved away", shop.context)


def test_an_account_opens_with_its_first_identifiers_and_its_person() -> None:
    links = (Link(CARD, 1, day(0)), Link(PHONE, 2, day(0)))
    shop = Shop()

    entry = shop.do(opening(shop, AccountKind.PERSONAL, *links))

    assert entry.kind is TransactionKind.ACCOUNT
    assert entry.events == (
        Opened(AccountKind.PERSONAL, (b"member",), b"friend", "shop"),
        LinkSet(links[0]),
        LinkSet(links[1]),
        PersonNoted("set", b"member"),
    )
    assert shop.account.links == links
    assert shop.account.opened_ms == day(0)
    assert membership.person_of(shop.account) == b"member"


@pytest.mark.parametrize("kind", [AccountKind.POOL, AccountKind.BEARER])
def test_a_pool_and_a_gift_card_are_nobodys(kind: AccountKind) -> None:
    shop = Shop()
    shop.do(opening(shop, kind))

    assert shop.account.holders == ()
    assert reason(membership.person_of(shop.account)) is Reason.WRONG_ACCOUNT_KIND
    assert reason(membership.note_person(shop.account)) is Reason.WRONG_ACCOUNT_KIND
    assert reason(membership.erase_person(shop.account, day(0), day(0))) is Reason.WRONG_ACCOUNT_KIND


def test_an_account_is_opened_once() -> None:
    shop = Shop()
    shop.do(opening(shop, AccountKind.PERSONAL))

    assert reason(opening(shop, AccountKind.PERSONAL)) is Reason.REQUEST_ID_REUSED


def test_an_identifier_that_is_unlinked_still_stands_for_what_occurred_before() -> None:
    shop = Shop()
    linked(shop)
    shop.on_day(5)

    shop.do(unlinking(shop))

    assert shop.account.linked(CARD, day(5) - 1)
    assert not shop.account.linked(CARD, day(5))
    assert reason(unlinking(shop)) is Reason.IDENTIFIER_NOT_LINKED


def test_an_unlinking_by_a_clock_that_is_ahead_can_be_sent_again_to_the_same_account() -> None:
    shop = Shop()
    linked(shop)

    shop.do(unlinking(shop, occurred=1))

    assert shop.account.linked(CARD, day(1))
    assert not shop.account.linked(CARD, day(1) + 1)


def test_an_identifier_that_comes_back_leaves_the_gap_on_record() -> None:
    shop = Shop()
    linked(shop)
    shop.on_day(5)
    shop.do(unlinking(shop))
    shop.on_day(9)
    linked(shop)

    assert [shop.account.linked(CARD, day(at)) for at in (0, 4, 5, 8, 9)] == [True, True, False, False, True]


def test_linking_twice_is_the_same_as_once() -> None:
    shop = Shop()
    linked(shop)
    shop.on_day(1)
    linked(shop)

    assert shop.account.links == (Link(CARD, 1, day(0)),)


def test_identifiers_are_bounded_past_ones_included() -> None:
    shop = Shop()
    for number in range(MAX_LINKS):
        linked(shop, bytes([number]))
    shop.do(unlinking(shop, b"\x00"))

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
    assert refused.details == (("purses", "cash points"),)  # type: ignore[union-attr]  # it is a refusal
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


def in_a_pool(shop: Shop) -> None:
    shop.do(membership.join_pool(shop.account, b"family"))


def as_a_pool_with_members(shop: Shop) -> None:
    shop.do(opening(shop, AccountKind.POOL))
    shop.do(membership.set_holder(shop.account, b"x", True))


@pytest.mark.parametrize(
    "state",
    [
        with_a_hold,
        below_zero,
        below_zero_with_as_much_pending,
        with_a_proposal,
        with_a_transfer_under_way,
        in_a_pool,
        as_a_pool_with_members,
    ],
    ids=lambda state: state.__name__,
)
def test_an_account_does_not_close_while_something_is_open(state: object) -> None:
    shop = Shop(replace(POINTS, credit_limit=10))
    state(shop)  # type: ignore[operator]  # brings the shop to a state

    assert reason(closing(shop, forfeit=True)) is Reason.ACCOUNT_NOT_EMPTY


def test_a_change_of_a_persons_data_is_noted_without_the_data() -> None:
    shop = Shop()
    shop.do(opening(shop, AccountKind.PERSONAL))

    entry = shop.do(membership.note_person(shop.account, "fa"))

    assert entry.events == (PersonNoted("changed", b"member", "fa"),)
    assert shop.account.language == "fa"


def test_an_erased_person_leaves_the_books_whole_and_no_identifier_that_finds_the_account() -> None:
    shop = Shop()
    shop.do(opening(shop, AccountKind.PERSONAL, Link(CARD, 1, day(0), hint="••12")))
    shop.earn(award(10))
    shop.on_day(3)

    shop.do(membership.note_person(shop.account, "fa"))
    shop.do(membership.erase_person(shop.account, day(3), day(3)))

    assert shop.account.erased
    assert shop.account.language == ""
    assert shop.account.links == (Link(CARD, 1, day(0), day(3) + 1),)
    assert shop.purse().spendable == 10
    assert reason(membership.person_of(shop.account)) is Reason.ACCOUNT_CLOSED
    assert membership.erase_person(shop.account, day(4), day(4)) == Accepted(TransactionKind.ACCOUNT, ())


def test_a_person_is_erased_also_after_the_account_closed() -> None:
    shop = Shop()
    shop.do(opening(shop, AccountKind.PERSONAL))
    shop.do(closing(shop))

    assert reason(membership.note_person(shop.account)) is Reason.ACCOUNT_CLOSED
    shop.do(membership.erase_person(shop.account, day(0), day(0)))
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


def test_an_account_does_not_come_and_go_without_end() -> None:
    shop = Shop()
    for _ in range(MAX_STAYS):
        shop.do(membership.join_pool(shop.account, b"family"))
        shop.do(membership.leave_pool(shop.account))

    assert reason(membership.join_pool(shop.account, b"family")) is Reason.LIMIT_EXCEEDED


def test_joining_the_same_pool_again_changes_nothing() -> None:
    shop = Shop()
    shop.do(membership.join_pool(shop.account, b"family"))
    before = shop.account.pools

    again = membership.join_pool(shop.account, b"family")

    assert again == Accepted(TransactionKind.ACCOUNT, ())
    assert shop.account.pools == before


def test_a_blocked_account_does_not_join_a_pool_to_spend_what_it_may_not_spend_itself() -> None:
    blocked = Account(b"a", status=Status.BLOCKED)

    assert reason(membership.join_pool(blocked, b"family")) is Reason.ACCOUNT_BLOCKED


def test_only_persons_join_pools_and_only_pools_are_joined() -> None:
    pool = Account(b"p", AccountKind.POOL)

    assert reason(membership.join_pool(pool, b"family")) is Reason.WRONG_ACCOUNT_KIND
    assert reason(membership.set_holder(Account(b"a"), b"x", True)) is Reason.WRONG_ACCOUNT_KIND


def test_a_pool_holds_each_account_once_and_not_too_many() -> None:
    shop = Shop()
    shop.do(opening(shop, AccountKind.POOL))
    for number in [*range(MAX_HOLDERS), 0]:
        shop.do(membership.set_holder(shop.account, bytes([number]), True))
    assert len(shop.account.holders) == MAX_HOLDERS

    assert reason(membership.set_holder(shop.account, b"more", True)) is Reason.LIMIT_EXCEEDED
    shop.do(membership.set_holder(shop.account, b"\x00", False))
    shop.do(membership.set_holder(shop.account, b"more", True))
    assert b"\x00" not in shop.account.holders
