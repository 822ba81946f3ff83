"""Requests about members, from bytes to what the ledger understands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from node.ledger import commands
from node.ledger.account import AccountKind
from node.ledger.refusals import Refused
from node.people.invalid import Invalid
from node.people.person import MAX_SOURCE_CHARS
from node.people.text import clean_text
from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.wire.cards import chip_of
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
from node.wire.persons import changes_from, refusal_of
from node.wire.pins import reset_pin_of, set_pin_of
from node.wire.routes import Route

MAX_IDENTIFIERS = 16
"""Identifiers that one request links."""

MAX_REASON_CHARS = 500
_ACCOUNT_ID_BYTES = 16


def parse_member(op: Op, body: bytes, store_id: str, currency: str) -> Parsed[Any] | Refused:
    """A request about a member, or why it is none."""
    kind, command_from = _REQUESTS[op]
    message = kind()
    problem = decode(message, body)
    if problem:
        return problem
    if not is_request_id(message.request_id):
        return bad_request_id()
    if not message.HasField("occurred_time"):
        return invalid("occurred_time", "Say when it was asked for, and repeat it unchanged in a retry.")
    occurred_ms = time_ms(message.occurred_time, "occurred_time")
    if isinstance(occurred_ms, Refused):
        return occurred_ms
    body_hash = canonical_hash(message)
    if isinstance(body_hash, Refused):
        return body_hash
    command = command_from(message, occurred_ms)
    if isinstance(command, Refused):
        return command
    return Parsed(message.request_id, occurred_ms, body_hash, command)


def parse_get_member(op: Op, body: bytes, store_id: str, currency: str) -> Parsed[Any] | Refused:
    """A request to see a member."""
    return decode(pb.GetMemberRequest(), body) or Parsed("", 0, b"", None)


def _enrol(message: pb.EnrolRequest, occurred_ms: int) -> commands.Enrol | Refused:
    kind = message.kind or pb.ACCOUNT_KIND_PERSONAL
    if kind not in (pb.ACCOUNT_KIND_PERSONAL, pb.ACCOUNT_KIND_BEARER):
        return invalid("kind", "Accounts of persons and of bearers are enrolled; a pool is created.")
    account_kind = AccountKind(kind)
    if not message.HasField("person"):
        return commands.Enrol(account_kind, b"", "", None)
    if account_kind is not AccountKind.PERSONAL:
        return invalid("person", "A bearer account has no person.")
    details = changes_from(message.person, (), occurred_ms)
    if isinstance(details, Refused):
        return details
    source = clean_text(message.person.source, MAX_SOURCE_CHARS)
    if isinstance(source, Invalid):
        return refusal_of(source, "person.source")
    referrer = _account_id(message.person.referrer_account_id)
    if referrer is None:
        return invalid("person.referrer_account_id", "An account id is 32 hexadecimal digits.")
    return commands.Enrol(account_kind, referrer, source, details)


def _account_id(text: str) -> bytes | None:
    """The id that `text` spells; empty for an empty one, None where it is none."""
    try:
        account_id = bytes.fromhex(text)
    except ValueError:
        return None
    return account_id if len(account_id) == _ACCOUNT_ID_BYTES or not text else None


def _update(message: pb.UpdatePersonRequest, occurred_ms: int) -> commands.UpdatePerson | Refused:
    changes = changes_from(message.person, message.update_mask.paths, occurred_ms)
    return changes if isinstance(changes, Refused) else commands.UpdatePerson(changes)


def _set_block(message: pb.SetBlockRequest, occurred_ms: int) -> commands.SetBlock | Refused:
    problem = too_long("reason", message.reason, MAX_REASON_CHARS)
    return problem or commands.SetBlock(message.blocked, message.reason)


def _close(message: pb.CloseAccountRequest, occurred_ms: int) -> commands.Close | Refused:
    problem = too_long("reason", message.reason, MAX_REASON_CHARS)
    return problem or commands.Close(message.forfeit_balances, message.reason)


def _adjust(message: pb.AdjustRequest, occurred_ms: int) -> commands.Adjust | Refused:
    problem = too_long("reason", message.reason, MAX_REASON_CHARS)
    return problem or commands.Adjust(message.purse, message.units, message.reason)


def _decide(message: pb.DecideAdjustmentRequest, occurred_ms: int) -> commands.DecideAdjustment | Refused:
    proposal = transaction_ref(message.proposal_id, "proposal_id")
    return proposal if isinstance(proposal, Refused) else commands.DecideAdjustment(proposal, message.approve)


def _transfer(message: pb.TransferRequest, occurred_ms: int) -> commands.Transfer:
    return commands.Transfer(message.purse, message.units)


def _nothing_more(message: object, occurred_ms: int) -> None:
    """Some requests ask nothing beyond what the gateway has read of them."""


# Typed loosely: each maker takes the message that stands beside it.
_REQUESTS: dict[Op, tuple[type, Callable[..., object | Refused]]] = {
    Op.ENROL: (pb.EnrolRequest, _enrol),
    Op.UPDATE_PERSON: (pb.UpdatePersonRequest, _update),
    Op.LINK_IDENTIFIER: (pb.LinkIdentifierRequest, _nothing_more),
    Op.UNLINK_IDENTIFIER: (pb.UnlinkIdentifierRequest, _nothing_more),
    Op.RECORD_CARD: (pb.RecordCardRequest, chip_of),
    Op.SET_PIN: (pb.SetPinRequest, set_pin_of),
    Op.RESET_PIN: (pb.ResetPinRequest, reset_pin_of),
    Op.SET_BLOCK: (pb.SetBlockRequest, _set_block),
    Op.CLOSE_ACCOUNT: (pb.CloseAccountRequest, _close),
    Op.ERASE_PERSON: (pb.ErasePersonRequest, _nothing_more),
    Op.ADJUST: (pb.AdjustRequest, _adjust),
    Op.DECIDE_ADJUSTMENT: (pb.DecideAdjustmentRequest, _decide),
    Op.TRANSFER: (pb.TransferRequest, _transfer),
    Op.CREATE_POOL: (pb.CreatePoolRequest, _nothing_more),
    Op.JOIN_POOL: (pb.JoinPoolRequest, _nothing_more),
    Op.LEAVE_POOL: (pb.LeavePoolRequest, _nothing_more),
}


class MemberRoute(Struct, frozen=True):
    """What the gateway reads of a request: its way, and the other identifiers that it names."""

    way: Route
    others: tuple[tuple[int, str], ...] = ()


def member_route(op: Op, body: bytes) -> MemberRoute | Refused:
    """Reads the way of a request about a member from its bytes."""
    message: Any = pb.GetMemberRequest() if op is Op.GET_MEMBER else _REQUESTS[op][0]()
    problem = decode(message, body)
    if problem:
        return problem
    occurred_ms, request_id = 0, ""
    if op is not Op.GET_MEMBER:
        request_id = message.request_id
        if not is_request_id(request_id):
            return bad_request_id()
        occurred_ms = message.occurred_time.seconds * 1000 + message.occurred_time.nanos // 1_000_000
    if op in (Op.ENROL, Op.CREATE_POOL):
        if len(message.identifiers) > MAX_IDENTIFIERS:
            return invalid("identifiers", f"An account is opened with at most {MAX_IDENTIFIERS} identifiers.")
        terminal_id = message.terminal_id if op is Op.ENROL else ""
        way = Route(request_id, terminal_id, 0, "", occurred_ms, request_id)
        return MemberRoute(way, _pairs(message.identifiers))
    if not message.identifier.kind:
        return invalid("identifier", "Say whose it is: the kind and the value of an identifier.")
    ((kind, value),) = _pairs((message.identifier,))
    way = Route(request_id, "", kind, value, occurred_ms, request_id)
    other = _OTHERS.get(op)
    if other is None:
        return MemberRoute(way)
    if not getattr(message, other).kind:
        return invalid(other, "Say which one: the kind and the value of an identifier.")
    return MemberRoute(way, _pairs((getattr(message, other),)))


def erase_request(account_id: bytes, request_id: str, at_ms: int) -> bytes:
    """A request to erase the person of an account, as staff would send it."""
    message = pb.ErasePersonRequest(request_id=request_id)
    message.identifier.kind = identifier_pb2.IDENTIFIER_KIND_ACCOUNT
    message.identifier.value = account_id.hex()
    message.occurred_time.FromMilliseconds(at_ms)
    return message.SerializeToString()


def _pairs(identifiers: Sequence[identifier_pb2.Identifier]) -> tuple[tuple[int, str], ...]:
    return tuple((identifier.kind, identifier.value) for identifier in identifiers)


_OTHERS = {
    Op.LINK_IDENTIFIER: "new_identifier",
    Op.TRANSFER: "to_identifier",
    Op.JOIN_POOL: "pool_identifier",
}
