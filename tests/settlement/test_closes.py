"""Closes: both sides make the same bytes, every record is settled once, and nothing unsound is read."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.settlement_records import LaneMaker, make_coalition
from node.coalition.lanes import GENESIS, chain
from node.coalition.messages import MessageType, RecordKind
from node.proto.vafa.coalition.v1.exchange_pb2 import LaneRecord, Posted
from node.settlement.closes import (
    CHUNK_RECORDS,
    CloseFault,
    LaneFault,
    LanePart,
    LaneStart,
    LaneTally,
    PairNames,
    begin_tally,
    fault_in,
    follows,
    pair_close,
    starts_after,
    zero_close,
)
from node.settlement.documents import CloseSum, DisputedLane, LaneClose, MismatchClass, PairClose
from node.settlement.merkle import EMPTY_ROOT, root_of
from node.wire.settlement import close_bytes, read_close
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_scan import (
    LaneBroken,
    entry_of,
    epoch_of,
    hash_of,
    lane_part,
    number_of,
    stored_of,
    take,
)
from tests.settlement.settlement_world import World

PAIR = ("m000", "m001")


class Made:
    """Records of one lane, whatever an honest or dishonest home node may post."""

    def __init__(self, lane: int = 0) -> None:
        self.maker = LaneMaker(make_coalition(2), *PAIR, lane)
        self.records: list[bytes] = []

    def add(self, units: int = 10, kind: RecordKind = RecordKind.ACCRUAL, window: int = 1) -> None:
        self.records.append(self.maker.record(window, kind, MessageType.ACCRUE, units, rate_version=1))

    def part(self, window: int = 1, start: LaneStart | None = None) -> LanePart | LaneFault:
        start = start or LaneStart(0)
        return lane_part(start, window, map(stored_of, self.records[start.number :]))

    def close(self, window: int = 1, start: LaneStart | None = None) -> PairClose:
        part = self.part(window, start)
        assert isinstance(part, LanePart)
        return pair_close(PairNames("test", window, *PAIR), [part])


def test_a_close_sums_by_kind_purse_and_rate_and_counts_cut_markers_in_no_sum() -> None:
    made = Made()
    made.add(10)
    made.add(5)
    made.add(7, RecordKind.REDEMPTION)
    made.records.append(made.maker.cut(1))
    close = made.close()
    assert [(one.kind, one.record_count, one.units) for one in close.sums] == [
        (RecordKind.ACCRUAL, 2, 15),
        (RecordKind.REDEMPTION, 1, 7),
    ]
    assert close.record_count == 4
    root = root_of([hash_of(entry_of(record)) for record in made.records])
    assert close.lanes == (LaneClose(0, 1, 4, 1, GENESIS, hash_of(entry_of(made.records[-1])), root),)
    assert close.record_root == root_of([root])
    assert fault_in(close) is None


def test_a_close_ends_where_the_next_window_begins_and_that_one_goes_on_there() -> None:
    made = Made()
    for window in (1, 1, 2, 2):
        made.add(window=window)
    first = made.close()
    assert first.lanes[0].to_number == 2
    starts = starts_after(first, {})
    assert starts == {0: LaneStart(0, 2, hash_of(entry_of(made.records[1])))}
    second = made.close(window=2, start=starts[0])
    assert follows(second, starts)
    assert not follows(second, {})
    assert (second.lanes[0].from_number, second.lanes[0].to_number) == (3, 4)


def test_what_a_dispute_held_back_is_in_the_next_close() -> None:
    made = Made()
    for window in (1, 1, 2):
        made.add(window=window)
    part = lane_part(LaneStart(0), 1, map(stored_of, made.records), until=1)
    assert isinstance(part, LanePart)
    held = pair_close(PairNames("test", 1, *PAIR), [part])
    assert made.close(window=2, start=starts_after(held, {})[0]).record_count == 2


def test_records_that_no_honest_lane_has_are_refused() -> None:
    made = Made()
    made.add(window=2)
    made.add(window=1)
    assert made.part(window=2) is LaneFault.WINDOW_WENT_BACK
    made = Made()
    made.add(units=-1)
    assert made.part() is LaneFault.NEGATIVE_UNITS
    made = Made()
    made.maker.number = 1  # its first record says that it is the second
    made.add()
    assert made.part() is LaneFault.GAP
    made = Made(lane=4)
    made.add()
    assert made.part() is LaneFault.GAP


def test_a_close_of_more_records_than_are_hashed_at_a_time_is_the_same() -> None:
    made = Made()
    for _ in range(CHUNK_RECORDS * 2 + 17):
        made.add()
    assert made.close().lanes[0].record_root == root_of(
        [hash_of(entry_of(record)) for record in made.records]
    )


def test_a_pair_without_records_closes_with_zero() -> None:
    close = zero_close("test", 1, *PAIR)
    assert (close.lanes, close.sums, close.record_count, close.record_root) == ((), (), 0, EMPTY_ROOT)
    assert read_close(close_bytes(close)) == close


def _sound() -> PairClose:
    made = Made()
    made.add()
    made.add(kind=RecordKind.REDEMPTION)
    close = made.close()
    dispute = DisputedLane(0, 2, 5, 4, MismatchClass.FORK)
    return replace(close, disputed=(dispute,))


LANE, SUM = _sound().lanes[0], _sound().sums[0]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"acquirer_id": "m000"}, CloseFault.SAME_SIDES),
        ({"lanes": (LANE, LANE)}, CloseFault.UNSORTED),
        ({"sums": tuple(reversed(_sound().sums))}, CloseFault.UNSORTED),
        ({"lanes": (replace(LANE, from_number=0),)}, CloseFault.BAD_RANGE),
        ({"lanes": (replace(LANE, to_number=-1),)}, CloseFault.BAD_RANGE),
        ({"lanes": (replace(LANE, end_hash=b"short"),)}, CloseFault.BAD_HASH),
        ({"lanes": (replace(LANE, to_number=0),)}, CloseFault.BAD_HASH),
        ({"lanes": (replace(LANE, record_root=b""),)}, CloseFault.BAD_HASH),
        ({"record_root": b""}, CloseFault.BAD_ROOT),
        ({"lanes": (replace(LANE, record_root=bytes(32)),)}, CloseFault.BAD_ROOT),
        ({"record_count": 3}, CloseFault.BAD_COUNT),
        ({"sums": (replace(SUM, record_count=3),)}, CloseFault.BAD_COUNT),
        ({"sums": (replace(SUM, units=-1),)}, CloseFault.BAD_SUM),
        ({"sums": (CloseSum(RecordKind.CUT, "points", 1, 1, 0),)}, CloseFault.BAD_SUM),
        ({"disputed": (DisputedLane(0, 1, 5, 4, MismatchClass.FORK),)}, CloseFault.BAD_DISPUTE),
        ({"disputed": (DisputedLane(3, 2, 5, 4, MismatchClass.FORK),)}, CloseFault.BAD_DISPUTE),
    ],
)
def test_an_unsound_close_is_never_read(change: dict[str, object], fault: CloseFault) -> None:
    assert fault_in(_sound()) is None
    broken = replace(_sound(), **change)
    assert fault_in(broken) is fault
    with pytest.raises((DocumentUnreadable, OverflowError)):
        read_close(close_bytes(broken))


@given(st.binary(max_size=200))
def test_garbage_is_refused_by_name_and_never_crashes(data: bytes) -> None:
    try:
        close = read_close(data)
    except DocumentUnreadable:
        return
    assert fault_in(close) is None


def test_a_close_is_the_same_after_reading_its_bytes() -> None:
    world = World(2)
    for lane in (2, 9):
        world.trade(*PAIR, lane, 1, 5)
    close = world.close(PAIR, 1)
    assert read_close(close_bytes(close)) == close
    wide = replace(close, sums=tuple(replace(one, units=2**100) for one in close.sums))
    assert read_close(close_bytes(wide)) == wide


# --- stored records ----------------------------------------------------------------------------------------


def _part(records: list[bytes], *, lane: int = 3, until: int | None = None) -> LanePart | LaneFault:
    return lane_part(LaneStart(lane), 1, map(stored_of, records), until=until)


def test_both_sides_make_the_same_bytes_of_the_same_records() -> None:
    world = World(2)
    world.trade(*PAIR, 3, 1, 40)
    assert close_bytes(world.close(PAIR, 1)) == close_bytes(world.close(PAIR, 1))


def test_the_chain_is_the_one_that_the_coalition_defines() -> None:
    world = World(2)
    world.trade(*PAIR, 3, 1, 25)
    previous = GENESIS
    for number, data in enumerate(world.records[(*PAIR, 3)], 1):
        record = LaneRecord.FromString(data)
        posted = Posted.FromString(record.posted.body)
        previous = chain(previous, record.request.header, posted.core)
        assert (hash_of(entry_of(data)), number_of(entry_of(data)), epoch_of(entry_of(data))) == (
            previous,
            number,
            1,
        )
    assert world.close(PAIR, 1).lanes[0].end_hash == previous


def test_a_changed_missing_or_swapped_record_breaks_the_chain_at_its_place() -> None:
    world = World(2)
    world.trade(*PAIR, 3, 1, 10, cut=False)
    records = world.records[(*PAIR, 3)]
    chance = random.Random(7)
    found = 0
    for _ in range(200):
        at = chance.randrange(10)
        changed = bytearray(records[at])
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        if LaneRecord.FromString(records[at]).request.header not in bytes(changed) or (
            Posted.FromString(LaneRecord.FromString(records[at]).posted.body).core not in bytes(changed)
        ):
            with pytest.raises((LaneBroken, DocumentUnreadable)) as broken:
                _part([*records[:at], bytes(changed), *records[at + 1 :]])
            assert not isinstance(broken.value, LaneBroken) or broken.value.number == at + 1
            found += 1
    assert found > 20
    for wrong in ([records[1]], [records[0], records[2]], [records[1], records[0]], [records[0], records[0]]):
        with pytest.raises(LaneBroken):
            _part(wrong)


def test_records_of_another_lane_are_not_summed_into_this_one() -> None:
    world = World(2)
    world.trade(*PAIR, 3, 1, 2)
    assert _part(world.records[(*PAIR, 3)], lane=4) is LaneFault.GAP


def test_a_lane_is_closed_up_to_where_it_is_told() -> None:
    world = World(2)
    world.trade(*PAIR, 3, 1, 10, cut=False)
    part = _part(world.records[(*PAIR, 3)], until=6)
    assert isinstance(part, LanePart)
    assert (part.close.to_number, part.close.record_count, part.close.epoch) == (6, 6, 1)
    nothing = _part([], until=0)
    assert isinstance(nothing, LanePart)
    assert pair_close(PairNames("test", 1, *PAIR), [nothing]).lanes == ()


def test_lanes_summed_apart_and_in_any_order_make_the_same_close() -> None:
    world = World(2)
    for lane in (7, 0, 12):
        world.trade(*PAIR, lane, 1, 9)
    parts = [_part(world.records[(*PAIR, lane)], lane=lane) for lane in (12, 0, 7)]
    names = PairNames("bench-coalition", 1, *PAIR)
    assert all(isinstance(part, LanePart) for part in parts)
    assert pair_close(names, parts) == world.close(PAIR, 1)  # type: ignore[arg-type]  # as the test gives them


def test_the_record_after_the_window_is_seen_and_left() -> None:
    world = World(2)
    world.trade(*PAIR, 3, 1, 4)
    world.makers[(*PAIR, 3)].epoch = 2
    world.trade(*PAIR, 3, 2, 4)
    part = _part(world.records[(*PAIR, 3)])
    assert isinstance(part, LanePart)
    assert (part.close.to_number, part.close.epoch) == (5, 1)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.sampled_from([None, 0, 4, 11]))
def test_a_lane_summed_in_short_turns_gives_the_same_part(turns: list[int], until: int | None) -> None:
    made = Made()
    for number in range(17):
        made.add(units=number, kind=RecordKind(1 + number % 4), window=1 + number // 13)
    entries = [stored_of(record) for record in made.records]
    tally, at = begin_tally(LaneStart(0)), 0
    while not tally.done and at < len(entries):
        some = entries[at : at + turns[at % len(turns)]]
        after = take(tally, 1, some, until=until)
        assert isinstance(after, LaneTally)
        tally, at = msgspec.msgpack.decode(msgspec.msgpack.encode(after), type=LaneTally), after.number
        if not some:
            break
    assert tally.part() == lane_part(LaneStart(0), 1, entries, until=until)
