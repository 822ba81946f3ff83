"""The head file: off the answering path, never weaker for a flipped bit, its failures heard."""

import os
import threading
import time
from pathlib import Path

import pytest

from node.storage import head
from node.storage.head import (
    SLOT_BYTES,
    Head,
    HeadState,
    HeadWriter,
    create_head,
    read_head,
    replace_head,
    verify_batches,
    verify_partitions,
)
from node.storage.store import StoreBehindHead, StoreCorrupt, StoreFailed

ID = bytes(range(16))


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def state(**changes: object) -> HeadState:
    values = {"store_id": ID, "generation": 3, "synced_batches": 7, "partitions": {2: Head(5, digest(5))}}
    return HeadState(**(values | changes))  # type: ignore[arg-type]  # as the test gives them


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_head(tmp_path / "head", state())
    return tmp_path / "head"


def test_what_was_kept_is_read_back_after_a_clean_stop(path: Path) -> None:
    writer = HeadWriter(path, state(), lambda: 99)
    writer.keep(2, 6, digest(6))
    writer.keep(63, 1, digest(1))
    writer.close()
    found = read_head(path)
    assert found.note is None
    assert found.state.partitions == {2: Head(6, digest(6)), 63: Head(1, digest(1))}
    assert (found.state.store_id, found.state.generation, found.state.synced_batches) == (ID, 3, 99)
    assert found.state.closed


def test_a_head_has_room_for_every_partition(path: Path) -> None:
    replace_head(path, state(partitions={number: Head(2**63, digest(9)) for number in range(64)}))
    assert len(read_head(path).state.partitions) == 64


def test_a_started_writer_has_the_stores_own_head_on_the_disk_before_anything_is_done(path: Path) -> None:
    writer = HeadWriter(path, state(partitions={1: Head(8, digest(8))}), lambda: 12)
    found = read_head(path).state
    assert found.partitions == {1: Head(8, digest(8))}
    assert found.synced_batches == 12
    writer.close()


def test_the_head_follows_within_its_bound_without_being_waited_for(path: Path) -> None:
    writer = HeadWriter(path, state(), lambda: 7)
    writer.keep(2, 6, digest(6))
    deadline = time.monotonic() + 10
    while read_head(path).state.partitions[2].sequence != 6:
        assert time.monotonic() < deadline, "the head never followed"
        time.sleep(0.001)
    writer.close()


def test_a_head_too_far_behind_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, begun, real = threading.Event(), threading.Event(), os.fdatasync

    def slow(handle: int) -> None:
        begun.set()
        assert go_on.wait(10)
        real(handle)

    writer = HeadWriter(path, state(), lambda: 7)
    monkeypatch.setattr(os, "fdatasync", slow)
    monkeypatch.setattr(head, "LAG_LIMIT_SECONDS", 0.0)
    kept = threading.Event()

    def keep() -> None:
        writer.keep(2, 6, digest(6))
        kept.set()

    owner = threading.Thread(target=keep)
    owner.start()
    assert begun.wait(10)
    assert not kept.is_set()
    monkeypatch.setattr(head, "LAG_LIMIT_SECONDS", 10.0)
    go_on.set()
    owner.join(10)
    assert kept.is_set()
    writer.close()


def test_a_writer_that_fails_is_heard_at_the_next_batch_and_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = HeadWriter(path, state(), lambda: 7)

    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    deadline = time.monotonic() + 10

    def go_on() -> None:
        while time.monotonic() < deadline:
            writer.keep(2, 6, digest(6))

    with pytest.raises(StoreFailed, match="Input/output error"):
        go_on()
    with pytest.raises(StoreFailed, match="head file"):
        writer.close()


def test_every_flipped_bit_is_turned_back_and_reported_and_the_guard_is_as_strong_as_before(
    path: Path,
) -> None:
    writer = HeadWriter(path, state(), lambda: 8)
    writer.keep(2, 6, digest(6))
    writer.close()
    whole = path.read_bytes()
    good = read_head(path).state
    used = len(whole[:SLOT_BYTES].rstrip(b"\x00")) * 8
    places = [*range(0, used, 97), used - 1, SLOT_BYTES * 8 - 1]
    for place in [*places, *(SLOT_BYTES * 8 + one for one in places)]:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = read_head(path)
        assert found.state == good, place
        assert found.note is not None
        assert "One bit" in found.note


def test_a_torn_newest_slot_leaves_the_head_before_it(path: Path) -> None:
    writer = HeadWriter(path, state(), lambda: 8)
    older = read_head(path).state
    writer.keep(2, 6, digest(6))
    deadline = time.monotonic() + 10
    while (newest := read_head(path).state) == older:
        assert time.monotonic() < deadline
    data = bytearray(path.read_bytes())
    writer.close()
    at = newest.counter % 2 * SLOT_BYTES
    data[at + 30 : at + 90] = bytes(60)
    path.write_bytes(data)
    found = read_head(path)
    assert found.state == older
    assert found.note is not None
    assert "torn" in found.note


@pytest.mark.parametrize("spoil", ["gone", "empty", "short", "long", "both", "text"])
def test_a_head_file_that_says_nothing_for_certain_is_refused(path: Path, spoil: str) -> None:
    data = bytearray(path.read_bytes())
    data[40:60] = data[SLOT_BYTES + 40 : SLOT_BYTES + 60] = bytes(range(20))
    contents = {
        "empty": b"",
        "short": bytes(data[:-1]),
        "long": bytes(data) + b"\x00",
        "both": bytes(data),
        "text": b"#" * (2 * SLOT_BYTES),
    }
    if spoil == "gone":
        path.unlink()
    else:
        path.write_bytes(contents[spoil])
    with pytest.raises(StoreCorrupt, match="head file"):
        read_head(path)


def test_a_store_behind_its_head_is_told_what_it_lacks() -> None:
    heads = state(
        partitions={1: Head(4, digest(4)), 2: Head(5, digest(5)), 3: Head(6, digest(6)), 4: Head(0, b"")}
    )
    journal = {(1, 4): digest(4), (2, 5): digest(77)}
    store = {1: Head(9, digest(9)), 2: Head(5, digest(77)), 3: Head(2, digest(2))}
    with pytest.raises(StoreBehindHead) as refused:
        verify_partitions(heads, store, lambda partition, sequence: journal.get((partition, sequence)))
    said = str(refused.value)
    assert "entries 3 to 6 of partition 3" in said
    assert "history of partition 2 up to entry 5" in said
    assert "partition 1" not in said
    assert "partition 4" not in said
    with pytest.raises(StoreBehindHead, match="the last 2 of 7 synced batches"):
        verify_batches(7, 5)


def test_a_store_ahead_of_its_head_with_the_same_history_is_accepted() -> None:
    verify_partitions(state(), {2: Head(9, digest(9))}, lambda partition, sequence: digest(sequence))
    verify_batches(7, 7)
    verify_batches(7, 8)
