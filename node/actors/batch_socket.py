"""The way of batches to a shard on this machine: a Unix socket beside Ray.

Ray places a shard, watches it and starts it again, and carries all that is rare. A call of it costs both
processes about a millisecond of CPU, whatever is in it, which small batches feel: so what tills wait for goes
over a socket in a directory of this user alone (mode 0700). It promises what a call promised: a batch
that was sent once is applied at most once, batches are applied in the order in which they were sent, and when
the connection goes, what became of the batches on it is unknown and their ids decide.

A frame is its length in four bytes (big-endian, unsigned) and its bytes: a batch, or the answers to one.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

from node.actors.ports import ShardGone

MAX_PATH_BYTES = 100
"""A longer path is no address of a Unix socket everywhere (Linux takes 107 bytes, others fewer)."""

MAX_FRAME_BYTES = 1 << 30
"""No batch comes near; a longer one says that the bytes are not ours."""

_LENGTH = struct.Struct(">I")
_READ_BYTES = 1 << 18


def fits(path: Path) -> bool:
    """Whether this machine knows Unix sockets, and the path may be one's address."""
    return hasattr(socket, "AF_UNIX") and len(str(path).encode()) <= MAX_PATH_BYTES


class BatchListener:
    """The shard's end: one thread that takes one connection at a time and applies what comes, in order."""

    def __init__(self, path: Path, apply: Callable[[bytes], bytes]) -> None:
        self._apply = apply
        self._path = path
        self._path.unlink(missing_ok=True)  # of the process before this one
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen(1)
        threading.Thread(target=self._run, name="batches", daemon=True).start()

    def close(self) -> None:
        """Takes no further connection."""
        self._listening.close()
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            while True:
                connection, _ = self._listening.accept()
                with connection:
                    self._serve(connection)
        except OSError:
            return  # closed
        finally:  # whatever ended this thread: nobody is left to wait for an answer
            self.close()

    def _serve(self, connection: socket.socket) -> None:
        """Until the other end goes."""
        try:
            while (message := _receive(connection)) is not None:
                answers = self._apply(message)
                connection.sendall(_LENGTH.pack(len(answers)) + answers)
        except OSError:
            return


def _receive(connection: socket.socket) -> bytes | None:
    """The next frame's bytes; None where the other end has gone."""
    header = _exactly(connection, _LENGTH.size)
    if header is None:
        return None
    (length,) = _LENGTH.unpack(header)
    if length > MAX_FRAME_BYTES:
        return None
    body = _exactly(connection, length)
    return None if body is None else bytes(body)


def _exactly(connection: socket.socket, length: int) -> bytearray | None:
    taken = bytearray(length)
    view, at = memoryview(taken), 0
    while at < length:
        got = connection.recv_into(view[at:])
        if not got:
            return None
        at += got
    return taken


class BatchSender:
    """The gateway's end: it connects when there is something to send, and again after the shard was away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, message: bytes) -> bytes:
        """The answers to a batch; ShardGone where the shard is not there or went with it in hand."""
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connected()
        return await connection.ask(message)

    def close(self) -> None:
        """Ends the connection; a batch on it raises ShardGone."""
        if self._connection is not None:
            self._connection.end()

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or self._connection.lost:
                try:
                    _, self._connection = await asyncio.get_running_loop().create_unix_connection(
                        _Connection, str(self._path)
                    )
                except OSError as away:
                    raise ShardGone(type(away).__name__) from away
            return self._connection


class _Connection(asyncio.Protocol):
    """One connection: answers come in the order of the batches."""

    def __init__(self) -> None:
        self.lost = False
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._came = bytearray()
        self._transport: asyncio.Transport | None = None

    async def ask(self, message: bytes) -> bytes:
        assert self._transport is not None
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(_LENGTH.pack(len(message)) + message)
        return await answer

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        came = self._came
        came += data
        while len(came) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(came)[0]
            if len(came) < end:
                return
            answer = bytes(memoryview(came)[_LENGTH.size : end])
            del came[:end]
            waiting = self._waiting.popleft()
            if not waiting.done():  # whoever asked may have been cancelled
                waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(ShardGone("connection lost"))
