"""What the gateway reads of a request to find its shard."""

from __future__ import annotations

from google.protobuf.message import Message
from msgspec import Struct

from node.ledger.refusals import Reason, Refused, refuse
from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.pos.v1 import card_pb2, earning_pb2, inquiry_pb2, operation_pb2, spending_pb2, undo_pb2
from node.wire.card_words import tap_number
from node.wire.commands import Op
from node.wire.parse import decode, invalid, time_ms

MAX_OPERATIONS = 5_000
"""Operations of one Submit call."""


class Route(Struct, frozen=True, gc=False):
    """Where a request goes: by identifier (kind 0: none, an anonymous sale), at the time that it occurred.

    `anchor` is the request id by which an anonymous request finds its partition: its own, or that of the
    request it asks about. `receipt` is (store, receipt number) of a purchase; the store may be empty.
    `tap` is the address by whose number the card is named, which is still to be verified.
    """

    request_id: str
    terminal_id: str
    identifier_kind: int
    identifier_value: str
    occurred_ms: int
    anchor: str
    receipt: tuple[str, str] = ("", "")
    tap: str = ""


_KINDS: dict[Op, type[Message]] = {
    Op.ACCRUE: earning_pb2.AccrueRequest,
    Op.RECORD_ACTIVITY: earning_pb2.RecordActivityRequest,
    Op.CLAIM_PURCHASE: earning_pb2.ClaimPurchaseRequest,
    Op.AUTHORIZE: spending_pb2.AuthorizeRequest,
    Op.CAPTURE: spending_pb2.CaptureRequest,
    Op.VOID: spending_pb2.VoidRequest,
    Op.REDEEM: spending_pb2.RedeemRequest,
    Op.RETURN: undo_pb2.ReturnRequest,
    Op.REVERSE: undo_pb2.ReverseRequest,
    Op.IDENTIFY: inquiry_pb2.IdentifyRequest,
    Op.QUOTE: inquiry_pb2.QuoteRequest,
    Op.GET_TRANSACTION: inquiry_pb2.GetTransactionRequest,
    Op.GET_BALANCE: inquiry_pb2.GetBalanceRequest,
    Op.LIST_STATEMENT: inquiry_pb2.ListStatementRequest,
    Op.REQUEST_PROOF: spending_pb2.RequestProofRequest,
    Op.BEGIN_CARD_PROOF: card_pb2.BeginCardProofRequest,
    Op.CONTINUE_CARD_PROOF: card_pb2.ContinueCardProofRequest,
}

ANONYMOUS = frozenset({Op.ACCRUE, Op.RETURN, Op.REVERSE, Op.GET_TRANSACTION, Op.QUOTE})
"""What can be asked without a member."""

_NOW = frozenset({Op.IDENTIFY, Op.GET_BALANCE, Op.LIST_STATEMENT})
_CARD_PROOFS = frozenset({Op.BEGIN_CARD_PROOF, Op.CONTINUE_CARD_PROOF})
_QUESTIONS = _NOW | {Op.QUOTE, Op.GET_TRANSACTION}


def opened(op: Op, body: bytes) -> Message | Refused:
    """A till's request as a message; a refusal where the bytes are none."""
    message = _KINDS[op]()
    return decode(message, body) or message


def route_of(op: Op, message: Message) -> Route | Refused:
    """Reads the way of a till's request."""
    ask: earning_pb2.AccrueRequest = message  # type: ignore[assignment]  # one face of many alike
    request_id = terminal_id = ""
    occurred_ms = 0
    if op in _CARD_PROOFS:
        terminal_id = ask.terminal_id
    elif op not in _NOW:
        terminal_id = ask.terminal_id
        occurred = time_ms(ask.occurred_time, "occurred_time")
        if isinstance(occurred, Refused):
            return occurred
        occurred_ms = occurred
        if op is not Op.QUOTE:
            request_id = ask.request_id
    identifier = ask.identifier
    kind, value, tap = identifier.kind, identifier.value, ""
    if kind == identifier_pb2.IDENTIFIER_KIND_CARD_TAP:
        number = tap_number(value)
        if number is None:
            text = "This is no address that a tap on a member's card gives. Tap again, or name the card."
            return refuse(Reason.INVALID_IDENTIFIER, text, field="identifier")
        kind, value, tap = identifier_pb2.IDENTIFIER_KIND_CARD, number, value
    if not kind and (op not in ANONYMOUS or value):
        return invalid("identifier", "Say whose it is: the kind and the value of an identifier.")
    receipt = ("", "")
    if op is Op.ACCRUE:
        receipt = (ask.purchase.store_id, ask.purchase.receipt_number)
    anchor = request_id
    if op is Op.REVERSE:
        anchor = message.original_request_id  # type: ignore[attr-defined]  # the operation says which message it is
    elif op is Op.RETURN and not kind:
        anchor = message.transaction_id  # type: ignore[attr-defined]  # the operation says which message it is
    return Route(request_id, terminal_id, kind, value, occurred_ms, anchor, receipt, tap)


_FIELDS: dict[str, Op] = {
    "accrue": Op.ACCRUE,
    "record_activity": Op.RECORD_ACTIVITY,
    "authorize": Op.AUTHORIZE,
    "capture": Op.CAPTURE,
    "void": Op.VOID,
    "redeem": Op.REDEEM,
    "return": Op.RETURN,
    "reverse": Op.REVERSE,
}
_NUMBERS: dict[Op, int] = {op: number for number, op in enumerate(_FIELDS.values(), start=1)}
_REFUSAL_NUMBER = 15


def operation_of(operation: operation_pb2.Operation) -> tuple[Op, Message] | Refused:
    """The request inside an operation of a batch or stream."""
    name = operation.WhichOneof("operation")
    if name is None:
        return invalid("operation", "The operation is empty, or of a kind that this node does not know.")
    return _FIELDS[name], getattr(operation, name)


def result_bytes(op: Op, response: bytes) -> bytes:
    """An OperationResult around a response's bytes, without decoding them: tag, length, bytes."""
    return bytes((_NUMBERS[op] << 3 | 2,)) + _varint(len(response)) + response


def refusal_bytes(refusal: bytes) -> bytes:
    """An OperationResult around a Refusal's bytes."""
    return bytes((_REFUSAL_NUMBER << 3 | 2,)) + _varint(len(refusal)) + refusal


def nested(results: list[bytes], field: int = 1) -> bytes:
    """A message whose field number `field` holds each of `results` in turn: SubmitResponse and the like."""
    tag = bytes((field << 3 | 2,))
    return b"".join([part for result in results for part in (tag, _varint(len(result)), result)])


def _varint(value: int) -> bytes:
    """A length as protobuf writes it (Protocol Buffers encoding, base 128 varints)."""
    if value < 0x80:
        return bytes((value,))
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
