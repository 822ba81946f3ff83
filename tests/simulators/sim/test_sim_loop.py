"""The simulated clock: asyncio code runs on it unchanged, no time passes, and the seed decides the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from simulators.sim.loop import SimLoop, Stuck, new_loop
from simulators.sim.process import Ended, Process


@pytest.fixture
def loop() -> Iterator[SimLoop]:
    made = new_loop(1)
    yield made
    made.close()


def test_an_hour_of_waiting_takes_no_time(loop: SimLoop) -> None:
    async def wait() -> float:
        await asyncio.sleep(3_600)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert loop.run_until(loop.create_task(wait()), 10_000) == 3_600
    assert time.monotonic() - began < 1


def test_what_asyncio_offers_without_sockets_and_threads_works(loop: SimLoop) -> None:
    async def story() -> list[str]:
        said: list[str] = []
        lock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue[str](1)

        async def other() -> None:
            async with lock:
                await asyncio.sleep(1)
                said.append("locked")
            await event.wait()
            await queue.put("sent")

        task = asyncio.create_task(other())
        await asyncio.sleep(0.5)
        async with lock:
            said.append("after the lock")
        event.set()
        said.append(await queue.get())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.Event().wait()
        await asyncio.wait({task})
        assert await asyncio.gather(*(asyncio.sleep(one, one) for one in (1, 2))) == [1, 2]
        said.append(f"{asyncio.get_running_loop().time():.1f}")
        return said

    assert loop.run_until(loop.create_task(story()), 100) == ["locked", "after the lock", "sent", "5.0"]


def test_threads_are_refused(loop: SimLoop) -> None:
    async def story() -> None:
        await asyncio.to_thread(time.time)

    with pytest.raises(NotImplementedError):
        loop.run_until(loop.create_task(story()), 10)


def test_a_deadlock_is_found_and_says_who_waits(loop: SimLoop) -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck, match=r"deadlock.*waits_for_ever"):
        loop.run_until(loop.create_task(waits_for_ever()), 10)


def test_what_takes_longer_than_its_deadline_is_found(loop: SimLoop) -> None:
    with pytest.raises(Stuck, match="time is up"):
        loop.run_until(loop.create_task(asyncio.sleep(11)), 10)


def test_going_round_without_time_passing_is_found(loop: SimLoop) -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110 - it is what the loop must find
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="circles"):
        loop.run_until(loop.create_task(spin()), 10)


def test_the_seed_draws_the_order_of_timers_of_one_instant() -> None:
    def order(seed: int) -> list[int]:
        said: list[int] = []
        made = new_loop(seed)
        for number in range(20):
            made.call_later(1, said.append, number)
        made.run_until_idle()
        made.close()
        return said

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == list(range(20))


def test_a_cancelled_timer_does_not_run(loop: SimLoop) -> None:
    said: list[str] = []
    loop.call_later(1, said.append, "cancelled").cancel()
    loop.call_later(2, said.append, "kept")
    loop.run_until_idle()
    assert said == ["kept"]


def test_nothing_of_a_process_runs_once_it_has_ended_not_even_its_finally(loop: SimLoop) -> None:
    said: list[str] = []

    async def work() -> None:
        try:
            await asyncio.create_task(asyncio.sleep(5))
            said.append("woke")
        finally:
            said.append("cleaned up")

    process = Process(loop, "one")
    process.spawn(work())
    process.call_later(3, said.append, "timer")
    loop.call_later(2, process.end)
    loop.call_later(6, said.append, "outside")
    loop.run_until_idle()
    assert said == ["outside"]


def test_no_handler_of_faults_holds_up_the_end_of_a_process(loop: SimLoop) -> None:
    said: list[str] = []

    async def work() -> None:
        try:
            process.end()
            raise Ended
        except Exception:
            said.append("caught")

    process = Process(loop, "one")
    process.spawn(work())
    loop.run_until_idle()
    assert said == []


def test_a_process_that_stands_still_does_everything_afterwards_in_its_order(loop: SimLoop) -> None:
    said: list[tuple[float, str]] = []

    def say(what: str) -> Callable[[], None]:
        return lambda: said.append((loop.time(), what))

    process = Process(loop, "one")
    loop.call_later(1, process.stop_for, 9)
    for at in (2, 3, 4, 12):
        process.call_later(at, say(f"due at {at}"))
    loop.call_later(3, say("outside"))
    loop.run_until_idle()
    assert said == [
        (3, "outside"), (10, "due at 2"), (10, "due at 3"), (10, "due at 4"), (12, "due at 12"),
    ]  # fmt: skip


def test_what_nobody_caught_is_kept_for_the_checkers(loop: SimLoop) -> None:
    async def fails() -> None:
        raise ValueError("lost")

    loop.create_task(fails())
    loop.run_until_idle()
    loop.run_until_time(5)
    loop.tidy()
    assert loop.time() == 5
    assert [fault for fault in loop.faults if "ValueError: lost" in fault]
