"""What the person who runs the demo sees while it runs: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

Advance = Callable[[int], None]
"""Tells a step that so many more of its parts are done."""

_PLAIN_EVERY_SECONDS = 5.0


class Screen:
    """Where the demo speaks. `step` is one thing that takes a while."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str = "", *, style: str = "") -> None:
        """A line."""
        self.console.print(text, style=style or None, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, text: str, total: int | None = None) -> Iterator[Advance]:
        """Shows `text` while the block runs, with how much of `total` is done, and then how long it took."""
        started = time.monotonic()
        shown = self._bar(text, total) if self.console.is_terminal else self._lines(text, total)
        with shown as advance:
            yield advance
        counted = f" {total:,}" if total is not None else ""
        self.say(f"  done  {text}{counted} ({time.monotonic() - started:.1f} s)")

    @contextmanager
    def _bar(self, text: str, total: int | None) -> Iterator[Advance]:
        columns = [SpinnerColumn(), TextColumn("{task.description}")]
        if total is not None:
            columns += [BarColumn(bar_width=30), MofNCompleteColumn()]
        with Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True) as progress:
            task = progress.add_task(text, total=total)
            yield lambda count: progress.advance(task, count)

    @contextmanager
    def _lines(self, text: str, total: int | None) -> Iterator[Advance]:
        done = 0
        next_line_at = time.monotonic() + _PLAIN_EVERY_SECONDS
        self.say(f"  ...   {text}")

        def advance(count: int) -> None:
            nonlocal done, next_line_at
            done += count
            if time.monotonic() >= next_line_at:
                next_line_at = time.monotonic() + _PLAIN_EVERY_SECONDS
                self.say(f"  ...   {text} {done:,}" + (f" of {total:,}" if total is not None else ""))

        yield advance
