"""`python -m bench peers`: the same accruals on PostgreSQL, in turns with the node.

Once behind the node's own messages, gRPC and mutual TLS with asyncpg, and once from pgbench without any of
it. PostgreSQL does less for each (see postgres_schema.sql); it commits synchronously, as the node does.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import postgres_front
from bench.contest import (
    COLUMNS,
    Contestant,
    batch_turn,
    p99_ratio,
    rate_ratio,
    take_turns,
    unary_turn,
)
from bench.load import Target, run_async
from bench.messages import BASKET_LINES, BATCH_ACCRUALS, AccrualMaker, card_number
from bench.postgres_cluster import Cluster, find_programs, running
from bench.processes import Served, cpu_seconds, descendants
from bench.report import (
    BenchFailed,
    Spread,
    add_lines,
    figure,
    finish,
    parser,
    say,
    show_goals,
    show_table,
    spread,
    warn_when_busy,
)
from bench.subject import ACCRUE, MEMBERS, SUBMIT, Subject, beside, now_ms, running_node

UNARY_IN_FLIGHT = 256
BATCHES_IN_FLIGHT = 4
PGBENCH_CLIENTS = (16, 64)

UNARY_GOAL, BATCH_GOAL = 3.0, 1.0
"""How many times PostgreSQL's accruals the node is built to reach."""

_WARM_UP_SECONDS = 1.0
_PGBENCH_SCRIPT = """\
\\set member random(0, :members - 1)
\\set chance random(1, 9000000000000000000)
select * from accrue('pgbench', 'p-' || :client_id || '-' || :chance, decode(repeat('5a', 32), 'hex'),
    '9' || lpad(cast(:member as text), 15, '0'), now(), 'p-' || :chance, 150000);
"""
"""A card is as `card_number` writes it, a body's hash 32 bytes."""


class PgbenchFailed(BenchFailed):
    """pgbench ended badly, or some of its transactions failed. Says what it wrote."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Node and PostgreSQL, in single calls and in batches."""

    node_unary: Contestant
    peer_unary: Contestant
    node_batch: Contestant
    peer_batch: Contestant

    def everybody(self) -> dict[str, Contestant]:
        """By their names in the JSON file."""
        return {name: getattr(self, name) for name in self.__slots__}


def main(arguments: list[str]) -> int:
    """Measure, print, write. 0 also where PostgreSQL is not installed or a goal is missed: that is said."""
    made = parser("peers", __doc__ or "", seconds=5.0)
    made.add_argument("--rounds", type=int, default=3, metavar="N", help="turns of each (default 3)")
    add_lines(made, BASKET_LINES)
    options = made.parse_args(arguments)
    programs = find_programs()
    if programs is None:
        say("PostgreSQL's programs (initdb, postgres, pgbench) are not installed: there is no peer here.")
        finish("peers", {"installed": False}, options.json)
        return 0
    warn_when_busy()
    with running_node() as subject:
        say("Starting PostgreSQL …")
        with running(programs) as cluster, tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
            run_async(postgres_front.prepare(cluster, MEMBERS))
            with postgres_front.serving(cluster, beside(subject, Path(scratch))) as front:
                comparison = compare(subject, cluster, front, options.seconds, options.rounds, options.lines)
            say("pgbench …")
            direct = {
                clients: spread([pgbench(cluster, clients, options.seconds) for _ in range(options.rounds)])
                for clients in PGBENCH_CLIENTS
            }
    ratios = ratios_of(comparison, direct)
    show(comparison, direct, ratios)
    figures = {
        "installed": True,
        "lines": options.lines,
        **{name: each.figures() for name, each in comparison.everybody().items()},
        "pgbench_per_second": {str(clients): asdict(each) for clients, each in direct.items()},
        "ratios": ratios,
    }
    finish("peers", figures, options.json)
    return 0


def compare(
    subject: Subject, cluster: Cluster, front: Served, seconds: float, rounds: int, lines: int
) -> Comparison:
    """Single calls in turns, then batches in turns."""
    cards = [card_number(each) for each in range(MEMBERS)]
    maker = AccrualMaker(cards, occurred_ms=now_ms(), lines=lines)

    def peer_cpu() -> dict[str, float]:
        backends = sum(map(cpu_seconds, descendants(cluster.pid)))
        return {"front": cpu_seconds(front.pid), "postgres": backends}

    def unary(name: str, target: Target, cpu: Callable[[], dict[str, float]]) -> Contestant:
        unary_turn(target, maker, UNARY_IN_FLIGHT, _WARM_UP_SECONDS).insist(f"{name}, warming up")
        return Contestant(
            f"{name}, single accruals",
            UNARY_IN_FLIGHT,
            lambda: unary_turn(target, maker, UNARY_IN_FLIGHT, seconds),
            cpu,
        )

    def batch(name: str, target: Target, cpu: Callable[[], dict[str, float]]) -> Contestant:
        return Contestant(
            f"{name}, batches of {BATCH_ACCRUALS:,}",
            BATCHES_IN_FLIGHT,
            lambda: batch_turn(target, maker, BATCHES_IN_FLIGHT, seconds),
            cpu,
        )

    def peer(method: str) -> Target:
        return Target("PostgreSQL", front.address, method, subject.till)

    comparison = Comparison(
        unary("node", subject.target("node", ACCRUE), subject.cpu_seconds),
        unary("PostgreSQL", peer(postgres_front.ACCRUE), peer_cpu),
        batch("node", subject.target("node", SUBMIT), subject.cpu_seconds),
        batch("PostgreSQL", peer(postgres_front.SUBMIT), peer_cpu),
    )
    say("Single accruals …")
    take_turns((comparison.node_unary, comparison.peer_unary), rounds)
    say("Batches …")
    take_turns((comparison.node_batch, comparison.peer_batch), rounds)
    return comparison


def pgbench(cluster: Cluster, clients: int, seconds: float) -> float:
    """Transactions per second of the procedure, called by pgbench's own `clients` sessions."""
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
        script = Path(scratch, "accrue.sql")
        script.write_text(_PGBENCH_SCRIPT, encoding="utf-8")
        ran = subprocess.run(
            [
                *(cluster.programs / "pgbench", "--no-vacuum", "--protocol=prepared", f"--file={script}"),
                *(
                    f"--client={clients}",
                    "--jobs=2",
                    f"--time={max(1, round(seconds))}",
                    f"--define=members={MEMBERS}",
                ),
            ],
            env={**os.environ, **cluster.environment()},
            capture_output=True,
            text=True,
            check=False,
        )
    matched = re.search(r"^tps = ([0-9.]+)", ran.stdout, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: ([0-9]+)", ran.stdout, re.MULTILINE)
    if ran.returncode or matched is None or (failed and failed[1] != "0"):
        raise PgbenchFailed(f"pgbench ended with status {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return float(matched[1])


def ratios_of(comparison: Comparison, direct: dict[int, Spread]) -> dict[str, float]:
    """The node over PostgreSQL, turn by turn (medians); and over pgbench, which has neither gRPC nor TLS."""
    best_direct = max(each.median for each in direct.values())
    return {
        "unary": rate_ratio(comparison.node_unary, comparison.peer_unary).median,
        f"batch_{BATCH_ACCRUALS}": rate_ratio(comparison.node_batch, comparison.peer_batch).median,
        "unary_p99": p99_ratio(comparison.node_unary, comparison.peer_unary).median,
        "unary_to_pgbench": comparison.node_unary.per_second.median / best_direct,
    }


def show(comparison: Comparison, direct: dict[int, Spread], ratios: dict[str, float]) -> None:
    """The tables."""
    rows = [each.row() for each in comparison.everybody().values()]
    rows += [
        ("pgbench alone, single accruals", str(clients), str(each), "", "", "")
        for clients, each in direct.items()
    ]
    show_table("Accruals per second: median of the turns (least–greatest)", COLUMNS, rows)
    show_table(
        "CPU microseconds for one accrual",
        ("", "by process"),
        [
            (each.name, ", ".join(f"{role} {figure(used)}" for role, used in each.cpu_us().items()))
            for each in comparison.everybody().values()
        ],
    )
    show_table("Node over PostgreSQL", ("", "ratio"), [(name, figure(each)) for name, each in ratios.items()])
    show_goals(
        (
            ("single accruals, times PostgreSQL's behind gRPC", ratios["unary"], ">=", UNARY_GOAL),
            ("batches of 1,000, times PostgreSQL's behind gRPC", ratios["batch_1000"], ">=", BATCH_GOAL),
        )
    )
