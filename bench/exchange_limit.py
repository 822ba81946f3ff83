"""The limit of an exchange between two nodes: its messages, signed, verified and synced, and nothing else.

Two processes and one stream with mutual TLS between them. For one redemption as many go to and fro as for a
real one with as much in flight; each is signed (Ed25519) by its sender, verified by its receiver, and on the
sender's disk before it is sent: all that queued while the last sync was under way shares the next.
As a program (`python -m bench.exchange_limit`) it is the answering side.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc import aio

from bench.load import CALL_TIMEOUT_SECONDS, Measurement
from bench.processes import Served, serve_handlers, serve_module, serving_main
from bench.tls import ServerTls
from simulators.enrolment import TillCertificate

SERVICE = "vafa.bench.v1.ExchangeLimitService"
BODY_BYTES = 400
"""Of a message, about what a RESERVE with its envelope has."""
SIGNATURE_BYTES = 64
NUMBER_BYTES = 8

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""Both sides sign with it: a key's value changes nothing about its speed."""
_ONE_WAY = b"\xff"
"""The first byte of the number of a message that nobody answers."""

_FRAME = msgspec.msgpack.Decoder(list[bytes])


class Side:
    """One end: what it is to send is signed, synced together with what else waits, and put in frames."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._waiting: list[bytes] = []
        self._stirred = asyncio.Event()

    def put(self, number: bytes) -> None:
        """Queues a message."""
        body = number + bytes(BODY_BYTES - NUMBER_BYTES)
        self._waiting.append(_KEY.sign(body) + body)
        self._stirred.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """Frames of what is on the disk, for as long as anybody reads them."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            batch, self._waiting = self._waiting, []
            if batch:
                await asyncio.to_thread(self._sync, b"".join(batch))
                yield msgspec.msgpack.encode(batch)

    def _sync(self, data: bytes) -> None:
        self._file.write(data)
        os.fdatasync(self._file.fileno())


def verified(frame: bytes) -> Iterator[bytes]:
    """The numbers of a frame's messages; a signature that does not hold raises InvalidSignature."""
    for message in _FRAME.decode(frame):
        body = message[SIGNATURE_BYTES:]
        _KEY.public_key().verify(message[:SIGNATURE_BYTES], body)
        yield body[:NUMBER_BYTES]


async def _answer(requests: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
        side = Side(Path(scratch, "log"))

        async def read() -> None:
            async for frame in requests:
                for number in verified(frame):
                    if not number.startswith(_ONE_WAY):
                        side.put(number)

        reading = asyncio.create_task(read())
        try:
            async for frame in side.frames():
                yield frame
        finally:
            reading.cancel()


async def drive(
    address: str,
    certificate: TillCertificate,
    scratch: Path,
    *,
    messages: float,
    in_flight: int,
    seconds: float,
) -> Measurement:
    """`in_flight` exchanges at a time until the time is over. Each has so many `messages`, on the average:
    pings and pongs in turn, and what is left over goes without an answer, and is not waited for."""
    measured, side = Measurement(), Side(scratch / f"limit-{in_flight}")
    waiting: dict[bytes, asyncio.Future[None]] = {}
    loop = asyncio.get_running_loop()
    pairs = int(messages / 2)
    owed = 0.0  # messages without an answer that are still to be said

    async def exchange(number: bytes) -> None:
        nonlocal owed
        for _ in range(pairs):
            waiting[number] = loop.create_future()
            side.put(number)
            await waiting[number]
        owed += messages - 2 * pairs
        while owed >= 1:
            owed -= 1
            side.put(_ONE_WAY + number[len(_ONE_WAY) :])

    async def work(worker: int, deadline: float) -> None:
        while (began := time.perf_counter()) < deadline:
            await exchange(worker.to_bytes(NUMBER_BYTES, "big"))
            measured.latencies_ms.append((time.perf_counter() - began) * 1000)

    async with aio.secure_channel(address, certificate.channel_credentials()) as channel:
        await asyncio.wait_for(channel.channel_ready(), CALL_TIMEOUT_SECONDS)
        link: Any = channel.stream_stream(f"/{SERVICE}/Link")
        call = link(side.frames())

        async def read() -> None:
            async for frame in call:
                for number in verified(frame):
                    waiting.pop(number).set_result(None)

        reading = asyncio.create_task(read())
        began = time.perf_counter()
        await asyncio.gather(*(work(worker, began + seconds) for worker in range(in_flight)))
        measured.seconds = time.perf_counter() - began
        reading.cancel()
        call.cancel()
    measured.calls = measured.work = len(measured.latencies_ms)
    return measured


@contextlib.contextmanager
def serving(tls: ServerTls) -> Iterator[Served]:
    """The answering side for the time of the block."""
    with serve_module("bench.exchange_limit", tls.arguments()) as served:
        yield served


async def serve(tls: ServerTls, ready_file: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Link": grpc.stream_stream_rpc_method_handler(_answer)
    }
    await serve_handlers(SERVICE, handlers, tls, ready_file)


if __name__ == "__main__":
    serving_main("bench.exchange_limit", serve)
