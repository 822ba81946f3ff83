"""Stored records: read back as they were written, by this software and by what comes after it."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from node.ledger.account import Account, Hold, Link, Purse, Taken
from node.ledger.events import Earned, Sold
from node.ledger.lots import Lot
from node.ledger.purchase import Line, Purchase
from node.ledger.transactions import Amendment, Entry, TransactionKind
from node.wire import records
from node.wire.records import (
    GENESIS,
    Codec,
    IndexEntry,
    Ownership,
    PartitionHead,
    RecordUnreadable,
    RequestRecord,
)

PURCHASE = Purchase("شعبه", "R-1", 1_000, "USD", lines=(Line(1, "کالا", ("a", "b"), 1_000, 1_000),))
ENTRY = Entry(7, TransactionKind.ACCRUAL, b"a" * 16, 5, 4, "n/t", "r-1", 1, 6, (Sold(PURCHASE),))
ACCOUNT = Account(
    b"a" * 16,
    purses={"points": Purse((Lot(5, 9),), (Lot(2, 10, 8),), 0, 5, 2, 1)},
    holds=(Hold(3, 99, (Taken("points", (Lot(1, 9),)),)),),
    links=(Link(b"d" * 16, 1, 0, 0, "1234"),),
)


@pytest.mark.parametrize(
    ("codec", "record"),
    [
        (records.ACCOUNT, ACCOUNT),
        (records.AMENDMENT, Amendment(7, {1: 500}, 3, (1, 2), 9, b"c" * 16)),
        (records.REQUEST, RequestRecord(b"h", 7, 4, 5, "پاسخ".encode(), True, 3)),
        (records.INDEX, IndexEntry((Ownership(b"a" * 16, 0, 9, True, 3), Ownership(b"b" * 16, 9)))),
        (records.HEAD, PartitionHead(7, b"h" * 32, 5, 2, (("member", "points", 3),))),
    ],
)
def test_a_record_reads_back_as_it_was(codec: Codec[Any], record: object) -> None:
    data = codec.encode(record)
    assert data[0] == records.RECORD_VERSION
    assert codec.decode(data) == record


def test_an_older_record_that_lacks_the_newest_fields_is_read_with_their_defaults() -> None:
    body = msgspec.msgpack.encode([b"h", 7, 4, 5, b"answer"])  # before tombstones and pointers
    record = records.REQUEST.decode(bytes((records.RECORD_VERSION,)) + body)
    assert (record.reversed_unseen, record.placed) == (False, -1)


def test_a_record_of_an_older_version_is_upgraded_step_by_step_when_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Thing(Struct, frozen=True, array_like=True):
        name: str
        size: int

    monkeypatch.setattr(records, "RECORD_VERSION", 3)
    monkeypatch.setitem(records.UPGRADES, 1, lambda old: [old[0], 0])
    monkeypatch.setitem(records.UPGRADES, 2, lambda old: [old[0].upper(), old[1] + 1])
    codec = Codec(Thing)
    assert codec.decode(b"\x01" + msgspec.msgpack.encode(["a"])) == Thing("A", 1)
    assert codec.decode(b"\x02" + msgspec.msgpack.encode(["a", 5])) == Thing("A", 6)
    assert codec.encode(Thing("b", 1))[0] == 3


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x01", b"\x02\x90", b"\xff" * 20, b"\x01\xc0", b"\x01\x91\xc0"]
)
def test_bytes_that_are_no_record_or_of_a_newer_software_are_never_guessed_at(data: bytes) -> None:
    for codec in (records.ACCOUNT, records.REQUEST, records.INDEX, records.AMENDMENT):
        with pytest.raises(RecordUnreadable):
            codec.decode(data)


@given(data=st.binary(max_size=60))
def test_whatever_is_stored_a_record_is_read_or_refused(data: bytes) -> None:
    for codec in (records.ACCOUNT, records.REQUEST, records.HEAD):
        with contextlib.suppress(RecordUnreadable):
            assert codec.decode(b"\x01" + data) is not None


def test_an_entry_carries_the_hash_of_all_before_it() -> None:
    first, digest = records.encode_entry(ENTRY, GENESIS)
    second, other = records.encode_entry(ENTRY, digest)
    assert digest != other
    assert records.decode_entry(first).entry == ENTRY
    assert records.chained(first, GENESIS)
    assert records.chained(second, digest)
    assert not records.chained(second, GENESIS)


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_changed_bit_of_an_entry_breaks_the_chain(place: int, bit: int) -> None:
    data, _ = records.encode_entry(msgspec.structs.replace(ENTRY, events=(Earned(PURCHASE, ()),)), GENESIS)
    changed = bytearray(data)
    changed[place % len(data)] ^= 1 << bit
    assert not records.chained(bytes(changed), GENESIS)


def test_an_identifier_belongs_to_whoever_had_it_at_the_time_and_a_claim_counts_for_nothing() -> None:
    entry = IndexEntry(
        (
            Ownership(b"a", 0, 100, confirmed=True),
            Ownership(b"b", 200, 0, confirmed=True),
            Ownership(b"c", 300, 0, confirmed=False),
        )
    )
    owners = {at_ms: entry.owner_at(at_ms) for at_ms in (0, 99, 100, 199, 200, 10**15)}
    assert {at_ms: owner and owner.account_id for at_ms, owner in owners.items()} == {
        0: b"a", 99: b"a", 100: None, 199: None, 200: b"b", 10**15: b"b",
    }  # fmt: skip
