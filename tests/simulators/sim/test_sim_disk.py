"""The simulated disk: only what was synced outlives the power, and every durable step can be the last."""

from __future__ import annotations

import random

import pytest

from node.storage.store import Batch, StoreFailed, StoreLocked
from simulators.sim.disk import STEPS, Disk, SimStore


def put(store: SimStore, key: bytes, value: bytes) -> None:
    batch = Batch()
    batch.put(key, value)
    store.write(batch)


def nobody_watches(step: str) -> None:
    """Nothing happens at any step."""


def test_each_write_and_sync_tells_of_its_steps_and_an_empty_batch_is_none() -> None:
    steps: list[str] = []
    store = SimStore(steps.append)
    store.write(Batch())
    put(store, b"a", b"1")
    store.sync()
    assert steps == list(STEPS)


@pytest.mark.parametrize(
    ("ends", "written", "synced"), [(0, False, 0), (1, True, 0), (2, True, 0), (3, True, 1)]
)
def test_a_process_can_end_at_any_step(ends: int, written: bool, synced: int) -> None:
    class EndsError(Exception):
        pass

    def watch(step: str) -> None:
        if step == STEPS[ends]:
            raise EndsError

    store = SimStore(watch)

    def commit() -> None:
        put(store, b"a", b"1")
        store.sync()

    with pytest.raises(EndsError):
        commit()
    assert (store.get(b"a") == b"1", store.synced_batches()) == (written, synced)


def test_the_power_takes_a_last_part_of_what_was_not_synced_and_never_more() -> None:
    left = set()
    for seed in range(40):
        disk = Disk(random.Random(seed))
        store = disk.open(nobody_watches)
        put(store, b"synced", b"1")
        store.sync()
        for number in range(3):
            put(store, b"%d" % number, b"1")
        lost = disk.cut_power()
        found = [key for key, _ in disk.open(nobody_watches).scan(b"", b"z")]
        assert found == sorted([*(b"%d" % number for number in range(3 - lost)), b"synced"])
        left.add(lost)
    assert left == {0, 1, 2, 3}


def test_what_a_killed_process_wrote_is_there_and_durable_for_the_next() -> None:
    disk = Disk(random.Random(1))
    put(disk.open(nobody_watches), b"a", b"1")
    disk.let_go()
    assert disk.read().get(b"a") is None  # were the power cut now, it would be gone
    disk.open(nobody_watches)
    disk.cut_power()
    assert disk.open(nobody_watches).get(b"a") == b"1"


def test_one_process_at_a_time_has_the_store_and_an_ended_one_nothing() -> None:
    disk = Disk(random.Random(1))
    store = disk.open(nobody_watches)
    with pytest.raises(StoreLocked):
        disk.open(nobody_watches)
    disk.let_go()
    with pytest.raises(StoreFailed):
        put(store, b"a", b"1")


def test_a_disk_goes_back_to_an_old_backup_twice_in_a_row() -> None:
    disk = Disk(random.Random(1))
    backups = []
    for number in range(3):
        store = disk.open(nobody_watches)
        put(store, b"%d" % number, b"1")
        store.sync()
        put(store, b"not durable", b"1")
        backups.append(disk.back_up())
        disk.cut_power()
    for number in (1, 0):
        disk.roll_back(backups[number])
        store = disk.open(nobody_watches)
        assert [key for key, _ in store.scan(b"", b"z")] == [b"%d" % one for one in range(number + 1)]
        put(store, b"since", b"1")
        store.sync()
        disk.let_go()
    assert disk.read().get(b"since") == b"1"
