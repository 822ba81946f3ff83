"""The node that is measured: a real installation in a temporary directory, with members and one till."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from bench.load import Target
from bench.processes import command_line, cpu_seconds, descendants, resident_bytes
from bench.report import say
from bench.seeding import seed
from bench.tls import ServerTls, write_server_tls
from node.identity.caller import Role
from node.identity.keys import load_secrets
from simulators.enrolment import TillCertificate
from simulators.launch import NodeFailed, NodeUnderTest, launch_node

MEMBERS = 2_000
"""Members of the benches' node: many more than calls in flight, so that accounts seldom queue behind one
another."""

ACCRUE = "/vafa.pos.v1.PosService/Accrue"
SUBMIT = "/vafa.pos.v1.PosService/Submit"
SUBMIT_STREAM = "/vafa.pos.v1.PosService/SubmitStream"


@dataclass(frozen=True, slots=True)
class Subject:
    """A node and the certificate of the till that the benches play."""

    node: NodeUnderTest
    till: TillCertificate

    def target(self, name: str, method: str) -> Target:
        """One of the node's methods, to be driven."""
        return Target(name, self.node.addresses.serving, method, self.till)

    @property
    def data_directory(self) -> Path:
        """Where its stores lie."""
        return self.node.installation / "data"

    def processes(self) -> dict[int, str]:
        """Its processes with what each is: "gateway", "shards", or "ray" for Ray's own."""
        gateway = self.node.addresses.pid
        roles = {pid: _role(command_line(pid)) for pid in descendants(gateway)}
        return {**roles, gateway: "gateway"}

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time so far, by what the processes are."""
        used = dict.fromkeys(("gateway", "shards", "ray"), 0.0)
        for pid, role in self.processes().items():
            used[role] += cpu_seconds(pid)
        return used

    def resident_bytes(self) -> dict[str, int]:
        """Memory held now, by what the processes are."""
        held = dict.fromkeys(("gateway", "shards", "ray"), 0)
        for pid, role in self.processes().items():
            held[role] += resident_bytes(pid)
        return held


@contextlib.contextmanager
def installed_node(members: int) -> Iterator[Subject]:
    """A fresh installation with `members` members for the time of the block; its node is not yet started."""
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
        say(f"Making a node with {members:,} members …")
        node = launch_node(Path(scratch), merchant="bench", name="Bench", currency="IRR", currency_exponent=0)
        seed(node.config_path, range(members), now_ms=now_ms())
        subject = Subject(node, node.issue(Role.TILL, "till-1", store="store-1"))
        try:
            yield subject
        finally:
            _end(node)


@contextlib.contextmanager
def running_node(members: int = MEMBERS) -> Iterator[Subject]:
    """The same, already serving."""
    with installed_node(members) as subject:
        say("Starting the node …")
        subject.node.start()
        yield subject


def beside(subject: Subject, directory: Path) -> ServerTls:
    """Files for a server beside the node, under the node's authority and with the node's own TLS key."""
    own = load_secrets(subject.data_directory / "secrets")
    return write_server_tls(directory, own.authority, own.server_key, now_ms=now_ms())


def _end(node: NodeUnderTest) -> None:
    """Stop the node if it runs. Where it ends badly that is said, and no figure is lost for it."""
    try:
        assert node.addresses
    except NodeFailed:
        return
    try:
        node.stop()
    except NodeFailed as failed:
        say(f"[yellow]{escape(str(failed))}[/yellow]")


def now_ms() -> int:
    """The wall clock, epoch milliseconds."""
    return time.time_ns() // 1_000_000


def _role(command: str) -> str:
    # Ray renames a worker to ray::Class, or ray::Class.method while it runs one; an idle one is ray::IDLE.
    return "shards" if command.startswith("ray::") and "IDLE" not in command else "ray"
