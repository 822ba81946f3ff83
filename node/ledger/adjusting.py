"""Decisions by people: adjustments with a reason and an author, and moves between accounts."""

from __future__ import annotations

from node.ledger.account import Account, Proposal, transfer_counter
from node.ledger.decision import (
    Accepted,
    Context,
    Decision,
    checked_units,
    closed,
    purse_definition,
    unusable_for_spending,
)
from node.ledger.events import (
    Adjusted,
    AnyEvent,
    Credited,
    Debited,
    ProposalClosed,
    Proposed,
    TransferClosed,
    TransferReceived,
    TransferSent,
)
from node.ledger.lots import Lot, Lots, revived, take, total
from node.ledger.postings import ADJUSTED, IN_TRANSIT
from node.ledger.purses import MAX_UNITS
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.spending import spendable_units
from node.ledger.transactions import TransactionKind

MAX_PROPOSALS = 20
"""Adjustments of one account that may wait at a time."""

MAX_SENDING = 32
"""Transfers of one account that may be under way at a time."""


def adjust(
    account: Account,
    purse: str,
    units: int,
    reason: str,
    single_limit: int,
    expires_ms: int,
    context: Context,
) -> Decision:
    """Changes a balance by hand, or above `single_limit` proposes to; the author is the caller.

    A debit needs the units to be there. Credits expire at `expires_ms`, as an earning of today would.
    """
    refused = closed(account) or _adjustment_problem(account, purse, units, reason, context)
    if refused:
        return refused
    if abs(units) > single_limit:
        if len(account.proposals) >= MAX_PROPOSALS:
            return refuse(Reason.LIMIT_EXCEEDED, "Too many adjustments wait on this account already.")
        proposal = Proposal(context.sequence, purse, units, reason, context.caller)
        return Accepted(TransactionKind.ADJUSTMENT, (Proposed(proposal),))
    return _adjusted(account, purse, units, Adjusted(context.caller, reason), expires_ms)


def decide_adjustment(
    account: Account, proposal_id: int, approve: bool, expires_ms: int, context: Context
) -> Decision:
    """Approves or rejects a proposal. The approver is the caller and never the author."""
    proposal = account.proposal(proposal_id)
    if proposal is None:
        return refuse(Reason.PROPOSAL_NOT_OPEN, "There is no such proposal, or it was decided before.")
    if approve and proposal.author == context.caller:
        return refuse(Reason.SAME_APPROVER, "An adjustment is approved by somebody other than its author.")
    decided = ProposalClosed(proposal_id, approve, context.caller)
    if not approve:
        return Accepted(TransactionKind.ADJUSTMENT, (decided,))
    refused = closed(account) or _adjustment_problem(
        account, proposal.purse, proposal.units, proposal.reason, context
    )
    if refused:
        return refused
    noted = Adjusted(proposal.author, proposal.reason, context.caller)
    done = _adjusted(account, proposal.purse, proposal.units, noted, expires_ms)
    return Accepted(done.kind, (decided, *done.events))


def _adjustment_problem(
    account: Account, purse: str, units: int, reason: str, context: Context
) -> Refused | None:
    definition = purse_definition(context, purse)
    if isinstance(definition, Refused):
        return definition
    if not 0 < abs(units) <= MAX_UNITS:
        return refuse(Reason.INVALID_ARGUMENT, f"Units lie within ±{MAX_UNITS} and are not 0.", field="units")
    if account.purse(purse).owned + units > MAX_UNITS:
        return refuse(Reason.LIMIT_EXCEEDED, "The purse would hold more than a purse may.", purse=purse)
    if not reason.strip():
        return refuse(Reason.INVALID_ARGUMENT, "An adjustment says why.", field="reason")
    if units < 0 and -units > spendable_units(account.purse(purse), definition):
        return refuse(
            Reason.INSUFFICIENT_BALANCE, "The purse holds less than that. Nothing was taken.", purse=purse
        )
    return None


def _adjusted(account: Account, purse: str, units: int, noted: Adjusted, expires_ms: int) -> Accepted:
    moved: AnyEvent
    if units > 0:
        moved = Credited(purse, (Lot(units, expires_ms),), ADJUSTED)
    else:
        lots, _ = take(account.purse(purse).lots, -units)
        moved = Debited(purse, ADJUSTED, lots, (), -units - total(lots))
    return Accepted(TransactionKind.ADJUSTMENT, (noted, moved))


def send_transfer(
    account: Account,
    to_account: bytes,
    purse: str,
    units: int,
    transfer_id: str,
    context: Context,
    day: int = 0,
    daily_limit: int = 0,
) -> Decision:
    """Takes units out of an account on their way to another; the outbox carries the lots there.

    `daily_limit` bounds what leaves a purse in the local `day`, counted even where it comes back; 0: nothing
    does, and with `day` 0 nothing is counted.
    """
    definition = unusable_for_spending(account) or purse_definition(context, purse)
    if isinstance(definition, Refused):
        return definition
    if not definition.transferable:
        return refuse(Reason.NOT_TRANSFERABLE, f"Purse {purse!r} may not be moved.", purse=purse)
    if to_account == account.account_id:
        return refuse(Reason.INVALID_ARGUMENT, "An account cannot transfer to itself.", field="to_identifier")
    if refused := checked_units(units):
        return refused
    if len(account.sending) >= MAX_SENDING:
        return refuse(Reason.LIMIT_EXCEEDED, "Too many transfers of this account are still under way.")
    if units > account.purse(purse).spendable:
        return refuse(
            Reason.INSUFFICIENT_BALANCE,
            f"Purse {purse!r} has {account.purse(purse).spendable} to move, not {units}. Nothing was moved.",
            purse=purse,
            spendable=account.purse(purse).spendable,
        )
    if daily_limit and account.counted(transfer_counter(purse), day) + units > daily_limit:
        return refuse(
            Reason.LIMIT_EXCEEDED,
            f"An account may move {daily_limit} of this purse in a day. Nothing was moved.",
            purse=purse,
            daily_transfer_units=daily_limit,
        )
    lots, _ = take(account.purse(purse).lots, units)
    sent = TransferSent(transfer_id, to_account, purse, units, day)
    return Accepted(TransactionKind.TRANSFER, (sent, Debited(purse, IN_TRANSIT, lots)))


def receive_transfer(
    account: Account, from_account: bytes, purse: str, lots: Lots, transfer_id: str
) -> Decision:
    """Takes a transfer in; a closed account refuses, and the units go back where they came from."""
    if refused := closed(account):
        return refused
    if account.purse(purse).owned + total(lots) > MAX_UNITS:
        return refuse(Reason.LIMIT_EXCEEDED, "The purse would hold more than a purse may.", purse=purse)
    received = TransferReceived(transfer_id, from_account, purse, total(lots))
    return Accepted(TransactionKind.TRANSFER, (received, Credited(purse, lots, IN_TRANSIT)))


def close_transfer(transfer_id: str, accepted: bool, purse: str, lots: Lots, now_ms: int) -> Decision:
    """Notes that a transfer arrived, or takes its units back, with days of grace where they expired."""
    closed_ = TransferClosed(transfer_id, accepted)
    if accepted:
        return Accepted(TransactionKind.TRANSFER, (closed_,))
    return Accepted(TransactionKind.TRANSFER, (closed_, Credited(purse, revived(lots, now_ms), IN_TRANSIT)))
