"""What travels between the gateway and the shards for settlement: which lanes there are, and their records
summed.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from node.coalition.caps import Usage
from node.settlement.closes import LaneTally
from node.wire.coalition_store import LaneEntry
from node.wire.records import Codec


class LaneListWish(Struct, frozen=True, array_like=True):
    """LANE_LIST: the lanes with records with a partner in a role. The answer is a list of numbers."""

    partner_id: str
    home: bool


class TallyWish(Struct, frozen=True, array_like=True):
    """LANE_TALLY: a lane summed on from `tally`, at most `most` records of it; `until` -1 for as far as it
    goes.
    """

    partner_id: str
    home: bool
    window: int
    tally: LaneTally
    until: int = -1
    most: int = 1_000


class TallyAnswer(Struct, frozen=True, array_like=True):
    """The tally as it is now; or what is wrong with the lane's records, in words."""

    tally: LaneTally | None = None
    fault: str = ""


class EntriesWish(Struct, frozen=True, array_like=True):
    """LANE_ENTRIES: some records of a lane. The answer is a list, with nothing where there is none."""

    partner_id: str
    home: bool
    lane: int
    numbers: tuple[int, ...]


class ShutWish(Struct, frozen=True, array_like=True):
    """ACQUIRER_SHUT: the window of a close that is about to be signed with a home node, and where its lanes
    end. Lanes that are `carried` are settled only as far as both agree: what is missing there may yet come.
    """

    partner_id: str
    window: int
    ends: tuple[tuple[int, int], ...]
    carried: tuple[int, ...] = ()


SHUT = msgspec.msgpack.Decoder(ShutWish)


class AckedWish(Struct, frozen=True, array_like=True):
    """LANE_ACKED: how far a lane's acquirer has signed, by records of a window or of one before it."""

    partner_id: str
    window: int


class AckRecord(Struct, frozen=True, array_like=True):
    """The record that an acquirer acknowledged, and the serialised envelope in which it did; 0 for none."""

    number: int = 0
    envelope: bytes = b""


class SettledWish(Struct, frozen=True, array_like=True):
    """HOME_SETTLED and ACQUIRER_SETTLED: all records of a lane up to a number were settled and paid; 0 only
    looks.
    """

    partner_id: str
    lane: int
    number: int = 0


class SettledAnswer(Struct, frozen=True, array_like=True):
    """Up to which record it is so now, and what counts against the caps; of an acquirer over all lanes."""

    number: int
    usage: Usage


class HomeShutWish(Struct, frozen=True, array_like=True):
    """HOME_SHUT: the window that is about to be closed with a partner."""

    partner_id: str
    window: int


HOME_SHUT = msgspec.msgpack.Decoder(HomeShutWish)


class MendWish(Struct, frozen=True, array_like=True):
    """LANE_MEND: a record of a lane as the other side has it, its signatures checked."""

    partner_id: str
    home: bool
    lane: int
    entry: LaneEntry


MEND = msgspec.msgpack.Decoder(MendWish)
MENDED = msgspec.msgpack.Decoder(bool)
SETTLED = msgspec.msgpack.Decoder(SettledWish)
SETTLED_ANSWER = msgspec.msgpack.Decoder(SettledAnswer)
ACK = Codec(AckRecord)
NO_ACK = ACK.encode(AckRecord())
ACKED = msgspec.msgpack.Decoder(AckedWish)
LANE_LIST = msgspec.msgpack.Decoder(LaneListWish)
TALLY = msgspec.msgpack.Decoder(TallyWish)
ENTRIES = msgspec.msgpack.Decoder(EntriesWish)
LANES_FOUND = msgspec.msgpack.Decoder(list[int])
TALLY_FOUND = msgspec.msgpack.Decoder(TallyAnswer)
ENTRIES_FOUND = msgspec.msgpack.Decoder(list[LaneEntry | None])
