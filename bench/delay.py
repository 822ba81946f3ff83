"""A proxy on loopback that holds back every byte for a fixed time: a long line between two nodes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

_CHUNK_BYTES = 64 * 1024
_MOST_CHUNKS = 1_024
"""On their way in one direction of one connection; beyond it the sender is not read."""
_START_SECONDS = 10.0


@contextlib.contextmanager
def delaying(target: str, seconds: float) -> Iterator[str]:
    """For the time of the block, an address that leads to `target` (host:port), `seconds` later each way."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="delay", daemon=True)
    thread.start()
    try:
        serving = asyncio.run_coroutine_threadsafe(_serve(target, seconds), loop)
        server = serving.result(_START_SECONDS)
        host, port = server.sockets[0].getsockname()[:2]
        yield f"{host}:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(_end(), loop).result(_START_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_START_SECONDS)
        loop.close()


async def _serve(target: str, seconds: float) -> asyncio.Server:
    host, _, port = target.rpartition(":")

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        try:
            # Cancelled is how the proxy ends; the stream's own callback would call that a fault.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(_carry(reader, far_writer, seconds), _carry(far_reader, writer, seconds))
        finally:
            writer.close()
            far_writer.close()

    return await asyncio.start_server(accept, "127.0.0.1", 0)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """One direction. What is read is written when it is due, in its order; its end travels as long."""
    clock = asyncio.get_running_loop().time
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_CHUNKS)

    async def deliver() -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    delivering = asyncio.create_task(deliver())
    with contextlib.suppress(OSError):
        data = b"unread"
        while data:
            data = await reader.read(_CHUNK_BYTES)
            await under_way.put((clock() + seconds, data))
        await delivering
    delivering.cancel()


async def _end() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
