"""Keys of the coalition lie in their partition and kind, scan in order, and parse back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.storage.keyspace import BadKey, Kind, kind_range, partition_range

PARTITIONS = st.integers(0, 63)
PARTNERS = st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True)
IDS = st.binary(min_size=16, max_size=16)
LANES = st.integers(0, 63)
NUMBERS = st.integers(0, 2**62)
ROLES = st.sampled_from([Role.HOME, Role.ACQUIRER])


@given(PARTITIONS, PARTNERS, IDS, LANES, NUMBERS, ROLES)
def test_every_key_lies_in_its_partition_and_kind_and_parses_back(
    partition: int, partner: str, exchange: bytes, lane: int, number: int, role: Role
) -> None:
    made = {
        Kind.HOME_EXCHANGE: keys.home_exchange_key(partition, partner, exchange),
        Kind.ACQUIRER_EXCHANGE: keys.acquirer_exchange_key(partition, partner, exchange),
        Kind.EXCHANGE_DUE: keys.exchange_due_key(partition, number, partner, exchange),
        Kind.HOLD_DUE: keys.hold_due_key(partition, partner, number, exchange),
        Kind.LANE_HEAD: keys.lane_head_key(partition, role, partner, lane),
        Kind.LANE_RECORD: keys.lane_record_key(partition, role, partner, lane, number),
        Kind.LANE_DISPUTE: keys.lane_dispute_key(partition, role, partner, lane),
        Kind.LANE_ACK: keys.lane_ack_key(partition, partner, lane, number),
        Kind.MEMBER_PROOF: keys.member_proof_key(partition, exchange),
    }
    for kind, key in made.items():
        for start, end in (partition_range(partition), kind_range(partition, kind)):
            assert start <= key < end
    for kind in (Kind.HOME_EXCHANGE, Kind.ACQUIRER_EXCHANGE):
        assert keys.parse_exchange(made[kind], kind) == (partition, partner, exchange)
    assert keys.parse_exchange_due(made[Kind.EXCHANGE_DUE]) == (partition, number, partner, exchange)
    assert keys.parse_hold_due(made[Kind.HOLD_DUE]) == (partition, partner, number, exchange)
    assert keys.parse_lane_head(made[Kind.LANE_HEAD]) == (partition, role, partner, lane)
    assert keys.parse_lane_record(made[Kind.LANE_RECORD]) == (partition, role, partner, lane, number)


@given(PARTITIONS, PARTNERS, PARTNERS, LANES, st.lists(NUMBERS, min_size=1, max_size=20, unique=True))
def test_a_lanes_records_scan_in_order_and_no_other_partners_are_among_them(
    partition: int, partner: str, other: str, lane: int, numbers: list[int]
) -> None:
    made = [keys.lane_record_key(partition, Role.HOME, partner, lane, number) for number in numbers]
    assert [keys.parse_lane_record(key)[4] for key in sorted(made)] == sorted(numbers)
    start, end = keys.lane_records_range(partition, Role.HOME, partner, lane)
    assert all(start <= key < end for key in made)
    strangers = keys.lane_record_key(partition, Role.HOME, other, lane, 1)
    assert (start <= strangers < end) == (other == partner)
    assert not start <= keys.lane_record_key(partition, Role.ACQUIRER, partner, lane, 1) < end


@given(PARTITIONS, PARTNERS, PARTNERS, LANES)
def test_the_heads_of_one_partner_are_found_without_anothers(
    partition: int, partner: str, other: str, lane: int
) -> None:
    start, end = keys.lane_heads_range(partition, Role.ACQUIRER, partner)
    assert start <= keys.lane_head_key(partition, Role.ACQUIRER, partner, lane) < end
    assert (start <= keys.lane_head_key(partition, Role.ACQUIRER, other, lane) < end) == (other == partner)


def test_what_is_due_scans_up_to_its_time() -> None:
    start, end = keys.exchange_due_range(3, 100)
    due = [keys.exchange_due_key(3, at_ms, "north", bytes(16)) for at_ms in (0, 99, 100, 101)]
    assert [start <= key < end for key in due] == [True, True, True, False]


def test_holds_of_one_partner_scan_up_to_their_time() -> None:
    start, end = keys.hold_due_range(3, "north", 100)
    due = [keys.hold_due_key(3, "north", at_ms, bytes(16)) for at_ms in (0, 99, 100, 101)]
    assert [start <= key < end for key in due] == [True, True, True, False]
    assert not start <= keys.hold_due_key(3, "south", 99, bytes(16)) < end


@pytest.mark.parametrize(
    "make",
    [
        lambda: keys.home_exchange_key(0, "", bytes(16)),
        lambda: keys.home_exchange_key(0, "a" * 256, bytes(16)),
        lambda: keys.home_exchange_key(0, "a", bytes(15)),
        lambda: keys.lane_head_key(0, Role.HOME, "a", 64),
        lambda: keys.lane_record_key(0, Role.HOME, "a", 0, -1),
        lambda: keys.parse_exchange(keys.home_exchange_key(0, "a", bytes(16)), Kind.ACQUIRER_EXCHANGE),
        lambda: keys.parse_lane_record(keys.lane_head_key(0, Role.HOME, "a", 0)),
        lambda: keys.parse_lane_head(b"\x00\x11\x01\xff"),
    ],
)
def test_parts_that_make_no_key_and_keys_of_other_kinds_are_refused(make: object) -> None:
    with pytest.raises(BadKey):
        make()  # type: ignore[operator]  # makes what must be refused
