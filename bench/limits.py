"""`python -m bench limits`: the node beside its limits, in one run: an empty echo, and RocksDB alone.

Where the rest goes is said twice: as CPU time of each process for one accrual, and as the stages of one
accrual in a plain shard without Ray.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import echo, raw, rooms
from bench.contest import (
    COLUMNS,
    STREAMS,
    Contestant,
    batch_turn,
    echo_turn,
    p99_ratio,
    rate_ratio,
    stream_turn,
    take_turns,
    unary_turn,
)
from bench.load import Measurement, Target
from bench.messages import BASKET_LINES, BATCH_ACCRUALS, AccrualMaker, card_number
from bench.processes import Served, cpu_seconds
from bench.report import (
    add_lines,
    figure,
    finish,
    parser,
    say,
    show_goals,
    show_table,
    warn_when_busy,
)
from bench.subject import ACCRUE, MEMBERS, SUBMIT, SUBMIT_STREAM, Subject, beside, now_ms, running_node

LEVELS = (1, 16, 64, 256)
"""Calls in flight."""

BATCHES_IN_FLIGHT = 4

UNARY_GOAL, BATCH_GOAL, P99_GOAL = 0.70, 4.0, 2.5
"""What the node is built to reach: of the echo's calls, of them in batches, and times their p99."""

_WARM_UP_SECONDS = 1.0
_RAW_REPEATS = 3


@dataclass(slots=True)
class Contest:
    """Everything that takes turns in one run, and what the last turns wrote."""

    echo: dict[int, Contestant]
    unary: dict[int, Contestant]
    batches: dict[str, Contestant]
    """"echo", "stream" and "batch", which take turns among themselves."""
    logged: dict[str, list[raw.StoreRun]] = field(default_factory=dict)

    def everybody(self) -> list[Contestant]:
        """In the order of the table."""
        pairs = [each for level in LEVELS for each in (self.echo[level], self.unary[level])]
        return [*pairs, *self.batches.values()]


def main(arguments: list[str]) -> int:
    """Measure, print, write. 0 also where a goal is missed: that is said, not punished."""
    made = parser("limits", __doc__ or "", seconds=3.0)
    made.add_argument("--rounds", type=int, default=3, metavar="N", help="turns at each level (default 3)")
    add_lines(made, BASKET_LINES)
    options = made.parse_args(arguments)
    warn_when_busy()
    with running_node() as subject, tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
        with echo.serving(beside(subject, Path(scratch))) as echoing:
            contest = run(subject, echoing, options.seconds, options.rounds, options.lines)
        say("Writing the very same records with rocksdict alone …")
        raws = {name: raw_median(runs, Path(scratch)) for name, runs in contest.logged.items()}
    say("Timing the stages of one accrual in a plain shard …")
    stages = rooms.measure(lines=options.lines, seconds=options.seconds)
    ratios = ratios_of(contest, raws)
    show(contest, raws, ratios, stages)
    figures = {
        "lines": options.lines,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "echo": {str(level): each.figures() for level, each in contest.echo.items()},
        "unary": {str(level): each.figures() for level, each in contest.unary.items()},
        **{name: each.figures() for name, each in contest.batches.items() if name != "echo"},
        "echo_beside_batches": contest.batches["echo"].figures(),
        "raw": {name: asdict(each) for name, each in raws.items()},
        "ratios": ratios,
        "rooms_us": stages.figures(),
    }
    finish("limits", figures, options.json)
    return 0


def run(subject: Subject, echoing: Served, seconds: float, rounds: int, lines: int) -> Contest:
    """All levels in turns, then streams and batches in turns."""
    cards = [card_number(each) for each in range(MEMBERS)]
    maker = AccrualMaker(cards, occurred_ms=now_ms(), lines=lines)
    contest = _contest(subject, echoing, maker, seconds)
    say("Warming up …")
    echo_turn(_echo_target(subject, echoing), 64, _WARM_UP_SECONDS).insist("the echo, warming up")
    unary_turn(subject.target("unary", ACCRUE), maker, 64, _WARM_UP_SECONDS).insist("the node, warming up")
    for level in LEVELS:
        say(f"{level} in flight …")
        take_turns((contest.echo[level], contest.unary[level]), rounds)
    # Read at once: when a memory table is written out, its log goes.
    contest.logged["unary"] = raw.batches_of_run(subject.data_directory, maker.tag.encode())
    say("Streams and batches …")
    take_turns(list(contest.batches.values()), rounds)
    contest.logged["batch"] = raw.batches_of_run(subject.data_directory, maker.tag.encode())
    return contest


def raw_median(runs: list[raw.StoreRun], near: Path) -> raw.RawLimit:
    """The run of middling speed among a few over the same batches."""
    measured = [raw.measure(runs, near) for _ in range(_RAW_REPEATS)]
    return sorted(measured, key=lambda limit: limit.per_second)[_RAW_REPEATS // 2]


def ratios_of(contest: Contest, raws: dict[str, raw.RawLimit]) -> dict[str, float]:
    """The node over the echo of the same turns (medians), and over the raw limit of the same records."""
    highest = LEVELS[-1]
    ratios = {}
    for level in LEVELS:
        ratios[f"unary_{level}"] = rate_ratio(contest.unary[level], contest.echo[level]).median
        ratios[f"p99_{level}"] = p99_ratio(contest.unary[level], contest.echo[level]).median
    ratios["stream_256"] = rate_ratio(contest.batches["stream"], contest.batches["echo"]).median
    ratios[f"batch_{BATCH_ACCRUALS}"] = rate_ratio(contest.batches["batch"], contest.batches["echo"]).median
    ratios["raw"] = contest.unary[highest].per_second.median / raws["unary"].per_second
    ratios["raw_batch"] = contest.batches["batch"].per_second.median / raws["batch"].per_second
    return ratios


def show(
    contest: Contest, raws: dict[str, raw.RawLimit], ratios: dict[str, float], stages: rooms.Stages
) -> None:
    """The tables."""
    rows = [each.row() for each in contest.everybody()]
    for name, limit in raws.items():
        rows.append((f"rocksdict alone ({name})", "", figure(limit.per_second), "", "", ""))
    show_table("Accruals (or echoes) per second: median of the turns (least–greatest)", COLUMNS, rows)
    measured = {
        "echo": contest.echo[LEVELS[-1]],
        "unary": contest.unary[LEVELS[-1]],
        "stream": contest.batches["stream"],
        "batch": contest.batches["batch"],
    }
    roles = ("client", "gateway", "shards", "ray", "server")
    show_table(
        f"CPU microseconds for one accrual (or echo), by process, at {LEVELS[-1]} in flight",
        ("", *roles, "all"),
        [_cpu_row(name, each.cpu_us(), roles) for name, each in measured.items()],
    )
    show_table(
        "What was written",
        ("run", "accruals a batch", "records an accrual", "bytes an accrual"),
        [
            (name, *map(figure, (each.accruals_per_batch, each.records_per_accrual, each.bytes_per_accrual)))
            for name, each in raws.items()
        ],
    )
    show_table(
        "One accrual in a plain shard, microseconds by stage; no Ray, no gRPC; accruals in a batch:",
        ("stage", *(f"{size:,}" for size in rooms.BATCH_SIZES)),
        stages.rows(),
    )
    show_table("Ratios", ("", "ratio"), [(name, figure(value)) for name, value in ratios.items()])
    show_goals(
        (
            ("unary accruals for each echo, 256 in flight", ratios["unary_256"], ">=", UNARY_GOAL),
            ("p99 over the echo's, 256 in flight", ratios["p99_256"], "<=", P99_GOAL),
            ("accruals in batches of 1,000 for each echo", ratios["batch_1000"], ">=", BATCH_GOAL),
        )
    )


def _contest(subject: Subject, echoing: Served, maker: AccrualMaker, seconds: float) -> Contest:
    echoed = _echo_target(subject, echoing)
    unary, stream, batch = (
        subject.target("unary", ACCRUE),
        subject.target("stream", SUBMIT_STREAM),
        subject.target("batch", SUBMIT),
    )

    def echo_cpu() -> dict[str, float]:
        return {"server": cpu_seconds(echoing.pid)}

    def an_echo(level: int) -> Contestant:
        return Contestant("echo", level, lambda: echo_turn(echoed, level, seconds), echo_cpu)

    def a_unary(level: int) -> Contestant:
        def turn() -> Measurement:
            return unary_turn(unary, maker, level, seconds)

        return Contestant("unary accrual", level, turn, subject.cpu_seconds)

    highest = LEVELS[-1]
    return Contest(
        {level: an_echo(level) for level in LEVELS},
        {level: a_unary(level) for level in LEVELS},
        {
            "echo": an_echo(highest),
            "stream": Contestant(
                f"{STREAMS} streams of accruals",
                highest,
                lambda: stream_turn(stream, maker, highest, seconds),
                subject.cpu_seconds,
            ),
            "batch": Contestant(
                f"batches of {BATCH_ACCRUALS:,}",
                BATCHES_IN_FLIGHT,
                lambda: batch_turn(batch, maker, BATCHES_IN_FLIGHT, seconds),
                subject.cpu_seconds,
            ),
        },
    )


def _echo_target(subject: Subject, echoing: Served) -> Target:
    return Target("echo", echoing.address, echo.UNARY, subject.till)


def _cpu_row(name: str, used: dict[str, float], roles: tuple[str, ...]) -> tuple[str, ...]:
    cells = (figure(used[role]) if role in used else "" for role in roles)
    return (name, *cells, figure(sum(used.values())))
