"""Other processes (Linux): start a server, wait until it says that it serves, read what a process used."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from bench.load import run_async
from bench.report import BenchFailed
from bench.tls import ServerTls
from node.rpc.server import MAX_CONCURRENT_RPCS, SERVER_OPTIONS

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0
_POLL_SECONDS = 0.02
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class DidNotStart(BenchFailed):
    """A server ended, or said nothing, before it served. Carries the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: where it listens, and its process."""

    address: str
    pid: int


@contextlib.contextmanager
def serve_module(
    module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """Run `python -m module …arguments --ready-file FILE` for the time of the block.

    The module writes {"address": …} to FILE when it serves, and ends by SIGTERM. Its output is shown only
    when it does not start. `environment` is added to our own. It is a process of its own, never a fork:
    gRPC's threads do not survive one.
    """
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
        ready, output = Path(scratch, "ready.json"), Path(scratch, "output.txt")
        with output.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, "--ready-file", str(ready)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )
        try:
            yield Served(_wait_until_ready(process, ready, output), process.pid)
        finally:
            stop(process)


async def serve_handlers(
    service: str,
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]],
    tls: ServerTls,
    ready_file: Path,
) -> None:
    """The server's side of `serve_module`: a gRPC service on a free loopback port until SIGTERM or SIGINT.

    With the node's own options and mutual TLS, so that whatever stands beside the node has the same server.
    """
    server = aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_secure_port("127.0.0.1:0", tls.credentials())
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await server.start()
    _say_ready(ready_file, f"127.0.0.1:{port}")
    await ended.wait()
    await server.stop(grace=1)


def serving_main(module: str, serve: Callable[[ServerTls, Path], Coroutine[Any, Any, None]]) -> None:
    """The program that `serve_module` starts, with the arguments of `ServerTls.arguments`."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    for name in ("--certificate", "--key", "--authority", "--ready-file"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args()
    os.umask(0o077)
    run_async(serve(ServerTls(options.certificate, options.key, options.authority), options.ready_file))


def _say_ready(ready_file: Path, address: str) -> None:
    """Says where a server serves: whole at once, so that nobody reads half a file."""
    half = ready_file.with_suffix(".part")
    half.write_text(json.dumps({"address": address, "pid": os.getpid()}), encoding="utf-8")
    half.rename(ready_file)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started: by SIGTERM, and by SIGKILL when that takes too long."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], ready: Path, output: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = output.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise DidNotStart(f"{process.args!r} did not start (exit code {process.poll()}).\n{tail}")
        time.sleep(_POLL_SECONDS)
    address: str = json.loads(ready.read_text(encoding="utf-8"))["address"]
    return address


def descendants(pid: int) -> list[int]:
    """`pid` and every process below it, as /proc knows them now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found


def command_line(pid: int) -> str:
    """The command of a process with its arguments, or as it renamed itself; empty when it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def cpu_seconds(pid: int) -> float:
    """User and system time that the process has used so far; 0 when it is gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND if fields else 0.0


def resident_bytes(pid: int) -> int:
    """Memory that the process holds now, shared pages included; 0 when it is gone."""
    fields = _stat(pid)
    return int(fields[21]) * _PAGE_BYTES if fields else 0


def proportional_bytes(pid: int) -> int:
    """Memory that the process holds, each shared page divided among its sharers; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (proc(5)); the name before it may hold brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
