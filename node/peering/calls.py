"""A partner that no stream reaches: what waits for it goes in calls of its own, one message each.

Some proxies cut or never pass a call that stays open, and yet pass short ones. Until a stream stands, each
`Deliver` takes one message there, and brings back what there is to say to it and what else waits at the
partner for this node. Nothing else changes: the same outbox and its bounds, the same order, the same
verification of everything that comes. What is lost on the way is sent again by whoever needs the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import structlog

from node.wire.coalition_frames import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from node.peering.link import PeerLink

CALLS_AFTER = 2
"""So many streams in a row could not be had before calls are tried."""
LOOK_SECONDS = 1.0
"""How soon it is noticed that a stream stands."""

log = structlog.get_logger()


class Calls(Protocol):
    """The partner's unary methods; None where a call failed."""

    async def unary(self, method: str, request: bytes) -> bytes | None:
        """Any method."""
        ...

    async def deliver(self, carried: bytes) -> Sequence[bytes] | None:
        """Hands a message over; gives what came back."""
        ...


async def speak_by_calls(link: PeerLink, calls: Calls) -> None:
    """Hands over what waits for the partner, as it comes, until a stream stands or a call fails.

    Whether calls reach the partner at all is asked first, by one that changes nothing (GetDirectory).
    """
    if await calls.unary("GetDirectory", b"") is None:
        return
    await link.reached_by_calls()
    log.info("peer_reached_by_calls", partner=link.partner_id)
    try:
        while not link.connected and await _one(link, calls):
            pass
    finally:
        link.by_calls = False
        log.info("peer_calls_ended", partner=link.partner_id, waiting=len(link.outbox))


async def _one(link: PeerLink, calls: Calls) -> bool:
    """One message, or a moment without any; False where the call failed, and the message waits on."""
    taken = link.outbox.take(1, MAX_FRAME_BYTES)
    if not taken:
        link.filled.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await link.filled.wait()
        return True
    came = None
    try:
        came = await calls.deliver(taken[0])
    finally:
        if came is None:
            link.outbox.put_back(taken)
    if came is None:
        return False
    link.called.add()
    for carried in came:
        await link.came(carried)
    return True
