"""Envelopes: sealing what this node says, and opening what partners say.

Exact bytes are signed, kept and hashed; nothing is ever serialised anew. `Opener` gives a message whose
signature holds under the key that was valid when it was issued, or the reason by which it is refused: bytes
of a partner's raise nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

from google.protobuf.message import DecodeError
from msgspec import Struct

from node.coalition.envelopes import Draft, Header, MemberProof, Message
from node.coalition.messages import (
    LANE_UNKNOWN,
    VERSION,
    ExchangeReason,
    MessageType,
    Posted,
    RecordKind,
    commitment,
    sha256,
)
from node.identity.keys import KeyUnusable
from node.identity.signers import SignatureBroken, Signer, Verifier, verifier_from_uri
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.wire.coalition_bodies import (
    ENCODER,
    header_bytes,
    proof_bytes,
    proof_message,
    read_body,
    read_header,
    read_proof,
)
from node.wire.coalition_fields import OutOfBounds
from node.wire.coalition_frames import MAX_CARRIED_BYTES

PAYLOAD_TYPE = "application/vnd.vafa.exchange.v1"
MAX_EVIDENCE = 64
"""Envelopes beside one message."""
MAX_SALT_BYTES = 32
MAX_IDENTIFIER_CHARS = 512
MAX_CACHED_KEYS = 1_024

_T = MessageType
ANSWERS = frozenset({_T.CHALLENGED, _T.INQUIRED, _T.CARD_STEPPED})
"""What answers a question of a till's that nobody keeps."""
BY_HOME = ANSWERS | {_T.AUTHORIZED, _T.DECLINED, _T.POSTED, _T.VOIDED, _T.HELLO}
"""What only a home node says, on a lane of its own."""
ON_A_LANE = frozenset({_T.HEAD_ACK, _T.HELLO, _T.HELLO_REPLY, _T.HELLO_REQUEST, _T.SETTLEMENT})
"""What concerns a lane, or all, and no exchange."""
NAMES_LANE = frozenset({_T.AUTHORIZED, _T.POSTED, _T.HELLO, _T.HELLO_REPLY, _T.HEAD_ACK})
"""What cannot be said without naming the lane; all else may come before it is known."""
_EITHER = frozenset({_T.REFUSAL})
IDENTIFIED = frozenset({_T.RESERVE, _T.ACCRUE, _T.CANCEL, _T.QUERY, _T.CHALLENGE, _T.INQUIRE, _T.CARD_STEP})
"""Beside which an identifier may travel; beside those whose body commits to it, it must."""


class Carried(Struct, frozen=True):
    """A message with what travels beside it. The repr shows none of it.

    `evidence` are Envelopes as bytes, unverified; open each with `Opener.evidence`.
    """

    message: Message
    identifier_kind: int = 0
    identifier: str = ""
    proof: MemberProof | None = None
    salt: bytes = b""
    evidence: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"Carried({self.message.header.type.name})"


class Unopened(Struct, frozen=True):
    """Why a message is refused, and what could be read of it for the answer. `header` only where its
    signature holds.
    """

    reason: ExchangeReason
    request_hash: bytes = b""
    header: Header | None = None


class PartnerKeys(Protocol):
    """What verifying needs of the directories; see `wire.coalition_directory.KnownDirectories`."""

    @property
    def coalition_id(self) -> str:
        """The coalition's id."""
        ...

    @property
    def skew_ms(self) -> int:
        """How far ahead of this node's clock a partner's may run."""
        ...

    def partitions_of(self, partner_id: str) -> int:
        """How many lanes a home node has; 0 for who is no partner."""
        ...

    def may_sign(self, partner_id: str, key_uri: str, at_ms: int) -> bool:
        """Whether the key was that partner's, and valid, at that time."""
        ...


class EnvelopeSealer:
    """Signs drafts (`coalition.envelopes.Sealer`) with whichever of this node's keys is valid then."""

    def __init__(self, coalition_id: str, own_id: str, signer_at: Callable[[int], Signer]) -> None:
        self._coalition_id = coalition_id
        self._own_id = own_id
        self._signer_at = signer_at

    def seal(self, draft: Draft, receiver_id: str, now_ms: int) -> Message:
        """The draft as a signed message; `KeyUnusable` where the directory admits none of our keys now."""
        signer = self._signer_at(now_ms)
        body = draft.body_bytes or ENCODER.body(draft.body)
        header = Header(
            VERSION,
            self._coalition_id,
            self._own_id,
            receiver_id,
            signer.public_uri,
            draft.lane,
            draft.epoch,
            draft.type,
            draft.exchange_id,
            now_ms,
            sha256(body),
        )
        signed = header_bytes(header)
        return Message(header, draft.body, signed, body, signer.sign(PAYLOAD_TYPE, signed))


class Opener:
    """Opens what partners send to `own_id`. `keys` is asked anew for every message."""

    def __init__(self, own_id: str, keys: Callable[[], PartnerKeys]) -> None:
        self._own_id = own_id
        self._keys = keys

    def open(self, data: bytes, now_ms: int) -> Carried | Unopened:
        """A Carried's bytes as a verified message of a partner's to this node, or why not."""
        if len(data) > MAX_CARRIED_BYTES:
            return Unopened(ExchangeReason.MALFORMED)
        try:
            outer = envelope_pb2.Carried.FromString(data)
        except DecodeError:
            return Unopened(ExchangeReason.MALFORMED)
        keys = self._keys()
        found = self._verified(outer.envelope, keys)
        if isinstance(found, Unopened):
            return found
        reason = self._problem(found, keys, now_ms)
        if reason:
            return Unopened(reason, found.hash, found.header)
        return _carried(outer, found)

    def evidence(self, envelope: bytes) -> Message | Unopened:
        """An Envelope's bytes as a verified message of whichever partner's, to whichever: kept, or shown."""
        try:
            outer = envelope_pb2.Envelope.FromString(envelope)
        except DecodeError:
            return Unopened(ExchangeReason.MALFORMED)
        return self._verified(outer, self._keys())

    def _verified(self, envelope: envelope_pb2.Envelope, keys: PartnerKeys) -> Message | Unopened:
        """What is signed, with its body, where everything but its addressee is right."""
        digest = sha256(envelope.header)
        try:
            header = read_header(envelope.header)
        except OutOfBounds:
            return Unopened(ExchangeReason.MALFORMED, digest)
        if header.coalition_id != keys.coalition_id:
            return Unopened(ExchangeReason.MISROUTED, digest)
        if not keys.partitions_of(header.sender_id):
            return Unopened(ExchangeReason.NOT_A_PARTNER, digest)
        if not keys.may_sign(header.sender_id, header.key_uri, header.issue_time_ms):
            return Unopened(ExchangeReason.BAD_SIGNATURE, digest)
        if not signature_holds(header.key_uri, envelope.header, envelope.signature):
            return Unopened(ExchangeReason.BAD_SIGNATURE, digest)
        if sha256(envelope.body) != header.body_hash:
            return Unopened(ExchangeReason.BAD_SIGNATURE, digest)
        try:
            body = read_body(header.type, envelope.body)
        except OutOfBounds:
            return Unopened(ExchangeReason.MALFORMED, digest, header)
        return Message(header, body, envelope.header, envelope.body, envelope.signature)

    def _problem(self, message: Message, keys: PartnerKeys, now_ms: int) -> ExchangeReason | None:
        """Why a verified message is not for this node, or not now."""
        header = message.header
        if header.receiver_id != self._own_id or header.sender_id == self._own_id:
            return ExchangeReason.MISROUTED
        if header.issue_time_ms > now_ms + keys.skew_ms:
            return ExchangeReason.STALE
        free = header.type in _EITHER or _is_cut(message)
        if bool(header.exchange_id) == (header.type in ON_A_LANE) and not free:
            return ExchangeReason.MALFORMED
        home_id = header.sender_id if header.type in BY_HOME else self._own_id
        unknown = header.lane == LANE_UNKNOWN and header.type not in NAMES_LANE
        if header.type not in _EITHER and not unknown and not 0 <= header.lane < keys.partitions_of(home_id):
            return ExchangeReason.MISROUTED
        return None


def _is_cut(message: Message) -> bool:
    """Whether it is the marker of a window's cut, which is about no exchange."""
    return isinstance(message.body, Posted) and message.body.core.kind is RecordKind.CUT


def reopen(data: bytes) -> Carried:
    """A Carried's bytes that this node has verified before, or sealed itself, without verifying them again.

    Raises OutOfBounds for bytes that never were one.
    """
    try:
        outer = envelope_pb2.Carried.FromString(data)
    except DecodeError:
        raise OutOfBounds("the bytes are no Carried") from None
    envelope = outer.envelope
    header = read_header(envelope.header)
    body = read_body(header.type, envelope.body)
    message = Message(header, body, envelope.header, envelope.body, envelope.signature)
    proof = read_proof(outer.proof)
    evidence = tuple(one.SerializeToString() for one in outer.evidence)
    return Carried(message, int(outer.identifier.kind), outer.identifier.value, proof, outer.salt, evidence)


def _carried(outer: envelope_pb2.Carried, message: Message) -> Carried | Unopened:
    """The message with what is beside it, where that agrees with the commitments in its body.

    Where it does not, whoever carried it may have changed it: the signer is told nothing, which it might take
    for an answer to what it did sign, and sends again.
    """
    refused = Unopened(ExchangeReason.MALFORMED, message.hash)
    if len(outer.salt) > MAX_SALT_BYTES or len(outer.evidence) > MAX_EVIDENCE:
        return refused
    try:
        proof = read_proof(outer.proof)
    except OutOfBounds:
        return refused
    kind, value = int(outer.identifier.kind), outer.identifier.value
    if len(value) > MAX_IDENTIFIER_CHARS:
        return refused
    committed = getattr(message.body, "identifier_commitment", None)
    if committed is not None and committed != identifier_commitment(outer.salt, kind, value):
        return refused
    committed = getattr(message.body, "proof_commitment", None)
    if committed is not None and (proof is None or committed != commitment(outer.salt, proof_bytes(proof))):
        return Unopened(ExchangeReason.PROOF_REFUSED, message.hash)
    evidence = tuple(one.SerializeToString() for one in outer.evidence)
    return Carried(message, kind, value, proof, outer.salt, evidence)


def identifier_commitment(salt: bytes, kind: int, normal: str) -> bytes:
    """The commitment to an identifier: over its kind as one byte, and its normal form in UTF-8."""
    return commitment(salt, bytes((kind & 0xFF,)) + normal.encode())


def proof_commitment(salt: bytes, proof: MemberProof) -> bytes:
    """The commitment to a proof: over its serialised MemberProof."""
    return commitment(salt, proof_bytes(proof))


def envelope_bytes(message: Message) -> bytes:
    """An Envelope around a message's exact bytes."""
    return _envelope(message).SerializeToString()


def carried_bytes(
    message: Message,
    *,
    identifier_kind: int = 0,
    identifier: str = "",
    proof: MemberProof | None = None,
    salt: bytes = b"",
    evidence: Sequence[bytes] = (),
) -> bytes:
    """A Carried around a message and what travels beside it; `evidence` are Envelopes as bytes."""
    outer = envelope_pb2.Carried(envelope=_envelope(message), salt=salt)
    if identifier_kind:
        outer.identifier.kind = identifier_kind  # type: ignore[assignment]  # the protos' own numbers
        outer.identifier.value = identifier
    if proof is not None:
        outer.proof.CopyFrom(proof_message(proof))
    for one in evidence:
        outer.evidence.add().MergeFromString(one)
    return outer.SerializeToString()


def signature_holds(key_uri: str, signed: bytes, signature: bytes) -> bool:
    """Whether that key signed these header bytes as an exchange's."""
    try:
        _verifier(key_uri).verify(PAYLOAD_TYPE, signed, signature)
    except (SignatureBroken, KeyUnusable):
        return False
    return True


@lru_cache(maxsize=MAX_CACHED_KEYS)
def _verifier(uri: str) -> Verifier:
    return verifier_from_uri(uri)


def _envelope(message: Message) -> envelope_pb2.Envelope:
    return envelope_pb2.Envelope(
        header=message.header_bytes, body=message.body_bytes, signature=message.signature
    )
