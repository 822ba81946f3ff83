"""Documents of a settlement to bytes and back: closes, heads, proofs of equivocation, mismatches.

What is signed is written once and kept as its exact bytes; these functions read such bytes and never make
them anew. Amounts are 16 bytes of two's complement, big-endian. Bytes of somebody else are believed in
nothing: whatever is not what its field allows raises `DocumentUnreadable`, which names the field and shows
nothing of its content.
"""

from __future__ import annotations

from node.coalition.messages import RecordKind
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2
from node.proto.vafa.settlement.v1 import close_pb2, dispute_pb2
from node.settlement.closes import fault_in
from node.settlement.documents import (
    CloseBasis,
    CloseSum,
    DisputedLane,
    LaneClose,
    LaneEvidence,
    Mismatch,
    MismatchClass,
    PairClose,
    Signature,
    SignedClose,
    SignedHead,
    StatementHead,
)
from node.settlement.equivocation import Equivocation
from node.wire.settlement_fields import (
    MAX_LANES,
    DocumentUnreadable,
    bounded_text,
    count,
    lane_number,
    named,
    parsed,
    read_stamp,
    read_wide,
    slug,
    stamp,
    wide,
)

MAX_SUMS = 4_096
MAX_CLOSE_BYTES = 1 << 20
"""A close with its signatures and evidence; longer ones are refused unread."""

# --- closes
# --------------------------------------------------------------------------------------------------


def close_bytes(close: PairClose) -> bytes:
    """A close as it is signed. Both sides make the same bytes of the same close."""
    return close_pb2.PairClose(
        coalition_id=close.coalition_id,
        window=close.window,
        home_id=close.home_id,
        acquirer_id=close.acquirer_id,
        basis=close_pb2.CloseBasis.ValueType(close.basis),
        lanes=[
            close_pb2.LaneClose(
                lane=one.lane,
                from_number=one.from_number,
                to_number=one.to_number,
                epoch=one.epoch,
                start_hash=one.start_hash,
                end_hash=one.end_hash,
                record_root=one.record_root,
            )
            for one in close.lanes
        ],
        sums=[
            close_pb2.CloseSum(
                kind=exchange_pb2.RecordKind.ValueType(one.kind),
                purse=one.purse,
                rate_version=one.rate_version,
                record_count=one.record_count,
                units=wide(one.units),
            )
            for one in close.sums
        ],
        record_count=close.record_count,
        record_root=close.record_root,
        disputed=[
            close_pb2.DisputedLane(
                lane=one.lane,
                agreed_number=one.agreed_number,
                home_number=one.home_number,
                acquirer_number=one.acquirer_number,
                mismatch=close_pb2.MismatchClass.ValueType(one.mismatch),
            )
            for one in close.disputed
        ],
    ).SerializeToString()


def read_close(data: bytes) -> PairClose:
    """A close from its bytes, sound by itself (`closes.fault_in`); raises DocumentUnreadable."""
    message = parsed(close_pb2.PairClose, data)
    if len(message.lanes) > MAX_LANES or len(message.disputed) > MAX_LANES or len(message.sums) > MAX_SUMS:
        raise DocumentUnreadable("a close has too many lanes or sums")
    close = PairClose(
        slug(message.coalition_id, "PairClose.coalition_id"),
        count(message.window, "PairClose.window"),
        slug(message.home_id, "PairClose.home_id"),
        slug(message.acquirer_id, "PairClose.acquirer_id"),
        named(CloseBasis, message.basis, "PairClose.basis"),
        tuple(
            LaneClose(
                lane_number(one.lane),
                count(one.from_number, "LaneClose.from_number"),
                count(one.to_number, "LaneClose.to_number"),
                count(one.epoch, "LaneClose.epoch"),
                one.start_hash,
                one.end_hash,
                one.record_root,
            )
            for one in message.lanes
        ),
        tuple(
            CloseSum(
                named(RecordKind, one.kind, "CloseSum.kind"),
                bounded_text(one.purse, 64, "CloseSum.purse"),
                count(one.rate_version, "CloseSum.rate_version"),
                count(one.record_count, "CloseSum.record_count"),
                read_wide(one.units, "CloseSum.units"),
            )
            for one in message.sums
        ),
        count(message.record_count, "PairClose.record_count"),
        message.record_root,
        tuple(
            DisputedLane(
                lane_number(one.lane),
                count(one.agreed_number, "DisputedLane.agreed_number"),
                count(one.home_number, "DisputedLane.home_number"),
                count(one.acquirer_number, "DisputedLane.acquirer_number"),
                named(MismatchClass, one.mismatch, "DisputedLane.mismatch"),
            )
            for one in message.disputed
        ),
    )
    fault = fault_in(close)
    if fault is not None:
        raise DocumentUnreadable(f"a close is not one: {fault.value}")
    return close


def signature_message(signature: Signature) -> close_pb2.Signature:
    """A signature as it stands in a document."""
    return close_pb2.Signature(
        signer_id=signature.signer_id, public_key=signature.public_key, signature=signature.signature
    )


def read_signature(message: close_pb2.Signature) -> Signature:
    """A signature, unchecked; raises DocumentUnreadable."""
    if len(message.public_key) != 32 or len(message.signature) != 64:
        raise DocumentUnreadable("a public key has 32 bytes and a signature 64")
    return Signature(slug(message.signer_id, "Signature.signer_id"), message.public_key, message.signature)


def signed_close_message(signed: SignedClose) -> close_pb2.SignedPairClose:
    """A close with its signatures and evidence."""
    return close_pb2.SignedPairClose(
        close=signed.close_bytes,
        signatures=[signature_message(one) for one in signed.signatures],
        evidence=[
            close_pb2.LaneEvidence(lane=one.lane, envelope=envelope_pb2.Envelope.FromString(one.envelope))
            for one in signed.evidence
        ],
    )


def read_signed_close(message: close_pb2.SignedPairClose) -> SignedClose:
    """A close with its signatures, unchecked; raises DocumentUnreadable."""
    if message.ByteSize() > MAX_CLOSE_BYTES or len(message.signatures) > 2:
        raise DocumentUnreadable("a close is too long, or has more than two signatures")
    return SignedClose(
        read_close(message.close),
        message.close,
        tuple(read_signature(one) for one in message.signatures),
        tuple(
            LaneEvidence(lane_number(one.lane), one.envelope.SerializeToString()) for one in message.evidence
        ),
    )


# --- heads, proofs, mismatches -----------------------------------------------------------------------------


def head_bytes(head: StatementHead) -> bytes:
    """A statement's head as it is signed."""
    return close_pb2.StatementHead(
        coalition_id=head.coalition_id,
        window=head.window,
        statement_hash=head.statement_hash,
        line_root=head.line_root,
        line_count=head.line_count,
        previous_head_hash=head.previous_head_hash,
        publish_time=stamp(head.publish_time_ms),
    ).SerializeToString()


def signed_head_message(signed: SignedHead) -> close_pb2.SignedHead:
    """A head with its signature."""
    return close_pb2.SignedHead(head=signed.head_bytes, signature=signature_message(signed.signature))


def read_signed_head(message: close_pb2.SignedHead) -> SignedHead:
    """A head with its signature, unchecked; raises DocumentUnreadable."""
    head = parsed(close_pb2.StatementHead, message.head)
    if len(head.statement_hash) != 32 or len(head.line_root) != 32:
        raise DocumentUnreadable("a hash has 32 bytes")
    if len(head.previous_head_hash) not in (0, 32):
        raise DocumentUnreadable("a hash has 32 bytes")
    read = StatementHead(
        slug(head.coalition_id, "StatementHead.coalition_id"),
        count(head.window, "StatementHead.window"),
        head.statement_hash,
        head.line_root,
        count(head.line_count, "StatementHead.line_count"),
        head.previous_head_hash,
        read_stamp(head.publish_time),
    )
    return SignedHead(read, message.head, read_signature(message.signature))


def equivocation_bytes(proof: Equivocation) -> bytes:
    """A proof that the operator signed two statements for one window, as a file."""
    return close_pb2.EquivocationProof(
        first=signed_head_message(proof.first), second=signed_head_message(proof.second)
    ).SerializeToString()


def read_equivocation(data: bytes) -> Equivocation:
    """Such a proof, its signatures unchecked; raises DocumentUnreadable."""
    message = parsed(close_pb2.EquivocationProof, data)
    return Equivocation(read_signed_head(message.first), read_signed_head(message.second))


def mismatch_message(found: Mismatch) -> dispute_pb2.Mismatch:
    """What was found where two sides' records part."""
    message = dispute_pb2.Mismatch(
        coalition_id=found.coalition_id,
        window=found.window,
        home_id=found.home_id,
        acquirer_id=found.acquirer_id,
        lane=found.lane,
        agreed=dispute_pb2.NumberedHash(number=found.agreed_number, hash=found.agreed_hash),
        home_number=found.home_number,
        acquirer_number=found.acquirer_number,
        mismatch=close_pb2.MismatchClass.ValueType(found.mismatch),
    )
    if found.home_record:
        message.home_record.MergeFromString(found.home_record)
    if found.acquirer_record:
        message.acquirer_record.MergeFromString(found.acquirer_record)
    return message


def read_mismatch(message: dispute_pb2.Mismatch) -> Mismatch:
    """The same from a message; raises DocumentUnreadable."""

    def record(name: str) -> bytes:
        found: exchange_pb2.LaneRecord = getattr(message, name)
        return found.SerializeToString() if message.HasField(name) else b""  # type: ignore[arg-type]  # a field's name, as the caller has it

    return Mismatch(
        slug(message.coalition_id, "Mismatch.coalition_id"),
        count(message.window, "Mismatch.window"),
        slug(message.home_id, "Mismatch.home_id"),
        slug(message.acquirer_id, "Mismatch.acquirer_id"),
        lane_number(message.lane),
        count(message.agreed.number, "Mismatch.agreed"),
        message.agreed.hash,
        count(message.home_number, "Mismatch.home_number"),
        count(message.acquirer_number, "Mismatch.acquirer_number"),
        named(MismatchClass, message.mismatch, "Mismatch.mismatch"),
        record("home_record"),
        record("acquirer_record"),
    )


def read_mismatch_bytes(data: bytes) -> Mismatch:
    """The same from its bytes; raises DocumentUnreadable."""
    return read_mismatch(parsed(dispute_pb2.Mismatch, data))
