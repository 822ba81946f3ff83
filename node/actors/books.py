"""The whole node's books: caught at one moment over all shards, for backups, checks and totals."""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from node.actors.ports import ShardHandle
from node.actors.router import Router
from node.storage.backup import StagedStore, complete, copy_staged, prepare_destination, stage
from node.storage.check import Findings, check_store
from node.storage.manifest import Manifest
from node.storage.meta import DATABASE, OpenStore
from node.storage.rocks import RocksStore


class Books:
    """All stores of a running node together."""

    def __init__(self, router: Router, shards: Sequence[ShardHandle], control: OpenStore) -> None:
        self._router = router
        self._shards = shards
        self._control = control
        self._one_at_a_time = asyncio.Lock()

    async def _stage(self) -> list[StagedStore]:
        """Every store at one moment: shards between two batches, control between two changes."""
        async with self._router.held():
            names = [Path(await shard.call("directory")).name for shard in self._shards]
            staged = await asyncio.gather(
                *(shard.call("stage", name) for shard, name in zip(self._shards, names, strict=True))
            )
            return [*staged, stage(self._control.directory.name, self._control)]

    async def back_up(self, destination: Path) -> Manifest:
        """Writes a backup of all stores to a new directory while the node serves."""
        async with self._one_at_a_time:
            prepare_destination(destination)
            staged = await self._stage()
            copied = [await asyncio.to_thread(copy_staged, one, destination) for one in staged]
            return complete(destination, staged[0].identity, copied, time.time_ns() // 1_000_000)

    async def check(self) -> Findings:
        """Proves the books as they are at this moment, from copies, in a process of its own."""
        async with self._one_at_a_time:
            staged = await self._stage()
            findings = Findings(problems=[], books={})
            loop = asyncio.get_running_loop()
            # Spawned, never forked: a live gRPC server does not survive a fork.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                for one in staged:
                    if one.owned:
                        findings.add(
                            await loop.run_in_executor(pool, _check_staged, one.path, tuple(one.owned))
                        )
                    await asyncio.to_thread(shutil.rmtree, one.path)
            findings.finish()
            return findings


def _check_staged(path: str, partitions: tuple[int, ...]) -> Findings:
    store = RocksStore(Path(path) / DATABASE)
    try:
        return check_store(store, partitions)
    finally:
        store.close()
