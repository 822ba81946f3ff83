"""Decisions about what members do at partners' tills: the same purses and lots, other books.

What is spent abroad goes to `payable:<partner>`, what is earned abroad comes from `receivable:<partner>` as
lots that the partner funds. All units are of the coalition's purse, and the partner has computed them.
"""

from __future__ import annotations

from msgspec.structs import replace

from node.ledger.account import Account, AccountKind
from node.ledger.decision import Accepted, Context, Decision, checked_units, closed
from node.ledger.events import AnyEvent, Credited, Debited, HoldClosed, Opened, Returned
from node.ledger.lots import NEVER_MS, Lot, Lots, take, take_like, total
from node.ledger.postings import payable, receivable
from node.ledger.purses import MAX_UNITS, SpentReturnPolicy
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.spending import Place, SpendRequest, authorize, capture
from node.ledger.transactions import Amendment, Entry, TransactionKind
from node.ledger.undo import return_goods

CHANNEL = "abroad"
"""The channel of whatever is spent at a partner's till; a purse may leave it out."""


def hold(
    account: Account, purse: str, units: int, store_id: str, hold_seconds: int, context: Context
) -> Decision:
    """Reserves units for a sale at a partner's store; refused as at home."""
    return authorize(account, (SpendRequest(purse, units),), Place(store_id, CHANNEL), hold_seconds, context)


def spend(
    account: Account, hold_id: int, purse: str, units: int, partner_id: str, context: Context
) -> Decision:
    """Captures `units` of a hold towards the partner; the rest goes back to the member."""
    decision = capture(account, hold_id, (SpendRequest(purse, units),), "", context)
    if isinstance(decision, Refused):
        return decision
    (event,) = decision.events
    assert isinstance(event, HoldClosed)
    return Accepted(decision.kind, (replace(event, book=payable(partner_id)),))


def credit(
    account: Account,
    purse: str,
    units: int,
    available_ms: int,
    expires_ms: int,
    partner_id: str,
    context: Context,
) -> Decision:
    """Credits what was earned at a partner's till; `expires_ms` 0: never. A blocked account still earns."""
    refused = closed(account) or checked_units(units)
    if refused:
        return refused
    if account.purse(purse).owned + units > MAX_UNITS:
        return refuse(Reason.LIMIT_EXCEEDED, "The purse would hold more than a purse may.", purse=purse)
    available_ms = available_ms if available_ms > context.now_ms else 0
    lot = Lot(units, expires_ms or NEVER_MS, available_ms, partner_id)
    return Accepted(TransactionKind.ACCRUAL, (Credited(purse, (lot,), receivable(partner_id)),))


def take_back(
    account: Account, original: Entry, amended: Amendment, units: int, partner_id: str, context: Context
) -> Decision:
    """Takes `units` of what `original` credited back from the member: goods came back at the partner's till.

    What is spent already goes below zero or stays with the member, as the purse's policy says; units whose
    expiry has passed are not taken from anybody. `taken_back` tells how many were. Refused:
    RETURN_EXCEEDS_PURCHASE, ACCOUNT_CLOSED, WRONG_TRANSACTION_KIND.
    """
    book = receivable(partner_id)
    event = next((one for one in original.events if isinstance(one, Credited) and one.book == book), None)
    if event is None:
        return refuse(Reason.WRONG_TRANSACTION_KIND, "This was not earned at the partner's till.")
    if refused := closed(account) or checked_units(units):
        return refused
    left = total(event.lots) - amended.minor
    if units > left:
        return refuse(Reason.RETURN_EXCEEDS_PURCHASE, f"Only {left} can still come back.", left=left)
    noted = Returned(original.sequence, (), units)
    events: tuple[AnyEvent, ...] = (noted,)
    if event.lots[0].expires_ms > context.now_ms:
        taken = _found(account, event.purse, event.lots[0].of(units), book, context)
        if taken.lots or taken.pending_lots or taken.debt:
            events = (noted, taken)
    return Accepted(TransactionKind.RETURN, events)


def _found(account: Account, code: str, wanted: Lot, book: str, context: Context) -> Debited:
    """The very lot where it still is, then what expires first, then what the policy lets go below zero."""
    purse = account.purse(code)
    waiting, _ = take_like(purse.pending_lots, wanted)
    missing = wanted.units - total(waiting)
    same, rest = take_like(purse.lots, wanted.of(missing))
    others, _ = take(rest, missing - total(same))
    lots: Lots = (*same, *others)
    definition = context.purses.get(code)
    owes = definition is None or definition.spent_return_policy is SpentReturnPolicy.NEGATIVE
    return Debited(code, book, lots, waiting, missing - total(lots) if owes else 0)


def taken_back(decision: Accepted) -> int:
    """How many units a `take_back` really took."""
    return sum(
        total(event.lots) + total(event.pending_lots) + event.debt
        for event in decision.events
        if isinstance(event, Debited)
    )


def give_back(
    account: Account, original: Entry, amended: Amendment, units: int, partner_id: str, context: Context
) -> Decision:
    """Gives back `units` of what `original` spent at the partner's till, with their own expiry or grace."""
    return return_goods(account, original, amended, (), units, context, abroad=payable(partner_id))


def imported_spend(account: Account, purse: str, units: int, book: str) -> tuple[AnyEvent, ...]:
    """Takes what a record says that this node signed and lost, below zero if need be, whatever the
    account's state.
    """
    lots, _ = take(account.purse(purse).lots, units)
    return (Debited(purse, book, lots, (), units - total(lots)),)


def imported_credit(purse: str, units: int, book: str, lot: Lot) -> tuple[AnyEvent, ...]:
    """Credits what a record says that this node signed and lost, on the terms of `lot`."""
    return (Credited(purse, (lot.of(units),), book),) if units else ()


def reopened() -> Opened:
    """Opens again an account that a lost record names and the node has lost with it."""
    return Opened(AccountKind.PERSONAL, source="imported")
