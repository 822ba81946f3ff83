"""How a home node posts: the movement on the account, and the record of it on the lane."""

from __future__ import annotations

from msgspec import Struct

from node.coalition.envelopes import Message
from node.coalition.home_facts import HomeFacts, Original
from node.coalition.lanes import HomeLane, append
from node.coalition.messages import Accrue, ExchangeReason, Posted, PostedCore, RecordKind
from node.ledger import abroad
from node.ledger.account import Account
from node.ledger.decision import Accepted, Decision
from node.ledger.evolve import evolve
from node.ledger.purses import MAX_UNITS
from node.ledger.refusals import Reason, Refused

UNITS_MAX = MAX_UNITS


class Move(Struct, frozen=True):
    """A movement to be posted: what the record says of it, and the journal entry.

    `rate_version` 0: the one in force; of a return the original's, with the original's number.
    """

    kind: RecordKind
    units: int
    booking: Accepted
    rate_version: int = 0
    original_number: int = 0


def posted(message: Message, facts: HomeFacts, move: Move) -> tuple[HomeLane, Posted] | None:
    """The lane with the record of a movement, and what to say; None outside the calendar or before any rate.

    The window is that of the posting, by our clock, and never an earlier one than the lane's last.
    """
    window = facts.directory.window_at(facts.now_ms)
    rate = facts.directory.rate_at(facts.now_ms)
    if window is None or rate is None or facts.account is None:
        return None
    core = PostedCore(
        message.header.exchange_id,
        move.kind,
        facts.directory.purse.code,
        move.units,
        facts.lane.lane,
        facts.lane.number + 1,
        max(window.number, facts.lane.window),
        move.rate_version or rate.version,
        facts.now_ms,
        message.hash,
        move.original_number,
    )
    core_bytes = facts.encoder.core(core)
    lane = append(facts.lane, message.header_bytes, core_bytes, core.window)
    balance = balance_after(facts.account, move.booking, facts)
    return lane, Posted(core_bytes, core, lane.hash, balance, facts.pseudonym)


def earned(facts: HomeFacts, body: Accrue, account: Account) -> Decision:
    """The credit that an ACCRUE asks for."""
    return abroad.credit(
        account,
        facts.directory.purse.code,
        body.units,
        body.available_time_ms,
        body.expire_time_ms,
        facts.partner_id,
        facts.ledger,
    )


def taken_back(facts: HomeFacts, account: Account, original: Original, units: int) -> Move | ExchangeReason:
    """The movement that a RETURN asks for; of an accrual only what could really be taken."""
    kind, exchange = original.exchange.record_kind, original.exchange
    if kind is RecordKind.ACCRUAL:
        undo, undone = abroad.take_back, RecordKind.ACCRUAL_RETURN
    elif kind is RecordKind.REDEMPTION:
        undo, undone = abroad.give_back, RecordKind.REDEMPTION_RETURN
    else:
        return ExchangeReason.UNKNOWN_EXCHANGE
    decision = undo(account, original.entry, original.amended, units, facts.partner_id, facts.ledger)
    if isinstance(decision, Refused):
        return reason_of(decision.reason)
    moved = abroad.taken_back(decision) if undone is RecordKind.ACCRUAL_RETURN else units
    return Move(undone, moved, decision, exchange.rate_version, exchange.number)


def balance_after(account: Account, booking: Accepted | None, facts: HomeFacts) -> int:
    """What the member can spend of the coalition purse after a booking."""
    for event in booking.events if booking else ():
        account = evolve(account, event, facts.now_ms)
    return account.purse(facts.directory.purse.code).spendable


def reason_of(reason: Reason) -> ExchangeReason:
    """The ledger's reason as it is said to a partner; what concerns no partner becomes ACCOUNT_UNUSABLE."""
    return _REASONS.get(reason, ExchangeReason.ACCOUNT_UNUSABLE)


_REASONS = {
    Reason.INSUFFICIENT_BALANCE: ExchangeReason.INSUFFICIENT_BALANCE,
    Reason.NOT_SPENDABLE_HERE: ExchangeReason.INSUFFICIENT_BALANCE,
    Reason.UNKNOWN_PURSE: ExchangeReason.INSUFFICIENT_BALANCE,
    Reason.RETURN_EXCEEDS_PURCHASE: ExchangeReason.RETURN_EXCEEDS_POSTED,
    Reason.INVALID_ARGUMENT: ExchangeReason.MALFORMED,
}
