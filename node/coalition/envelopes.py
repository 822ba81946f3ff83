"""Signed messages and what travels beside them, and the ports that sign and serialise.

A `Message` carries the exact bytes that were signed beside what was read from them: the bytes are what is
hashed and stored. What a decision wants said is a `Draft`; the shell signs it, keeps it in the batch, and
sends it once synced.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from node.coalition.messages import Body, MessageType, PostedCore, sha256


class Header(Struct, frozen=True, array_like=True):
    """What is signed. `lane` is LANE_UNKNOWN, and `epoch` 0, where the sender does not know them yet."""

    version: int
    coalition_id: str
    sender_id: str
    receiver_id: str
    key_uri: str
    lane: int
    epoch: int
    type: MessageType
    exchange_id: bytes
    issue_time_ms: int
    body_hash: bytes


class Envelope(Struct, frozen=True, array_like=True):
    """A signed message as it is stored and sent: exact bytes."""

    header: bytes
    body: bytes
    signature: bytes

    @property
    def hash(self) -> bytes:
        """SHA-256 of the header's bytes, by which other messages name this one."""
        return sha256(self.header)


class AppAnswer(Struct, frozen=True, array_like=True):
    """What a member's app shows for a till's nonce, a ceiling and a 30-second step; see `proofs`."""

    code: str
    nonce: bytes
    ceiling_units: int
    time_step: int

    def __repr__(self) -> str:
        return "AppAnswer(...)"


class MemberProof(Struct, frozen=True, array_like=True):
    """How a member agreed to spend: exactly one of the four is set. Its repr shows none of it."""

    confirmation_code: str = ""
    app_answer: AppAnswer | None = None
    pin: str = ""
    card_cryptogram: bytes = b""

    def __repr__(self) -> str:
        return "MemberProof(...)"


class Message(Struct, frozen=True, array_like=True):
    """A message that was read and whose signature holds, with its exact bytes."""

    header: Header
    body: Body
    header_bytes: bytes
    body_bytes: bytes
    signature: bytes

    @property
    def hash(self) -> bytes:
        """SHA-256 of the header's bytes, by which other messages name this one."""
        return sha256(self.header_bytes)

    @property
    def envelope(self) -> Envelope:
        """The bytes alone, as they are stored."""
        return Envelope(self.header_bytes, self.body_bytes, self.signature)


class Draft(Struct, frozen=True):
    """What a decision wants said. The shell signs it, keeps it in the batch, and sends it once that is
    synced. Where `body_bytes` are given they are signed as they are: the same body again, in another epoch.
    """

    type: MessageType
    lane: int
    epoch: int
    exchange_id: bytes
    body: Body
    body_bytes: bytes = b""


class Encoder(Protocol):
    """Serialises what a decision must hash before it is signed, and reads what it has to say again.

    The same body always gives the same bytes.
    """

    def body(self, body: Body) -> bytes:
        """The serialised body."""
        ...

    def core(self, core: PostedCore) -> bytes:
        """The serialised core of a posting."""
        ...

    def epoch(self, envelope: Envelope) -> int:
        """The epoch in which an envelope of our own was signed."""
        ...

    def message(self, envelope: Envelope) -> Message:
        """An envelope of our own with what it says; its signature is not verified again."""
        ...

    def read(self, type_: MessageType, data: bytes) -> Body:
        """The body that these bytes of our own are."""
        ...


class Sealer(Protocol):
    """Turns drafts into signed messages: Ed25519 over the pre-authentication encoding of the header's
    bytes.
    """

    def seal(self, draft: Draft, receiver_id: str, now_ms: int) -> Message:
        """The draft as a signed message to `receiver_id`."""
        ...
