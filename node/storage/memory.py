"""The store's in-memory twin for tests and simulators: same contract, no disk, a power cut on request."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from node.storage.store import Batch, Op, StoreError, StoreFailed

CHECKPOINT_FILE = "memory.store"

_Undo = list[tuple[bytes, bytes | None]]


class MemoryStore:
    """A `Store` in memory. `reopen` gives the next process's view of the same data after `close`."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._unsynced: list[_Undo] = []  # one entry a batch, newest last: what each key held before it
        self._batches = 0
        self._refusal: StoreError | None = None
        self._break: Literal["write", "sync"] | None = None

    @classmethod
    def load(cls, path: Path) -> MemoryStore:
        """The store that `checkpoint` wrote to `path`."""
        store = cls()
        stored = (path / CHECKPOINT_FILE).read_bytes()
        store._batches, store._values = msgspec.msgpack.decode(stored, type=tuple[int, dict[bytes, bytes]])
        store._keys = sorted(store._values)
        return store

    def reopen(self) -> MemoryStore:
        """A fresh store over what this one holds; this one is closed by it."""
        self.close()
        store = MemoryStore()
        store._values, store._keys, store._unsynced = self._values, self._keys, self._unsynced
        store._batches = self._batches
        return store

    def lose_unsynced(self, *, survive: int = 0) -> None:
        """Cut the power: batches written since the last sync are gone, but for the first `survive` of them.

        A disk may have taken some of what was not synced, always a prefix of whole batches.
        """
        while len(self._unsynced) > survive:
            self._batches -= 1
            for key, before in reversed(self._unsynced.pop()):
                self._set(key, before)
        self._unsynced.clear()

    def fail_next(self, step: Literal["write", "sync"]) -> None:
        """Let the next `write` or `sync` fail as a broken disk would; nothing of it takes effect."""
        self._break = step

    def get(self, key: bytes) -> bytes | None:
        self._admit()
        return self._values.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self._admit()
        return [self._values.get(key) for key in keys]

    def scan(
        self, start: bytes, end: bytes, *, limit: int | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        self._admit()
        keys = self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, end)]
        if reverse:
            keys.reverse()
        return self._pairs([(key, self._values[key]) for key in keys[:limit]])

    def _pairs(self, pairs: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for pair in pairs:
            if self._refusal is not None:
                return
            yield pair

    def write(self, batch: Batch) -> None:
        self._admit()
        self._maybe_break("write")
        if not batch.operations:
            return
        undo: _Undo = []
        for op, first, second in batch.operations:
            if op == Op.DELETE_RANGE:
                doomed = self._keys[bisect_left(self._keys, first) : bisect_left(self._keys, second)]
                for key in doomed:
                    undo.append((key, self._values.get(key)))
                    self._set(key, None)
            else:
                undo.append((first, self._values.get(first)))
                self._set(first, second if op == Op.PUT else None)
        self._unsynced.append(undo)
        self._batches += 1

    def sync(self) -> None:
        self._admit()
        self._maybe_break("sync")
        self._unsynced.clear()

    def synced_batches(self) -> int:
        self._admit()
        return self._batches - len(self._unsynced)

    def checkpoint(self, path: Path) -> None:
        self._admit()
        path.mkdir()
        (path / CHECKPOINT_FILE).write_bytes(msgspec.msgpack.encode((self._batches, self._values)))

    def approximate_size(self) -> dict[str, int]:
        self._admit()
        return {"memtables": sum(len(key) + len(value) for key, value in self._values.items())}

    def close(self) -> None:
        if self._refusal is None:
            self._refusal = StoreFailed(
                "The store in memory is closed.", "What was synced is kept.", "Open it again to use it."
            )

    def _set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            if self._values.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]
        else:
            if key not in self._values:
                insort(self._keys, key)
            self._values[key] = value

    def _admit(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _maybe_break(self, step: Literal["write", "sync"]) -> None:
        if self._break == step:
            self._refusal = StoreFailed(
                f"The store in memory was told to fail at {step}.",
                "Everything acknowledged before is kept; what was being written is unknown.",
                "Stop the node and start it again.",
            )
            raise self._refusal
