"""The router: batches that grow by themselves, a bound that refuses, order that a crash does not change."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from node.actors import router as module
from node.actors.ports import ShardGone
from node.actors.router import Router
from node.ledger.refusals import Reason
from node.wire.commands import Answer, AnswerKind, Command, Op, decode_commands, done, encode

PARTITIONS = 4


class Shard:
    """A shard that answers each command with its own name, when it is told to."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.batches: list[list[str]] = []
        self.done: list[str] = []
        self.dies: Counter[str] = Counter()
        """How often the shard dies of a batch that begins with a command of that name, before it is done."""
        self.comes_back = True
        self.turn = asyncio.Event()
        self.turn.set()

    async def apply(self, message: bytes) -> bytes:
        names = [command.trace_id for command in decode_commands(message)]
        self.batches.append(names)
        await self.turn.wait()
        if self.dies[names[0]]:
            self.dies[names[0]] -= 1
            raise ShardGone("its process ended")
        self.done += names
        return encode([done(name.encode()) for name in names])

    async def call(self, name: str, *arguments: Any) -> Any:
        raise AssertionError(name)

    async def publish(self, programmes: bytes) -> None:
        raise AssertionError("nothing is published here")

    async def join(self, coalition: bytes) -> None:
        raise AssertionError("nobody joins here")

    async def take_cards(self, cards: bytes) -> None:
        raise AssertionError("nobody shows cards here")

    async def revived(self) -> None:
        if not self.comes_back:
            raise ShardGone("it does not come back")
        for _ in range(10):  # a process takes its time to start; all that it had in hand is known by then
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Nothing to close."""


def command(name: str, partition: int = 0) -> Command:
    """A command that goes by its name."""
    return Command(Op.ACCRUE, partition, b"", b"", "", "", "", name, b"")


def route(*shards: Shard, queue_limit: int = 100, batch_limit: int = 10) -> Router:
    """A router before some shards, which host the partitions in turn."""
    placement = {number: number % len(shards) for number in range(PARTITIONS)}
    return Router(shards, placement, queue_limit=queue_limit, batch_limit=batch_limit)


def names(answers: list[Answer]) -> list[str]:
    """What each answer says."""
    return [answer.body.decode() if answer.kind == AnswerKind.DONE else "?" for answer in answers]


async def ask_all(router: Router, count: int) -> list[asyncio.Task[Answer]]:
    """Asks one by one, all at once; the tasks, each of which has been queued."""
    tasks = [asyncio.create_task(router.ask(command(str(number)))) for number in range(count)]
    await asyncio.sleep(0)
    return tasks


async def until(condition: Callable[[], bool]) -> None:
    """Lets the others go on until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


async def test_a_lone_command_waits_for_nobody() -> None:
    shard = Shard()
    assert names([await route(shard).ask(command("a"))]) == ["a"]
    assert shard.batches == [["a"]]


async def test_a_few_that_come_while_a_batch_is_under_way_are_the_next_batch_together() -> None:
    shard = Shard()
    shard.turn.clear()
    router, tasks = route(shard), []
    for count in (1, 3, 5):
        tasks += await ask_all(router, count)
        await asyncio.sleep(0)
    assert list(map(len, shard.batches)) == [1]
    shard.turn.set()
    await asyncio.gather(*tasks)
    assert list(map(len, shard.batches)) == [1, 8]


async def test_many_that_come_while_a_batch_is_under_way_are_sent_beside_it_and_no_third_batch_is() -> None:
    shard = Shard()
    shard.turn.clear()
    router, tasks = route(shard, batch_limit=10), []
    for count in (1, 10, 10):
        tasks += await ask_all(router, count)
        await asyncio.sleep(0)
    assert list(map(len, shard.batches)) == [1, 10]
    shard.turn.set()
    await asyncio.gather(*tasks)
    assert list(map(len, shard.batches)) == [1, 10, 10]


async def test_no_batch_is_larger_than_its_bound() -> None:
    shard = Shard()
    answers = await route(shard, batch_limit=4).ask_many([command(str(number)) for number in range(30)])
    assert names(answers) == [str(number) for number in range(30)]
    assert max(map(len, shard.batches)) == 4


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment for which a batch waits is an hour."""
    monkeypatch.setattr(module, "GATHER_SECONDS", 3_600.0)


async def turns() -> None:
    """Lets everybody do what can be done now."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("patient")
async def test_after_a_batch_of_many_the_next_is_sent_once_it_has_enough() -> None:
    shard = Shard()
    router = route(shard, batch_limit=100)
    await asyncio.gather(*await ask_all(router, module.MANY))
    tasks = await ask_all(router, module.GATHERED - 1)
    await turns()
    assert list(map(len, shard.batches)) == [module.MANY]
    tasks += await ask_all(router, 1)
    await asyncio.gather(*tasks)
    assert list(map(len, shard.batches)) == [module.MANY, module.GATHERED]


@pytest.mark.usefixtures("patient")
async def test_after_a_batch_of_few_nobody_waits() -> None:
    shard = Shard()
    router = route(shard)
    await asyncio.gather(*await ask_all(router, module.MANY - 1))
    assert names([await router.ask(command("a"))]) == ["a"]


@pytest.mark.usefixtures("patient")
async def test_who_waits_for_a_batch_to_grow_is_answered_before_the_node_stops() -> None:
    shard = Shard()
    router = route(shard)
    await asyncio.gather(*await ask_all(router, module.MANY))
    tasks = await ask_all(router, 1)
    await turns()
    assert not tasks[0].done()
    await router.drain()
    assert names(await asyncio.gather(*tasks)) == ["0"]


@pytest.mark.usefixtures("patient")
async def test_a_full_batch_waits_for_nobody() -> None:
    shard = Shard()
    router = route(shard, batch_limit=module.MANY)
    for _ in range(2):
        await asyncio.wait_for(asyncio.gather(*await ask_all(router, module.MANY)), 10)
    assert list(map(len, shard.batches)) == [module.MANY] * 2


async def test_a_node_that_stops_has_no_third_batch_under_way() -> None:
    shard = Shard()
    shard.turn.clear()
    router, tasks = route(shard, batch_limit=10), []
    for count in (10, 10, 10):
        tasks += await ask_all(router, count)
        await turns()
    draining = asyncio.create_task(router.drain())
    await turns()
    assert len(shard.batches) == module.IN_FLIGHT
    shard.turn.set()
    await draining
    assert list(map(len, shard.batches)) == [10, 10, 10]
    await asyncio.gather(*tasks)


async def test_nobody_waits_longer_than_a_moment() -> None:
    router = route(Shard())
    await asyncio.gather(*await ask_all(router, module.MANY))
    assert names([await asyncio.wait_for(router.ask(command("a")), 10)]) == ["a"]


async def test_a_full_queue_refuses_at_once_and_answers_what_it_took() -> None:
    shard = Shard()
    shard.turn.clear()
    router = route(shard, queue_limit=5)
    tasks = await ask_all(router, 20)
    await asyncio.sleep(0)
    turned_away = [task for task in tasks if task.done()]
    assert {task.result().refusal.reason for task in turned_away} == {Reason.OVERLOADED}  # type: ignore[union-attr]  # those that were turned away have a refusal
    assert all(task.result().refusal.retry_delay_ms for task in turned_away)  # type: ignore[union-attr]  # those that were turned away have a refusal
    assert 20 - len(turned_away) in (5, 6, 7), "the queue, and two batches of what came first"
    shard.turn.set()
    answers = await asyncio.gather(*tasks)
    assert sum(answer.kind == AnswerKind.DONE for answer in answers) == 20 - len(turned_away)


async def test_a_full_queue_of_one_shard_refuses_nobody_else() -> None:
    slow, quick = Shard(0), Shard(1)
    slow.turn.clear()
    router = route(slow, quick, queue_limit=2)
    tasks = await ask_all(router, 10)
    answers = await router.ask_many([command(str(number), partition=1) for number in range(2)])
    assert names(answers) == ["0", "1"]
    slow.turn.set()
    await asyncio.gather(*tasks)


async def test_answers_to_many_come_in_their_order_whatever_shard_they_are_from() -> None:
    slow, quick = Shard(0), Shard(1)
    slow.turn.clear()
    asked = [command(str(number), number % PARTITIONS) for number in range(12)]
    answering = asyncio.create_task(route(slow, quick).ask_many(asked))
    await asyncio.sleep(0)
    slow.turn.set()
    assert names(await answering) == [str(number) for number in range(12)]
    assert await route(quick).ask_many([]) == []


async def test_a_batch_whose_shard_died_is_sent_again_once_it_is_back() -> None:
    shard = Shard()
    shard.dies["a"] = 1
    assert names([await route(shard).ask(command("a"))]) == ["a"]
    assert shard.batches == [["a"], ["a"]]
    assert shard.done == ["a"]


async def test_what_was_sent_first_is_sent_again_first_and_nothing_overtakes_it() -> None:
    shard = Shard()
    shard.turn.clear()
    shard.dies.update({"0": 1, "2": 1})
    router = route(shard, batch_limit=2)
    tasks = await ask_all(router, 12)
    await asyncio.sleep(0)
    await until(lambda: len(shard.batches) == 2)
    shard.turn.set()
    assert names(await asyncio.gather(*tasks)) == [str(number) for number in range(12)]
    assert shard.done == [str(number) for number in range(12)]


async def test_a_shard_that_does_not_come_back_leaves_an_outcome_that_is_called_unknown() -> None:
    shard = Shard()
    shard.dies["a"] = 1
    shard.comes_back = False
    answer = await route(shard).ask(command("a"))
    assert answer.refusal is not None
    assert answer.refusal.reason is Reason.OUTCOME_UNKNOWN


async def test_a_batch_that_ends_its_shard_each_time_is_not_sent_for_ever() -> None:
    shard = Shard()
    shard.dies["a"] = 10
    answer = await route(shard).ask(command("a"))
    assert answer.refusal is not None
    assert answer.refusal.reason is Reason.OUTCOME_UNKNOWN
    assert len(shard.batches) == 2
    assert names([await route(shard).ask(command("b"))]) == ["b"]


async def test_whoever_waits_hears_something_also_where_an_answer_makes_no_sense(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nonsense(message: bytes) -> list[Answer]:
        raise ValueError

    monkeypatch.setattr(module, "decode_answers", nonsense)
    answer = await asyncio.wait_for(route(Shard()).ask(command("a")), 10)
    assert answer.refusal is not None
    assert answer.refusal.reason is Reason.OUTCOME_UNKNOWN


async def test_while_it_is_held_nothing_is_under_way_and_what_comes_waits() -> None:
    shard = Shard()
    router = route(shard)
    async with router.held():
        tasks = await ask_all(router, 5)
        for _ in range(5):
            await asyncio.sleep(0)
        assert shard.batches == []
    assert names(await asyncio.gather(*tasks)) == list("01234")
    await router.drain()


async def test_a_hold_waits_for_what_is_under_way() -> None:
    shard = Shard()
    shard.turn.clear()
    router = route(shard)
    tasks = await ask_all(router, 3)
    holding = asyncio.create_task(router.held().__aenter__())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not holding.done()
    shard.turn.set()
    await holding
    for lane in router.lanes:
        lane.release()
    assert names(await asyncio.gather(*tasks)) == list("012")
