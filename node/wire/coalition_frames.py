"""What travels on a link between two nodes: frames of messages, and questions for records.

The frames of both directions are the same number for number, so one pair of functions serves both. Messages
are handed on as bytes: whoever acts on one reads it with `wire.coalition`.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from msgspec import Struct

from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2, peer_service_pb2
from node.wire.routes import nested

MAX_CARRIED_BYTES = 512 * 1024
"""One message with its evidence; longer ones are refused unread."""
MAX_FRAME_MESSAGES = 256
MAX_FRAME_BYTES = 1024 * 1024
"""Where a frame ends and the next begins; a single message may pass it."""
MAX_PAGE_RECORDS = 500
DEFAULT_PAGE_RECORDS = 100
SERVICE = "vafa.coalition.v1.PeerService"


class FrameUnreadable(ValueError):
    """Bytes of a partner's that are no frame, or pass a bound. The text names the bound, not the content."""


class RecordsWish(Struct, frozen=True):
    """Which records of a lane are asked for: from `from_number` on, at most `page_size`."""

    home_id: str
    acquirer_id: str
    lane: int
    from_number: int
    page_size: int = DEFAULT_PAGE_RECORDS


class Frame(Struct, frozen=True):
    """One frame: messages, questions by their call id, and answers: LaneRecords as bytes, by call id."""

    carried: tuple[bytes, ...] = ()
    calls: tuple[tuple[int, RecordsWish], ...] = ()
    replies: tuple[tuple[int, tuple[bytes, ...]], ...] = ()


def frame_bytes(frame: Frame) -> bytes:
    """A frame as it travels in either direction."""
    message = peer_service_pb2.LinkRequest()
    for call_id, wish in frame.calls:
        message.calls.add(call_id=call_id, request=_wish_message(wish))
    for call_id, records in frame.replies:
        message.replies.add(call_id=call_id).response.MergeFromString(records_bytes(records))
    return nested(list(frame.carried)) + message.SerializeToString()


def read_frame(data: bytes) -> Frame:
    """The frame that some bytes are; raises FrameUnreadable."""
    message = peer_service_pb2.LinkRequest()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise FrameUnreadable("the bytes are no frame") from None
    if max(len(message.carried), len(message.calls), len(message.replies)) > MAX_FRAME_MESSAGES:
        raise FrameUnreadable(f"a frame has at most {MAX_FRAME_MESSAGES} messages")
    carried = tuple(one.SerializeToString() for one in message.carried)
    if any(len(one) > MAX_CARRIED_BYTES for one in carried):
        raise FrameUnreadable(f"a message has at most {MAX_CARRIED_BYTES} bytes")
    return Frame(
        carried,
        tuple((call.call_id, _wish(call.request)) for call in message.calls),
        tuple(
            (reply.call_id, tuple(record.SerializeToString() for record in reply.response.records))
            for reply in message.replies
        ),
    )


def deliver_bytes(carried: bytes) -> bytes:
    """A DeliverRequest around a message."""
    return nested([carried])


def answers_bytes(carried: Sequence[bytes]) -> bytes:
    """A DeliverResponse around messages."""
    return nested(list(carried))


def read_delivered(data: bytes) -> tuple[bytes, ...]:
    """The messages in a DeliverRequest (one) or DeliverResponse (some); raises FrameUnreadable."""
    return read_frame(data).carried  # field 1 of all three


def wish_bytes(wish: RecordsWish) -> bytes:
    """A ListLaneRecordsRequest."""
    return _wish_message(wish).SerializeToString()


def read_wish(data: bytes) -> RecordsWish:
    """What a ListLaneRecordsRequest asks for; raises FrameUnreadable."""
    try:
        return _wish(peer_service_pb2.ListLaneRecordsRequest.FromString(data))
    except DecodeError:
        raise FrameUnreadable("the bytes are no question for records") from None


def records_bytes(records: Sequence[bytes]) -> bytes:
    """A ListLaneRecordsResponse around LaneRecords."""
    return nested(list(records))


def read_records(data: bytes) -> tuple[bytes, ...]:
    """The LaneRecords of a ListLaneRecordsResponse; raises FrameUnreadable."""
    try:
        message = peer_service_pb2.ListLaneRecordsResponse.FromString(data)
    except DecodeError:
        raise FrameUnreadable("the bytes are no records") from None
    if len(message.records) > MAX_PAGE_RECORDS:
        raise FrameUnreadable(f"a page has at most {MAX_PAGE_RECORDS} records")
    return tuple(record.SerializeToString() for record in message.records)


def receiver_of(carried: bytes) -> str:
    """To whom a message is addressed, for a relay; unverified, and empty where it cannot be read."""
    try:
        envelope = envelope_pb2.Carried.FromString(carried).envelope
        return envelope_pb2.Header.FromString(envelope.header).receiver_id
    except DecodeError:
        return ""


def page_size_of(asked: int) -> int:
    """How many records a page has where so many were asked for."""
    return min(asked, MAX_PAGE_RECORDS) if asked > 0 else DEFAULT_PAGE_RECORDS


def lane_record_bytes(request: bytes, posted: bytes) -> bytes:
    """A LaneRecord around two envelopes' bytes; an empty `request` is left out, as of a cut."""
    record = exchange_pb2.LaneRecord()
    if request:
        record.request.MergeFromString(request)
    record.posted.MergeFromString(posted)
    return record.SerializeToString()


def _wish_message(wish: RecordsWish) -> peer_service_pb2.ListLaneRecordsRequest:
    return peer_service_pb2.ListLaneRecordsRequest(
        home_id=wish.home_id,
        acquirer_id=wish.acquirer_id,
        lane=wish.lane,
        from_number=wish.from_number,
        page_size=wish.page_size,
    )


def _wish(message: peer_service_pb2.ListLaneRecordsRequest) -> RecordsWish:
    page = page_size_of(message.page_size)
    return RecordsWish(message.home_id, message.acquirer_id, message.lane, max(message.from_number, 1), page)
