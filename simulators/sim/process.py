"""A simulated operating-system process: what runs on its behalf stops, in the middle, when it ends.

A task or timer belongs to the process in whose context it was made. When the process ends, nothing of it runs
again: no `finally`, no `except`, as after SIGKILL. `Ended` leaves the code that was running at that moment.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from simulators.sim.loop import SimLoop

T = TypeVar("T")


class Ended(BaseException):
    """The process that runs this code has just ended. No `except Exception` may hold it up."""


class Process:
    """One life of one process. A restart is a new one."""

    def __init__(self, loop: SimLoop, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped_until = 0.0
        self._loop = loop
        self._context = contextvars.copy_context()
        self._context.run(loop.owner.set, self)

    def __repr__(self) -> str:
        return f"<{self.name}{'' if self.alive else ', ended'}>"

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs `work` in this process."""
        return self._loop.create_task(work, context=self._context.copy())

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Calls `function` in this process, unless it ends before."""
        self._loop.call_soon(function, *arguments, context=self._context)

    def call_later(self, delay_seconds: float, function: Callable[..., object], *arguments: Any) -> None:
        """The same after a delay."""
        self._loop.call_later(delay_seconds, function, *arguments, context=self._context)

    def stop_for(self, seconds: float) -> None:
        """Stands still, as a machine that is not scheduled; what came meanwhile is done afterwards."""
        self.stopped_until = max(self.stopped_until, self._loop.time() + seconds)

    def end(self) -> None:
        """Ends it. Whoever runs inside it must raise `Ended` next."""
        self.alive = False
