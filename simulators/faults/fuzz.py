"""Every method of a node under a rain of absurd messages: it refuses, never falls, and the books stay right.

`python -m simulators.faults.fuzz [--examples N] [--seed S] [--method NAME]` needs the development tools
(Hypothesis). What must hold after each message: the answer is one of the node's own, a refusal moved nothing,
no account was set aside, and all shards still work. At the end the books are proven from the stores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from node.identity.caller import Role
from node.proto.vafa.common.v1 import balance_pb2, money_pb2, purchase_pb2
from node.proto.vafa.pos.v1 import earning_pb2, pos_service_pb2_grpc, spending_pb2
from node.storage.keyspace import Kind, kind_range
from simulators.faults.absurd import Known, bodies
from simulators.faults.methods import ALL, ENROLLING, Method
from simulators.local_node import LocalNode, new_card
from simulators.operations import timestamp

MEMBERS = 6
EXAMPLES = 2_000
IDLE_FEED_SECONDS = 0.3
"""A feed that waits for more ends by the caller's deadline."""

_FAULTS = {"INTERNAL", "OUTCOME_UNKNOWN", "ACCOUNT_QUARANTINED", "OVERLOADED", "UNAVAILABLE"}
_HEAVY = ("/CheckBooks", "/CreateBackup", "/Follow")
"""Methods that start processes, copy stores or wait: they get fewer messages."""

Books = dict[tuple[str, str], int]
T = TypeVar("T")


class Fell(AssertionError):
    """The node did what no message may make it do."""


class Fuzzing:
    """A node with members and something on their accounts, and a connection for every role."""

    def __init__(self, node: LocalNode) -> None:
        self.node = node
        self.known = Known(node.now_ms)
        self.outcomes: Counter[str] = Counter()
        self._channels: dict[Role | None, grpc.aio.Channel] = {}

    async def prepare(self) -> None:
        """New members with a few transactions; those of before may have been closed and erased meanwhile."""
        for known in (self.known.cards, self.known.accounts, self.known.transactions):
            known.clear()
        for _ in range(MEMBERS):
            card = new_card()
            self.known.accounts.append(await self.node.enrol(card))
            self.known.cards.append(card.value)
        pos = pos_service_pb2_grpc.PosServiceStub(self.channel(Role.TILL))
        for card_value in self.known.cards:
            identifier = {"kind": 1, "value": card_value}
            sale = purchase_pb2.Purchase(total=money_pb2.Money(currency="USD", minor=50_000), codes=["STAMP"])
            head: dict[str, Any] = {
                "identifier": identifier,
                "occurred_time": timestamp(self.node.now_ms()),
            }
            bought = await pos.Accrue(
                earning_pb2.AccrueRequest(request_id=uuid.uuid4().hex, purchase=sale, **head)
            )
            anonymous = await pos.Accrue(
                earning_pb2.AccrueRequest(
                    request_id=uuid.uuid4().hex, purchase=sale, occurred_time=head["occurred_time"]
                )
            )
            self.known.transactions += [bought.transaction_id, anonymous.transaction_id]
            spends = [balance_pb2.Spend(purse="points", units=5)]
            hold = spending_pb2.AuthorizeRequest(request_id=uuid.uuid4().hex, spends=spends, **head)
            # A programme that was published meanwhile may know no such purse.
            with contextlib.suppress(grpc.aio.AioRpcError):
                self.known.transactions.append((await pos.Authorize(hold)).transaction_id)

    def channel(self, role: Role | None) -> grpc.aio.Channel:
        """A connection with that role; without a role, to the enrolment port."""
        if role not in self._channels:
            if role is None:
                authority = self.node.node.secrets.authority.certificate_pem
                self._channels[role] = grpc.aio.secure_channel(
                    self.node.addresses.enrol_address, grpc.ssl_channel_credentials(authority)
                )
            else:
                store = "north" if role is Role.TILL else ""
                self._channels[role] = self.node.channel(self.node.certificate(role, "fuzzer", store))
        return self._channels[role]

    async def close(self) -> None:
        """Closes all connections."""
        for channel in self._channels.values():
            await channel.close()

    async def send(self, method: Method, body: bytes) -> str:
        """Sends bytes to a method by somebody who may call it; the refusal's reason, or OK. Raises Fell."""
        role = None if method in ENROLLING else method.allowed[0]
        before = self.books()
        deadline = IDLE_FEED_SECONDS if method.path.endswith("/Follow") else 30.0
        try:
            answers = await method.call(self.channel(role), body, deadline)
        except grpc.aio.AioRpcError as error:
            outcome = _reason(error, idle=method.path.endswith("/Follow"))
        else:
            outcome = "OK"
            self._learn(answers)
        await self.node.deliver()
        self.outcomes[outcome] += 1
        self.judge(method, outcome, before)
        return outcome

    def judge(self, method: Method, outcome: str, before: Books) -> None:
        """What must hold after every message."""
        if outcome in _FAULTS:
            raise Fell(f"{method} answered {outcome}")
        after = self.books()
        if outcome != "OK" and after != before:
            raise Fell(f"{method} answered {outcome} and moved {_difference(before, after)}")
        sums: Counter[str] = Counter()
        for (_, purse), units in after.items():
            sums[purse] += units
        if any(sums.values()):
            raise Fell(f"after {method} the books sum to {dict(sums)}")
        if self.set_aside():
            raise Fell(f"{method} set an account aside: {self.set_aside()}")

    def books(self) -> Books:
        """The books of the whole node, without asking it."""
        found: Counter[tuple[str, str]] = Counter()
        for shard in self.node.shards:
            for partition in shard.host.shard.partitions.values():
                found.update(partition.books.units)
        return {key: units for key, units in found.items() if units}

    def set_aside(self) -> list[bytes]:
        """The evidence of every account that is set aside."""
        return [
            data
            for shard in self.node.shards
            for number in shard.host.shard.partitions
            for _, data in shard.host._store.scan(*kind_range(number, Kind.QUARANTINE))
        ]

    def _learn(self, answers: list[bytes]) -> None:
        """Transactions that were made are what the next messages may name."""
        for answer in answers:
            if answer[:1] == b"\x0a" and len(answer) > 5 and answer[4:5] == b"-":  # field 1: "NN-…"
                self.known.transactions.append(answer[2 : 2 + answer[1]].decode(errors="replace"))
        del self.known.transactions[40:-200]


def _reason(error: grpc.aio.AioRpcError, *, idle: bool) -> str:
    """The node's own reason; raises Fell where there is none, or it is a fault."""
    if idle and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "WAITING"
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            try:
                status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
            except DecodeError:
                break
            info = error_details_pb2.ErrorInfo()
            if status.details and status.details[0].Unpack(info):
                return str(info.reason)
    raise Fell(f"a call ended without a word of the node's: {error.code()} {error.details()}")


def _difference(before: Books, after: Books) -> dict[tuple[str, str], int]:
    changed = {key: after.get(key, 0) - before.get(key, 0) for key in before.keys() | after.keys()}
    return {key: units for key, units in changed.items() if units}


def examples_for(method: Method, wanted: int) -> int:
    """How many messages a method gets where most get `wanted`."""
    return max(1, wanted // 8) if method.path.endswith(_HEAVY) else wanted


class _Background:
    """An event loop in a thread of its own, since Hypothesis calls functions, not coroutines."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def main() -> None:
    """See the module's docs."""
    parser = argparse.ArgumentParser(prog="python -m simulators.faults.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="messages for each method")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--method", default="", help="only methods whose name contains this")
    given_arguments = parser.parse_args()
    background = _Background()
    with tempfile.TemporaryDirectory(prefix="vafa-fuzz-") as scratch:
        node = LocalNode(Path(scratch), shards=2)
        background.run(node.start())
        fuzzing = Fuzzing(node)
        # What a published programme makes of the purses would spoil the others' messages.
        for method in sorted(ALL, key=lambda one: one.path.endswith("/PublishProgramme")):
            if given_arguments.method not in str(method):
                continue
            background.run(fuzzing.prepare())
            count = examples_for(method, given_arguments.examples)
            _fuzz_one(fuzzing, background, method, count, given_arguments.seed)
            print(f"{method}: {count} messages", flush=True)
        background.run(fuzzing.close())
        background.run(node.stop())
        problems = node.check().problems
    print(", ".join(f"{reason} {count}" for reason, count in fuzzing.outcomes.most_common()))
    if problems:
        sys.exit(f"the books are wrong: {problems}")
    print(f"{fuzzing.outcomes.total()} messages, seed {given_arguments.seed}: nothing fell, books clean.")


def _fuzz_one(fuzzing: Fuzzing, background: _Background, method: Method, count: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(data=st.data())
    def rain(data: st.DataObject) -> None:
        background.run(fuzzing.send(method, data.draw(bodies(method.request, fuzzing.known))))

    rain()


if __name__ == "__main__":
    main()
