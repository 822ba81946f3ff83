"""Records that lie as usual are read by their layout, and never otherwise than protobuf reads them."""

import random
import re
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from bench.settlement_records import LaneMaker, make_coalition
from node.coalition.lanes import GENESIS, chain
from node.coalition.messages import MessageType, RecordKind
from node.settlement.closes import LaneFault, LaneStart, LaneTally, begin_tally
from node.wire import settlement_scan
from node.wire.coalition_store import LANE_ENTRY, LaneEntry
from node.wire.settlement_layout import number_in, usual, varint, varints
from node.wire.settlement_scan import LaneBroken, stored_of, take

NEVER = re.compile(rb"(?!)")
PAIR = ("m000", "m001")


def _records(lane: int, count: int, seed: int = 0) -> list[bytes]:
    maker = LaneMaker(make_coalition(2), *PAIR, lane, sign_every=1_000_000)
    chance = random.Random(seed)
    made = [
        maker.record(
            1, RecordKind(1 + number % 4), MessageType.ACCRUE, chance.choice((0, 1, 127, 128, 40_000, 2**40))
        )
        for number in range(count)
    ]
    return [stored_of(record) for record in [*made, maker.cut(1)]]


def _taken(records: list[bytes], lane: int, start: LaneTally | None = None) -> LaneTally | LaneFault | str:
    try:
        return take(start or begin_tally(LaneStart(lane)), 1, records)
    except LaneBroken as broken:
        return str(broken)


def _by_protobuf(
    records: list[bytes], lane: int, monkeypatch: pytest.MonkeyPatch, start: LaneTally | None = None
) -> LaneTally | LaneFault | str:
    with monkeypatch.context() as patch:
        patch.setattr(settlement_scan, "usual", lambda *_: NEVER)
        return _taken(records, lane, start)


def _chained(entry: LaneEntry, core: bytes, tail: bytes, previous: bytes = GENESIS) -> bytes:
    """The record with another core and tail, hashed as an honest chain would be."""
    assert entry.request is not None
    digest = chain(previous, entry.request.header, core)
    body = b"\n" + varint(len(core)) + core + b"\x12\x20" + digest + tail
    return LANE_ENTRY.encode(replace(entry, posted=replace(entry.posted, body=body)))


@pytest.mark.parametrize("lane", [0, 3, 15])
def test_nearly_every_record_lies_as_usual_and_gives_the_same_sums(
    lane: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = _records(lane, 300)
    slow, seen = settlement_scan._Taking.slowly, list[bytes]()

    def counted(self: settlement_scan._Taking, record: bytes) -> LaneFault | None:
        seen.append(record)
        return slow(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(settlement_scan._Taking, "slowly", counted)
        swift = _taken(records, lane)
    assert isinstance(swift, LaneTally)
    # Unusual: the first, which says what purse it is, the cut, and amounts of nothing, which are not written.
    assert len(seen) < 100
    assert swift == _by_protobuf(records, lane, monkeypatch)


def test_whatever_bit_is_changed_it_is_read_as_protobuf_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    records = _records(2, 6)
    chance, outcomes = random.Random(5), set()
    for _ in range(3_000):
        at, changed = chance.randrange(len(records)), list(records)
        data = bytearray(changed[at])
        data[chance.randrange(4, len(data))] ^= 1 << chance.randrange(8)
        changed[at] = bytes(data)
        swift = _taken(changed, 2)
        if swift != (slow := _by_protobuf(changed, 2, monkeypatch)):
            # Only what follows the request's header differs: no close looks at it.
            header = LANE_ENTRY.decode(records[at]).request
            assert header is not None
            assert changed[at].index(header.header) + len(header.header) <= _difference(
                records[at], changed[at]
            )
            assert slow == f"record {at + 1} of the lane: its bytes cannot be read"
        outcomes.add(type(swift))
    assert outcomes >= {str, LaneTally}


def _difference(one: bytes, other: bytes) -> int:
    return next(at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)


def _lane_of_two() -> tuple[LaneEntry, bytes, LaneTally]:
    """An honest record, its core, and a tally that knows the purse, so that the layout is tried at once."""
    maker = LaneMaker(make_coalition(2), *PAIR, 3)
    entry = LANE_ENTRY.decode(stored_of(maker.record(1, RecordKind.ACCRUAL, MessageType.ACCRUE, 40, 1)))
    core = entry.posted.body[2 : 2 + entry.posted.body[1]]
    return entry, core, LaneTally(LaneStart(3), 0, GENESIS, sums=((1, "points", 1, 0, 0),))


USUAL_TAIL = b'\x18\x05"\x10' + bytes(16)


def _twice(core: bytes) -> bytes:
    return core + b"\x20" + varint(7)  # units once more: the last one counts


CRAFTED: list[tuple[str, Callable[[bytes], bytes], bytes]] = [
    ("units twice", _twice, b""),
    ("an unknown field", lambda core: core + b"\xa2\x06\x02ab", b""),
    ("kind written long", lambda core: core.replace(b"\x10\x01\x1a", b"\x10\x81\x00\x1a"), b""),
    ("units written long", lambda core: re.sub(rb"points \x28", b"points \xa8\x80\x00", core), b""),
    ("another number behind", lambda core: core + b"\x30\x09", b""),
    ("another window behind", lambda core: core + b"\x38\x02", b""),
    ("another lane behind", lambda core: core + b"\x28\x05", b""),
    ("an unknown kind", lambda core: core.replace(b"\x10\x01\x1a", b"\x10\x09\x1a"), b""),
    ("a purse of its own", lambda core: core.replace(b"points", b"p  nts"), b""),
    ("a longer purse", lambda core: core.replace(b"\x06points", b"\x08pointsXY"), b""),
    ("less than nothing", lambda core: core.replace(b"\x20\x28", b"\x20" + b"\xff" * 9 + b"\x01"), b""),
    ("a second core behind", lambda core: core, b"\n\x02\x10\x01"),
    ("a second hash behind", lambda core: core, b"\x12\x20" + bytes(32)),
    ("no balance", lambda core: core, b'"\x10' + bytes(16)),
    ("a balance", lambda core: core, b'\x18\x85\x01"\x10' + bytes(16)),
    ("a balance below nothing", lambda core: core, b"\x18" + b"\xff" * 9 + b'\x01"\x10' + bytes(16)),
    ("another core hidden behind", lambda core: core, b'\x18\x05"\x10' + bytes(16) + b"\n\x02\x10\x01"),
]


@pytest.mark.parametrize(("craft", "tail"), [case[1:] for case in CRAFTED], ids=[case[0] for case in CRAFTED])
def test_a_record_that_is_crafted_to_be_read_in_two_ways_is_read_as_protobuf_reads_it(
    craft: Callable[[bytes], bytes], tail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, core, start = _lane_of_two()
    assert craft(core) != core or tail
    made = _chained(entry, craft(core), tail or USUAL_TAIL)
    assert _taken([made], 3, start) == _by_protobuf([made], 3, monkeypatch, start)


def test_a_record_that_skips_a_number_is_found_though_its_chain_holds() -> None:
    entry, core, start = _lane_of_two()
    skipped = core.replace(b"\x30\x01\x38", b"\x30\x02\x38")
    assert skipped != core
    assert _taken([_chained(entry, skipped, USUAL_TAIL)], 3, start) is LaneFault.GAP


def test_a_core_that_ends_before_its_last_field_is_read_to_where_it_says_that_it_ends() -> None:
    entry, core, start = _lane_of_two()
    whole = LANE_ENTRY.decode(_chained(entry, core, USUAL_TAIL))
    body = bytes((whole.posted.body[0], len(core) - 34)) + whole.posted.body[2:]
    cut = LANE_ENTRY.encode(replace(whole, posted=replace(whole.posted, body=body)))
    assert _taken([cut], 3, start) == "record 1 of the lane: its hash does not follow from the chain"


def test_what_a_long_header_of_the_record_hides_is_not_taken_for_the_record() -> None:
    entry, core, start = _lane_of_two()
    hidden = _chained(entry, core, USUAL_TAIL)[5 + len(entry.posted.header) :]
    decoy = core.replace(b"points \x28", b"points \x29")
    made = LANE_ENTRY.decode(_chained(entry, decoy, USUAL_TAIL))
    stored = LANE_ENTRY.encode(replace(made, posted=replace(made.posted, header=hidden[:400])))
    assert stored[3:5] == b"\xc5\x01"  # the length's first byte looks like a length by itself
    digest = made.posted.body[len(decoy) + 4 :][:32]
    second = _chained(entry, core.replace(b"\x30\x01\x38", b"\x30\x02\x38"), USUAL_TAIL, digest)
    after = _taken([stored, second], 3, start)
    assert isinstance(after, LaneTally)
    assert after.sums[0][3:] == (2, 41 + 40)


def test_numbers_are_those_that_protobuf_writes() -> None:
    for value in (0, 1, 127, 128, 300, 16_383, 16_384, 2**21, 2**55):
        assert number_in(varint(value)) == value
    for first in (0, 1, 126, 127, 128, 255, 256, 16_380):
        following = varints(first)
        assert [number_in(next(following)) for _ in range(300)] == list(range(first, first + 300))


def test_every_length_of_a_time_is_known() -> None:
    core_start = b"\n\x10" + bytes(16) + b"\x10\x01\x1a\x06points \x010\x018\x01@\x01J"
    for nanos in (
        b"",
        b"\x10\x01",
        b"\x10\x80\x01",
        b"\x10\x80\x80\x01",
        b"\x10\x80\x80\x80\x01",
        b"\x10\x80\x80\x80\x80\x01",
    ):
        time = b"\x08\x80\x80\x80\x80\x06" + nanos
        core = core_start + bytes((len(time),)) + time + b"R " + bytes(32)
        body = b"\n" + varint(len(core)) + core + b"\x12 " + bytes(32) + b'"\x10' + bytes(16)
        around = b"\xc4" + bytes((len(body),)) + body + b"\xc4\x40" + bytes(64) + b"\x93\xc4\x02"
        assert usual("points", 0, 1).fullmatch(around)
        assert not usual("points", 1, 1).fullmatch(around)
        assert not usual("points", 0, 2).fullmatch(around)
        assert not usual("pints", 0, 1).fullmatch(around)
