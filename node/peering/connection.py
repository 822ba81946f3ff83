"""One standing connection with a partner, whichever side dialled it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol


class Pipe(Protocol):
    """One standing connection, as grpc's calls and contexts of either side are."""

    async def read(self) -> Any:
        """The next frame's bytes; anything else means that the connection has ended."""
        ...

    async def write(self, message: bytes) -> None:
        """Sends a frame; returns when grpc has taken it."""
        ...


async def _nothing_to_finish() -> None:
    """The dialled side of a stream ends it when it has read it to its end."""


class Connection:
    """A pipe, who dialled it, how to end it, and how its dialler says that nothing more will be written."""

    def __init__(
        self,
        pipe: Pipe,
        dialler_id: str,
        end: Callable[[], object],
        finish: Callable[[], Awaitable[None]] = _nothing_to_finish,
    ) -> None:
        self.pipe = pipe
        self.dialler_id = dialler_id
        self.end = end
        self.finish = finish


async def read_from(pipe: Pipe) -> bytes | None:
    """The next frame; None once the connection has ended, however it did."""
    try:
        data = await pipe.read()
    except asyncio.CancelledError:
        # grpc says so of a call that was cancelled, too; only a task that is cancelled itself must end.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return None
    except Exception:
        return None
    return data if isinstance(data, bytes) else None
