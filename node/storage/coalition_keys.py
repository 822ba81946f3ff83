"""Keys of what a partition keeps of the coalition; see `keyspace` for the rules that all keys follow.

The home node keeps an exchange and its lane in the partition of the member's account, whose number is the
lane's. The acquirer keeps everything about a partner in one partition (`keyspace.partner_partition`),
whatever the lane.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache, lru_cache

from node.storage.keyspace import (
    CACHED_PARTNERS,
    ID_BYTES,
    SEQUENCE_MAX,
    BadKey,
    Kind,
    kind_range,
    prefix_range,
)

LANES_MAX = 64


class Role(IntEnum):
    """Which side of a lane a record belongs to. On disks everywhere: never renumber."""

    HOME = 1
    ACQUIRER = 2
    PARTNER = 3
    """What the acquirer counts of a home node over all its lanes; by lane 0."""
    LEASE = 4
    """What a home node's partition has given and taken of the caps with a partner; beside its lane's head."""


def home_exchange_key(partition: int, partner_id: str, exchange_id: bytes) -> bytes:
    """The key of an exchange at the home node."""
    return _kind(partition, Kind.HOME_EXCHANGE) + _partner(partner_id) + _id(exchange_id)


def acquirer_exchange_key(partition: int, partner_id: str, exchange_id: bytes) -> bytes:
    """The key of an exchange at the acquirer."""
    return _kind(partition, Kind.ACQUIRER_EXCHANGE) + _partner(partner_id) + _id(exchange_id)


def capture_key(partition: int, partner_id: str, capture_id: bytes) -> bytes:
    """The key of the note that says which exchange a capture's request is about."""
    return _kind(partition, Kind.CAPTURE) + _partner(partner_id) + _id(capture_id)


def parse_exchange(key: bytes, kind: Kind) -> tuple[int, str, bytes]:
    """(partition, partner, exchange id) of a key of HOME_EXCHANGE or ACQUIRER_EXCHANGE."""
    partner_id, rest = _parse_partner(key, kind, 2)
    if len(rest) != ID_BYTES:
        raise BadKey(f"a key of kind {kind.name} ends in an exchange id")
    return key[0], partner_id, rest


def exchange_due_key(partition: int, due_ms: int, partner_id: str, exchange_id: bytes) -> bytes:
    """The key that says when an exchange is due."""
    return _kind(partition, Kind.EXCHANGE_DUE) + _number(due_ms) + _partner(partner_id) + _id(exchange_id)


def exchange_due_range(partition: int, until_ms: int) -> tuple[bytes, bytes]:
    """[start, end) of all exchanges due at or before `until_ms`."""
    start = kind_range(partition, Kind.EXCHANGE_DUE)[0]
    return start, _kind(partition, Kind.EXCHANGE_DUE) + _number(until_ms + 1)


def parse_exchange_due(key: bytes) -> tuple[int, int, str, bytes]:
    """(partition, due time in epoch milliseconds, partner, exchange id) of a due key."""
    partner_id, rest = _parse_partner(key, Kind.EXCHANGE_DUE, 10)
    if len(rest) != ID_BYTES:
        raise BadKey("a key of an exchange that is due ends in its id")
    return key[0], int.from_bytes(key[2:10], "big"), partner_id, rest


def hold_due_key(partition: int, partner_id: str, due_ms: int, exchange_id: bytes) -> bytes:
    """The key that says when the hold of an exchange ends, at the home node."""
    return _kind(partition, Kind.HOLD_DUE) + _partner(partner_id) + _number(due_ms) + _id(exchange_id)


def hold_due_range(partition: int, partner_id: str, until_ms: int) -> tuple[bytes, bytes]:
    """[start, end) of all holds for a partner that end at or before `until_ms`."""
    start = _kind(partition, Kind.HOLD_DUE) + _partner(partner_id)
    return start, start + _number(until_ms + 1)


def parse_hold_due(key: bytes) -> tuple[int, str, int, bytes]:
    """(partition, partner, end in epoch milliseconds, exchange id) of a hold's key."""
    partner_id, rest = _parse_partner(key, Kind.HOLD_DUE, 2)
    if len(rest) != 8 + ID_BYTES:
        raise BadKey("a key of a hold ends in its time and an exchange id")
    return key[0], partner_id, int.from_bytes(rest[:8], "big"), rest[8:]


def lane_head_key(partition: int, role: Role, partner_id: str, lane: int) -> bytes:
    """The key of a lane's head."""
    return _kind(partition, Kind.LANE_HEAD) + bytes((role,)) + _partner(partner_id) + _lane(lane)


def lane_heads_range(partition: int, role: Role, partner_id: str = "") -> tuple[bytes, bytes]:
    """[start, end) of the heads of all lanes in a role, or of those with one partner."""
    partner = _partner(partner_id) if partner_id else b""
    return prefix_range(_kind(partition, Kind.LANE_HEAD) + bytes((role,)) + partner)


def parse_lane_head(key: bytes) -> tuple[int, Role, str, int]:
    """(partition, role, partner, lane) of a head's key."""
    partner_id, rest = _parse_partner(key, Kind.LANE_HEAD, 3)
    if len(rest) != 1:
        raise BadKey("a key of a lane's head ends in the lane")
    return key[0], Role(key[2]), partner_id, rest[0]


def lane_record_key(partition: int, role: Role, partner_id: str, lane: int, number: int) -> bytes:
    """The key of a record of a lane."""
    head = _kind(partition, Kind.LANE_RECORD) + bytes((role,))
    return head + _partner(partner_id) + _lane(lane) + _number(number)


def lane_records_range(
    partition: int, role: Role, partner_id: str, lane: int, first: int = 0, last: int = SEQUENCE_MAX - 1
) -> tuple[bytes, bytes]:
    """[start, end) of a lane's records with first <= number <= last."""
    return (
        lane_record_key(partition, role, partner_id, lane, first),
        lane_record_key(partition, role, partner_id, lane, last + 1),
    )


def parse_lane_record(key: bytes) -> tuple[int, Role, str, int, int]:
    """(partition, role, partner, lane, number) of a record's key."""
    partner_id, rest = _parse_partner(key, Kind.LANE_RECORD, 3)
    if len(rest) != 9:
        raise BadKey("a key of a lane's record ends in lane and number")
    return key[0], Role(key[2]), partner_id, rest[0], int.from_bytes(rest[1:], "big")


def lane_ack_key(partition: int, partner_id: str, lane: int, window: int) -> bytes:
    """The key of the newest acknowledgement of a record of a window, at the home node."""
    return _kind(partition, Kind.LANE_ACK) + _partner(partner_id) + _lane(lane) + _number(window)


def lane_acks_range(partition: int, partner_id: str, lane: int, window: int) -> tuple[bytes, bytes]:
    """[start, end) of a lane's acknowledgements of records up to a window."""
    return (
        lane_ack_key(partition, partner_id, lane, 0),
        lane_ack_key(partition, partner_id, lane, window + 1),
    )


def lane_dispute_key(partition: int, role: Role, partner_id: str, lane: int) -> bytes:
    """The key of what was received when a lane was set aside."""
    return _kind(partition, Kind.LANE_DISPUTE) + bytes((role,)) + _partner(partner_id) + _lane(lane)


def lane_disputes_range(partition: int) -> tuple[bytes, bytes]:
    """[start, end) of what was received when lanes were set aside."""
    return kind_range(partition, Kind.LANE_DISPUTE)


def member_proof_key(partition: int, account_id: bytes) -> bytes:
    """The key of what is kept of a member's proofs."""
    return _kind(partition, Kind.MEMBER_PROOF) + _id(account_id)


@cache  # a partition's number is bounded, and so are the kinds
def _kind(partition: int, kind: Kind) -> bytes:
    return kind_range(partition, kind)[0]


@lru_cache(CACHED_PARTNERS)
def _partner(partner_id: str) -> bytes:
    partner = partner_id.encode()
    if not 0 < len(partner) <= 0xFF:
        raise BadKey("a partner's id has 1 to 255 bytes")
    return bytes((len(partner),)) + partner


def _parse_partner(key: bytes, kind: Kind, at: int) -> tuple[str, bytes]:
    """The partner whose length stands at `at`, and what follows it."""
    if len(key) <= at or key[1] != kind or len(key) < at + 1 + key[at]:
        raise BadKey(f"not a key of kind {kind.name}")
    end = at + 1 + key[at]
    return key[at + 1 : end].decode(), key[end:]


def _lane(lane: int) -> bytes:
    if not 0 <= lane < LANES_MAX:
        raise BadKey(f"lanes are 0 to {LANES_MAX - 1}, not {lane}")
    return bytes((lane,))


def _id(value: bytes) -> bytes:
    if len(value) != ID_BYTES:
        raise BadKey(f"an id in a key has {ID_BYTES} bytes, not {len(value)}")
    return value


def _number(value: int) -> bytes:
    if not 0 <= value <= SEQUENCE_MAX:
        raise BadKey("a number in a key fits in 64 bits and is not negative")
    return value.to_bytes(8, "big")
