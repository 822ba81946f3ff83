"""Frames of a link: what is put in comes out, in order; what is no frame, or passes a bound, is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.proto.vafa.coalition.v1 import envelope_pb2, peer_service_pb2
from node.wire.coalition_frames import (
    DEFAULT_PAGE_RECORDS,
    MAX_CARRIED_BYTES,
    MAX_PAGE_RECORDS,
    Frame,
    FrameUnreadable,
    RecordsWish,
    answers_bytes,
    deliver_bytes,
    frame_bytes,
    lane_record_bytes,
    read_delivered,
    read_frame,
    read_records,
    read_wish,
    receiver_of,
    records_bytes,
    wish_bytes,
)

envelopes = st.builds(
    lambda header, body: envelope_pb2.Envelope(header=header, body=body).SerializeToString(),
    st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40),
)  # fmt: skip
messages = st.builds(
    lambda envelope, salt: envelope_pb2.Carried(
        envelope=envelope_pb2.Envelope.FromString(envelope), salt=salt
    ).SerializeToString(),
    envelopes, st.binary(max_size=16),
)  # fmt: skip
records = st.builds(lane_record_bytes, st.one_of(envelopes, st.just(b"")), envelopes)
wishes = st.builds(
    RecordsWish, st.text("abc", min_size=1), st.text("abc", min_size=1), st.integers(0, 63),
    st.integers(1, 1 << 60), st.integers(1, MAX_PAGE_RECORDS),
)  # fmt: skip
frames = st.builds(
    Frame,
    st.lists(messages, max_size=5).map(tuple),
    st.lists(st.tuples(st.integers(1, 1 << 60), wishes), max_size=3).map(tuple),
    st.lists(st.tuples(st.integers(1, 1 << 60), st.lists(records, max_size=3).map(tuple)), max_size=3).map(
        tuple
    ),
)


@given(frames)
def test_a_frame_travels_whole(frame: Frame) -> None:
    assert read_frame(frame_bytes(frame)) == frame


@given(st.lists(messages, max_size=4), st.lists(records, max_size=4), wishes)
def test_calls_of_their_own_carry_the_same(said: list[bytes], found: list[bytes], wish: RecordsWish) -> None:
    assert read_delivered(answers_bytes(said)) == tuple(said)
    assert all(read_delivered(deliver_bytes(one)) == (one,) for one in said)
    assert read_records(records_bytes(found)) == tuple(found)
    assert read_wish(wish_bytes(wish)) == wish


@given(st.binary(max_size=200))
def test_garbage_raises_one_thing_and_nothing_else(data: bytes) -> None:
    for read in (read_frame, read_delivered, read_records, read_wish):
        try:
            read(data)
        except FrameUnreadable as wrong:
            assert str(wrong)  # noqa: PT017 - it may also be a frame
    assert isinstance(receiver_of(data), str)


def test_both_directions_are_the_same_number_for_number() -> None:
    there, back = (
        {field.name: (field.number, field.type) for field in kind.DESCRIPTOR.fields}
        for kind in (peer_service_pb2.LinkRequest, peer_service_pb2.LinkResponse)
    )
    assert there == back


def test_what_passes_a_bound_is_refused_unread() -> None:
    one = envelope_pb2.Carried(salt=bytes(MAX_CARRIED_BYTES)).SerializeToString()
    with pytest.raises(FrameUnreadable, match="a message has at most"):
        read_frame(frame_bytes(Frame((one,))))
    with pytest.raises(FrameUnreadable, match="a frame has at most"):
        read_frame(frame_bytes(Frame((b"\x22\x00",) * 257)))
    record = lane_record_bytes(b"", b"\x0a\x01x")
    with pytest.raises(FrameUnreadable, match="a page has at most"):
        read_records(records_bytes([record] * (MAX_PAGE_RECORDS + 1)))


def test_a_question_for_records_asks_for_a_page_within_bounds() -> None:
    asked = peer_service_pb2.ListLaneRecordsRequest(home_id="a", acquirer_id="b", page_size=10_000)
    assert read_wish(asked.SerializeToString()).page_size == MAX_PAGE_RECORDS
    asked.page_size, asked.from_number = -1, -5
    wish = read_wish(asked.SerializeToString())
    assert (wish.page_size, wish.from_number) == (DEFAULT_PAGE_RECORDS, 1)


def test_a_cut_has_no_request() -> None:
    posted = envelope_pb2.Envelope(header=b"h").SerializeToString()
    (record,) = read_records(records_bytes([lane_record_bytes(b"", posted)]))
    assert b"h" in record
