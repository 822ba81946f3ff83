"""Ray, and nothing else of it anywhere: starts the private instance, places shards, hands batches over.

A shard is an actor with at-most-once calls: a call whose actor died may or may not have happened, and the ids
of the requests in it decide, never Ray. Where the configuration names a cluster, each shard is pinned by a
custom resource to the machine that holds its directory.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import shutil
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayActorError, RayError

from node.actors.batch_socket import BatchListener, BatchSender, fits
from node.actors.environment import calm_garbage_collector
from node.actors.host import ShardHost, ShardSpec
from node.actors.ports import ShardGone, ShardLost, ShardNotStarted
from node.config import RaySection
from node.logs import configure_logging
from node.storage.store import StoreError

PIN_SHARE = 0.001
"""How much of a machine's pin one shard takes: pins say where, they do not count."""


AWAY_SECONDS = 90.0
"""How long a shard of this machine may be away: it waits up to 45 s for its store, then recovers it."""

CLOSE_SECONDS = 15.0
"""How long the close of a store may take when the node stops."""


class _ShardActor:
    """The Ray shell: it forwards, and ends with its process.

    Where there is `batches`, a socket beside Ray, batches come over it on its own thread; the lock keeps the
    host to the one call at a time that it is made for.
    """

    def __init__(self, spec: ShardSpec, batches: Path | None) -> None:
        configure_logging(spec.log_level, spec.log_format)
        self._host = ShardHost(spec)
        self._one_at_a_time = threading.Lock()
        self._batches = batches
        self._listener: BatchListener | None = None
        # Ray restarts an actor with the arguments of its first start: its programmes may be old by now.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated, and still the only way to ask
            self._stale = ray.get_runtime_context().was_current_actor_reconstructed
        calm_garbage_collector()
        if not self._stale:
            self._listen()

    def apply(self, message: bytes) -> bytes:
        if self._stale:
            raise RuntimeError("the shard has restarted and waits for the present programme versions")
        with self._one_at_a_time:
            return self._host.apply(message)

    def publish(self, programmes: bytes) -> None:
        with self._one_at_a_time:
            self._host.publish(programmes)
        self._stale = False
        self._listen()

    def call(self, name: str, *arguments: Any) -> Any:
        with self._one_at_a_time:
            return getattr(self._host, name)(*arguments)

    def _listen(self) -> None:
        if self._batches is not None and self._listener is None:
            self._listener = BatchListener(self._batches, self.apply)


def start_ray(section: RaySection) -> None:
    """Starts the merchant's private Ray, or joins the cluster that the configuration names.

    `environment.prepare_ray` has been called before this module was imported. No worker processes are kept
    for tasks (num_cpus 0): the shards are the only work there is.
    """
    if section.address:
        ray.init(address=section.address, namespace="vafa", logging_level=logging.ERROR)
        return
    directory = section.temp_directory or tempfile.mkdtemp(prefix="vafa-")
    if not section.temp_directory:
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
    ray.init(
        address="local",  # never a Ray that happens to run on this machine
        num_cpus=0,
        object_store_memory=section.object_store_bytes,
        include_dashboard=False,
        namespace="vafa",
        logging_level=logging.ERROR,
        _temp_dir=directory,
    )


def stop_ray() -> None:
    """Ends this process's part in Ray, and with a private instance all of it."""
    ray.shutdown()


class RayShard:
    """A shard from the gateway's side."""

    def __init__(self, spec: ShardSpec, pin: str = "", batches: Path | None = None) -> None:
        actor = ray.remote(_ShardActor).options(
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,
            resources={pin: PIN_SHARE} if pin else None,
        )
        self.number = spec.number
        self._actor = actor.remote(spec, batches)
        self._batches = None if batches is None else BatchSender(batches)
        self._programmes = spec.programmes
        self._pinned = bool(pin)
        self._away_since: float | None = None
        self._coalition = spec.coalition
        self._cards = spec.cards

    async def started(self) -> None:
        """Returns once the store is open; raises what kept it from opening."""
        try:
            await self._actor.call.remote("sequences")
        except RayActorError as gone:
            raise ShardNotStarted(_cause(gone)) from gone

    async def apply(self, message: bytes) -> bytes:
        """Hands over a batch; raises ShardGone where its process ended with it in hand."""
        if self._batches is not None:
            return await self._batches.ask(message)
        try:
            return await self._actor.apply.remote(message)  # type: ignore[no-any-return]  # Ray's handles have no types
        except (RayError, StoreError) as gone:
            raise ShardGone(type(gone).__name__) from gone

    async def revived(self) -> None:
        """Returns once the shard answers again after a restart; raises ShardLost where there will be none."""
        while True:
            try:
                if self._coalition:
                    await self._actor.call.remote("join", self._coalition)
                if self._cards:
                    await self._actor.call.remote("take_cards", self._cards)
                await self._actor.publish.remote(self._programmes)
                return
            except RayError as gone:
                known = self._gone(gone)
                if isinstance(known, ShardLost):
                    raise known from gone
                await asyncio.sleep(0.05)

    async def publish(self, programmes: bytes) -> None:
        """Gives the shard the programme versions; one that is away gets them when it is back."""
        self._programmes = programmes
        with contextlib.suppress(RayError):
            await self._actor.publish.remote(programmes)

    async def join(self, coalition: bytes) -> None:
        """Gives the shard its part in a coalition; one that is away gets it when it is back."""
        self._coalition = coalition
        with contextlib.suppress(RayError):
            await self._actor.call.remote("join", coalition)

    async def take_cards(self, cards: bytes) -> None:
        """Gives the shard the keys for chip cards; one that is away gets them when it is back."""
        self._cards = cards
        with contextlib.suppress(RayError):
            await self._actor.call.remote("take_cards", cards)

    async def call(self, name: str, *arguments: Any) -> Any:
        """Any other method of the host; raises ShardGone, or ShardLost where it stays away."""
        try:
            answer = await self._actor.call.remote(name, *arguments)
        except RayError as gone:
            raise self._gone(gone) from gone
        self._away_since = None
        return answer

    def _gone(self, fault: RayError) -> ShardGone:
        """Whether it may come back. Ray starts a shard again, but not one that then could not open its store.

        Where Ray itself has lost a process of its own, a shard of this machine stays away for ever.
        """
        if isinstance(fault, ActorDiedError) and fault.actor_init_failed:
            return ShardLost(_cause(fault))
        now = monotonic()
        self._away_since = self._away_since or now
        if not self._pinned and now - self._away_since > AWAY_SECONDS:
            return ShardLost(f"Shard {self.number} has not come back for {AWAY_SECONDS:.0f} s.")
        return ShardGone(type(fault).__name__)

    async def close(self) -> None:
        """Closes the store in good order, within a bounded time, and ends the actor."""
        with contextlib.suppress(RayError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._actor.call.remote("close")
        if self._batches is not None:
            self._batches.close()
        ray.kill(self._actor, no_restart=True)


def _cause(gone: RayError) -> str:
    text = str(gone)
    for line in reversed(text.splitlines()):
        if "Store" in line and ":" in line:
            return line.split(":", 1)[1].strip()
    return text.splitlines()[-1] if text else "its process ended"


async def start_ray_shards(specs: Sequence[ShardSpec], pins: Sequence[str]) -> list[RayShard]:
    """Starts all shards, pinned where there are pins, and waits until every store is open.

    Shards of this machine get their batches over sockets; a pinned one, which may be on another, through Ray.
    """
    if pins:
        shards = [RayShard(spec, pins[at]) for at, spec in enumerate(specs)]
    else:
        sockets = _socket_directory()
        shards = [RayShard(spec, batches=_socket(sockets, at)) for at, spec in enumerate(specs)]
    await asyncio.gather(*(shard.started() for shard in shards))
    return shards


def _socket_directory() -> Path:
    """A directory for this process's sockets: nobody else's, and gone with it."""
    directory = tempfile.mkdtemp(prefix="vafa-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


def _socket(directory: Path, number: int) -> Path | None:
    path = directory / f"shard-{number}"
    return path if fits(path) else None
