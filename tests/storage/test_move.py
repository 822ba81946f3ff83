"""A partition moves whole, and killed anywhere it has one owner and the same call again finishes."""

import subprocess
import sys
from pathlib import Path

import pytest

from node.storage.keyspace import (
    PartitionMeta,
    account_key,
    journal_key,
    partition_meta_key,
    partition_range,
)
from node.storage.meta import (
    OpenStore,
    StoreIdentity,
    StoreKind,
    create_store,
    open_store,
    owned_partitions,
    placement,
)
from node.storage.move import move_partition
from node.storage.rocks import RocksStore
from node.storage.store import Batch, StoreForeign
from node.wire import records

SOURCE = StoreIdentity(b"s" * 16, StoreKind.SHARD, "m", 4)
TARGET = StoreIdentity(b"t" * 16, StoreKind.SHARD, "m", 4)
STEPS = ["begun", "copied", "compared", "owned", "released", "deleted"]
MOVED = 2

KILLED_AT = """
import os, sys
from pathlib import Path
from node.storage.move import move_partition

def progress(step, keys):
    if step == sys.argv[3]:
        os._exit(9)

move_partition(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[4]), progress=progress)
"""


def opened(directory: Path, identity: StoreIdentity) -> OpenStore:
    return open_store(
        directory, merchant_id="m", kind=StoreKind.SHARD, store_id=identity.store_id, generation=1
    )


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "source", tmp_path / "target"
    create_store(source, SOURCE, hosted=[0, 1, 2])
    create_store(target, TARGET, hosted=[3])
    store = opened(source, SOURCE)
    for sequence in range(1, 25):
        batch = Batch()
        for partition in (1, 2):
            digest = bytes((partition,)) * 24 + sequence.to_bytes(8, "big")
            batch.put(journal_key(partition, sequence), digest + bytes(50_000))
            batch.put(account_key(partition, sequence.to_bytes(16, "big")), b"account")
            head = records.HEAD.encode(records.PartitionHead(sequence, digest))
            batch.put(partition_meta_key(partition, PartitionMeta.HEAD), head)
        store.store.write(batch)
        store.store.sync()
    for partition in (1, 2):
        store.head.keep(partition, 24, bytes((partition,)) * 24 + (24).to_bytes(8, "big"))
    store.close()
    return source, target


def contents(directory: Path, partition: int) -> dict[bytes, bytes]:
    store = RocksStore(directory / "db")
    try:
        ownership = partition_meta_key(partition, PartitionMeta.OWNERSHIP)
        return {key: value for key, value in store.scan(*partition_range(partition)) if key != ownership}
    finally:
        store.close()


def owner(source: Path, target: Path) -> bytes:
    owned = {}
    for identity, directory in ((SOURCE, source), (TARGET, target)):
        store = RocksStore(directory / "db")
        owned[identity.store_id] = owned_partitions(store)
        store.close()
    return placement(owned, 4)[MOVED]


def test_a_moved_partition_is_whole_in_the_target_and_gone_from_the_source(stores: tuple[Path, Path]) -> None:
    source, target = stores
    before, neighbour = contents(source, MOVED), contents(source, 1)
    leftover = RocksStore(target / "db")  # of a copy that was never finished
    stray = Batch()
    stray.put(account_key(MOVED, b"x" * 16), b"stray")
    leftover.write(stray)
    leftover.sync()
    leftover.close()
    steps: list[str] = []
    move_partition(source, target, MOVED, progress=lambda step, keys: steps.append(step))
    assert steps == STEPS
    assert contents(target, MOVED) == before
    assert contents(source, MOVED) == {}
    assert contents(source, 1) == neighbour
    giver, taker = opened(source, SOURCE), opened(target, TARGET)
    assert (giver.hosted, taker.hosted) == ({0: 1, 1: 1}, {2: 2, 3: 1})
    giver.close()
    taker.close()


def test_a_partition_can_move_back_and_moving_it_twice_is_no_error(stores: tuple[Path, Path]) -> None:
    source, target = stores
    before = contents(source, MOVED)
    move_partition(source, target, MOVED)
    move_partition(source, target, MOVED)
    move_partition(target, source, MOVED)
    assert contents(source, MOVED) == before
    giver = opened(source, SOURCE)
    assert giver.hosted == {0: 1, 1: 1, 2: 3}
    giver.close()


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_there_is_one_owner_and_the_move_again_finishes(
    stores: tuple[Path, Path], step: str
) -> None:
    source, target = stores
    before = contents(source, MOVED)
    arguments = [str(source), str(target), step, str(MOVED)]
    done = subprocess.run([sys.executable, "-c", KILLED_AT, *arguments], check=False)
    assert done.returncode == 9
    owned_by_target = step in ("owned", "released", "deleted")
    assert owner(source, target) == (TARGET if owned_by_target else SOURCE).store_id
    holder = target if owned_by_target else source
    assert contents(holder, MOVED) == before
    if step != "deleted":
        with pytest.raises(StoreForeign, match="move of partition 2"):
            opened(source, SOURCE)
    move_partition(source, target, MOVED)
    assert owner(source, target) == TARGET.store_id
    assert contents(target, MOVED) == before
    assert contents(source, MOVED) == {}
    opened(source, SOURCE).close()
    opened(target, TARGET).close()


def test_an_interrupted_move_is_finished_before_another_begins(
    stores: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = stores
    arguments = [str(source), str(target), "copied", str(MOVED)]
    subprocess.run([sys.executable, "-c", KILLED_AT, *arguments], check=False)
    with pytest.raises(StoreForeign, match="unfinished move of partition 2"):
        move_partition(source, target, 1)
    with pytest.raises(StoreForeign, match="unfinished move"):
        move_partition(target, source, 3)
    third = StoreIdentity(b"u" * 16, StoreKind.SHARD, "m", 4)
    create_store(tmp_path / "third", third)
    with pytest.raises(StoreForeign, match="unfinished move"):
        move_partition(source, tmp_path / "third", MOVED)


def test_stores_that_do_not_belong_together_and_partitions_that_are_not_there_are_refused(
    stores: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = stores
    create_store(tmp_path / "foreign", StoreIdentity(b"f" * 16, StoreKind.SHARD, "another", 4))
    create_store(tmp_path / "restored", StoreIdentity(b"r" * 16, StoreKind.SHARD, "m", 4, 7))
    for other in ("foreign", "restored"):
        with pytest.raises(StoreForeign, match="not of one installation"):
            move_partition(source, tmp_path / other, MOVED)
    with pytest.raises(StoreForeign, match="Neither"):
        move_partition(source, target, 17)
    assert owner(source, target) == SOURCE.store_id
