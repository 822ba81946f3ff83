"""From one format of what is stored to the next: ordered steps, in bounded batches, resumed where they were.

A single record that changed shape needs none of this: records carry their own version and are read as newer
ones (`node.wire.records`). A migration is for what that cannot do: keys that move, indexes to be built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from node.storage.keyspace import StoreMeta, store_meta_key
from node.storage.store import Batch, Store, StoreForeign

BATCH_KEYS = 500
FORMAT_KEY = store_meta_key(StoreMeta.FORMAT)


class Migration(NamedTuple):
    """One step. `change(key, value, batch)` puts into the batch what becomes of one pair in [start, end).

    The batch that holds a change also holds how far the step has come, so a change is made once, even when
    the process is killed between any two batches. Keys that a change adds behind the pair it was given, in
    the range, are visited too.
    """

    source: int
    target: int
    start: bytes
    end: bytes
    change: Callable[[bytes, bytes, Batch], None]


MIGRATIONS: tuple[Migration, ...] = ()
"""Every migration there has been, oldest first; never removed, since any old store may come along."""

FORMAT_VERSION = 1
"""What this software reads and writes: the target of the last migration."""


class _Format(msgspec.Struct, frozen=True, array_like=True):
    version: int
    resume_at: bytes | None = None  # where the migration from `version` goes on; None: not begun


def put_format(batch: Batch, version: int = FORMAT_VERSION) -> None:
    """Puts the format version of a new store into `batch`."""
    batch.put(FORMAT_KEY, msgspec.msgpack.encode(_Format(version)))


def stored_version(store: Store) -> int:
    """The format version that the store is in; during a migration the one it comes from."""
    return _read(store).version


def migrate(
    store: Store,
    migrations: Sequence[Migration] = MIGRATIONS,
    target: int = FORMAT_VERSION,
    progress: Callable[[int, int], None] = lambda version, keys: None,
) -> None:
    """Brings the store to version `target`; does nothing when it is there.

    `progress` is told the version being left and the number of pairs visited so far. Raises StoreForeign for
    a store newer than this software, or so old that no migration starts from it.
    """
    found = _read(store)
    if found.version > target:
        raise StoreForeign(
            f"The store is in format {found.version}; this software knows formats up to {target}.",
            "Nothing was changed.",
            "Start the newer version of the software that wrote it.",
        )
    while found.version < target:
        step = next((one for one in migrations if one.source == found.version), None)
        if step is None:
            raise StoreForeign(
                f"The store is in format {found.version}, from which no migration leads to {target}.",
                "Nothing was changed.",
                "Start an older version of the software first, which can bring it closer.",
            )
        found = _run(store, step, found, progress)


def _run(store: Store, step: Migration, found: _Format, progress: Callable[[int, int], None]) -> _Format:
    cursor, visited = found.resume_at or step.start, 0
    while True:
        batch = Batch()
        pairs = list(store.scan(cursor, step.end, limit=BATCH_KEYS))
        for key, value in pairs:
            step.change(key, value, batch)
        visited += len(pairs)
        finished = len(pairs) < BATCH_KEYS
        if finished:
            now = _Format(step.target)
        else:
            cursor = pairs[-1][0] + b"\x00"
            now = _Format(step.source, cursor)
        batch.put(FORMAT_KEY, msgspec.msgpack.encode(now))
        store.write(batch)
        store.sync()
        progress(step.source, visited)
        if finished:
            return now


def _read(store: Store) -> _Format:
    value = store.get(FORMAT_KEY)
    if value is None:
        raise StoreForeign(
            "The store says nothing of its format: it is not one of ours, or was never finished.",
            "Nothing was changed.",
            "Check the path; a new store is only made by `vafa init`.",
        )
    return msgspec.msgpack.decode(value, type=_Format)
