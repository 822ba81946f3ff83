"""`python -m bench growth`: throughput, memory, start-up and recovery as the members grow.

Every accrual is for a random one of all members, so beyond what the cache holds nearly each wakes an account
from the store: the hardest case. Throughput is compared as a share of the echo's in the same turns, so that
it does not matter when in a long run a size had its turn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grpc import aio

from bench import echo
from bench.contest import COLUMNS, Contestant, echo_turn, rate_ratio, take_turns, unary_turn
from bench.load import CALL_TIMEOUT_SECONDS, Target, run_async
from bench.messages import AccrualMaker, card_number
from bench.processes import cpu_seconds
from bench.report import (
    BenchFailed,
    Spread,
    figure,
    finish,
    parser,
    say,
    show_goals,
    show_table,
    warn_when_busy,
)
from bench.subject import ACCRUE, Subject, beside, installed_node, now_ms

MEMBERS = (10_000, 100_000, 1_000_000)
IN_FLIGHT = 256
THROUGHPUT_GOAL, RECOVERY_GOAL = 0.9, 1.5
"""At the most members, of what it is at the fewest: the least share of the rate, the most of the time."""

_WARM_UP_SECONDS = 2.0
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Size:
    """What was measured at one number of members. Times in seconds, memory in bytes by process."""

    members: int
    echo: Contestant
    unary: Contestant
    start_seconds: float
    recovery_seconds: float
    idle_bytes: dict[str, int]
    worked_bytes: dict[str, int]
    store_bytes: int

    @property
    def share_of_echo(self) -> Spread:
        """Accruals for each echo of the same turn."""
        return rate_ratio(self.unary, self.echo)

    def figures(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "echo": self.echo.figures(),
            "unary": self.unary.figures(),
            "share_of_echo": asdict(self.share_of_echo),
            "start_seconds": self.start_seconds,
            "recovery_seconds": self.recovery_seconds,
            "resident_bytes_idle": self.idle_bytes,
            "resident_bytes": self.worked_bytes,
            "store_bytes": self.store_bytes,
        }

    def row(self) -> tuple[str, ...]:
        """For the table."""
        memory = (figure(self.worked_bytes[role] / _MIB) for role in ("gateway", "shards"))
        return (
            f"{self.members:,}",
            figure(self.share_of_echo.median),
            *memory,
            figure(self.store_bytes / _MIB),
            figure(self.start_seconds),
            figure(self.recovery_seconds),
        )


class AnswerLost(BenchFailed):
    """After the kill a request that had been answered was not known any more, or got another answer."""


def main(arguments: list[str]) -> int:
    """Measure, print, write. 0 also where a goal is missed: that is said."""
    made = parser("growth", __doc__ or "", seconds=5.0)
    made.add_argument("--rounds", type=int, default=3, metavar="N", help="turns at each size (default 3)")
    made.add_argument(
        "--members",
        type=_sizes,
        default=MEMBERS,
        metavar="N,…",
        help="sizes (default 10000,100000,1000000)",
    )
    options = made.parse_args(arguments)
    warn_when_busy()
    sizes = [measure(members, options.seconds, options.rounds) for members in options.members]
    ratios = ratios_of(sizes)
    show(sizes, ratios)
    figures = {"sizes": {str(size.members): size.figures() for size in sizes}, "ratios": ratios}
    finish("growth", figures, options.json)
    return 0


def measure(members: int, seconds: float, rounds: int) -> Size:
    """One size, in an installation of its own."""
    with installed_node(members) as subject, tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
        start_seconds = _timed_start(subject)
        idle = subject.resident_bytes()
        maker = AccrualMaker([card_number(each) for each in range(members)], occurred_ms=now_ms())
        node = subject.target("node", ACCRUE)
        with echo.serving(beside(subject, Path(scratch))) as echoing:
            echoed = Target("echo", echoing.address, echo.UNARY, subject.till)
            unary_turn(node, maker, IN_FLIGHT, _WARM_UP_SECONDS).insist("the node, warming up")
            contestants = (
                Contestant(
                    f"echo ({members:,} members)",
                    IN_FLIGHT,
                    lambda: echo_turn(echoed, IN_FLIGHT, seconds),
                    lambda: {"server": cpu_seconds(echoing.pid)},
                ),
                Contestant(
                    f"node ({members:,} members)",
                    IN_FLIGHT,
                    lambda: unary_turn(node, maker, IN_FLIGHT, seconds),
                    subject.cpu_seconds,
                ),
            )
            take_turns(contestants, rounds)
        worked = subject.resident_bytes()
        stored = sum(path.stat().st_size for path in subject.data_directory.rglob("*") if path.is_file())
        return Size(
            members, *contestants, start_seconds, _recovery_seconds(subject, maker), idle, worked, stored
        )


def ratios_of(sizes: list[Size]) -> dict[str, float]:
    """Each size over the smallest: accruals for each echo, memory of the shards, start-up and recovery."""
    first = sizes[0]
    ratios: dict[str, float] = {}
    for size in sizes[1:]:
        ratios |= {
            f"unary_{size.members}": size.share_of_echo.median / first.share_of_echo.median,
            f"shards_resident_{size.members}": size.worked_bytes["shards"] / first.worked_bytes["shards"],
            f"start_{size.members}": size.start_seconds / first.start_seconds,
            f"recovery_{size.members}": size.recovery_seconds / first.recovery_seconds,
        }
    return ratios


def show(sizes: list[Size], ratios: dict[str, float]) -> None:
    """The tables."""
    rows = [contestant.row() for size in sizes for contestant in (size.echo, size.unary)]
    show_table("Per second: median of the turns (least–greatest)", COLUMNS, rows)
    show_table(
        "By members; memory is resident, after the work",
        ("members", "of the echo", "gateway MiB", "shards MiB", "on disk MiB", "start s", "recovery s"),
        [size.row() for size in sizes],
    )
    if len(sizes) < 2:
        return
    show_table("Over the smallest", ("", "ratio"), [(name, figure(each)) for name, each in ratios.items()])
    last = sizes[-1].members
    show_goals(
        (
            ("unary throughput, of the smallest's", ratios[f"unary_{last}"], ">=", THROUGHPUT_GOAL),
            ("recovery after SIGKILL, times the smallest's", ratios[f"recovery_{last}"], "<=", RECOVERY_GOAL),
        )
    )


def _timed_start(subject: Subject) -> float:
    say("Starting the node …")
    began = time.perf_counter()
    subject.node.start()
    return time.perf_counter() - began


def _recovery_seconds(subject: Subject, maker: AccrualMaker) -> float:
    """From SIGKILL until the node serves again, with a request that was answered before still known."""
    say("Killing the node …")
    [request] = maker.accruals(1)
    before = run_async(_answer(subject, request))
    began = time.perf_counter()
    subject.node.kill()
    subject.node.start()
    seconds = time.perf_counter() - began
    if run_async(_answer(subject, request)) != before:
        raise AnswerLost("A request that was answered before the kill got another answer after it.")
    return seconds


async def _answer(subject: Subject, request: bytes) -> bytes:
    target = subject.target("node", ACCRUE)
    async with target.channel() as channel:
        call: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(target.method)
        return await call(request, timeout=CALL_TIMEOUT_SECONDS, wait_for_ready=True)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(part) for part in text.split(","))
    if list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
        raise argparse.ArgumentTypeError("must be rising numbers of members, such as 10000,100000")
    return sizes
