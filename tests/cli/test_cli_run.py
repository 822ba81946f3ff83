"""`vafa run` ends, and says why, when a shard is lost that only a new start can bring back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from node import app
from node import config as configuration
from node.actors import placement, ports
from node.actors.host import ShardSpec
from node.actors.ports import LocalShard, ShardGone, ShardLost, ShardNotStarted
from tests.cli.cli_shop import Shop

SECONDS = 60.0
WHY = "Opening the store failed (No space left on device). Free space."


async def starting(specs: Sequence[ShardSpec], pins: Sequence[str]) -> list[LocalShard]:
    """Shards that answer while the node starts, and then one of them is lost."""
    shards = await ports.start_local_shards(specs, pins)
    sound = shards[0].call

    async def call(name: str, *arguments: Any) -> Any:
        if name == "figures":
            raise ShardLost(WHY)
        return await sound(name, *arguments)

    shards[0].call = call  # type: ignore[method-assign]  # a double
    return shards


def test_a_node_whose_shard_cannot_start_again_stops_with_the_reason(shop: Shop) -> None:
    async def run() -> None:
        async with asyncio.timeout(SECONDS):
            await app.serve(configuration.load(shop.config_path), starting, None)

    with pytest.raises(ShardNotStarted, match="No space left on device") as told:
        asyncio.run(run())
    assert "Everything acknowledged is kept" in str(told.value)
    assert shop.local("check").status == 0  # whatever was open was closed in good order


class Actor:
    """A Ray actor of which only this is known: each call is refused with the next of these faults."""

    def __init__(self, faults: list[Exception]) -> None:
        self.faults = faults
        self.call = self.publish = self

    async def remote(self, *arguments: Any) -> None:
        raise self.faults.pop(0)


def shard_with(*faults: Exception, pinned: bool = False) -> placement.RayShard:
    """A shard whose actor's calls end so."""
    shard = placement.RayShard.__new__(placement.RayShard)
    shard.number, shard._actor, shard._programmes = 0, Actor(list(faults)), b""
    shard._pinned, shard._away_since, shard._coalition = pinned, None, b""
    shard._cards = b""
    return shard


async def test_a_shard_is_lost_when_it_could_not_start_again_and_not_while_it_restarts() -> None:
    from ray.exceptions import ActorDiedError, ActorUnavailableError

    away, ended = ActorUnavailableError("away", None), ActorDiedError()
    failed = ActorDiedError()
    failed._actor_init_failed = True
    shard = shard_with(ended, away, ended, failed)
    for _ in range(3):
        with pytest.raises(ShardGone) as gone:
            await shard.call("figures")
        assert not isinstance(gone.value, ShardLost)
    with pytest.raises(ShardLost):
        await shard.call("figures")
    with pytest.raises(ShardLost):
        await shard_with(ended, away, failed).revived()


async def test_a_shard_that_stays_away_is_lost_unless_it_is_another_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray.exceptions import ActorDiedError

    away_seconds = placement.AWAY_SECONDS
    for pinned in (False, True):
        shard = shard_with(*[ActorDiedError()] * 3, pinned=pinned)
        told = []
        for seconds in (100.0, 100.0 + away_seconds, 101.0 + away_seconds):
            monkeypatch.setattr(placement, "monotonic", lambda seconds=seconds: seconds)
            with pytest.raises(ShardGone) as gone:
                await shard.call("figures")
            told.append(isinstance(gone.value, ShardLost))
        assert told == [False, False, not pinned]
