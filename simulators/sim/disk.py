"""A simulated disk: what is not synced is lost with the power, and every durable step can be the last.

`SimStore` keeps the contract of `node.storage.store` over memory. `Disk` is what outlives the processes that
open it: it hands out one store at a time, cuts the power, keeps backups and puts an old one back.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from node.storage.memory import MemoryStore
from node.storage.store import Batch, StoreLocked

STEPS = ("before the write", "after the write", "before the sync", "after the sync")
"""The moments at which a process may end, in the life of one batch."""

Watch = Callable[[str], None]
"""Told of each step before it is taken, or after; it may raise, and the code that wrote goes no further."""


class Backup(Struct, frozen=True):
    """What was durable at a moment."""

    batches: int
    values: dict[bytes, bytes]


class SimStore(MemoryStore):
    """A store in memory that tells `watch` of each durable step."""

    def __init__(self, watch: Watch = lambda step: None) -> None:
        super().__init__()
        self._watch = watch

    def write(self, batch: Batch) -> None:
        """Steps around the write; an empty batch is none."""
        if not batch.operations:
            super().write(batch)
            return
        self._watch(STEPS[0])
        super().write(batch)
        self._watch(STEPS[1])

    def sync(self) -> None:
        """Steps around the sync."""
        self._watch(STEPS[2])
        super().sync()
        self._watch(STEPS[3])

    def reopen(self, watch: Watch | None = None) -> SimStore:
        """The next process's view of the same data; this one is closed by it.

        What it finds is durable from then on: RocksDB writes what it recovers to table files as it opens.
        """
        self.close()
        store = SimStore(self._watch if watch is None else watch)
        store._values, store._keys, store._batches = self._values, self._keys, self._batches
        return store

    def backup(self) -> Backup:
        """What is durable now."""
        values = dict(self._values)
        for undo in reversed(self._unsynced):
            for key, before in reversed(undo):
                if before is None:
                    values.pop(key, None)
                else:
                    values[key] = before
        return Backup(self._batches - len(self._unsynced), values)

    @classmethod
    def of(cls, backup: Backup, watch: Watch = lambda step: None) -> SimStore:
        """The store as it was when the backup was made."""
        store = cls(watch)
        store._values, store._batches = dict(backup.values), backup.batches
        store._keys = sorted(store._values)
        return store

    @property
    def unsynced(self) -> int:
        """Batches that a power cut may take."""
        return len(self._unsynced)


class Disk:
    """The disk under one store."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._store = SimStore()
        self._store.close()
        self._in_use = False

    def open(self, watch: Watch) -> SimStore:
        """The store, for a process that begins; raises StoreLocked while another has it."""
        if self._in_use:
            raise StoreLocked("Another process has the store.", "Nothing was changed.", "End it first.")
        self._store = self._store.reopen(watch)
        self._in_use = True
        return self._store

    def let_go(self) -> None:
        """The process that had the store ended: what it wrote is in the operating system's memory."""
        self._store.close()
        self._in_use = False

    def cut_power(self) -> int:
        """Loses what was not synced, but for a first part by chance; says how many batches are gone."""
        self.let_go()
        unsynced = self._store.unsynced
        survive = self._chance.randint(0, unsynced)
        self._store.lose_unsynced(survive=survive)
        return unsynced - survive

    def fail_next(self, step: Literal["write", "sync"]) -> None:
        """Lets the next write or sync fail."""
        if self._in_use:
            self._store.fail_next(step)

    def back_up(self) -> Backup:
        """What is durable now."""
        return self._store.backup()

    def roll_back(self, backup: Backup) -> None:
        """Puts an old backup in the place of everything, while no process has the store."""
        assert not self._in_use
        self._store = SimStore.of(backup)
        self._store.close()

    def read(self) -> SimStore:
        """A copy of what is durable, for checkers to look at."""
        return SimStore.of(self._store.backup())
