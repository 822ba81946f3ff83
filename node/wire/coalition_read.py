"""A partner's message on its way from the gateway to a shard: as the gateway has read and verified it.

The gateway has to look into every message anyway; a shard that parsed the same bytes again would do the same
work (see ADR 6). The message's own bytes travel beside it, for what is kept as evidence.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from node.coalition.envelopes import Header, MemberProof, Message
from node.coalition.messages import BODIES, MessageType
from node.wire.coalition import Carried, reopen
from node.wire.commands import Command, encode


class _Read(Struct, frozen=True, array_like=True, gc=False):
    """A Carried whose body is for the decoder of its type."""

    header: Header
    body: msgspec.Raw
    header_bytes: bytes
    body_bytes: bytes
    signature: bytes
    identifier_kind: int
    identifier: str
    proof: MemberProof | None
    salt: bytes
    evidence: tuple[bytes, ...]


_READ = msgspec.msgpack.Decoder(_Read)
_BODIES: dict[MessageType, msgspec.msgpack.Decoder[Any]] = {
    type_: msgspec.msgpack.Decoder(kind) for type_, kind in BODIES.items()
}


def pack(carried: Carried) -> bytes:
    """A verified message for `Command.read`."""
    message = carried.message
    return encode(
        _Read(
            message.header,
            msgspec.Raw(encode(message.body)),
            message.header_bytes,
            message.body_bytes,
            message.signature,
            carried.identifier_kind,
            carried.identifier,
            carried.proof,
            carried.salt,
            carried.evidence,
        )
    )


def carried_by(command: Command) -> Carried:
    """The message of a HOME_MESSAGE or ACQUIRER_MESSAGE: as the gateway read it, or else from its bytes."""
    if not command.read:
        return reopen(command.body)
    read = _READ.decode(command.read)
    message = Message(
        read.header,
        _BODIES[read.header.type].decode(read.body),
        read.header_bytes,
        read.body_bytes,
        read.signature,
    )
    return Carried(message, read.identifier_kind, read.identifier, read.proof, read.salt, read.evidence)
