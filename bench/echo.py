"""The empty gRPC echo that the node is measured against: the same server, TLS and loop, and no work at all.

`serving` runs it as a process of its own; as a program (`python -m bench.echo`) it is that process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
from grpc import aio

from bench.load import run_async
from bench.processes import Served, say_ready, serve_module
from bench.tls import ServerTls
from node.rpc.server import MAX_CONCURRENT_RPCS, SERVER_OPTIONS

SERVICE = "vafa.bench.v1.EchoService"
UNARY = f"/{SERVICE}/Echo"
STREAM = f"/{SERVICE}/EchoStream"


@contextlib.contextmanager
def serving(tls: ServerTls) -> Iterator[Served]:
    """An echo for the time of the block, on a free loopback port, with these certificates."""
    with serve_module("bench.echo", tls.arguments()) as served:
        yield served


async def _echo(request: bytes, _: object) -> bytes:
    return request


async def _echo_stream(requests: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def serve(tls: ServerTls, ready_file: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Echo": grpc.unary_unary_rpc_method_handler(_echo),
        "EchoStream": grpc.stream_stream_rpc_method_handler(_echo_stream),
    }
    server = aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_secure_port("127.0.0.1:0", tls.credentials())
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await server.start()
    say_ready(ready_file, f"127.0.0.1:{port}")
    await ended.wait()
    await server.stop(grace=1)


def main() -> None:
    """The process that `serving` starts."""
    parser = argparse.ArgumentParser(prog="python -m bench.echo")
    for name in ("--certificate", "--key", "--authority", "--ready-file"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args()
    run_async(serve(ServerTls(options.certificate, options.key, options.authority), options.ready_file))


if __name__ == "__main__":
    main()
