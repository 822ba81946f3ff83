"""Moving a partition from one store to another while the node is stopped.

Killed anywhere, the partition has exactly one owner, the store with its highest ownership generation, and the
same call run again finishes:

1. The source records that the move is under way; from then on it is refused for serving until the move ends.
2. The partition is copied to the target, where nobody owns it yet, and compared.
3. The target takes ownership under the next generation: from this synced batch on it is the owner.
4. The source deletes the partition and its record of the move in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import msgspec

from node.storage.head import read_head, replace_head, verify_partitions
from node.storage.keyspace import PartitionMeta, partition_meta_key, partition_range
from node.storage.lock import require_store
from node.storage.meta import (
    DATABASE,
    HEAD_FILE,
    Move,
    StoreIdentity,
    check_head,
    current_head,
    journal_hash,
    owned_partitions,
    partition_heads,
    put_move,
    put_ownership,
    read_identity,
    read_move,
)
from node.storage.migrate import migrate
from node.storage.rocks import RocksStore
from node.storage.store import Batch, StoreCorrupt, StoreForeign

BATCH_BYTES = 1024 * 1024
Progress = Callable[[str, int], None]
"""Told the step (begun, copied, compared, owned, released, deleted) and how many keys it touched."""


class _Closed(NamedTuple):
    """A store of a stopped node, proven to be whole."""

    directory: Path
    store: RocksStore
    identity: StoreIdentity


def move_partition(
    source: Path,
    target: Path,
    partition: int,
    *,
    progress: Progress = lambda step, keys: None,
) -> None:
    """Moves `partition` from the store in `source` to the one in `target`. Does nothing when it is done.

    Raises StoreForeign when the stores are not of one installation and generation, when neither holds the
    partition, or when another move out of the source was interrupted.
    """
    with _closed(source) as giver, _closed(target) as taker:
        _check_pair(giver, taker)
        move = read_move(giver.store)
        if move is None:
            generation = owned_partitions(giver.store).get(partition)
            if generation is None:
                if partition in owned_partitions(taker.store):
                    return
                raise _refused(f"Neither {source} nor {target} holds partition {partition}.")
            move = Move(partition, taker.identity.store_id, generation + 1)
            _write(giver.store, lambda batch: put_move(batch, move))
        elif (move.partition, move.target_store_id) != (partition, taker.identity.store_id):
            raise _refused(
                f"{source} has an unfinished move of partition {move.partition} to store "
                f"{move.target_store_id.hex()}.",
                "Run that move again first.",
            )
        progress("begun", 0)
        if owned_partitions(taker.store).get(partition, 0) < move.generation:
            _copy(giver, taker, partition, progress)
            _write(taker.store, lambda batch: put_ownership(batch, partition, move.generation))
            progress("owned", 0)
        replace_head(target / HEAD_FILE, current_head(taker.store, taker.identity))
        _release(giver, partition, progress)


def _copy(giver: _Closed, taker: _Closed, partition: int, progress: Progress) -> None:
    start, end = partition_range(partition)
    ownership = partition_meta_key(partition, PartitionMeta.OWNERSHIP)
    _write(taker.store, lambda batch: batch.delete_range(start, end))  # an earlier attempt's
    batch, held, copied = Batch(), 0, 0
    for key, value in giver.store.scan(start, end):
        if key == ownership:
            continue
        batch.put(key, value)
        held, copied = held + len(key) + len(value), copied + 1
        if held >= BATCH_BYTES:
            taker.store.write(batch)
            taker.store.sync()
            batch, held = Batch(), 0
    taker.store.write(batch)
    taker.store.sync()
    progress("copied", copied)
    pairs = (pair for pair in giver.store.scan(start, end) if pair[0] != ownership)
    if any(given != taken for given, taken in zip_longest(pairs, taker.store.scan(start, end))):
        raise StoreCorrupt(
            f"Partition {partition} did not arrive in {taker.directory} as it was in {giver.directory}.",
            "The source still owns it, whole.",
            "Check the target's disk and memory, and run the move again.",
        )
    progress("compared", copied)


def _release(giver: _Closed, partition: int, progress: Progress) -> None:
    start, end = partition_range(partition)
    head = current_head(giver.store, giver.identity)
    without = {number: one for number, one in head.partitions.items() if number != partition}
    replace_head(giver.directory / HEAD_FILE, msgspec.structs.replace(head, partitions=without))
    progress("released", 0)

    def delete(batch: Batch) -> None:
        batch.delete_range(start, end)
        put_move(batch, None)

    _write(giver.store, delete)
    giver.store.forget_deleted(start, end)
    progress("deleted", 0)


@contextmanager
def _closed(directory: Path) -> Iterator[_Closed]:
    require_store(directory / DATABASE)
    head = read_head(directory / HEAD_FILE).state
    store = RocksStore(directory / DATABASE, at_least=head.synced_batches)
    try:
        identity = read_identity(store, directory)
        check_head(directory, identity, head)
        migrate(store)
        verify_partitions(head, partition_heads(store, owned_partitions(store)), journal_hash(store))
        yield _Closed(directory, store, identity)
    finally:
        store.close()


def _check_pair(giver: _Closed, taker: _Closed) -> None:
    ours, theirs = giver.identity, taker.identity
    same = (ours.merchant_id, ours.kind, ours.partitions, ours.generation) == (
        theirs.merchant_id,
        theirs.kind,
        theirs.partitions,
        theirs.generation,
    )
    if not same:
        raise _refused(f"{giver.directory} and {taker.directory} are not of one installation and generation.")
    if read_move(taker.store) is not None:
        raise _refused(f"{taker.directory} has an unfinished move of its own.", "Run that move again first.")


def _write(store: RocksStore, fill: Callable[[Batch], None]) -> None:
    batch = Batch()
    fill(batch)
    store.write(batch)
    store.sync()


def _refused(happened: str, next_step: str = "Check the two directories.") -> StoreForeign:
    return StoreForeign(happened, "Nothing was changed.", next_step)
