"""Requests about members, from bytes to what the ledger understands, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from node.ledger import commands
from node.ledger.account import Account, AccountKind
from node.ledger.refusals import Refused
from node.ledger.transactions import Entry
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.wire.balances import stamp
from node.wire.commands import Op
from node.wire.parse import (
    Parsed,
    bad_request_id,
    canonical_hash,
    decode,
    invalid,
    is_request_id,
    time_ms,
)


def parse_member(op: Op, body: bytes, store_id: str, currency: str) -> Parsed | Refused:
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
    command = command_from(message)
    if isinstance(command, Refused):
        return command
    return Parsed(message.request_id, occurred_ms, canonical_hash(message), command)


def _enrol(message: pb.EnrolRequest) -> commands.Enrol | Refused:
    kind = AccountKind(message.kind or AccountKind.PERSONAL)
    return commands.Enrol(kind, b"", message.person.source, None)


_REQUESTS: dict[Op, tuple[type, Callable[..., object | Refused]]] = {
    Op.ENROL: (pb.EnrolRequest, _enrol),
}


def answer_member(
    op: Op, partition: int, entry: Entry, account: Account, purses: Mapping[str, Any], currency: str
) -> bytes:
    """The response's bytes for a request about a member that was posted as `entry`."""
    return pb.EnrolResponse(
        account_id=account.account_id.hex(), post_time=stamp(entry.at_ms)
    ).SerializeToString()
