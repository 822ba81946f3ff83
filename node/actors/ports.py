"""A shard from the gateway's side, wherever it runs: in a Ray actor, or in this process for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from node.actors.host import ShardHost, ShardSpec


class ShardGone(Exception):
    """The shard's process ended with a call in hand; whether it was done is not known yet."""


class ShardLost(ShardGone):
    """The shard's process ended and cannot start again by itself; the text says why and what to do."""


class ShardNotStarted(Exception):
    """A shard could not open its store; the text says why and what to do."""


class ShardHandle(Protocol):
    """What the gateway needs of a shard. Everything but `close` raises ShardGone where its process ended."""

    number: int

    async def apply(self, message: bytes) -> bytes:
        """Hands over a batch of commands; gives its answers."""
        ...

    async def call(self, name: str, *arguments: Any) -> Any:
        """Any other method of `ShardHost`."""
        ...

    async def publish(self, programmes: bytes) -> None:
        """Gives it the programme versions; one that is away gets them when it is back."""
        ...

    async def join(self, coalition: bytes) -> None:
        """Gives it its part in a coalition, a CoalitionSpec; one that is away gets it when it is back."""
        ...

    async def take_cards(self, cards: bytes) -> None:
        """Gives it the keys for chip cards, a CardsSpec; one that is away gets them when it is back."""
        ...

    async def revived(self) -> None:
        """Returns once it answers again; raises ShardLost where it never will."""
        ...

    async def close(self) -> None:
        """Closes its store in good order and ends it."""
        ...


StartShards = Callable[[Sequence[ShardSpec], Sequence[str]], Awaitable[Sequence[ShardHandle]]]
"""Starts a shard for each spec, at its pin where there are pins; raises ShardNotStarted."""


class LocalShard:
    """A shard in this process, on a thread of its own: no Ray, the same code."""

    def __init__(self, spec: ShardSpec, host: ShardHost) -> None:
        self.number = spec.number
        self.host = host
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"shard-{spec.number}")

    async def apply(self, message: bytes) -> bytes:
        """Hands over a batch."""
        return await self._on_thread(self.host.apply, message)  # type: ignore[no-any-return]  # the thread gives what `apply` gives

    async def call(self, name: str, *arguments: Any) -> Any:
        """Any other method of the host."""
        return await self._on_thread(getattr(self.host, name), *arguments)

    async def publish(self, programmes: bytes) -> None:
        """Gives it the programme versions."""
        await self._on_thread(self.host.publish, programmes)

    async def join(self, coalition: bytes) -> None:
        """Gives it its part in a coalition."""
        await self._on_thread(self.host.join, coalition)

    async def take_cards(self, cards: bytes) -> None:
        """Gives it the keys for chip cards."""
        await self._on_thread(self.host.take_cards, cards)

    async def revived(self) -> None:
        """It does not die alone."""

    async def close(self) -> None:
        """Closes its store."""
        await self._on_thread(self.host.close)
        self._thread.shutdown()

    async def _on_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)


async def start_local_shards(specs: Sequence[ShardSpec], pins: Sequence[str]) -> list[LocalShard]:
    """Shards in this process; pins mean nothing here."""
    return [LocalShard(spec, ShardHost(spec, abort=_raise)) for spec in specs]


def _raise(fault: Exception) -> None:
    raise ShardGone(type(fault).__name__) from fault
