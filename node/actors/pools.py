"""Moves between accounts: transfers, and joining and leaving a pool, which is a transfer too.

Nothing is atomic across partitions. What leaves an account goes to `in_transit` with an outbox entry in the
same batch; the other account takes it by an idempotent step; a third closes the transfer, and gives back what
was refused. The gateway's `delivery` takes these steps for as long as they take.
"""

from __future__ import annotations

from datetime import date

import msgspec

from node.actors.desk import Case, Decider, Desk
from node.actors.tills import send_later
from node.ledger import adjusting, membership
from node.ledger.account import Account
from node.ledger.days import local_date
from node.ledger.decision import Accepted, Decision
from node.ledger.events import AnyEvent, Debited
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.transactions import TransactionKind
from node.storage.keyspace import outbox_key, partition_of
from node.wire.commands import Op, encode
from node.wire.parse import transaction_id
from node.wire.records import Dispatch
from node.wire.steps import HolderAgreement, ReceiveTransfer, TransferPart

TRANSFER_REQUESTS = "transfer-"
"""What the request ids of a transfer's steps begin with. Their records are never forgotten: see Shard."""

_OTHER = msgspec.msgpack.Decoder(bytes | Refused)
_EPOCH = date(1970, 1, 1)


def other_account(case: Case) -> bytes | Refused:
    """The other account of a request, or why there is none; a request that is known never comes this far."""
    other: bytes | Refused = _OTHER.decode(case.command.extra)
    return other


def transfer(desk: Desk, case: Case, account: Account) -> Decision:
    """Sends units on their way, within the daily limit in force now."""
    to_account, ask = other_account(case), case.ask
    if isinstance(to_account, Refused):
        return to_account
    limit = desk.programmes.at(case.now_ms).compiled.limits.daily_transfer_units
    day = (local_date(case.now_ms, desk.settings.time_zone) - _EPOCH).days
    transfer_id = _next_id(case)
    decision = adjusting.send_transfer(
        account, to_account, ask.purse, ask.units, transfer_id, case.context(), day, limit
    )
    if isinstance(decision, Accepted):
        _send(desk, case, transfer_id, to_account, decision.events)
    return decision


def join_pool(desk: Desk, case: Case, account: Account) -> Decision:
    """Joins a pool and sends all transferable balances there; once more, what has come in since."""
    pool_id = other_account(case)
    if isinstance(pool_id, Refused):
        return pool_id
    joined = membership.join_pool(account, pool_id)
    if isinstance(joined, Refused):
        return joined
    transfer_id, events = _next_id(case), list(joined.events)
    for code, definition in case.edition.purses.items():
        units = account.purse(code).spendable
        if definition.transferable and units > 0:
            sent = adjusting.send_transfer(account, pool_id, code, units, transfer_id, case.context())
            if isinstance(sent, Refused):
                return sent
            events.extend(sent.events)
    _send(desk, case, transfer_id, pool_id, events)
    return Accepted(joined.kind, tuple(events))


def leave_pool(desk: Desk, case: Case, account: Account) -> Decision:
    """Leaves the pool; the pool's note of its holder follows by the outbox."""
    decision = membership.leave_pool(account)
    if isinstance(decision, Accepted):
        _agree_later(desk, case, account.pool_id, account.account_id)
    return decision


def set_holder(desk: Desk, case: Case, account: Account) -> Decision:
    """The pool's side. Where the holder has yet to join, the outbox sees to it that the note becomes true."""
    ask = case.ask
    decision = membership.set_holder(account, ask.holder, ask.joined)
    if ask.unproven and isinstance(decision, Accepted):
        _agree_later(desk, case, account.account_id, ask.holder)
    return decision


def receive_transfer(desk: Desk, case: Case, account: Account) -> Decision:
    """Takes in what another account sent, all of it or nothing."""
    ask = case.ask
    events: list[AnyEvent] = []
    for part in ask.parts:
        taken = adjusting.receive_transfer(account, ask.from_account, part.purse, part.lots, ask.transfer_id)
        if isinstance(taken, Refused):
            return taken
        events.extend(taken.events)
    return Accepted(TransactionKind.TRANSFER, tuple(events))


def close_transfer(desk: Desk, case: Case, account: Account) -> Decision:
    """Ends a transfer on the sender and drops its outbox entry; what was refused comes back."""
    ask = case.ask
    if ask.transfer_id not in account.sending:
        return refuse(Reason.TRANSACTION_NOT_FOUND, "No such transfer of this account is under way.")
    events: list[AnyEvent] = []
    for part in ask.parts:
        back = adjusting.close_transfer(ask.transfer_id, ask.accepted, part.purse, part.lots, case.now_ms)
        assert isinstance(back, Accepted)
        events.extend(back.events if not events else back.events[1:])  # one end of one transfer
    case.puts.append((outbox_key(case.partition.number, ask.outbox_sequence), b""))
    return Accepted(TransactionKind.TRANSFER, tuple(events))


def _next_id(case: Case) -> str:
    """A transfer is called by the entry that sends it."""
    return transaction_id(case.partition.number, case.partition.sequence + 1)


def _send(
    desk: Desk, case: Case, transfer_id: str, to_account: bytes, events: tuple[AnyEvent, ...] | list[AnyEvent]
) -> None:
    """Puts what some events debited into the outbox as one transfer."""
    parts = tuple(TransferPart(event.purse, event.lots) for event in events if isinstance(event, Debited))
    if parts:
        request_id = TRANSFER_REQUESTS + transfer_id
        sender = case.command.account_id
        body = encode(ReceiveTransfer(request_id, case.now_ms, transfer_id, sender, parts))
        target = partition_of(to_account, desk.settings.partitions)
        send_later(case, Dispatch(Op.RECEIVE_TRANSFER, target, to_account, body, case.now_ms))


def _agree_later(desk: Desk, case: Case, pool_id: bytes, holder: bytes) -> None:
    target = partition_of(pool_id, desk.settings.partitions)
    body = encode(HolderAgreement(pool_id, holder))
    send_later(case, Dispatch(Op.AGREE_HOLDER, target, pool_id, body, case.now_ms))


DECIDERS: dict[Op, Decider] = {
    Op.TRANSFER: transfer,
    Op.JOIN_POOL: join_pool,
    Op.LEAVE_POOL: leave_pool,
    Op.SET_HOLDER: set_holder,
    Op.RECEIVE_TRANSFER: receive_transfer,
    Op.CLOSE_TRANSFER: close_transfer,
}
