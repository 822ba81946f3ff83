"""Keeping the directory new without a restart: from the operator's file, and from partners that have a newer.

Where a directory comes from proves nothing and need not: it is followed for its signature alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import structlog

from node.peering.links import GrpcLinks
from node.wire.coalition_directory import (
    DIRECTORY_LABEL,
    MAX_DIRECTORY_BYTES,
    Unreadable,
    read_directory_answer,
    unarmoured,
)

ALONE_SECONDS = 5.0
"""How soon it looks again where nobody could be asked: after a start links take a moment to stand."""

log = structlog.get_logger()


class Refresh:
    """Looks every `period_seconds`. `offer` takes a SignedDirectory's bytes and says what became of them."""

    def __init__(
        self,
        file: str,
        period_seconds: float,
        links: GrpcLinks,
        offer: Callable[[bytes], str],
        chance: random.Random | None = None,
    ) -> None:
        self._file = Path(file) if file else None
        self._period_seconds = period_seconds
        self._links = links
        self._offer = offer
        self._chance = chance or random.Random()  # noqa: S311 - jitter, no secret
        self._seen: tuple[int, int] | None = None
        self._refused = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Looks now, and then again and again."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Looks no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> bool:
        """One look: at the file where it has changed, and at one partner that is connected. Says whether one
        was asked.
        """
        if self._file is not None:
            data = await asyncio.to_thread(self._read, self._file)
            if data:
                self._say(self._offer(data), str(self._file))
        connected = [name for name, (stands, _) in self._links.waiting().items() if stands]
        if connected:
            await self._ask(self._chance.choice(connected))
        return bool(connected)

    async def _ask(self, partner_id: str) -> None:
        answer = await self._links.fetch_directory(partner_id)
        with contextlib.suppress(Unreadable):
            data = read_directory_answer(answer) if answer else b""
            if data:
                self._say(self._offer(data), partner_id)

    def _read(self, path: Path) -> bytes:
        """The directory in the file, where it is another file than at the last look."""
        try:
            status = path.stat()
            mark = (status.st_mtime_ns, status.st_size)
            if mark == self._seen or status.st_size > 2 * MAX_DIRECTORY_BYTES:
                return b""
            data = unarmoured(DIRECTORY_LABEL, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, Unreadable) as wrong:
            self._say(f"cannot be read: {wrong}", str(path))
            return b""
        self._seen = mark
        return data

    def _say(self, problem: str, source: str) -> None:
        """Logs a problem once, and not again at every look."""
        if problem and problem != self._refused:
            log.warning("directory_not_followed", source=source, problem=problem)
        self._refused = problem or self._refused

    async def _run(self) -> None:
        while True:
            asked = False
            try:
                asked = await self.look()
            except Exception as fault:
                log.error("directory_look_faulted", exc_info=fault)
            # A tenth of jitter: partners must not all ask at the same second.
            seconds = self._period_seconds if asked else min(self._period_seconds, ALONE_SECONDS)
            await asyncio.sleep(seconds * self._chance.uniform(0.9, 1.1))
