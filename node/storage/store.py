"""What a store is: an ordered map of bytes, written in atomic batches that one call makes durable.

Everything above this floor is written against `Store`. There are two of them, `RocksStore` on a disk and
`MemoryStore` for tests and simulators, and both pass the same contract tests.

The order of work is always the same: collect one `Batch`, `write` it (atomic, not yet durable), `sync` once,
and only then answer anybody. After a failed `write` or `sync` it is unknown what reached the disk, so the
store refuses everything more and its owner must end the process and start again from what is on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Protocol


class StoreError(Exception):
    """Root of what a store can say. Each one tells what happened, what was kept and what to do next.

    The three parts are positional so that the exception survives pickling on its way out of an actor. Keys
    and values never belong in them: they may carry personal data.
    """

    def __init__(self, happened: str, kept: str, next_step: str) -> None:
        super().__init__(happened, kept, next_step)
        self.happened = happened
        self.kept = kept
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.happened} {self.kept} {self.next_step}"


class StoreLocked(StoreError):
    """Another process (or a handle not yet closed in this one) owns the directory."""


class StoreCorrupt(StoreError):
    """A checksum does not hold: what is stored is not what was written. Nothing damaged is ever returned."""


class StoreForeign(StoreError):
    """The directory is empty, is somebody else's, or belongs to another generation or a newer version."""


class StoreBehindHead(StoreError):
    """The store ends before what its head file says was made durable: acknowledged records are missing."""


class StoreFailed(StoreError):
    """A write, sync or read failed (disk full, I/O error), or the store has failed or is closed."""


class Op(IntEnum):
    """The kinds of operation in a batch."""

    PUT = 0
    DELETE = 1
    DELETE_RANGE = 2


Operation = tuple[Op, bytes, bytes]
"""One operation: its kind, the key or a range's start, the value or the range's end."""

_PUT, _DELETE = Op.PUT, Op.DELETE


class Batch:
    """A list of operations, applied in order and all or nothing by `Store.write`. Holds no store handle."""

    __slots__ = ("operations",)

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    @classmethod
    def of(cls, changes: Mapping[bytes, bytes]) -> Batch:
        """The batch that sets every key of `changes` to its value, and removes those with an empty one."""
        batch = cls()
        batch.operations = [
            (_PUT, key, value) if value else (_DELETE, key, b"") for key, value in changes.items()
        ]
        return batch

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`."""
        self.operations.append((_PUT, key, value))

    def delete(self, key: bytes) -> None:
        """Remove `key`; a key that is not there is no error."""
        self.operations.append((_DELETE, key, b""))

    def delete_range(self, start: bytes, end: bytes) -> None:
        """Remove every key in [start, end). For rare, large removals: each costs later reads a little."""
        self.operations.append((Op.DELETE_RANGE, start, end))

    def __len__(self) -> int:
        return len(self.operations)


class Store(Protocol):
    """An ordered map from bytes to bytes with one writer. Keys are never empty. See the module's docs."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`, in their order, None where there is none."""
        ...

    def scan(
        self, start: bytes, end: bytes, *, limit: int | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < end in key order (or the reverse of it), at most `limit` of them.

        The pairs are those of the moment of the call, whatever is written while iterating. An iterator that
        is left half read is ended by `close`.
        """
        ...

    def write(self, batch: Batch) -> None:
        """Apply all of `batch` or nothing of it. Visible to reads at once, NOT durable before `sync`.

        Raises `StoreFailed`; the store then refuses everything more.
        """
        ...

    def sync(self) -> None:
        """Make every write so far durable: one synced flush of the write-ahead log.

        Raises `StoreFailed`; the store then refuses everything more, and nothing since the last successful
        sync may be called durable.
        """
        ...

    def synced_batches(self) -> int:
        """How many batches in the life of the store are known to be durable; kept across restarts.

        A store that comes back with a smaller number than it had has lost acknowledged batches.
        """
        ...

    def checkpoint(self, path: Path) -> None:
        """Write a consistent copy of the store as of now to `path`, which must not exist. Writers go on."""
        ...

    def approximate_size(self) -> dict[str, int]:
        """Bytes by what holds them (memory tables, table files, caches…), for metrics."""
        ...

    def close(self) -> None:
        """Release the store and its LOCK. Calling it again does nothing. Does not sync."""
        ...
