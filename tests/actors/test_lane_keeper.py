"""Lanes are opened after every start, and what is due is sent again, for as long as it takes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest

from node.actors import lane_keeper
from node.actors.lane_keeper import LaneKeeper
from node.coalition.caps import Slice
from node.coalition.messages import ExchangeReason
from node.storage.keyspace import partner_partition
from node.wire.coalition_records import LANE_WISH, Outcome, Said
from node.wire.commands import Op
from tests.wire.coalition_terms import SOUND

PARTITIONS = 3


class World:
    """A gateway whose shards open a lane once they were asked `patience` times."""

    own_id = "saffron"

    def __init__(self) -> None:
        self.patience = 1
        self.asked: list[tuple[Op, int]] = []
        self.up = True
        self.now = 1_000_000
        self.due_ms = 0
        self.router = type("Router", (), {"partitions": PARTITIONS})()
        self.directories = type("Directories", (), {"known": type("Known", (), {"newest": SOUND})()})()
        self.links = self
        self.greeted: Callable[[str], None] = lambda partner_id: None
        self.noted: Callable[[int, Outcome], None] = lambda partition, outcome: None
        self.unopened: Callable[[str], None] = lambda partner_id: None

    def connected(self, partner_id: str) -> bool:
        return self.up and partner_id == "nile"

    def clock_ms(self) -> int:
        return self.now

    async def do(self, op: Op, partition: int, body: bytes) -> Outcome:
        self.asked.append((op, partition))
        ready: tuple[str, ...] = ()
        if op in (Op.HOME_HELLO, Op.ACQUIRER_HELLO) and self.times(op, partition) >= self.patience:
            ready = LANE_WISH.decode(body).partner_ids
        outcome = Outcome(ready=ready, due_ms=self.due_ms if op is Op.ACQUIRER_DUE else 0)
        self.noted(partition, outcome)
        return outcome

    def times(self, op: Op, partition: int) -> int:
        return self.asked.count((op, partition))


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, LaneKeeper]]:
    monkeypatch.setattr(lane_keeper, "HELLO_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(lane_keeper, "HELLO_LONGEST_SECONDS", 0.002)
    monkeypatch.setattr(lane_keeper, "TICK_SECONDS", 3600.0)
    made = World()
    keeper = LaneKeeper(made, random.Random(1))  # type: ignore[arg-type]  # a double
    yield made, keeper
    await keeper.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - conditions of many kinds
            await asyncio.sleep(0.001)


async def test_a_connection_opens_every_lane_and_stops_asking_once_they_are(
    world: tuple[World, LaneKeeper],
) -> None:
    made, keeper = world
    keeper.greet("nile")
    await until(lambda: keeper.lanes_open("nile") == PARTITIONS)
    await until(lambda: keeper._opening["nile"].done())
    assert made.times(Op.HOME_HELLO, 0) == 1


async def test_hello_is_said_again_until_it_is_answered(world: tuple[World, LaneKeeper]) -> None:
    made, keeper = world
    made.patience = 4
    keeper.greet("nile")
    await until(lambda: keeper._opening["nile"].done())
    assert [made.times(Op.HOME_HELLO, at) for at in range(PARTITIONS)] == [4] * PARTITIONS


async def test_nothing_is_said_to_a_partner_that_is_gone(world: tuple[World, LaneKeeper]) -> None:
    made, keeper = world
    made.patience = 1 << 30
    keeper.greet("nile")
    await until(lambda: made.times(Op.HOME_HELLO, 0) > 2)
    made.up = False
    await until(lambda: keeper._opening["nile"].done())


async def test_a_shard_that_started_anew_has_its_lanes_opened_again(world: tuple[World, LaneKeeper]) -> None:
    made, keeper = world
    keeper.greet("nile")
    await until(lambda: keeper._opening["nile"].done())
    not_ready = int(ExchangeReason.LANE_NOT_READY)
    keeper.note(1, Outcome(refused=not_ready, says=(Said("zagros", b""),)))
    assert keeper.lanes_open("nile") == PARTITIONS, "it is another partner's lane that is shut"
    keeper.note(1, Outcome(refused=not_ready, says=(Said("nile", b""),)), by_home=False)
    assert keeper.lanes_open("nile") == PARTITIONS, "what an acquirer says to nile is about another's lane"
    keeper.note(1, Outcome(refused=not_ready, says=(Said("nile", b""),)))
    assert keeper.lanes_open("nile") == PARTITIONS - 1
    await until(lambda: keeper.lanes_open("nile") == PARTITIONS)
    assert made.times(Op.HOME_HELLO, 0) == 1
    assert made.times(Op.HOME_HELLO, 1) == 2


async def test_a_shard_that_started_anew_asks_for_hello_as_soon_as_it_is_spoken_to(
    world: tuple[World, LaneKeeper],
) -> None:
    made, keeper = world
    keeper.greet("nile")
    await until(lambda: keeper._opening["nile"].done())
    partition = partner_partition("nile", PARTITIONS)
    before = made.times(Op.ACQUIRER_HELLO, partition)
    made.patience = before + 3
    for _ in range(5):  # a whole batch comes on lanes that are not open yet: it is asked for once
        made.unopened("nile")
    await until(lambda: keeper._opening["nile"].done())
    assert made.times(Op.ACQUIRER_HELLO, partition) == before + 3
    made.unopened("zagros")  # never heard of: whoever connects is greeted anyway
    assert "zagros" not in keeper._opening


async def test_after_a_start_everything_is_looked_at_and_then_what_is_due_when_it_is(
    world: tuple[World, LaneKeeper],
) -> None:
    made, keeper = world
    partitions = {partner_partition(name, PARTITIONS) for name in ("nile", "zagros")}
    keeper.start()
    await until(lambda: {at for op, at in made.asked if op is Op.ACQUIRER_DUE} == partitions)
    (some, *_) = partitions
    before = made.times(Op.ACQUIRER_DUE, some)
    keeper.note(some, Outcome(due_ms=made.now + 3_600_000))
    await asyncio.sleep(0)
    assert made.times(Op.ACQUIRER_DUE, some) == before
    keeper.note(some, Outcome(due_ms=made.now))  # sooner than what was known
    await until(lambda: made.times(Op.ACQUIRER_DUE, some) == before + 1)


async def test_a_partition_that_lacks_a_part_of_a_cap_has_the_others_asked_for_it(
    world: tuple[World, LaneKeeper],
) -> None:
    made, keeper = world
    keeper.start()
    await until(lambda: made.times(Op.LEASE_LOOK, PARTITIONS - 1) == 2)  # the sweep at a start, per partner
    keeper.note(1, Outcome(short=(("nile", Slice(home_units=10)),)))
    await until(lambda: made.times(Op.LEASE_LOOK, PARTITIONS - 1) == 3)


async def test_what_a_shard_wrote_before_it_ended_without_an_answer_is_found_to_be_due(
    world: tuple[World, LaneKeeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, keeper = world
    monkeypatch.setattr(lane_keeper, "TICK_SECONDS", 0.001)
    keeper.start()
    partition = partner_partition("nile", PARTITIONS)
    # Nothing is known to be due: each look finds nothing, and no answer says when the next one is worth it.
    await until(lambda: made.times(Op.ACQUIRER_DUE, partition) > 3)
