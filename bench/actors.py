"""`python -m bench actors`: the same member actor, once as a Ray actor of its own, and once in shards.

Both run the node's own shard code over stores of its own kind, so both are durable before they answer. As a
Ray actor, each member is a process with a store directory of its own, for RocksDB admits one writing process;
in shards, members share the few processes that the node starts. Members are added until memory or time would
run out, and the table shows where each way bends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.load import run_async
from bench.messages import BASKET_LINES, AccrualMaker, card_number
from bench.plain_shard import PARTITIONS, account_id, accrual, enrolments, insist, new_spec
from bench.processes import command_line, descendants, proportional_bytes
from bench.report import console, figure, finish, parser, say, show_table, warn_when_busy
from node.actors.environment import prepare_ray
from node.actors.ports import ShardGone, ShardNotStarted
from node.actors.router import Router
from node.config import RaySection
from node.storage.keyspace import partition_of
from node.wire.commands import encode

if TYPE_CHECKING:
    from node.actors.placement import RayShard

OWN_COUNTS = (10, 50, 100, 200, 400, 800)
SHARD_COUNTS = (*OWN_COUNTS, 10_000, 100_000)
"""Members at which both, and at which shards alone, are measured."""

IN_FLIGHT = 256
QUEUE_LIMIT, BATCH_LIMIT = 8_192, 1_024
MEMORY_LEFT_SHARE = 0.2
"""The share of the machine's memory that is never touched: beyond it, it would swap."""

START_TIMEOUT_SECONDS = 300.0
_COMMANDS_PER_SECOND = 20_000

Submit = Callable[[int, bytes], Awaitable[None]]
"""Hands one accrual of a member to whatever hosts that member, and waits until it is durable."""


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
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
        _prepare(Path(scratch, "ray.token"))
        with _private_ray():
            say("One Ray actor for each member …")
            alone, ended = run_async(measure_alone(Path(scratch), options.seconds, options.minutes * 60))
        with _private_ray():
            say("Members in shards …")
            sharded = run_async(measure_shards(Path(scratch), options.seconds))
    rows = [*alone, *sharded]
    show_table(
        "The same member actor, hosted two ways",
        ("way", "members", "processes", "started/s", "KiB a member", "commands/s"),
        [row.cells() for row in rows],
    )
    console.print(f"One Ray actor for each member: {ended}")
    finish("actors", {"rows": [asdict(row) for row in rows], "ended": ended}, options.json)
    return 0


async def measure_alone(scratch: Path, seconds: float, limit_seconds: float) -> tuple[list[Row], str]:
    """A Ray actor for each member, more and more of them; with why it ended."""
    from node.actors.placement import start_ray_shards

    hosts: list[RayShard] = []
    rows: list[Row] = []
    began = time.monotonic()

    async def submit(member: int, body: bytes) -> None:
        insist(await hosts[member].apply(encode([accrual(member, body, partition=0)])))

    for members in OWN_COUNTS:
        added = members - len(hosts)
        if rows and (why := _no_room_for(added, rows[-1], limit_seconds - (time.monotonic() - began))):
            return rows, f"{members} members were not tried: {why}."
        started = time.perf_counter()
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                specs = [new_spec(scratch / f"member-{each}", (0,)) for each in range(len(hosts), members)]
                new = await start_ray_shards(specs, ())
                await asyncio.gather(
                    *(_enrol(host, [each], 0) for each, host in enumerate(new, start=len(hosts)))
                )
        except (ShardGone, ShardNotStarted, TimeoutError) as error:
            return rows, f"Starting {members} members failed: {type(error).__name__}."
        hosts += new
        per_second = added / (time.perf_counter() - started)
        rows.append(_row("Ray actors", members, per_second, await _drive(submit, members, seconds)))
    return rows, "All sizes were reached."


async def measure_shards(scratch: Path, seconds: float) -> list[Row]:
    """As many shards as the machine has cores, with more and more members in them."""
    from node.actors.placement import start_ray_shards

    count = max(1, min(os.cpu_count() or 1, PARTITIONS))
    placement = {partition: partition % count for partition in range(PARTITIONS)}
    specs = [new_spec(scratch / f"shard-{each}", range(each, PARTITIONS, count)) for each in range(count)]
    shards = await start_ray_shards(specs, ())
    router = Router(shards, placement, queue_limit=QUEUE_LIMIT, batch_limit=BATCH_LIMIT)
    rows: list[Row] = []
    enrolled = 0

    async def submit(member: int, body: bytes) -> None:
        insist(encode([await router.ask(accrual(member, body))]))

    for members in SHARD_COUNTS:
        by_shard: list[list[int]] = [[] for _ in shards]
        for member in range(enrolled, members):
            by_shard[placement[partition_of(account_id(member), PARTITIONS)]].append(member)
        started = time.perf_counter()
        await asyncio.gather(*(_enrol(shard, some) for shard, some in zip(shards, by_shard, strict=True)))
        per_second = (members - enrolled) / (time.perf_counter() - started)
        enrolled = members
        rows.append(_row("shards", members, per_second, await _drive(submit, members, seconds)))
    return rows


async def _enrol(host: RayShard, members: Sequence[int], partition: int | None = None) -> None:
    for message in enrolments(members, now_ms=_now_ms(), partition=partition):
        insist(await host.apply(message))


def _row(way: str, members: int, started_per_second: float, commands_per_second: float) -> Row:
    """What was measured, with the memory of the processes that host the members now."""
    hosting = [pid for pid in descendants(os.getpid()) if command_line(pid).startswith("ray::_ShardActor")]
    held = sum(map(proportional_bytes, hosting))
    say(f"  {members:,} members: {figure(commands_per_second)} commands/s")
    return Row(way, members, len(hosting), started_per_second, held / members, commands_per_second)


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


def _prepare(token: Path) -> None:
    """Has every Ray of this process demand the same token: it reads the token once."""
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32), encoding="ascii")
    prepare_ray(token, cluster=False)


@contextlib.contextmanager
def _private_ray() -> Iterator[None]:
    """The node's private Ray for the time of the block."""
    from node.actors.placement import start_ray, stop_ray  # Ray reads its environment when it is imported

    start_ray(RaySection())
    try:
        yield
    finally:
        stop_ray()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
