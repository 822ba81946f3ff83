"""What every store promises, proven on the one on disk and on those in memory alike."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.storage.memory import MemoryStore
from node.storage.rocks import RocksOptions, RocksStore
from node.storage.store import Batch, Store, StoreFailed
from simulators.sim.disk import SimStore

SMALL = RocksOptions(create=True, block_cache_bytes=1 << 20, write_buffer_bytes=64 * 1024)


class Kit:
    """A store of one kind, and how its data is seen by the next process and in a checkpoint."""

    def __init__(self, store: Store, reopen: Callable[[], Store], load: Callable[[Path], Store]) -> None:
        self.store = store
        self._reopen, self._load = reopen, load
        self._opened = [store]

    def reopen(self) -> Store:
        self.store.close()
        self.store = self._reopen()
        self._opened.append(self.store)
        return self.store

    def load(self, path: Path) -> Store:
        self._opened.append(self._load(path))
        return self._opened[-1]

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture(params=["rocks", "memory", "simulated"])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kit]:
    if request.param == "rocks":
        path = tmp_path / "db"
        made = Kit(RocksStore(path, SMALL), lambda: RocksStore(path), RocksStore)
    else:
        memory = SimStore() if request.param == "simulated" else MemoryStore()
        made = Kit(memory, lambda: memory.reopen(), MemoryStore.load)
    yield made
    made.close()


def put(store: Store, **values: bytes) -> None:
    batch = Batch()
    for key, value in values.items():
        batch.put(key.encode(), value)
    store.write(batch)


def test_what_a_batch_puts_is_read_at_once_and_what_it_deletes_is_gone(kit: Kit) -> None:
    put(kit.store, a=b"1", b=b"2")
    batch = Batch()
    batch.put(b"c", b"3")
    batch.delete(b"a")
    batch.delete(b"never there")
    kit.store.write(batch)
    assert kit.store.get(b"a") is None
    assert kit.store.get_many([b"c", b"a", b"b"]) == [b"3", None, b"2"]
    assert len(batch) == 3


def test_operations_of_a_batch_take_effect_in_their_order(kit: Kit) -> None:
    batch = Batch()
    batch.put(b"a", b"1")
    batch.put(b"b", b"1")
    batch.delete_range(b"a", b"b")
    batch.put(b"a", b"2")
    batch.delete(b"b")
    kit.store.write(batch)
    assert list(kit.store.scan(b"a", b"z")) == [(b"a", b"2")]


def test_an_empty_value_is_not_a_missing_one(kit: Kit) -> None:
    put(kit.store, a=b"")
    assert kit.store.get(b"a") == b""
    assert kit.store.get(b"b") is None


def test_a_range_deletion_takes_the_start_and_leaves_the_end(kit: Kit) -> None:
    put(kit.store, a=b"1", b=b"2", bb=b"3", c=b"4")
    batch = Batch()
    batch.delete_range(b"b", b"c")
    kit.store.write(batch)
    assert [key for key, _ in kit.store.scan(b"a", b"z")] == [b"a", b"c"]


def test_a_scan_gives_start_to_end_in_order_both_ways_and_with_a_limit(kit: Kit) -> None:
    keys = [bytes((first, second)) for first in (1, 2, 255) for second in (0, 7, 255)]
    batch = Batch()
    for key in keys:
        batch.put(key, key)
    kit.store.write(batch)
    for start in (b"\x00", b"\x01\x07", b"\x02", b"\xff\xff"):
        for end in (b"\x01\x07", b"\x02\x00", b"\xff\xff", b"\xff\xff\xff"):
            wanted = [(key, key) for key in keys if start <= key < end]
            assert list(kit.store.scan(start, end)) == wanted
            assert list(kit.store.scan(start, end, reverse=True)) == wanted[::-1]
            assert list(kit.store.scan(start, end, limit=2)) == wanted[:2]
            assert list(kit.store.scan(start, end, limit=2, reverse=True)) == wanted[::-1][:2]
            assert list(kit.store.scan(start, end, limit=0)) == []


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_sees_the_moment_of_its_call_whatever_is_written_since(kit: Kit, reverse: bool) -> None:
    put(kit.store, a=b"1", b=b"2", c=b"3")
    scan = kit.store.scan(b"a", b"z", reverse=reverse)
    put(kit.store, a=b"changed", d=b"new")
    batch = Batch()
    batch.delete(b"b")
    kit.store.write(batch)
    assert sorted(scan) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]


def test_synced_data_is_there_for_the_next_process(kit: Kit) -> None:
    put(kit.store, a=b"1", b=b"2")
    kit.store.sync()
    store = kit.reopen()
    assert list(store.scan(b"a", b"z")) == [(b"a", b"1"), (b"b", b"2")]


def test_the_number_of_synced_batches_grows_with_the_sync_and_survives_a_restart(kit: Kit) -> None:
    assert kit.store.synced_batches() == 0
    put(kit.store, a=b"1")
    put(kit.store, b=b"2")
    kit.store.write(Batch())  # an empty batch is none
    assert kit.store.synced_batches() == 0
    kit.store.sync()
    assert kit.store.synced_batches() == 2
    store = kit.reopen()
    assert store.synced_batches() == 2
    put(store, c=b"3")
    store.sync()
    assert store.synced_batches() == 3


def test_a_checkpoint_is_a_whole_store_of_that_moment(kit: Kit, tmp_path: Path) -> None:
    put(kit.store, a=b"1", b=b"2")
    kit.store.sync()
    kit.store.checkpoint(tmp_path / "copy")
    put(kit.store, a=b"later")
    copy = kit.load(tmp_path / "copy")
    assert list(copy.scan(b"a", b"z")) == [(b"a", b"1"), (b"b", b"2")]
    assert copy.synced_batches() == 1


def test_a_closed_store_refuses_everything_and_closing_it_again_is_no_error(kit: Kit, tmp_path: Path) -> None:
    put(kit.store, a=b"1", b=b"2")
    begun = kit.store.scan(b"a", b"z")
    next(begun)
    waiting = kit.store.scan(b"a", b"z")
    kit.store.close()
    kit.store.close()
    attempts: list[Callable[[], object]] = [
        lambda: kit.store.get(b"a"),
        lambda: kit.store.get_many([b"a"]),
        lambda: kit.store.scan(b"a", b"z"),
        lambda: put(kit.store, a=b"2"),
        kit.store.sync,
        lambda: kit.store.checkpoint(tmp_path / "copy"),
        kit.store.approximate_size,
    ]
    for attempt in attempts:
        with pytest.raises(StoreFailed, match="closed"):
            attempt()
    assert list(begun) == []
    assert list(waiting) == []


def test_a_store_opens_again_although_a_scan_of_it_was_left_half_read(kit: Kit) -> None:
    put(kit.store, a=b"1", b=b"2")
    scan = kit.store.scan(b"a", b"z")
    assert next(scan) == (b"a", b"1")
    assert kit.reopen().get(b"b") == b"2"


def test_its_size_is_told_in_bytes_by_what_holds_them(kit: Kit) -> None:
    put(kit.store, a=b"1" * 1000)
    sizes = kit.store.approximate_size()
    assert sizes["memtables"] >= 1000
    assert all(size >= 0 for size in sizes.values())


def test_the_twin_agrees_with_the_disk_on_a_long_random_history(tmp_path: Path) -> None:
    chance = random.Random(1)
    path = tmp_path / "db"
    disk: Store = RocksStore(path, SMALL)
    twin: Store = MemoryStore()
    for step in range(400):
        batch = Batch()
        for _ in range(chance.randrange(1, 8)):
            first, second = sorted((chance.randbytes(1), chance.randbytes(1)))
            draw = chance.random()
            if draw < 0.6:
                batch.put(first, chance.randbytes(chance.choice((0, 10, 3000))))
            elif draw < 0.9:
                batch.delete(first)
            else:
                batch.delete_range(first, second)
        disk.write(batch)
        twin.write(batch)
        if step % 100 == 99:
            disk.sync()
            disk.close()
            disk = RocksStore(path)
        first, second = sorted((chance.randbytes(1), chance.randbytes(1)))
        reverse, limit = chance.random() < 0.5, chance.choice((None, 3))
        assert list(disk.scan(first, second, reverse=reverse, limit=limit)) == list(
            twin.scan(first, second, reverse=reverse, limit=limit)
        )
        assert disk.get(first) == twin.get(first)
    disk.close()


def test_a_power_cut_takes_unsynced_batches_from_the_twin_whole_and_from_the_end() -> None:
    store = MemoryStore()
    put(store, a=b"1")
    store.sync()
    put(store, a=b"2", b=b"2")
    put(store, a=b"3", c=b"3")
    batch = Batch()
    batch.delete_range(b"a", b"z")
    store.write(batch)
    store.lose_unsynced(survive=1)
    assert list(store.scan(b"a", b"z")) == [(b"a", b"2"), (b"b", b"2")]
    assert store.synced_batches() == 2  # what a disk kept is durable
    put(store, d=b"4")
    store.lose_unsynced()
    assert list(store.scan(b"a", b"z")) == [(b"a", b"2"), (b"b", b"2")]


@pytest.mark.parametrize("step", ["write", "sync"])
def test_after_a_failed_write_or_sync_the_twin_refuses_everything_more(step: str) -> None:
    store = MemoryStore()
    put(store, a=b"1")
    store.sync()
    store.fail_next("write" if step == "write" else "sync")
    if step == "sync":
        put(store, a=b"2")
    with pytest.raises(StoreFailed, match=step):
        store.sync() if step == "sync" else put(store, a=b"2")
    attempts: list[Callable[[], object]] = [lambda: store.get(b"a"), lambda: put(store, b=b"1"), store.sync]
    for attempt in attempts:
        with pytest.raises(StoreFailed, match=step):
            attempt()
    store.lose_unsynced()
    assert store.reopen().get(b"a") == b"1"
