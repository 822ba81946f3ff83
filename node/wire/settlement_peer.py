"""What merchants say to each other about a window, to bytes and back."""

from __future__ import annotations

from node.proto.vafa.settlement.v1 import dispute_pb2
from node.proto.vafa.settlement.v1 import peer_message_pb2 as pb
from node.settlement.disputes import QUESTIONS_MAX
from node.settlement.equivocation import HEADS_MAX
from node.settlement.peer_messages import (
    CloseAnswer,
    HashesWish,
    Heads,
    LaneHashes,
    Propose,
    RecordShown,
    RecordWish,
    Said,
    SignedLaneHashes,
)
from node.wire.settlement import (
    read_signature,
    read_signed_close,
    read_signed_head,
    signature_message,
    signed_close_message,
    signed_head_message,
)
from node.wire.settlement_fields import DocumentUnreadable, count, lane_number, parsed, slug

ID_BYTES = 16
MAX_RETRY_MS = 86_400_000


def peer_bytes(message_id: bytes, said: Said) -> bytes:
    """A PeerMessage."""
    message = pb.PeerMessage(message_id=message_id)
    match said:
        case Propose(close):
            message.propose.CopyFrom(signed_close_message(close))
        case CloseAnswer():
            _fill_answer(message.close_answer, said)
        case HashesWish():
            wish = message.hashes_wish
            wish.window, wish.home_id, wish.acquirer_id = said.window, said.home_id, said.acquirer_id
            wish.lane = said.lane
            wish.numbers.extend(said.numbers)
        case SignedLaneHashes():
            message.hashes.hashes = said.hashes_bytes
            message.hashes.signature.CopyFrom(signature_message(said.signature))
        case RecordWish(home_id, acquirer_id, lane, number):
            record_wish = message.record_wish
            record_wish.home_id, record_wish.acquirer_id = home_id, acquirer_id
            record_wish.lane, record_wish.number = lane, number
        case RecordShown(record):
            message.record.SetInParent()
            if record:
                message.record.record.MergeFromString(record)
        case Heads(heads):
            message.heads.SetInParent()
            message.heads.heads.extend(signed_head_message(one) for one in heads)
    return message.SerializeToString()


def _fill_answer(message: pb.CloseAnswer, answer: CloseAnswer) -> None:
    if answer.agreed is not None:
        message.agreed.CopyFrom(signed_close_message(answer.agreed))
    elif answer.different is not None:
        message.different.CopyFrom(signed_close_message(answer.different))
    else:
        message.retry_after_ms = answer.retry_after_ms


def read_peer(data: bytes) -> tuple[bytes, Said]:
    """(message id, what it says), nothing of it verified; raises DocumentUnreadable."""
    message = parsed(pb.PeerMessage, data)
    if len(message.message_id) != ID_BYTES:
        raise DocumentUnreadable(f"PeerMessage.message_id has {ID_BYTES} bytes")
    return message.message_id, _said(message)


def _said(message: pb.PeerMessage) -> Said:
    match message.WhichOneof("said"):
        case "propose":
            return Propose(read_signed_close(message.propose))
        case "close_answer":
            return _read_answer(message.close_answer)
        case "hashes_wish":
            return _read_wish(message.hashes_wish)
        case "hashes":
            hashes = message.hashes
            return SignedLaneHashes(
                read_hashes(hashes.hashes), hashes.hashes, read_signature(hashes.signature)
            )
        case "record_wish":
            wish = message.record_wish
            pair = slug(wish.home_id, "RecordWish"), slug(wish.acquirer_id, "RecordWish")
            return RecordWish(*pair, lane_number(wish.lane), count(wish.number, "RecordWish.number"))
        case "record":
            shown = message.record
            return RecordShown(shown.record.SerializeToString() if shown.HasField("record") else b"")
        case "heads":
            if len(message.heads.heads) > HEADS_MAX:
                raise DocumentUnreadable(f"at most {HEADS_MAX} heads are exchanged at once")
            return Heads(tuple(read_signed_head(one) for one in message.heads.heads))
        case _:
            raise DocumentUnreadable("a message says nothing that this software knows")


def _read_answer(message: pb.CloseAnswer) -> CloseAnswer:
    match message.WhichOneof("outcome"):
        case "agreed":
            return CloseAnswer(agreed=read_signed_close(message.agreed))
        case "different":
            return CloseAnswer(different=read_signed_close(message.different))
        case _:
            return CloseAnswer(retry_after_ms=min(max(message.retry_after_ms, 0), MAX_RETRY_MS))


def _read_wish(message: pb.HashesWish) -> HashesWish:
    if len(message.numbers) > QUESTIONS_MAX:
        raise DocumentUnreadable(f"at most {QUESTIONS_MAX} hashes are asked for at once")
    return HashesWish(
        count(message.window, "HashesWish.window"),
        slug(message.home_id, "HashesWish.home_id"),
        slug(message.acquirer_id, "HashesWish.acquirer_id"),
        lane_number(message.lane),
        tuple(count(one, "HashesWish.numbers") for one in message.numbers),
    )


def hashes_bytes(said: LaneHashes) -> bytes:
    """LaneHashes as they are signed."""
    return dispute_pb2.LaneHashes(
        coalition_id=said.coalition_id,
        window=said.window,
        home_id=said.home_id,
        acquirer_id=said.acquirer_id,
        lane=said.lane,
        end_number=said.end_number,
        hashes=[dispute_pb2.NumberedHash(number=number, hash=digest) for number, digest in said.hashes],
    ).SerializeToString()


def read_hashes(data: bytes) -> LaneHashes:
    """LaneHashes from their bytes; raises DocumentUnreadable."""
    message = parsed(dispute_pb2.LaneHashes, data)
    if len(message.hashes) > QUESTIONS_MAX or any(len(one.hash) not in (0, 32) for one in message.hashes):
        raise DocumentUnreadable("LaneHashes.hashes has too many hashes, or one that is none")
    return LaneHashes(
        slug(message.coalition_id, "LaneHashes.coalition_id"),
        count(message.window, "LaneHashes.window"),
        slug(message.home_id, "LaneHashes.home_id"),
        slug(message.acquirer_id, "LaneHashes.acquirer_id"),
        lane_number(message.lane),
        count(message.end_number, "LaneHashes.end_number"),
        tuple((count(one.number, "LaneHashes.hashes"), one.hash) for one in message.hashes),
    )
