"""Cursors, transaction ids and times: what the node wrote it reads, and nothing that merely looks like it."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.refusals import Reason, Refused
from node.proto.vafa.pos.v1 import earning_pb2
from node.wire.balances import stamp
from node.wire.feed import cursor_from, cursor_of
from node.wire.parse import canonical_hash, is_request_id, time_ms, too_long, transaction_id, transaction_ref
from node.wire.refusals import fitted

SEQUENCES = st.dictionaries(st.integers(0, 15), st.integers(1, 2**63))


@given(sequences=SEQUENCES)
def test_a_cursor_says_how_far_each_partition_was_read(sequences: dict[int, int]) -> None:
    assert cursor_from(cursor_of(sequences), 16) == sequences


@given(text=st.text(max_size=60))
def test_a_text_is_a_cursor_or_is_refused(text: str) -> None:
    found = cursor_from(text, 16)
    if isinstance(found, Refused):
        assert found.reason is Reason.INVALID_CURSOR
    else:
        assert all(0 <= key < 16 and value >= 0 for key, value in found.items())


def test_a_cursor_of_a_larger_node_is_refused() -> None:
    assert isinstance(cursor_from(cursor_of({40: 1}), 16), Refused)


@given(partition=st.integers(0, 63), sequence=st.integers(1, 2**64 - 1))
def test_a_transaction_id_names_its_entry(partition: int, sequence: int) -> None:
    found = transaction_ref(transaction_id(partition, sequence))
    assert not isinstance(found, Refused)
    assert (found.partition, found.sequence) == (partition, sequence)


@pytest.mark.parametrize(
    "text", ["", "1-1", "001-1", "00-", "00-G", "00-1 ", "00-1F", "٠٠-1", "00-" + "f" * 17, "00–1", "00-1\n"]
)
def test_what_is_no_transaction_id_is_refused(text: str) -> None:
    assert isinstance(transaction_ref(text), Refused)


@given(at_ms=st.integers(-2_208_988_800_000, 7_258_118_399_999))
def test_a_time_goes_to_a_message_and_back_to_the_millisecond(at_ms: int) -> None:
    assert time_ms(stamp(at_ms), "time") == at_ms


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(-2_208_988_801, 0), (7_258_118_400, 0), (0, -1), (0, 10**9), (2**62, 5)]
)
def test_a_time_beyond_two_centuries_or_with_impossible_nanoseconds_is_refused(
    seconds: int, nanos: int
) -> None:
    assert isinstance(time_ms(Timestamp(seconds=seconds, nanos=nanos), "time"), Refused)


def test_a_request_has_one_hash_however_it_was_encoded() -> None:
    request = earning_pb2.AccrueRequest(request_id="r-1", terminal_id="t")
    one, two = b"\x0a\x03r-1\x12\x01t", b"\x12\x01t\x0a\x03r-1"
    hashes = {canonical_hash(earning_pb2.AccrueRequest.FromString(body)) for body in (one, two)}
    assert hashes == {canonical_hash(request)}
    assert canonical_hash(earning_pb2.AccrueRequest(request_id="r-2", terminal_id="t")) not in hashes


@given(text=st.text(max_size=70))
def test_a_request_id_is_of_plain_characters(text: str) -> None:
    plain = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")
    assert is_request_id(text) == (1 <= len(text) <= 64 and set(text) <= plain)


def test_a_text_is_bounded_in_characters_and_free_of_nul() -> None:
    assert too_long("field", "ب" * 128, 128) is None
    assert too_long("field", "ب" * 129, 128) is not None
    assert too_long("field", "a\x00", 128) is not None


@given(
    message=st.text(max_size=3_000),
    details=st.lists(st.tuples(st.text(max_size=300), st.text(max_size=3_000)), max_size=80),
)
def test_a_refusal_fits_into_headers_and_keeps_its_reason(
    message: str, details: list[tuple[str, str]]
) -> None:
    cut = fitted(Refused(Reason.INVALID_PROGRAMME, message, tuple(details), 200))
    assert (cut.reason, cut.retry_delay_ms) == (Reason.INVALID_PROGRAMME, 200)
    size = len(cut.message.encode()) * 4 + sum(len((key + value).encode()) for key, value in cut.details)
    assert size <= 5_000
    if len(message.encode()) <= 500:
        assert cut.message == message
