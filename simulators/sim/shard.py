"""A shard in a simulation: the real host over a simulated disk and head, in a process of its own.

The gateway's `SimShard` is a `ShardHandle`: calls take time, keep their order, and end in ShardGone where the
process ends with them in hand. What the shard wrote outlives it; what it synced outlives the power.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec

from node.actors.host import ShardHost, ShardSpec
from node.actors.ports import ShardGone
from node.coalition.lanes import NONCE_BYTES
from node.storage.head import Head, HeadState, HeadWriter, verify_batches, verify_partitions
from node.storage.keyspace import PartitionMeta, partition_meta_key
from node.storage.meta import (
    OpenStore,
    StoreIdentity,
    StoreKind,
    current_head,
    journal_hash,
    owned_partitions,
    partition_heads,
    put_identity,
    put_ownership,
)
from node.storage.migrate import put_format
from node.storage.rocks import RocksStore
from node.storage.store import Batch, StoreError, StoreFailed
from node.wire.coalition_store import RESTORED, Restored
from simulators.sim.disk import Backup, Disk, SimStore
from simulators.sim.loop import SimLoop
from simulators.sim.process import Ended, Process
from simulators.sim.trace import Trace

HEAD_SECONDS = 0.02
"""How far the head is behind: `node.storage.head.INTERVAL_SECONDS`."""
HOP_SECONDS = (0.0002, 0.003)
"""Between gateway and shard, each way."""
WORK_SECONDS = (0.0005, 0.006)
"""A batch with its sync."""
NOTICE_SECONDS = 0.05
"""Until the gateway hears that a shard's process is gone."""


class SimHead:
    """The head of a simulated store. What is kept here is durable a moment later, if the process lives."""

    def __init__(self, shard: SimShard, state: HeadState, store: SimStore) -> None:
        self._shard = shard
        self._store = store
        self._heads = dict(state.partitions)
        self._waits = False

    def keep(self, partition: int, sequence: int, digest: bytes) -> None:
        """A partition has durably come to this sequence and hash."""
        self._heads[partition] = Head(sequence, digest)
        self.touch()

    def touch(self) -> None:
        """A batch was synced."""
        if not self._waits:
            self._waits = True
            process = self._shard.process
            assert process is not None
            process.call_later(HEAD_SECONDS, self._write)

    def _write(self) -> None:
        self._waits = False
        self._shard.head = msgspec.structs.replace(
            self._shard.head, partitions=dict(self._heads), synced_batches=self._store.synced_batches()
        )

    def close(self) -> None:
        """Writes it now."""
        self._write()


class SimShard:
    """One shard, with its disk and head, through all its lives.

    `on_step` is told of every durable step before it is taken or after, and may end the process there by
    raising `Ended`; `on_end` is told when the process has ended by itself, with why.
    """

    def __init__(
        self,
        loop: SimLoop,
        spec: ShardSpec,
        partitions: list[int],
        *,
        clock: Callable[[], int],
        on_step: Callable[[int, str], None],
        on_end: Callable[[int, str], None],
        trace: Trace,
        chance: random.Random,
    ) -> None:
        self.number = spec.number
        self.spec = spec
        self.disk = Disk(chance)
        self.process: Process | None = None
        self.host: ShardHost | None = None
        self._loop = loop
        self._name = f"{spec.settings.merchant}/shard-{spec.number}"
        self._clock = clock
        self._on_step = on_step
        self._on_end = on_end
        self._trace = trace
        self._chance = chance
        self._calls: deque[tuple[str, tuple[Any, ...], asyncio.Future[Any], Process]] = deque()
        self._arrives_at = 0.0
        self._working = False
        self._up = asyncio.Event()
        self.identity = StoreIdentity(
            spec.store_id, StoreKind.SHARD, spec.settings.merchant, spec.settings.partitions
        )
        self.head = self._create(partitions)

    def _create(self, partitions: list[int]) -> HeadState:
        store = self.disk.open(lambda step: None)
        batch = Batch()
        put_identity(batch, self.identity)
        put_format(batch)
        for partition in partitions:
            put_ownership(batch, partition, self.identity.generation)
        store.write(batch)
        store.sync()
        head = current_head(store, self.identity)
        self.disk.let_go()
        return head

    # --- its life -------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process over what the disk holds. Raises StoreError where it may not open it."""
        assert self.process is None
        process = self.process = Process(self._loop, self._name)
        try:
            self.host = ShardHost(self.spec, abort=self._abort, open_it=self._open, clock=self._clock)
        except StoreError:
            process.end()
            self.process = None
            self.disk.let_go()
            raise
        abroad = self.host.shard._abroad
        if abroad is not None:
            # What the host has drawn by itself while it was made is drawn anew, so that a seed says it all.
            abroad.entropy = self._chance.randbytes
            abroad._acquirer._opens._nonce = self._chance.randbytes(NONCE_BYTES)
        self._working = False
        self._up.set()

    def _open(self, spec: ShardSpec) -> OpenStore:
        store = self.disk.open(lambda step: self._on_step(self.number, step))
        hosted = owned_partitions(store)
        verify_batches(self.head.synced_batches, store.synced_batches())
        verify_partitions(self.head, partition_heads(store, hosted), journal_hash(store))
        head = SimHead(self, current_head(store, self.identity), store)
        return OpenStore(
            Path(spec.directory), cast(RocksStore, store), self.identity, cast(HeadWriter, head), hosted
        )

    def end(self, *, power: bool = False) -> None:
        """Ends the process where it stands; with the power, what was not synced is gone as well."""
        if self.process is None:
            if power:
                self.disk.cut_power()
            return
        self.process.end()
        self.process, self.host = None, None
        self._up.clear()
        lost = 0
        if power:
            lost = self.disk.cut_power()
        else:
            self.disk.let_go()
        self._trace.note(self._name, f"ended; {lost} batches lost")
        calls, self._calls = self._calls, deque()
        for _, _, future, caller in calls:
            caller.call_later(NOTICE_SECONDS, _gone, future, self._name)

    def restore(self, backup: Backup, *, marked: bool) -> None:
        """Puts an old backup in the place of everything, head and all.

        `marked` as `vafa restore` does, so that the node knows of it; else as a snapshot of a machine is
        put back, of which it cannot know.
        """
        assert self.process is None
        self.disk.roll_back(backup)
        if marked:
            store = self.disk.open(lambda step: None)
            batch = Batch()
            for partition in owned_partitions(store):
                key = partition_meta_key(partition, PartitionMeta.RESTORED)
                before = store.get(key)
                generation = 0 if before is None else RESTORED.decode(before).generation
                batch.put(key, RESTORED.encode(Restored(self._clock(), generation=generation + 1)))
            store.write(batch)
            store.sync()
            self.disk.let_go()
        self.head = current_head(self.disk.read(), self.identity)

    def _abort(self, fault: Exception) -> None:
        """The host ends its process: what it wrote is unknown, so some of it may be gone."""
        self._trace.note(self._name, f"aborts: {type(fault).__name__}")
        cause = "the disk failed" if isinstance(fault, StoreFailed) else f"a fault: {fault!r}"
        self._on_end(self.number, cause)
        raise Ended

    # --- what the gateway sees ------------------------------------------------------------------

    async def apply(self, message: bytes) -> bytes:
        """Hands over a batch of commands."""
        return await self.call("apply", message)  # type: ignore[no-any-return]  # what `apply` of a host gives

    async def call(self, name: str, *arguments: Any) -> Any:
        """Any method of the host, after all calls before it."""
        if self.process is None:
            await asyncio.sleep(NOTICE_SECONDS)
            raise ShardGone(self._name)
        caller = self._loop.owner.get()
        assert isinstance(caller, Process)
        future = self._loop.create_future()
        self._arrives_at = max(self._arrives_at, self._loop.time() + self._chance.uniform(*HOP_SECONDS))
        self._calls.append((name, arguments, future, caller))
        if not self._working:
            self._working = True
            self.process.call_later(self._arrives_at - self._loop.time(), self._serve)
        return await future

    def _serve(self) -> None:
        """Does the call that came first, and goes on while there are more."""
        assert self.host is not None
        assert self.process is not None
        name, arguments, future, caller = self._calls[0]
        process = self.process
        try:
            # The figures are of this machine's memory and clock: nothing of them belongs to a simulation.
            result: Any = {} if name == "figures" else getattr(self.host, name)(*arguments)
        except Ended:
            return
        except Exception as fault:  # as Ray would hand it to the caller
            self._trace.note(self._name, f"{name} raised {type(fault).__name__}")
            self._calls.popleft()
            caller.call_later(self._chance.uniform(*HOP_SECONDS), _fails, future, fault)
        else:
            if name == "apply":
                self._trace.note(self._name, "batch", result)
            self._calls.popleft()
            caller.call_later(self._chance.uniform(*HOP_SECONDS), _answers, future, result)
        if self._calls:
            process.call_later(self._chance.uniform(*WORK_SECONDS), self._serve)
        else:
            process.call_later(self._chance.uniform(*WORK_SECONDS), self._rest)

    def _rest(self) -> None:
        if self._calls:
            self._serve()
        else:
            self._working = False

    async def publish(self, programmes: bytes) -> None:
        """Gives it the programme versions."""
        await self.call("publish", programmes)

    async def join(self, coalition: bytes) -> None:
        """Gives it its part in a coalition."""
        await self.call("join", coalition)

    async def take_cards(self, cards: bytes) -> None:
        """Gives it the keys for chip cards."""
        await self.call("take_cards", cards)

    async def revived(self) -> None:
        """Returns once its process is there again."""
        await self._up.wait()

    async def close(self) -> None:
        """Ends it in good order."""
        self.end()


def _answers(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fails(future: asyncio.Future[Any], fault: Exception) -> None:
    if not future.done():
        future.set_exception(fault)


def _gone(future: asyncio.Future[Any], name: str) -> None:
    if not future.done():
        future.set_exception(ShardGone(name))
