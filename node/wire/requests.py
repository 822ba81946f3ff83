"""Requests of tills, from messages to what the ledger understands, and that on its way to a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from google.protobuf.message import Message

from node.ledger import commands
from node.ledger.refusals import Refused
from node.ledger.returns import LineBack
from node.ledger.spending import MAX_SPENDS, Place, SpendRequest
from node.proto.vafa.common.v1 import balance_pb2
from node.proto.vafa.pos.v1 import earning_pb2, spending_pb2, undo_pb2
from node.wire.commands import Op
from node.wire.parse import (
    Parsed,
    bad_request_id,
    canonical_hash,
    decode,
    invalid,
    is_request_id,
    time_ms,
    too_long,
    transaction_ref,
)
from node.wire.purchases import MAX_TEXT, activity_from, purchase_from

DEFAULT_HOLD_SECONDS = 900
MAX_HOLD_SECONDS = 7 * 86_400


def parse(op: Op, body: bytes, store_id: str, currency: str) -> Parsed[Any] | Refused:
    """A till's request as the ledger understands it, or why it is none.

    `store_id` is the caller's own store; money in another currency than `currency` is refused.
    """
    message = _MUTATIONS[op][0]()
    return decode(message, body) or read(op, message, store_id, currency)


def read(op: Op, message: Message, store_id: str, currency: str) -> Parsed[Any] | Refused:
    """The same from the message."""
    ask: earning_pb2.AccrueRequest = message  # type: ignore[assignment]  # one face of many alike
    request_id = ask.request_id
    if not is_request_id(request_id):
        return bad_request_id()
    if not ask.HasField("occurred_time"):
        return invalid("occurred_time", "Say when it happened, and repeat it unchanged in a retry.")
    occurred_ms = time_ms(ask.occurred_time, "occurred_time")
    if isinstance(occurred_ms, Refused):
        return occurred_ms
    body_hash = canonical_hash(message)
    if isinstance(body_hash, Refused):
        return body_hash
    command = _MUTATIONS[op][1](message, store_id, currency)
    if isinstance(command, Refused):
        return command
    return Parsed(request_id, occurred_ms, body_hash, command)


def is_read_by_gateway(op: Op) -> bool:
    """Whether it is a change that tills ask for: those are read once, by the gateway."""
    return op in _MUTATIONS


pack: Callable[[Parsed[Any]], bytes] = msgspec.msgpack.Encoder().encode
"""What was read of a request, for `Command.read`."""


def body_hash_of(packed: bytes) -> bytes:
    """The hash of the body, without a key, of what `pack` packed."""
    return _HEAD.decode(packed).body_hash


def unpack(op: Op, packed: bytes) -> Parsed[Any]:
    """What `pack` packed."""
    parsed: Parsed[Any] = _PACKED[op].decode(packed)
    return parsed


def _accrue(message: earning_pb2.AccrueRequest, store_id: str, currency: str) -> commands.Accrue | Refused:
    if not message.HasField("purchase"):
        return invalid("purchase", "The purchase is missing.")
    purchase = purchase_from(message.purchase, store_id)
    return purchase if isinstance(purchase, Refused) else commands.Accrue(purchase)


def _activity(
    message: earning_pb2.RecordActivityRequest, store_id: str, currency: str
) -> commands.RecordActivity | Refused:
    activity = activity_from(message)
    return activity if isinstance(activity, Refused) else commands.RecordActivity(activity)


def _claim(
    message: earning_pb2.ClaimPurchaseRequest, store_id: str, currency: str
) -> commands.ClaimPurchase | Refused:
    sale = transaction_ref(message.transaction_id)
    return sale if isinstance(sale, Refused) else commands.ClaimPurchase(sale)


def spends_from(messages: Iterable[balance_pb2.Spend], currency: str) -> tuple[SpendRequest, ...] | Refused:
    """The spends of a request; money must be in the node's currency."""
    spends = []
    for message in messages:
        if message.WhichOneof("amount") == "money":
            if message.money.currency != currency:
                return invalid("spends.money.currency", f"Spends in money are in {currency}.")
            spends.append(SpendRequest(message.purse, 0, message.money.minor))
        else:
            spends.append(SpendRequest(message.purse, message.units))
        if len(spends) > MAX_SPENDS:
            return invalid("spends", f"At most {MAX_SPENDS} spends.")
    return tuple(spends)


def _place(
    message: spending_pb2.AuthorizeRequest | spending_pb2.RedeemRequest, store_id: str
) -> Place | Refused:
    problem = too_long("store_id", message.store_id, MAX_TEXT) or too_long(
        "channel", message.channel, MAX_TEXT
    )
    return problem or Place(message.store_id or store_id, message.channel or "store")


def _authorize(
    message: spending_pb2.AuthorizeRequest, store_id: str, currency: str
) -> commands.Authorize | Refused:
    spends = spends_from(message.spends, currency)
    if isinstance(spends, Refused):
        return spends
    if not 0 <= message.hold_seconds <= MAX_HOLD_SECONDS:
        return invalid("hold_seconds", f"A hold stands for 0 to {MAX_HOLD_SECONDS} seconds.")
    place = _place(message, store_id)
    if isinstance(place, Refused):
        return place
    seconds = message.hold_seconds or DEFAULT_HOLD_SECONDS
    problem = too_long("proof.pin", message.proof.pin, MAX_TEXT)
    return problem or commands.Authorize(
        spends, place, seconds, message.proof.card_cryptogram, message.proof.pin
    )


def _capture(
    message: spending_pb2.CaptureRequest, store_id: str, currency: str
) -> commands.Capture | Refused:
    authorization = transaction_ref(message.authorization_id, "authorization_id")
    if isinstance(authorization, Refused):
        return authorization
    spends = spends_from(message.spends, currency)
    if isinstance(spends, Refused):
        return spends
    problem = too_long("receipt_number", message.receipt_number, MAX_TEXT)
    return problem or commands.Capture(authorization, spends, message.receipt_number)


def _void(message: spending_pb2.VoidRequest, store_id: str, currency: str) -> commands.Void | Refused:
    authorization = transaction_ref(message.authorization_id, "authorization_id")
    return authorization if isinstance(authorization, Refused) else commands.Void(authorization)


def _redeem(message: spending_pb2.RedeemRequest, store_id: str, currency: str) -> commands.Redeem | Refused:
    spends = spends_from(message.spends, currency)
    if isinstance(spends, Refused):
        return spends
    place = _place(message, store_id)
    if isinstance(place, Refused):
        return place
    problem = too_long("receipt_number", message.receipt_number, MAX_TEXT)
    problem = problem or too_long("proof.pin", message.proof.pin, MAX_TEXT)
    proof = message.proof
    return problem or commands.Redeem(spends, place, message.receipt_number, proof.card_cryptogram, proof.pin)


def _return(message: undo_pb2.ReturnRequest, store_id: str, currency: str) -> commands.Return | Refused:
    original = transaction_ref(message.transaction_id)
    if isinstance(original, Refused):
        return original
    if message.amount_minor < 0 or any(line.quantity_milli < 0 for line in message.lines):
        return invalid("amount_minor", "What comes back is not negative.")
    if len({line.number for line in message.lines}) != len(message.lines):
        return invalid("lines", "Name each line once.")
    lines = tuple(LineBack(line.number, line.quantity_milli) for line in message.lines)
    return commands.Return(original, lines, message.amount_minor)


def _reverse(message: undo_pb2.ReverseRequest, store_id: str, currency: str) -> commands.Reverse | Refused:
    if not is_request_id(message.original_request_id):
        return bad_request_id("original_request_id")
    if message.original_request_id == message.request_id:
        return invalid("original_request_id", "A reversal has a request id of its own.")
    return commands.Reverse(message.original_request_id)


# Typed loosely: each maker takes the message that stands beside it.
_MUTATIONS: dict[Op, tuple[type[Message], Callable[..., object | Refused]]] = {
    Op.ACCRUE: (earning_pb2.AccrueRequest, _accrue),
    Op.RECORD_ACTIVITY: (earning_pb2.RecordActivityRequest, _activity),
    Op.CLAIM_PURCHASE: (earning_pb2.ClaimPurchaseRequest, _claim),
    Op.AUTHORIZE: (spending_pb2.AuthorizeRequest, _authorize),
    Op.CAPTURE: (spending_pb2.CaptureRequest, _capture),
    Op.VOID: (spending_pb2.VoidRequest, _void),
    Op.REDEEM: (spending_pb2.RedeemRequest, _redeem),
    Op.RETURN: (undo_pb2.ReturnRequest, _return),
    Op.REVERSE: (undo_pb2.ReverseRequest, _reverse),
}

_Decoder = msgspec.msgpack.Decoder
_HEAD = _Decoder(Parsed[msgspec.Raw])
_PACKED: dict[Op, _Decoder[Any]] = {
    Op.ACCRUE: _Decoder(Parsed[commands.Accrue]),
    Op.RECORD_ACTIVITY: _Decoder(Parsed[commands.RecordActivity]),
    Op.CLAIM_PURCHASE: _Decoder(Parsed[commands.ClaimPurchase]),
    Op.AUTHORIZE: _Decoder(Parsed[commands.Authorize]),
    Op.CAPTURE: _Decoder(Parsed[commands.Capture]),
    Op.VOID: _Decoder(Parsed[commands.Void]),
    Op.REDEEM: _Decoder(Parsed[commands.Redeem]),
    Op.RETURN: _Decoder(Parsed[commands.Return]),
    Op.REVERSE: _Decoder(Parsed[commands.Reverse]),
}
