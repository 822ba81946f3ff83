"""An asyncio event loop on simulated time: deterministic, and it never waits.

The node's own asyncio code runs on it unchanged. When nothing is ready the clock jumps to the next timer.
What became ready first runs first, as asyncio promises; timers of one instant run in an order drawn by the
seed.
Threads, sockets and signals do not exist here: code that asks for them fails at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import random
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, TypeVarTuple

MAX_STEPS_AN_INSTANT = 200_000
"""Callbacks that run without time passing, beyond which something is going round in circles."""

T = TypeVar("T")
_Arguments = TypeVarTuple("_Arguments")


class Stuck(Exception):
    """The simulation cannot go on: nothing is left to happen, time is up, or it goes round in circles."""


class Owner(Protocol):
    """Whoever a callback belongs to.

    What belongs to one that is not alive never runs; what belongs to one that is stopped runs later (seconds
    of the loop's clock), in its order.
    """

    alive: bool
    stopped_until: float


class _Call(asyncio.Handle):
    """A callback that is ready, with its owner."""

    __slots__ = ("owner",)
    owner: Owner | None


class _Timer(asyncio.TimerHandle):
    """A callback with a time, with its owner."""

    __slots__ = ("owner",)
    owner: Owner | None


class SimLoop(asyncio.AbstractEventLoop):
    """See the module's docs. `time()` begins at 0, in seconds."""

    def __init__(self, seed: int) -> None:
        self.owner: contextvars.ContextVar[Owner | None] = contextvars.ContextVar("owner", default=None)
        self.steps = 0
        self.faults: list[str] = []
        self._chance = random.Random(f"{seed}/loop")
        self._now = 0.0
        self._ready: deque[_Call | _Timer] = deque()
        self._timers: list[tuple[float, float, int, _Call | _Timer]] = []
        self._made = 0
        self._tasks: dict[asyncio.Task[Any], Owner | None] = {}
        self._tasks_looked_at = 1_000
        self._closed = False

    # --- what asyncio asks of a loop ------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._now

    def call_soon(
        self,
        callback: Callable[[*_Arguments], object],
        *args: *_Arguments,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Runs `callback` at this instant, after what is ready already."""
        context = contextvars.copy_context() if context is None else context
        handle = _Call(callback, args, self, context)
        handle.owner = context.get(self.owner)
        if not self._closed and _alive(handle.owner):
            self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Arguments], object],
        *args: *_Arguments,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Runs `callback` in `delay` seconds."""
        return self.call_at(self._now + max(delay, 0.0), callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Arguments], object],
        *args: *_Arguments,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Runs `callback` when the clock says `when`."""
        context = contextvars.copy_context() if context is None else context
        handle = _Timer(when, callback, args, self, context)
        handle.owner = context.get(self.owner)
        if not self._closed and _alive(handle.owner):
            self._made += 1
            heapq.heappush(self._timers, (max(when, self._now), self._chance.random(), self._made, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing: a cancelled timer is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # typeshed asks for a Generator, which is the same here
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Any = None
    ) -> asyncio.Task[T]:
        """A task of this loop, in the process of `context`."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks[task] = self.owner.get() if context is None else context.get(self.owner)
        if len(self._tasks) > self._tasks_looked_at:
            self.tidy()
        return task

    def get_debug(self) -> bool:
        """Never: asyncio's debugging looks at the real clock."""
        return False

    def is_running(self) -> bool:
        """Whether it runs."""
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keeps what nobody caught, for the checkers: in the node that is a fault."""
        fault = context.get("exception")
        if fault is not None and not isinstance(fault, Exception):
            return  # the process that ran it has ended there
        self.faults.append(f"{context.get('message')}: {type(fault).__name__}: {fault}")

    # --- driving it -----------------------------------------------------------------------------

    def run_until(self, awaited: asyncio.Future[T], deadline_seconds: float) -> T:
        """Runs until `awaited` is done, and gives its result.

        Raises Stuck where nothing is left that could make it done, or where the clock passes the deadline.
        """
        self._run(awaited.done, deadline_seconds)
        if not awaited.done():
            state = "time is up" if self._ready or self._timers else "a deadlock: nothing is left to happen"
            raise Stuck(f"{state} at {self._now:.3f} s; waiting: {', '.join(self.waiting()) or 'nobody'}")
        return awaited.result()

    def run_until_idle(self) -> None:
        """Runs until nothing is ready and no timer is set."""
        self._run(lambda: False, float("inf"))

    def run_until_time(self, seconds: float) -> None:
        """Runs everything up to that moment, and stands there."""
        self._run(lambda: False, seconds)
        self._now = max(self._now, seconds)

    def waiting(self) -> list[str]:
        """What waits, by the names of its coroutines, of processes that are alive; at most ten."""
        names = [
            getattr(task.get_coro(), "__qualname__", "?")
            for task, owner in self._tasks.items()
            if not task.done() and _alive(owner)
        ]
        return names[:10]

    def tidy(self) -> None:
        """Lets go of tasks that are done; one whose fault nobody has heard of is then among `faults`."""
        self._tasks = {task: owner for task, owner in self._tasks.items() if not task.done()}
        self._tasks_looked_at = 2 * len(self._tasks) + 1_000

    def _run(self, finished: Callable[[], bool], deadline_seconds: float) -> None:
        assert not self._closed
        events._set_running_loop(self)
        instant, steps = self._now, 0
        try:
            while not finished():
                if not self._ready and not self._wake(deadline_seconds):
                    return
                if self._now != instant:
                    instant, steps = self._now, 0
                steps += 1
                if steps > MAX_STEPS_AN_INSTANT:
                    raise Stuck(f"going round in circles at {self._now:.3f} s: {', '.join(self.waiting())}")
                self._step(self._ready.popleft())
        finally:
            events._set_running_loop(None)

    def _wake(self, deadline_seconds: float) -> bool:
        """Moves the clock to the next timer, and makes the timers of that instant ready."""
        timers = self._timers
        while timers and (timers[0][3].cancelled() or not _alive(timers[0][3].owner)):
            heapq.heappop(timers)
        if not timers or timers[0][0] > deadline_seconds:
            return False
        self._now = timers[0][0]
        while timers and timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(timers)[3])
        return True

    def _step(self, handle: _Call | _Timer) -> None:
        owner = handle.owner
        if handle.cancelled() or not _alive(owner):
            return
        if owner is not None and owner.stopped_until > self._now:
            self._put_off(handle, owner.stopped_until)
            return
        self.steps += 1
        handle._run()

    def _put_off(self, handle: _Call | _Timer, until: float) -> None:
        """The same callback later, before every timer of that instant and after what was put off before."""
        self._made += 1
        heapq.heappush(self._timers, (until, -1.0, self._made, handle))

    def close(self) -> None:
        """Ends everything that still waits, here and now, rather than when memory is tidied up."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()
        # Whatever they say now, their world is over; also what a generator says that ends with its task.
        told, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            for task in self._tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch against its warning
                    with contextlib.suppress(BaseException):
                        task.get_coro().close()
            self._tasks.clear()
        finally:
            sys.unraisablehook = told


def _alive(owner: Owner | None) -> bool:
    return owner is None or owner.alive


def new_loop(seed: int) -> SimLoop:
    """A loop at time 0. The same seed draws the same order of timers of one instant."""
    return SimLoop(seed)  # type: ignore[abstract]  # in typeshed alone; a simulated loop has no sockets
