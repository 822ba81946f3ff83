"""Runs seeds on several processes and adds up what became of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

from msgspec import Struct, field

from simulators.chaos.worlds import live
from simulators.sim.world import Outcome

WAITING_EACH = 4
"""Seeds handed to the pool for each process, so that none idles and few are lost at an interrupt."""
MAX_SHOWN_FAILURES = 50


class Task(Struct, frozen=True):
    """One seed of one world."""

    world: str
    seed: int


class Failure(Struct, frozen=True):
    """A seed whose world was not as it must be, with the command that brings it back."""

    world: str
    seed: int
    violations: tuple[str, ...]
    command: str


class Total(Struct):
    """What the seeds so far add up to. `seconds` are simulated ones."""

    seeds: int = 0
    seconds: float = 0.0
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, task: Task, outcome: Outcome) -> None:
        """Takes over the outcome of one seed."""
        self.seeds += 1
        self.seconds += outcome.seconds
        self.requests += outcome.requests
        self.faults.update(outcome.faults)
        if outcome.violations:
            self.violations += len(outcome.violations)
            if len(self.failures) < MAX_SHOWN_FAILURES:
                self.failures.append(
                    Failure(task.world, task.seed, outcome.violations, replay_command(task.world, task.seed))
                )


def replay_command(world: str, seed: int) -> str:
    """What brings one seed back, with everything that happens in it."""
    return f"python -m simulators chaos --world {world} --first {seed} --seeds 1 --show"


def run(
    tasks: list[Task], processes: int, work: Callable[[str, int], Outcome] = live
) -> Iterator[tuple[Task, Outcome]]:
    """The outcomes of tasks, as they come in; `work` lives through a seed of a world.

    The processes are new ones whose hashes are not salted, so that a seed is the same in each of them.
    """
    os.environ["PYTHONHASHSEED"] = "0"
    left = iter(tasks)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running: dict[Future[Outcome], Task] = {}
        try:
            while True:
                while len(running) < processes * WAITING_EACH and (task := next(left, None)) is not None:
                    running[pool.submit(work, task.world, task.seed)] = task
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
