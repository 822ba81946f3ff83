"""Shards on two machines: two Ray nodes here play them, each the pin of one shard."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from node.identity.caller import Role
from node.proto.vafa.admin.v1 import admin_service_pb2
from node.proto.vafa.pos.v1 import inquiry_pb2
from simulators import shoppers
from simulators.launch import NodeUnderTest, launch_node
from simulators.operations import OperationWriter
from simulators.purchases import card_identifier
from simulators.staff import Staff
from tests.rpc.shop import Line, sale

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.soak]

HEAD, OTHER = "127.0.0.2", "127.0.0.3"
PINS = {HEAD: "machine-a", OTHER: "machine-b"}
START_SECONDS = 90.0


def free_port(address: str) -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def machine(address: str, token: Path, *arguments: str) -> Iterator[None]:
    """A Ray node with its pin, in the foreground of a process that is ended by its id."""
    scratch = Path(tempfile.mkdtemp(prefix="vafa-", dir="/tmp"))
    environment = {
        key: value for key, value in os.environ.items() if key not in ("RAY_AUTH_TOKEN", "LD_PRELOAD")
    } | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",
    }
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={address}",
        "--num-cpus=0", f'--resources={{"{PINS[address]}": 1}}', "--object-store-memory=80000000",
        *([f"--temp-dir={scratch}"] if "--head" in arguments else []), *arguments,
    ]  # fmt: skip
    log = scratch.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_started(process, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own session: it and what it started
            process.wait()
        shutil.rmtree(scratch, ignore_errors=True)
        log.unlink()


def _wait_until_started(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while b"Ray runtime started" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"a Ray node did not start:\n{log.read_text()[-3_000:]}")
        time.sleep(0.1)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeUnderTest]:
    """A node whose two shards are pinned to the two machines; it serves."""
    port, client = free_port(HEAD), free_port(HEAD)
    made = launch_node(tmp_path, shards=2, merchant="shop-1", settings={"ray.address": f"{HEAD}:{port}"})
    text = made.config_path.read_text(encoding="utf-8")
    pinned = text.replace("shard_pins = []", f'shard_pins = ["{PINS[HEAD]}", "{PINS[OTHER]}"]')
    assert pinned != text
    made.config_path.write_text(pinned, encoding="utf-8")
    token = made.installation / "data" / "secrets" / "ray.token"
    with ExitStack() as machines:
        machines.enter_context(
            machine(
                HEAD,
                token,
                "--head",
                f"--port={port}",
                f"--ray-client-server-port={client}",
                "--include-dashboard=false",
            )
        )
        machines.enter_context(machine(OTHER, token, f"--address={HEAD}:{port}"))
        with made:
            yield made


async def test_each_shard_runs_on_the_machine_of_its_pin_and_the_node_serves_as_ever(
    node: NodeUnderTest,
) -> None:
    members = list(shoppers.members(6, seed=3))
    async with Staff(node.addresses.serving, node.issue(Role.STAFF, "maryam")) as staff:
        for member in members:
            await staff.enrol(member)
    till = _line(node, Role.TILL, "till-1", "north")
    admin, write = _line(node, Role.ADMIN, "admin"), OperationWriter()
    operations = [
        write.accrual(card_identifier(member.card), sale(100)) for member in members for _ in range(20)
    ]
    results = await till.submit(*operations)
    assert not any(result.HasField("refusal") for result in results)
    for member in members:
        answer = await till.pos.GetBalance(
            inquiry_pb2.GetBalanceRequest(identifier=card_identifier(member.card))
        )
        assert answer.balances[0].spendable == 20
    status = await admin.admin.GetStatus(admin_service_pb2.GetStatusRequest())
    assert [shard.serving for shard in status.shards] == [True, True]
    assert all(shard.entries for shard in status.shards)
    assert _addresses_of_shards(node) == {HEAD, OTHER}
    checked = await admin.admin.CheckBooks(admin_service_pb2.CheckBooksRequest())
    assert checked.clean, checked.findings
    for line in (till, admin):
        await line.channel.close()


def _line(node: NodeUnderTest, role: Role, name: str, store: str = "") -> Line:
    certificate = node.issue(role, name, store=store)
    return Line(grpc.aio.secure_channel(node.addresses.serving, certificate.channel_credentials()))


def _addresses_of_shards(node: NodeUnderTest) -> set[str]:
    """The Ray nodes whose processes hold the shards' stores open."""
    found = set()
    for store in (node.installation / "data").glob("shard-*"):
        status = (Path("/proc") / _holder_of(store) / "status").read_text(encoding="utf-8")
        parent = next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:"))
        told = (Path("/proc") / parent / "cmdline").read_text(encoding="utf-8")
        found |= {address for address in PINS if f"={address}\0" in told}
    return found


def _holder_of(store: Path) -> str:
    for process in Path("/proc").iterdir():
        try:
            links: list[Any] = [os.readlink(link) for link in (process / "fd").iterdir()]
        except (OSError, ValueError):
            continue
        if any(str(link).startswith(str(store.resolve())) for link in links):
            return process.name
    raise AssertionError(f"nobody holds {store}")
