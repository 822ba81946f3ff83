"""Decisions about the account itself: open, link, block, close, erase, pools."""

from __future__ import annotations

from node.ledger.account import Account, AccountKind, Link, Purse, Status
from node.ledger.decision import Accepted, Context, Decision, closed
from node.ledger.events import (
    AnyEvent,
    Debited,
    Event,
    HolderSet,
    LinkSet,
    Opened,
    PersonNoted,
    PoolSet,
    StatusSet,
)
from node.ledger.postings import BREAKAGE
from node.ledger.refusals import Reason, refuse
from node.ledger.transactions import TransactionKind

MAX_LINKS = 64
"""Identifiers of one account, past ones included."""

MAX_HOLDERS = 64
"""Accounts that one pool holds."""


def _account_entry(*events: AnyEvent) -> Accepted:
    return Accepted(TransactionKind.ACCOUNT, events)


def open_account(
    kind: AccountKind, links: tuple[Link, ...], person_id: bytes, referrer: bytes, source: str
) -> Decision:
    """Opens an account with its first identifiers and, where `person_id` is given, its person."""
    opened = Opened(kind, (person_id,) if person_id else (), referrer, source)
    person = (PersonNoted("set", person_id),) if person_id else ()
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


def unlink(account: Account, digest: bytes, now_ms: int) -> Decision:
    """Ends an identifier of the account now; what occurred before still resolves to it."""
    for old in account.links:
        if old.digest == digest and old.covers(now_ms):
            return _account_entry(LinkSet(Link(digest, old.kind, old.since_ms, now_ms, old.hint)))
    return refuse(Reason.IDENTIFIER_NOT_LINKED, "The identifier is not linked to this account.")


def set_block(account: Account, blocked: bool, reason: str, context: Context) -> Decision:
    """Stops the account from spending, or lets it spend again."""
    if refused := closed(account):
        return refused
    return _account_entry(StatusSet(Status.BLOCKED if blocked else Status.ACTIVE, reason, context.caller))


def close(account: Account, forfeit: bool, reason: str, context: Context) -> Decision:
    """Closes the account for good; its identifiers become free.

    Refused while it has open holds, owes or is owed units (unless `forfeit` lets positive balances lapse),
    has transfers under way whose units may come back, proposals that wait, or other accounts as a pool.
    """
    if refused := closed(account):
        return refused
    in_pool = account.kind is AccountKind.POOL and account.holders
    if account.holds or account.proposals or account.sending or in_pool:
        return refuse(
            Reason.ACCOUNT_NOT_EMPTY,
            "Open authorizations, waiting adjustments, transfers under way or pool members come first.",
        )
    owned = {code: purse for code, purse in account.purses.items() if purse.owned or purse.debt}
    if any(purse.debt for purse in owned.values()) or (owned and not forfeit):
        return refuse(
            Reason.ACCOUNT_NOT_EMPTY,
            "The account still holds or owes units. Spend, transfer or adjust them, or let them lapse.",
            purses=" ".join(sorted(owned)),
        )
    lapsed = [_lapse(code, purse) for code, purse in owned.items()]
    ended = [
        LinkSet(Link(old.digest, old.kind, old.since_ms, context.now_ms, old.hint))
        for old in account.links
        if old.covers(context.now_ms)
    ]
    return _account_entry(*lapsed, *ended, StatusSet(Status.CLOSED, reason, context.caller))


def _lapse(code: str, purse: Purse) -> Debited:
    return Debited(code, BREAKAGE, purse.lots, purse.pending_lots)


def note_person(account: Account, what: str, person_id: bytes) -> Decision:
    """Notes in the journal that the person's data was set, changed or erased."""
    events: tuple[Event, ...] = (PersonNoted(what, person_id),)
    return Accepted(TransactionKind.ACCOUNT, events)  # type: ignore[arg-type]


def join_pool(account: Account, pool_id: bytes) -> Decision:
    """The account's side of joining a pool."""
    if refused := closed(account):
        return refused
    if account.kind is not AccountKind.PERSONAL:
        return refuse(Reason.WRONG_ACCOUNT_KIND, "Only a personal account joins a pool.")
    if account.pool_id and account.pool_id != pool_id:
        return refuse(Reason.WRONG_ACCOUNT_KIND, "The account is in another pool; it leaves that one first.")
    return _account_entry() if account.pool_id else _account_entry(PoolSet(pool_id))


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
