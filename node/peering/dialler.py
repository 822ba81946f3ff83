"""Dialling one partner while no connection stands: its endpoints in turn, backing off with jitter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import grpc
import structlog

from node.identity.peers import PeerIdentity
from node.peering.calls import CALLS_AFTER, speak_by_calls
from node.peering.channels import dial, link_call, unary
from node.peering.connection import Connection
from node.peering.link import PeerLink
from node.peering.ports import PartnerEntry
from node.telemetry import PEER_DIALS, Figures
from node.wire.coalition_frames import FrameUnreadable, deliver_bytes, read_delivered

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
CONNECT_SECONDS = 10.0
UNARY_SECONDS = 20.0
STANDS_SECONDS = 1.0
"""A stream that ends before has not stood: something between the two cuts it, or the partner does."""

log = structlog.get_logger()


def delay_seconds(failures: int, chance: random.Random) -> float:
    """How long to wait after so many failures in a row: doubling, full jitter, and never above the longest.

    A tenth stays certain, so that a partner that refuses at once is not dialled in a tight loop.
    """
    most = min(FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_DELAY_SECONDS)
    return most * (0.1 + 0.9 * chance.random())


class Dialler:
    """Keeps one partner's link connected, where it can be dialled; also the way for unary calls."""

    def __init__(
        self,
        entry: PartnerEntry,
        identity: PeerIdentity,
        link: PeerLink,
        figures: Figures,
        chance: random.Random,
    ) -> None:
        self.entry = entry
        self._identity = identity
        self._link = link
        self._chance = chance
        self._dialled = figures.count(PEER_DIALS, entry.partner_id, "connected")
        self._failed = figures.count(PEER_DIALS, entry.partner_id, "failed")
        self._endpoint = entry.endpoints[0] if entry.endpoints else ""  # dialled last
        self._channel: grpc.aio.Channel | None = None  # the stream's, for unary calls too
        self._calling: grpc.aio.Channel | None = None  # of calls, while no stream can be had
        self._calls: asyncio.Task[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run()) if entry.endpoints else None

    async def close(self) -> None:
        """Ends dialling, and what was dialled."""
        tasks = [task for task in (self._task, self._calls) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._channel is not None:
            await self._channel.close()

    async def unary(self, method: str, request: bytes) -> bytes | None:
        """A unary call, over a channel that stands or a new one to where was dialled last; None where it
        fails.
        """
        if not self.entry.endpoints:
            return None
        kept = self._calling or self._channel
        channel = kept or dial(self.entry, self._endpoint, self._identity)
        try:
            return await unary(channel, method, request, UNARY_SECONDS)
        except grpc.RpcError:
            return None
        finally:
            if channel is not kept:
                await channel.close()

    async def deliver(self, carried: bytes) -> Sequence[bytes] | None:
        """Hands one message over in a call of its own; what came back, or None where nothing readable did."""
        answer = await self.unary("Deliver", deliver_bytes(carried))
        try:
            return None if answer is None else read_delivered(answer)
        except FrameUnreadable:
            return None

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._link.disconnected()
            self._endpoint = self.entry.endpoints[failures % len(self.entry.endpoints)]
            # The first time too: when many nodes come back after a power cut they must not all dial at once.
            await asyncio.sleep(delay_seconds(max(failures, 1), self._chance))
            if self._link.connected:
                continue
            connected = await self._once(self._endpoint)
            failures = 1 if connected else failures + 1
            idle = self._calls is None or self._calls.done()
            if failures > CALLS_AFTER and idle and not self._link.connected:
                self._calls = asyncio.get_running_loop().create_task(self._speak_by_calls())

    async def _speak_by_calls(self) -> None:
        """Beside further tries of a stream: over a channel of its own for as long as calls pass."""
        self._calling = dial(self.entry, self._endpoint, self._identity)
        try:
            await speak_by_calls(self._link, self)
        finally:
            channel, self._calling = self._calling, None
            await channel.close()

    async def _once(self, endpoint: str) -> bool:
        """One connection, to its end; False where none came to stand."""
        loop = asyncio.get_running_loop()
        channel = dial(self.entry, endpoint, self._identity)
        call = link_call(channel)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await call.initial_metadata()  # the dialled side sends it as soon as it has admitted the call
                if call.done():
                    code = await call.code()
                    if code is grpc.StatusCode.ALREADY_EXISTS:
                        return True  # the partner keeps the one that this node is about to hear of
                    return self._not_connected(endpoint, code.name)
            self._dialled.add()
            self._channel, began = channel, loop.time()
            await self._link.run(Connection(call, self._identity.partner_id, call.cancel, call.done_writing))
        except TimeoutError:
            return self._not_connected(endpoint, "TIMEOUT")
        except grpc.aio.AioRpcError as problem:
            return self._not_connected(endpoint, problem.code().name)
        finally:
            self._channel = None
            call.cancel()
            await channel.close()
        return loop.time() - began >= STANDS_SECONDS or self._link.connected

    def _not_connected(self, endpoint: str, status: str) -> bool:
        self._failed.add()
        log.info("peer_dial_failed", partner=self.entry.partner_id, endpoint=endpoint, status=status)
        return False
