"""The work during which faults are put on a store, and the check that nothing acknowledged is lost.

`python -m simulators.faults.workload DIRECTORY BATCHES SEED` makes a store in DIRECTORY/store, writes batches
and, after each sync, adds the batch's number to DIRECTORY/ACK: from then on the batch may not be lost. When
the disk fails it says what the store said, makes sure that the store refuses everything more, and ends.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

from node.storage.keyspace import (
    Kind,
    PartitionMeta,
    journal_key,
    kind_range,
    partition_meta_key,
    request_key,
)
from node.storage.meta import OpenStore, StoreIdentity, StoreKind, create_store, open_store
from node.storage.rocks import RocksOptions
from node.storage.store import Batch, Store, StoreFailed
from node.wire import records

STORE = "store"
ACK = "ACK"
MERCHANT = "faults"
STORE_ID = bytes(range(16))
PARTITIONS = 2
SMALL = RocksOptions(block_cache_bytes=1 << 20, write_buffer_bytes=64 * 1024)
"""Small enough that memory tables are written out and compacted during a short run."""


class Lost(AssertionError):
    """Something acknowledged is missing, or something never written is there."""


def identity() -> StoreIdentity:
    """Whose the store is."""
    return StoreIdentity(STORE_ID, StoreKind.SHARD, MERCHANT, PARTITIONS)


def create(directory: Path) -> None:
    """Makes the empty store."""
    create_store(directory, identity(), hosted=range(PARTITIONS), options=SMALL)


def open_it(directory: Path) -> OpenStore:
    """Opens the store as a node would."""
    return open_store(
        directory, merchant_id=MERCHANT, kind=StoreKind.SHARD, store_id=STORE_ID, generation=1, options=SMALL
    )


def batch_of(number: int, seed: int, small: bool = False) -> Batch:
    """Batch `number`, always the same: per partition a journal entry with its head, and request records."""
    chance = random.Random(f"{seed}/{number}")
    batch = Batch()
    for partition in range(PARTITIONS):
        digest = hashlib.sha256(f"{seed}/{partition}/{number}".encode()).digest()
        size = chance.choice((20, 200) if small else (20, 200, 2_000, 40_000))
        batch.put(journal_key(partition, number), digest + chance.randbytes(size))
        head = records.HEAD.encode(records.PartitionHead(number, digest))
        batch.put(partition_meta_key(partition, PartitionMeta.HEAD), head)
        for request in range(chance.randrange(4)):
            batch.put(request_key(partition, "till", f"{number}-{request}"), chance.randbytes(30))
    return batch


def commit(opened: OpenStore, number: int, seed: int, small: bool = False, behind: int = 0) -> None:
    """Writes a batch and the `behind` before it, makes them durable and tells the head, as a shard does."""
    for one in range(number - behind, number + 1):
        opened.store.write(batch_of(one, seed, small))
    opened.store.sync()
    for partition in range(PARTITIONS):
        digest = hashlib.sha256(f"{seed}/{partition}/{number}".encode()).digest()
        opened.head.keep(partition, number, digest)


def expected(batches: int, seed: int, small: bool = False) -> dict[bytes, bytes]:
    """What a store holds after so many batches."""
    batches_of = (batch_of(number, seed, small) for number in range(1, batches + 1))
    return {key: value for batch in batches_of for _, key, value in batch.operations}


def contents(store: Store) -> dict[bytes, bytes]:
    """What a store holds of this work, by every way of reading it."""
    found: dict[bytes, bytes] = {}
    for partition in range(PARTITIONS):
        for kind in (Kind.JOURNAL, Kind.REQUEST):
            pairs = list(store.scan(*kind_range(partition, kind)))
            found.update(pairs)
        head = store.get(partition_meta_key(partition, PartitionMeta.HEAD))
        if head is not None:
            found[partition_meta_key(partition, PartitionMeta.HEAD)] = head
    keys = list(found)
    if store.get_many(keys) != list(found.values()):
        raise Lost("a point read and a scan disagree")
    return found


def check(store: Store, acknowledged: int, seed: int, small: bool = False) -> int:
    """Proves that the store holds whole batches 1..n with n >= `acknowledged`; returns n."""
    found = contents(store)
    head = found.get(partition_meta_key(0, PartitionMeta.HEAD))
    number = 0 if head is None else records.HEAD.decode(head).sequence
    if number < acknowledged:
        raise Lost(f"batch {acknowledged} was acknowledged, and the store ends at {number}")
    if found != expected(number, seed, small):
        raise Lost(f"the store does not hold exactly the batches 1 to {number}")
    return number


def run(directory: Path, ack: Path, batches: int, seed: int) -> None:
    """Makes a store and commits batches, writing each acknowledged number to `ack`. Raises StoreFailed."""
    create(directory)
    acknowledged = os.open(ack, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    opened = open_it(directory)
    chance, number = random.Random(seed), 0
    while number < batches:
        behind = chance.choice((0, 0, 2))  # now and then several batches wait for one sync
        number += 1 + behind
        try:
            commit(opened, number, seed, behind=behind)
        except StoreFailed as failure:
            _must_refuse(opened, number, seed)
            print(failure, flush=True)
            return
        os.write(acknowledged, b"%d\n" % number)
        if chance.random() < 3 / batches:
            opened.close()
            opened = open_it(directory)


def _must_refuse(opened: OpenStore, number: int, seed: int) -> None:
    """A failed store neither reads nor writes any more; a failed head keeps nothing more."""
    attempts: list[Callable[[], object]] = [lambda: commit(opened, number, seed)]
    try:
        opened.head.touch()
    except StoreFailed:
        pass
    else:
        attempts += [opened.store.sync, lambda: opened.store.get(b"key")]
    for attempt in attempts:
        try:
            attempt()
        except StoreFailed:
            continue
        raise Lost("a store that failed goes on")


def main() -> None:
    """See the module's docs."""
    directory, batches, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    run(directory / STORE, directory / ACK, batches, seed)
    os._exit(0)  # as if killed: no clean stop


if __name__ == "__main__":
    main()
