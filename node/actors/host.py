"""The host of a shard: opens its store, keeps its head, and ends the process when storage fails.

Everything that the Ray actor does beyond forwarding is here, so that tests and simulators run it without Ray.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from node.actors.card_spec import SPEC as CARDS_SPEC
from node.actors.coalition_spec import SPEC
from node.actors.desk import describe
from node.actors.partition import Partition
from node.actors.settings import ShardSettings
from node.actors.shard import Shard
from node.actors.vault import Vault
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.digests import RequestDigests
from node.identity.keys import SecretKey
from node.programme.model import Programme
from node.storage import keyspace
from node.storage.backup import StagedStore, stage
from node.storage.keyspace import Kind
from node.storage.meta import OpenStore, StoreKind, open_store
from node.storage.store import StoreError, StoreLocked
from node.telemetry import Snapshot
from node.wire import records

LOCK_SECONDS = 45.0
"""How long a start waits for the process before it, which may be draining or dying, to let go of a store."""
LOCK_POLL_SECONDS = 0.1

FAULT_STATUS = 70
"""The exit status of a process that storage failed: BSD's EX_SOFTWARE."""

PROGRAMMES = msgspec.msgpack.Decoder(tuple[Programme, ...])


class ShardSpec(Struct, frozen=True):
    """Everything a shard's process must be told. `master_key` wraps the persons' keys and keys what is kept
    of requests; it is never logged.
    """

    number: int
    directory: str
    store_id: bytes
    generation: int
    settings: ShardSettings
    programmes: bytes
    master_key: bytes
    log_level: str = "info"
    log_format: str = "json"
    coalition: bytes = b""
    cards: bytes = b""

    def __repr__(self) -> str:
        return f"ShardSpec(number={self.number}, directory={self.directory!r})"


class ShardState(Struct, frozen=True):
    """What a shard says of itself for the status: heads by partition, and what is in memory."""

    number: int
    entries: int
    accounts: int
    active_accounts: int
    quarantined_accounts: int
    books: tuple[tuple[str, str, int], ...]


class ShardHost:
    """A shard with its store and its head.

    `abort` ends the process; tests put something milder there. `open_it` opens the store that the spec names,
    and `clock` gives epoch milliseconds: simulators have their own of both.
    """

    def __init__(
        self,
        spec: ShardSpec,
        *,
        abort: Callable[[Exception], None] | None = None,
        open_it: Callable[[ShardSpec], OpenStore] | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._abort = abort or _end_process
        self._open = when_unlocked(lambda: (open_it or _open_on_disk)(spec))
        for note in self._open.notes:
            print(f"vafa: shard {spec.number}: {note}", file=sys.stderr, flush=True)
        self._store = self._open.store
        master_key = SecretKey(spec.master_key)
        self._secrets = CoalitionSecrets(master_key)
        self.shard = Shard(
            self._store,
            self._open.hosted,
            spec.settings,
            PROGRAMMES.decode(spec.programmes),
            head=self._open.head,
            clock=clock,
            number=spec.number,
            digests=RequestDigests(master_key),
            vault=Vault(master_key),
        )
        if spec.cards:
            self.take_cards(spec.cards)
        if spec.coalition:
            self.join(spec.coalition)

    def take_cards(self, spec: bytes) -> None:
        """Verifies chip cards with the keys of a CardsSpec from now on."""
        self.shard.take_cards(CARDS_SPEC.decode(spec))

    def join(self, spec: bytes) -> None:
        """Takes part in the coalition that a CoalitionSpec names, or follows its newer directory."""
        self.shard.join(SPEC.decode(spec), self._secrets)

    def apply(self, message: bytes) -> bytes:
        """A batch, durable when it is answered.

        A storage fault ends the process unanswered, and so does any other that gets here: what is in memory
        may then be ahead of what is on the disk.
        """
        try:
            return self.shard.apply(message)
        except Exception as fault:
            self._abort(fault)
            raise

    def sweep(self) -> int:
        """Settles what is due; says how many accounts."""
        try:
            return self.shard.sweep()
        except Exception as fault:
            self._abort(fault)
            raise

    def forget_old_requests(self, cursor: bytes) -> bytes:
        """One bounded step of dropping old request records."""
        try:
            return self.shard.forget_old_requests(cursor)
        except Exception as fault:
            self._abort(fault)
            raise

    def publish(self, programmes: bytes) -> None:
        """Takes over a snapshot of the programme versions."""
        self.shard.publish(PROGRAMMES.decode(programmes))

    def entries(self, partition: int, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` journal entries after a sequence, as stored; never beyond what is durable."""
        last = self.shard.partitions[partition].sequence
        start, end = keyspace.sequence_range(partition, Kind.JOURNAL, after + 1, max(last, after + 1))
        return [(keyspace.parse_sequence(key, Kind.JOURNAL)[1], data) for key, data in
                self._store.scan(start, end, limit=limit)]  # fmt: skip

    def sequences(self) -> dict[int, int]:
        """The last sequence of each partition."""
        return {number: partition.sequence for number, partition in self.shard.partitions.items()}

    def outbox(self, limit: int) -> bytes:
        """What waits to be delivered to other partitions."""
        return msgspec.msgpack.encode(self.shard.outbox(limit))

    def quarantined(self, limit: int) -> list[bytes]:
        """Accounts that were set aside, with the evidence, as stored."""
        found: list[bytes] = []
        for number in self.shard.partitions:
            start, end = keyspace.kind_range(number, Kind.QUARANTINE)
            found.extend(data for _, data in self._store.scan(start, end, limit=limit - len(found)))
            if len(found) >= limit:
                break
        return found

    def state(self) -> ShardState:
        """Where the shard stands."""
        partitions: Sequence[Partition] = list(self.shard.partitions.values())
        books: dict[tuple[str, str], int] = {}
        for partition in partitions:
            for book, purse, units in records.books_record(partition.books):
                books[book, purse] = books.get((book, purse), 0) + units
        return ShardState(
            self.shard.number,
            sum(partition.sequence for partition in partitions),
            sum(partition.accounts for partition in partitions),
            self.shard.active_accounts,
            len(self.quarantined(1000)),
            tuple((book, purse, units) for (book, purse), units in books.items()),
        )

    def figures(self) -> Snapshot:
        """What the shard has counted, for the gateway's metrics."""
        return self.shard.snapshot()

    def directory(self) -> str:
        """Where the store lies, on the machine that the shard runs on."""
        return str(self._open.directory)

    def stage(self, name: str) -> StagedStore:
        """Catches the store as it is between two batches, for a backup or a check."""
        return stage(name, self._open)

    def close(self) -> None:
        """Writes the head and lets go of the store."""
        self._open.close()


def _open_on_disk(spec: ShardSpec) -> OpenStore:
    return open_store(
        Path(spec.directory),
        merchant_id=spec.settings.merchant,
        kind=StoreKind.SHARD,
        store_id=spec.store_id,
        generation=spec.generation,
    )


def when_unlocked(open_it: Callable[[], OpenStore]) -> OpenStore:
    """Opens a store, waiting a bounded time for an owner that is just ending to let go of it."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return open_it()
        except StoreLocked:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOCK_POLL_SECONDS)


def _end_process(fault: Exception) -> None:
    """What was written is unknown after a fault here, so nothing more is answered from this process."""
    try:
        said = str(fault) if isinstance(fault, StoreError) else describe(fault)
        print(f"vafa: a shard stops: {said}", file=sys.stderr, flush=True)
    finally:  # the log may lie on the very disk that is full
        os._exit(FAULT_STATUS)
