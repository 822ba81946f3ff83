"""The journal feed: entries as they are durable, partition by partition, from a cursor on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from node.actors.ports import ShardGone, ShardHandle
from node.ledger.refusals import Reason, Refused, refuse
from node.proto.vafa.feed.v1 import feed_service_pb2 as pb
from node.proto.vafa.feed.v1 import feed_service_pb2_grpc
from node.rpc.admission import CALLER
from node.rpc.status import Context, fail
from node.telemetry import FEED_LAG, Figures
from node.wire.feed import cursor_from, cursor_of, journal_entry
from node.wire.records import decode_entry

PAGE_ENTRIES = 500
POLL_SECONDS = 0.2
HEARTBEAT_SECONDS = 15.0
"""How often an idle feed says that it lives."""


class FeedService(feed_service_pb2_grpc.FeedServiceServicer):
    """See the proto."""

    def __init__(self, shards: Sequence[ShardHandle], partitions: int, figures: Figures) -> None:
        self._shards = shards
        self._partitions = partitions
        self._figures = figures

    async def Follow(self, request: pb.FollowRequest, context: Context) -> AsyncIterator[pb.FollowResponse]:
        """Streams entries from a cursor on."""
        seen = cursor_from(request.cursor, self._partitions)
        if isinstance(seen, Refused):
            await fail(context, seen)
            return
        try:
            async for response in self._follow(seen, stop_at_end=request.stop_at_end):
                yield response
        except ShardGone:
            again = refuse(
                Reason.UNAVAILABLE, "A part of the node is restarting; go on with the last cursor."
            )
            await fail(context, again)

    async def _follow(self, seen: dict[int, int], *, stop_at_end: bool) -> AsyncIterator[pb.FollowResponse]:
        idle_seconds, lag = 0.0, self._figures.count(FEED_LAG, CALLER.get().id)
        while True:
            behind = await self._behind(seen)
            lag.set(sum(last - seen.get(partition, 0) for _, partition, last in behind))
            for shard, partition, _ in behind:
                page = await shard.call("entries", partition, seen.get(partition, 0), PAGE_ENTRIES)
                entries = [journal_entry(partition, decode_entry(data)) for _, data in page]
                if entries:
                    seen[partition] = page[-1][0]
                    yield pb.FollowResponse(entries=entries, cursor=cursor_of(seen))
            if behind:
                idle_seconds = 0.0
                continue
            if stop_at_end:
                yield pb.FollowResponse(cursor=cursor_of(seen))
                return
            await asyncio.sleep(POLL_SECONDS)
            idle_seconds += POLL_SECONDS
            if idle_seconds >= HEARTBEAT_SECONDS:
                idle_seconds = 0.0
                yield pb.FollowResponse(cursor=cursor_of(seen))

    async def _behind(self, seen: dict[int, int]) -> list[tuple[ShardHandle, int, int]]:
        """(shard, partition, last sequence) of every partition that has more than was seen."""
        found = []
        for shard in self._shards:
            sequences: dict[int, int] = await shard.call("sequences")
            found += [
                (shard, number, last) for number, last in sequences.items() if last > seen.get(number, 0)
            ]
        return found
