"""Answers to tills: from the entry that was posted to the response's bytes.

An answer is made from the entry and the account after it, and from nothing else, so a stored answer, a
looked-up transaction and a line of the statement agree.
"""

from __future__ import annotations

from collections.abc import Callable

from node.ledger import events as ev
from node.ledger.account import Account
from node.ledger.transactions import Entry
from node.proto.vafa.pos.v1 import earning_pb2, spending_pb2, undo_pb2
from node.wire.balances import (
    Purses,
    balances,
    effects,
    fill_balance,
    fill_effect,
    fill_stamp,
    spent,
    stamp,
    touched,
)
from node.wire.commands import Op
from node.wire.parse import transaction_id


def answer(op: Op, partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> bytes:
    """The response's bytes for a till's request that was posted as `entry`."""
    return _ANSWERS[op](partition, entry, account, purses, currency)


def _accrued(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> bytes:
    event = entry.events[0]
    awards = event.awards if type(event) is ev.Earned else ()
    # Filled in place, for nothing is then copied: this answer is made tens of thousands of times a second.
    response = earning_pb2.AccrueResponse()
    response.transaction_id = transaction_id(partition, entry.sequence)
    response.programme_version = entry.version
    fill_stamp(response.post_time, entry.at_ms)
    shown = set()
    for award in awards:
        code = award.purse
        definition = purses.get(code)
        fill_effect(response.effects.add(), award, definition)
        if definition is not None and code not in shown:
            shown.add(code)
            fill_balance(response.balances.add(), account, definition, currency)
    return response.SerializeToString()


def _activity(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> bytes:
    return earning_pb2.RecordActivityResponse(
        transaction_id=transaction_id(partition, entry.sequence),
        post_time=stamp(entry.at_ms),
        programme_version=entry.version,
        effects=effects(entry.events, purses, currency),
        balances=balances(account, purses, currency, touched(entry.events)),
    ).SerializeToString()


def _claimed(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> bytes:
    return earning_pb2.ClaimPurchaseResponse(
        transaction_id=transaction_id(partition, entry.sequence),
        post_time=stamp(entry.at_ms),
        programme_version=entry.version,
        effects=effects(entry.events, purses, currency),
        balances=balances(account, purses, currency, touched(entry.events)),
    ).SerializeToString()


def _authorized(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> bytes:
    (placed,) = (event for event in entry.events if isinstance(event, ev.HoldPlaced))
    return spending_pb2.AuthorizeResponse(
        transaction_id=transaction_id(partition, entry.sequence),
        post_time=stamp(entry.at_ms),
        expire_time=stamp(placed.hold.expires_ms),
        held=spent(placed.hold.taken, purses, currency),
        balances=balances(account, purses, currency, touched(entry.events)),
    ).SerializeToString()


def _captured(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> bytes:
    (closed,) = (event for event in entry.events if isinstance(event, ev.HoldClosed))
    return spending_pb2.CaptureResponse(
        transaction_id=transaction_id(partition, entry.sequence),
        post_time=stamp(entry.at_ms),
        spent=spent(closed.spent, purses, currency),
        balances=balances(account, purses, currency, touched(entry.events)),
    ).SerializeToString()


def _voided(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> bytes:
    return spending_pb2.VoidResponse(
        transaction_id=transaction_id(partition, entry.sequence),
        post_time=stamp(entry.at_ms),
        balances=balances(account, purses, currency, touched(entry.events)),
    ).SerializeToString()


def _redeemed(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> bytes:
    (event,) = (event for event in entry.events if isinstance(event, ev.Spent))
    return spending_pb2.RedeemResponse(
        transaction_id=transaction_id(partition, entry.sequence),
        post_time=stamp(entry.at_ms),
        spent=spent(event.taken, purses, currency),
        balances=balances(account, purses, currency, touched(entry.events)),
    ).SerializeToString()


def _returned(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> bytes:
    return undo_pb2.ReturnResponse(
        transaction_id=transaction_id(partition, entry.sequence),
        post_time=stamp(entry.at_ms),
        effects=effects(entry.events, purses, currency),
        balances=balances(account, purses, currency, touched(entry.events)),
    ).SerializeToString()


def _reversed(partition: int, entry: Entry, account: Account, purses: Purses, currency: str) -> bytes:
    return undo_pb2.ReverseResponse(
        transaction_id=transaction_id(partition, entry.sequence),
        post_time=stamp(entry.at_ms),
        undone=any(isinstance(event, ev.Reversed) for event in entry.events),
        balances=balances(account, purses, currency, touched(entry.events)),
    ).SerializeToString()


_ANSWERS: dict[Op, Callable[[int, Entry, Account, Purses, str], bytes]] = {
    Op.ACCRUE: _accrued,
    Op.RECORD_ACTIVITY: _activity,
    Op.CLAIM_PURCHASE: _claimed,
    Op.AUTHORIZE: _authorized,
    Op.CAPTURE: _captured,
    Op.VOID: _voided,
    Op.REDEEM: _redeemed,
    Op.RETURN: _returned,
    Op.REVERSE: _reversed,
}
