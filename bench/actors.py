"""`python -m bench actors`: the same member actor, once as a Ray actor of its own, and once in shards.

Both run the node's own shard code over stores of its own kind, so both are durable before they answer. As a
Ray actor, each member is a process with a store directory of its own, for RocksDB admits one writing process;
in shards, members share the few processes that the node starts. Members are added until memory or time would
run out, and the table shows where each way bends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.load import run_async
from bench.messages import BASKET_LINES, AccrualMaker, card_number
from bench.plain_shard import PARTITIONS, account_id, accrual, enrol, insist, new_host
from bench.processes import proportional_bytes
from bench.report import figure, finish, parser, say, show_table, warn_when_busy
from node.actors.router import Router
from node.storage.keyspace import partition_of
from node.wire.commands import encode

OWN_COUNTS = (10, 50, 100, 200, 400, 800)
SHARD_COUNTS = (*OWN_COUNTS, 10_000, 100_000)
"""Members at which both, and at which shards alone, are measured."""

IN_FLIGHT = 256
QUEUE_LIMIT, BATCH_LIMIT = 8_192, 1_024
MEMORY_LEFT_SHARE = 0.2
"""The share of the machine's memory that is never touched: beyond it, it would swap."""

START_TIMEOUT_SECONDS = 300.0
_COMMANDS_PER_SECOND = 20_000
_OBJECT_STORE_BYTES = 100_000_000

Submit = Callable[[int, bytes], Awaitable[None]]
"""Hands one accrual of a member to whatever hosts that member, and waits until it is durable."""


class MemberHost:
    """Members with their store: a whole shard, or one member alone. A plain class; Ray makes it an actor."""

    def __init__(self, directory: str, hosted: Sequence[int]) -> None:
        self._host = new_host(Path(directory), hosted)

    def enrol(self, members: Sequence[int], partition: int | None) -> int:
        """Open the members' accounts; gives this process's id."""
        enrol(self._host, members, now_ms=_now_ms(), partition=partition)
        return os.getpid()

    def apply(self, message: bytes) -> bytes:
        """A batch of commands."""
        return self._host.apply(message)


@dataclass(frozen=True, slots=True)
class Row:
    """One way of hosting at one number of members. Memory is proportional set size, shared pages divided."""

    way: str
    members: int
    processes: int
    started_per_second: float
    bytes_per_member: float
    commands_per_second: float

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        return (
            self.way,
            f"{self.members:,}",
            f"{self.processes:,}",
            figure(self.started_per_second),
            f"{self.bytes_per_member / 1024:,.0f}",
            figure(self.commands_per_second),
        )


def main(arguments: list[str]) -> int:
    """Measure, print, write; 0 also where a way ends early: that is the finding."""
    made = parser("actors", __doc__ or "", seconds=5.0)
    made.add_argument(
        "--minutes", type=float, default=10.0, metavar="M", help="time for the Ray actors (default 10)"
    )
    options = made.parse_args(arguments)
    warn_when_busy()
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch, _private_ray():
        say("One Ray actor for each member …")
        alone, ended = measure_alone(Path(scratch), options.seconds, options.minutes * 60)
        say(ended)
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch, _private_ray():
        say("Members in shards …")
        sharded = measure_shards(Path(scratch), options.seconds)
    rows = [*alone, *sharded]
    show_table(
        "The same member actor, hosted two ways",
        ("way", "members", "processes", "started/s", "KiB a member", "commands/s"),
        [row.cells() for row in rows],
    )
    say(f"One Ray actor for each member: {ended}")
    finish("actors", {"rows": [asdict(row) for row in rows], "ended": ended}, options.json)
    return 0


def measure_alone(scratch: Path, seconds: float, limit_seconds: float) -> tuple[list[Row], str]:
    """A Ray actor for each member, more and more of them; with why it ended."""
    import ray

    remote: Any = ray.remote(num_cpus=0)(MemberHost)
    hosts: list[Any] = []
    pids: list[int] = []
    rows: list[Row] = []
    began = time.monotonic()
    for members in OWN_COUNTS:
        added = members - len(hosts)
        if rows and (why := _no_room_for(added, rows[-1], limit_seconds - (time.monotonic() - began))):
            return rows, f"{members} members were not tried: {why}."
        started = time.perf_counter()
        try:
            new = range(members - added, members)
            hosts += [remote.remote(str(scratch / f"member-{number}"), (0,)) for number in new]
            waiting = [hosts[number].enrol.remote([number], 0) for number in new]
            pids += ray.get(waiting, timeout=START_TIMEOUT_SECONDS)
        except (ray.exceptions.RayError, ray.exceptions.GetTimeoutError) as error:
            return rows, f"Starting {members} members failed: {type(error).__name__}."
        start_seconds = time.perf_counter() - started

        rate = run_async(_drive_alone(hosts, members, seconds))
        held = sum(map(proportional_bytes, pids))
        rows.append(Row("Ray actors", members, len(pids), added / start_seconds, held / members, rate))
        say(f"  {members} members: {figure(rate)} commands/s, {figure(added / start_seconds)} started/s")
    return rows, "All sizes were reached."


def measure_shards(scratch: Path, seconds: float) -> list[Row]:
    """As many shards as the machine has cores, with more and more members in them."""
    import ray

    remote: Any = ray.remote(num_cpus=0)(MemberHost)
    shards = max(1, min(os.cpu_count() or 1, PARTITIONS))
    placement = {partition: partition % shards for partition in range(PARTITIONS)}
    hosts = [
        remote.remote(
            str(scratch / f"shard-{shard}"), [each for each in placement if placement[each] == shard]
        )
        for shard in range(shards)
    ]
    pids: list[int] = ray.get([host.enrol.remote([], None) for host in hosts], timeout=START_TIMEOUT_SECONDS)
    handles = [_RayShard(host) for host in hosts]
    rows: list[Row] = []
    enrolled = 0
    for members in SHARD_COUNTS:
        added = range(enrolled, members)
        by_shard: list[list[int]] = [[] for _ in hosts]
        for member in added:
            by_shard[placement[partition_of(account_id(member), PARTITIONS)]].append(member)
        started = time.perf_counter()
        ray.get([host.enrol.remote(some, None) for host, some in zip(hosts, by_shard, strict=True)])
        start_seconds = time.perf_counter() - started
        enrolled = members

        rate = run_async(_drive_shards(handles, placement, members, seconds))
        held = sum(map(proportional_bytes, pids))
        rows.append(Row("shards", members, shards, len(added) / start_seconds, held / members, rate))
        say(f"  {members} members: {figure(rate)} commands/s")
    return rows


async def _drive_alone(hosts: Sequence[Any], members: int, seconds: float) -> float:
    async def submit(member: int, body: bytes) -> None:
        insist(await hosts[member].apply.remote(encode([accrual(member, body, partition=0)])))

    return await _drive(submit, members, seconds)


async def _drive_shards(
    handles: Sequence[_RayShard], placement: dict[int, int], members: int, seconds: float
) -> float:
    router = Router(handles, placement, queue_limit=QUEUE_LIMIT, batch_limit=BATCH_LIMIT)

    async def submit(member: int, body: bytes) -> None:
        insist(encode([await router.ask(accrual(member, body))]))

    return await _drive(submit, members, seconds)


class _RayShard:
    """A shard for the router, as the gateway has it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def apply(self, message: bytes) -> bytes:
        answers: bytes = await self._actor.apply.remote(message)
        return answers

    async def revived(self) -> None:
        """Nothing dies in this bench."""


async def _drive(submit: Submit, members: int, seconds: float) -> float:
    """Accruals per second of random members, `IN_FLIGHT` at a time."""
    maker = AccrualMaker([card_number(0)], occurred_ms=_now_ms(), lines=BASKET_LINES)
    bodies = iter(maker.accruals(int(_COMMANDS_PER_SECOND * seconds)))
    chance = random.Random(members)
    done = 0

    async def loop(deadline: float) -> None:
        nonlocal done
        for body in bodies:
            if time.perf_counter() >= deadline:
                return
            await submit(chance.randrange(members), body)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(loop(began + seconds) for _ in range(IN_FLIGHT)))
    return done / (time.perf_counter() - began)


def _no_room_for(added: int, last: Row, left_seconds: float) -> str:
    """Why `added` more members should not be tried, or nothing."""
    total, available = _memory_bytes()
    if available - added * last.bytes_per_member < MEMORY_LEFT_SHARE * total:
        return "the machine's memory would not suffice"
    if added / last.started_per_second > left_seconds:
        return "the time would not suffice"
    return ""


def _memory_bytes() -> tuple[int, int]:
    """The machine's memory: all, and what can still be had without swapping."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    return kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024


@contextlib.contextmanager
def _private_ray() -> Iterator[None]:
    """A Ray instance of our own for the time of the block, on loopback and behind a token."""
    # Ray reads these when it is imported, which is why that happens here and not above.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # off: bind 127.0.0.1, not all interfaces
    import ray

    with tempfile.TemporaryDirectory(prefix="vafa-ray-") as directory:
        ray.init(
            address="local",
            num_cpus=os.cpu_count(),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=directory,
        )
        try:
            yield
        finally:
            ray.shutdown()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
