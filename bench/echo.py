"""The empty gRPC echo that the node is measured against: the same server, TLS and loop, and no work at all.

`serving` runs it as a process of its own; as a program (`python -m bench.echo`) it is that process.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc

from bench.processes import Served, serve_handlers, serve_module, serving_main
from bench.tls import ServerTls

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
    await serve_handlers(SERVICE, handlers, tls, ready_file)


if __name__ == "__main__":
    serving_main("bench.echo", serve)
