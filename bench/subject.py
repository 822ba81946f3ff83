"""The node that is measured: a real installation in a temporary directory, with members and one till."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.load import Target, drive_unary, run_async
from bench.messages import card_number
from bench.processes import command_line, cpu_seconds, descendants, resident_bytes
from bench.report import say
from bench.tls import ServerTls, write_server_tls
from node.identity.caller import Role
from node.identity.keys import load_secrets
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_CARD
from node.proto.vafa.member.v1.member_service_pb2 import EnrolRequest
from simulators.enrolment import TillCertificate
from simulators.launch import NodeUnderTest, Setting, launch_node

MEMBERS = 2_000
"""Members of the benches' node: many more than calls in flight, so that accounts seldom queue behind one
another."""

ACCRUE = "/vafa.pos.v1.PosService/Accrue"
SUBMIT = "/vafa.pos.v1.PosService/Submit"
SUBMIT_STREAM = "/vafa.pos.v1.PosService/SubmitStream"
_ENROL = "/vafa.member.v1.MemberService/Enrol"
_ENROL_IN_FLIGHT = 128
_ENROL_TIMEOUT_SECONDS = 3_600.0


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
def running_node(
    members: int = MEMBERS, *, settings: Mapping[str, Setting] | None = None
) -> Iterator[Subject]:
    """A fresh node with `members` members on this machine, for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
        say("Starting a node …")
        node = launch_node(
            Path(scratch),
            merchant="bench",
            name="Bench",
            currency="IRR",
            currency_exponent=0,
            settings=settings,
        )
        till = node.issue(Role.TILL, "till-1", store="store-1")
        with node:
            subject = Subject(node, till)
            if members:
                say(f"Enrolling {members:,} members …")
                enrol(subject, 0, members)
            yield subject


def enrol(subject: Subject, first: int, count: int) -> None:
    """Open an account with a card for the benches' members first … first+count-1, by the API."""
    tag = secrets.token_hex(4)
    requests = [_enrolment(f"{tag}-{each}", card_number(each)) for each in range(first, first + count)]
    enrolled = run_async(
        drive_unary(
            subject.target("enrol", _ENROL),
            requests,
            in_flight=_ENROL_IN_FLIGHT,
            seconds=_ENROL_TIMEOUT_SECONDS,
        )
    )
    enrolled.insist("enrolling the members")


def beside(subject: Subject, directory: Path) -> ServerTls:
    """Files for a server beside the node, under the node's authority and with the node's own TLS key."""
    own = load_secrets(subject.data_directory / "secrets")
    return write_server_tls(directory, own.authority, own.server_key, now_ms=now_ms())


def now_ms() -> int:
    """The wall clock, epoch milliseconds."""
    return time.time_ns() // 1_000_000


def _enrolment(request_id: str, card: str) -> bytes:
    request = EnrolRequest(request_id=request_id)
    request.occurred_time.FromMilliseconds(now_ms())
    request.identifiers.add(kind=IDENTIFIER_KIND_CARD, value=card)
    request.person.given_name = "Bench"
    return request.SerializeToString()


def _role(command: str) -> str:
    # Ray renames a worker to ray::Class, or ray::Class.method while it runs one; an idle one is ray::IDLE.
    return "shards" if command.startswith("ray::") and "IDLE" not in command else "ray"
