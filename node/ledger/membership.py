"""Decisions about the account itself: open, link, block, close, erase, pools."""

from __future__ import annotations

from node.ledger.account import Account, AccountKind, Link, Purse, Status
from node.ledger.decision import Accepted, Context, Decision, closed, unusable_for_spending
from node.ledger.events import (
    AnyEvent,
    Debited,
    HolderSet,
    LinkSet,
    Opened,
    PersonNoted,
    PoolSet,
    StatusSet,
)
from node.ledger.postings import BREAKAGE
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.transactions import TransactionKind

MAX_LINKS = 64
"""Identifiers of one account, past ones included."""

MAX_HOLDERS = 64
"""Accounts that one pool holds."""

MAX_STAYS = 64
"""Stays of one account in pools, past ones included."""


def _account_entry(*events: AnyEvent) -> Accepted:
    return Accepted(TransactionKind.ACCOUNT, events)


def open_account(
    account: Account,
    kind: AccountKind,
    links: tuple[Link, ...],
    known: bool,
    referrer: bytes,
    source: str,
    language: str = "",
) -> Decision:
    """Opens an account with its first identifiers.

    A personal account has one holder, the person, who goes by the account's own id; `known` says that the
    person's data came with it, and `language` is theirs. An account that is open already is never opened
    again: its id comes from the request's, so another request has used the same.
    """
    if account.entries:
        return refuse(Reason.REQUEST_ID_REUSED, "This request id has opened an account before; use a new id.")
    if len(links) > MAX_LINKS:
        return refuse(Reason.LIMIT_EXCEEDED, f"An account has at most {MAX_LINKS} identifiers.")
    person_id = account.account_id if kind is AccountKind.PERSONAL else b""
    opened = Opened(kind, (person_id,) if person_id else (), referrer, source)
    person = (PersonNoted("set", person_id, language),) if known else ()
    return _account_entry(opened, *(LinkSet(link) for link in links), *person)


def link(account: Account, new: Link, now_ms: int) -> Decision:
    """Links one more identifier; the index has claimed it for this account already."""
    if refused := closed(account):
        return refused
    if account.linked(new.digest, now_ms):
        return _account_entry()  # linked before, by an earlier try of the same request
    if len(account.links) >= MAX_LINKS:
        return refuse(Reason.LIMIT_EXCEEDED, f"An account has at most {MAX_LINKS} identifiers.")
    return _account_entry(LinkSet(new))


def _end_ms(now_ms: int, occurred_ms: int) -> int:
    """When an identifier ends: now, or after the request that ends it where the caller's clock is ahead.

    So the request itself, sent again, still resolves to the account that it was meant for.
    """
    return max(now_ms, occurred_ms + 1)


def _ended(account: Account, ended_ms: int) -> list[LinkSet]:
    """The end of every identifier that still stands for the account."""
    return [
        LinkSet(Link(old.digest, old.kind, old.since_ms, ended_ms, old.hint))
        for old in account.links
        if not old.until_ms
    ]


def unlink(account: Account, digest: bytes, now_ms: int, occurred_ms: int) -> Decision:
    """Ends an identifier of the account now; what occurred before still resolves to it."""
    ended_ms = _end_ms(now_ms, occurred_ms)
    for old in account.links:
        if old.digest == digest and not old.until_ms:
            return _account_entry(LinkSet(Link(digest, old.kind, old.since_ms, ended_ms, old.hint)))
    return refuse(Reason.IDENTIFIER_NOT_LINKED, "The identifier is not linked to this account.")


def note_card(account: Account) -> Decision:
    """Notes in the journal who said when that a chip of the account's is, or is not, to be trusted."""
    return closed(account) or _account_entry()


def note_pin(account: Account) -> Decision:
    """Notes in the journal who set, unlocked or took away the account's PIN, and when."""
    return closed(account) or _account_entry()


def set_block(account: Account, blocked: bool, reason: str, context: Context) -> Decision:
    """Stops the account from spending, or lets it spend again."""
    if refused := closed(account):
        return refused
    return _account_entry(StatusSet(Status.BLOCKED if blocked else Status.ACTIVE, reason, context.caller))


def close(account: Account, forfeit: bool, reason: str, context: Context, occurred_ms: int = 0) -> Decision:
    """Closes the account for good; its identifiers become free.

    Refused while it has open holds, owes or is owed units (unless `forfeit` lets positive balances lapse),
    has transfers under way whose units may come back, proposals that wait, is in a pool, or is a pool that
    others are in.
    """
    if refused := closed(account):
        return refused
    in_pool = account.kind is AccountKind.POOL and account.holders
    if account.holds or account.proposals or account.sending or account.pool_id or in_pool:
        return refuse(
            Reason.ACCOUNT_NOT_EMPTY,
            "Open authorizations, waiting adjustments, transfers under way, pool members, or leaving the "
            "account's own pool come first.",
        )
    owned = {code: purse for code, purse in account.purses.items() if purse.owned or purse.debt}
    if any(purse.debt for purse in owned.values()) or (owned and not forfeit):
        return refuse(
            Reason.ACCOUNT_NOT_EMPTY,
            "The account still holds or owes units. Spend, transfer or adjust them, or let them lapse.",
            purses=" ".join(sorted(owned)),
        )
    lapsed = [_lapse(code, purse) for code, purse in owned.items()]
    ended = _ended(account, _end_ms(context.now_ms, occurred_ms))
    return _account_entry(*lapsed, *ended, StatusSet(Status.CLOSED, reason, context.caller))


def _lapse(code: str, purse: Purse) -> Debited:
    return Debited(code, BREAKAGE, purse.lots, purse.pending_lots)


def person_of(account: Account) -> bytes | Refused:
    """The id of the person whose the account is, or why there is none to speak of."""
    if account.kind is not AccountKind.PERSONAL or not account.holders:
        return refuse(Reason.WRONG_ACCOUNT_KIND, "Only a personal account has a person.")
    if account.erased:
        return refuse(Reason.ACCOUNT_CLOSED, "The person was erased; nothing about them is kept any more.")
    return account.holders[0]


def note_person(account: Account, language: str = "") -> Decision:
    """Notes in the journal that the person's data was changed, and what their language is now."""
    person_id = closed(account) or person_of(account)
    if isinstance(person_id, Refused):
        return person_id
    return _account_entry(PersonNoted("changed", person_id, language))


def erase_person(account: Account, now_ms: int, occurred_ms: int) -> Decision:
    """Notes that the person's data is destroyed, ends all identifiers, and drops what hints at them.

    Also of a closed account, and once more of an erased one, which changes nothing. The account keeps its
    balances: whoever knows its id can still spend, move or forfeit them.
    """
    if account.erased:
        return _account_entry()
    person_id = person_of(account)
    if isinstance(person_id, Refused):
        return person_id
    ended_ms = _end_ms(now_ms, occurred_ms)
    nameless = [
        LinkSet(Link(old.digest, old.kind, old.since_ms, old.until_ms or ended_ms)) for old in account.links
    ]
    return _account_entry(PersonNoted("erased", person_id), *nameless)


def join_pool(account: Account, pool_id: bytes) -> Decision:
    """The account's side of joining a pool: nothing where it is in it already.

    A blocked account cannot: what it may not spend itself it would spend from the pool.
    """
    if account.kind is not AccountKind.PERSONAL:
        return refuse(Reason.WRONG_ACCOUNT_KIND, "Only a personal account joins a pool.")
    if refused := unusable_for_spending(account):
        return refused
    if account.pool_id and account.pool_id != pool_id:
        return refuse(Reason.WRONG_ACCOUNT_KIND, "The account is in another pool; it leaves that one first.")
    if account.pool_id:
        return _account_entry()
    if len(account.pools) >= MAX_STAYS:
        return refuse(Reason.LIMIT_EXCEEDED, f"An account joins at most {MAX_STAYS} pools in its life.")
    return _account_entry(PoolSet(pool_id))


def leave_pool(account: Account) -> Decision:
    """The account's side of leaving its pool."""
    if not account.pool_id:
        return refuse(Reason.WRONG_ACCOUNT_KIND, "The account is in no pool.")
    return _account_entry(PoolSet(b""))


def set_holder(pool: Account, holder: bytes, joined: bool) -> Decision:
    """The pool's side of joining and leaving."""
    if refused := closed(pool):
        return refused
    if pool.kind is not AccountKind.POOL:
        return refuse(Reason.WRONG_ACCOUNT_KIND, "The account is not a pool.")
    if joined and holder not in pool.holders and len(pool.holders) >= MAX_HOLDERS:
        return refuse(Reason.LIMIT_EXCEEDED, f"A pool holds at most {MAX_HOLDERS} accounts.")
    return _account_entry(HolderSet(holder, joined))
