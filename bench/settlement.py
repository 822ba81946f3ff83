"""`python -m bench settlement`: closing and netting a window of many merchants, in time and memory.

Every merchant's members shop at every other. The records are made in the store's own format first; then all
merchants close the window (on every core), the operator collects, nets and publishes, and the verifier
checks the file. Then it is told how each of them grows with merchants, with lanes and with records, each by
itself.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from bench.report import Spread, figure, finish, parser, say, show_goals, show_table, spread, warn_when_busy
from bench.settlement_run import (
    Phase,
    Scale,
    audit,
    close_all,
    generate,
    operate,
    recompute_turns,
    verify_turn,
)

MERCHANTS, LANES, RECORDS = 60, 4, 1_000_000
"""What two cores do in about three minutes; see docs/benchmarks.md for the window of 200 and ten million."""
SAMPLE = 1_000_000
RECOMPUTE_GOAL, VERIFY_GOAL, OPERATOR_GOAL = 0.5, 0.8, 1.1
"""The least share of a bare loop, of the raw signature check; how much more the operator may take for ten
times the records.
"""

_MIB = 1024 * 1024
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Window:
    """What one window took. `close` is one phase a worker; the rest is one process each."""

    scale: Scale
    close: tuple[Phase, ...]
    collect: Phase
    net: Phase
    audit: Phase
    statement_bytes: int

    @property
    def close_seconds(self) -> float:
        """Until the last worker was done."""
        return max(phase.seconds for phase in self.close)

    @property
    def operator_seconds(self) -> float:
        """CPU for checking all closes and making the statement."""
        return self.collect.cpu_seconds + self.net.cpu_seconds

    @property
    def close_peak_bytes(self) -> int:
        """Of the worker that needed most."""
        return max(phase.peak_bytes for phase in self.close)

    def close_row(self) -> tuple[str, ...]:
        """For the table of the merchants' work."""
        done = sum(phase.done for phase in self.close)
        size = f"{self.scale.merchants} × {self.scale.lanes} × {self.scale.records:,}"
        rate = figure(done / self.close_seconds)
        cpu = sum(phase.cpu_seconds for phase in self.close)
        return size, figure(self.close_seconds), figure(cpu), rate, figure(self.close_peak_bytes / _MIB)

    def operator_row(self) -> tuple[str, ...]:
        """For the table of the operator's and the auditor's work."""
        return (
            f"{self.collect.done:,}",
            figure(self.collect.cpu_seconds),
            figure(self.net.cpu_seconds),
            figure(self.net.peak_bytes / _MIB),
            figure(self.audit.cpu_seconds),
            figure(self.statement_bytes / _MIB),
        )

    def figures(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            **asdict(self),
            "close_seconds": self.close_seconds,
            "operator_seconds": self.operator_seconds,
        }


CLOSE_COLUMNS = ("merchants × lanes × records", "seconds", "CPU s", "records/s", "MiB")
OPERATOR_COLUMNS = ("closes", "collect s", "net s", "MiB", "verifier s", "file MiB")


def main(arguments: list[str]) -> int:
    """Measure, print, write. 0 also where a goal is missed: that is said."""
    made = parser("settlement", __doc__ or "", seconds=5.0)
    made.add_argument("--records", type=_count, default=RECORDS, metavar="N", help="of the largest window")
    made.add_argument(
        "--merchants", type=_count, default=MERCHANTS, metavar="N", help="of the largest window"
    )
    made.add_argument("--lanes", type=_count, default=LANES, metavar="N", help="of each pair, 1 to 16")
    made.add_argument(
        "--sample",
        type=_count,
        default=SAMPLE,
        metavar="N",
        help="signatures that are checked, if there are so many",
    )
    made.add_argument("--rounds", type=_count, default=5, metavar="N", help="turns of the recomputation")
    made.add_argument("--folder", type=Path, help="where the records are made (5 GB for ten million)")
    options = made.parse_args(arguments)
    warn_when_busy()
    full = Scale(options.merchants, options.lanes, options.records)
    windows: dict[str, Window] = {}
    with _made(full, options.folder) as folder:
        windows["full"] = settle(full, folder)
        say("A merchant's own recomputation, beside a bare loop over the same records")
        turns = _apart(recompute_turns, full, folder, min(500_000, full.records), options.rounds)
        signatures = check_signatures(
            full, folder, min(-(-options.sample // 2), full.records // full.sign_every)
        )
    for name, scale in growth_of(full):
        with _made(scale, options.folder) as folder:
            windows[name] = settle(scale, folder)
    show(windows, turns, signatures)
    figures = {
        "windows": {name: window.figures() for name, window in windows.items()},
        "recompute": turns,
        "signatures": signatures,
    }
    finish("settlement", figures, options.json)
    return 0


def growth_of(full: Scale) -> Iterator[tuple[str, Scale]]:
    """Windows that differ from a base in one thing: merchants, lanes, records. The base is a tenth of the
    records.
    """
    base = replace(full, records=max(full.records // 50, 1), merchants=max(full.merchants // 4, 2))
    yield "base", base
    yield "merchants × 2", replace(base, merchants=base.merchants * 2)
    yield "merchants × 4", replace(base, merchants=base.merchants * 4)
    yield "lanes × 2", replace(base, lanes=base.lanes * 2)
    yield "lanes × 4", replace(base, lanes=base.lanes * 4)
    yield "records × 3", replace(base, records=base.records * 3)
    yield "records × 10", replace(base, records=base.records * 10)


def settle(scale: Scale, folder: Path) -> Window:
    """Closes, nets and verifies one window whose records lie in `folder`."""
    say(f"Closing {scale.records:,} records of {scale.merchants} merchants")
    workers = os.cpu_count() or 1
    closed = _on_every_core(close_all, scale, folder, workers)
    phases, size = _apart(operate, scale, folder, [path for _, path in closed])
    audited = _apart(audit, scale, folder)
    close = tuple(phase for phase, _ in closed)
    assert sum(phase.done for phase in close) == scale.records
    return Window(scale, close, phases["collect"], phases["net"], audited, size)


def check_signatures(scale: Scale, folder: Path, sample: int) -> dict[str, float]:
    """Signatures a CPU second on every core together, of the raw check and of the records' check."""
    say(f"Checking both signatures of {sample:,} records on every core")
    workers = os.cpu_count() or 1
    turns = _on_every_core(verify_turn, scale, folder, workers, -(-sample // workers))
    raw = sum(count / raw_seconds for count, raw_seconds, _ in turns)
    checked = sum(count / seconds for count, _, seconds in turns)
    return {"signatures": sum(count for count, _, _ in turns), "raw_rate": raw, "rate": checked}


@contextmanager
def _made(scale: Scale, parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vafa-bench-", dir=parent) as name:
        say(f"Making {scale.records:,} records of {scale.merchants} merchants in {scale.lanes} lanes a pair")
        _on_every_core(generate, scale, Path(name), os.cpu_count() or 1)
        yield Path(name)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, and one task each: what a phase needs of memory is its own.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1)


def _apart(work: Callable[..., _T], *arguments: object) -> _T:
    with _pool(1) as pool:
        return pool.submit(work, *arguments).result()


def _on_every_core(
    work: Callable[..., _T], scale: Scale, folder: Path, workers: int, *more: object
) -> list[_T]:
    with _pool(workers) as pool:
        running: list[Future[_T]] = [
            pool.submit(work, scale, folder, worker, workers, *more) for worker in range(workers)
        ]
        return [one.result() for one in running]


def show(windows: dict[str, Window], turns: list[tuple[float, float]], signatures: dict[str, float]) -> None:
    """The tables and the goals."""
    closing = [(name, *window.close_row()) for name, window in windows.items()]
    show_table("All merchants close, on every core", ("", *CLOSE_COLUMNS), closing)
    operating = [(name, *window.operator_row()) for name, window in windows.items()]
    show_table("The operator nets, anyone verifies, on one core", ("", *OPERATOR_COLUMNS), operating)
    share = spread([own / bare for bare, own in turns])
    rates = [
        ("bare loop: read and hash", str(_rate(turns, 0)), ""),
        ("recomputation", str(_rate(turns, 1)), str(share)),
        ("raw Ed25519 check", figure(signatures["raw_rate"]), ""),
        (
            "records' signatures",
            figure(signatures["rate"]),
            figure(signatures["rate"] / signatures["raw_rate"]),
        ),
    ]
    show_table("Rates", ("", "a CPU second", "share"), rates)
    base, more = windows["base"], windows["records × 10"]
    show_goals(
        [
            ("recomputation, share of the bare loop", share.median, ">=", RECOMPUTE_GOAL),
            (
                "signatures, share of the raw check",
                signatures["rate"] / signatures["raw_rate"],
                ">=",
                VERIFY_GOAL,
            ),
            (
                "operator's time at ten times the records",
                more.operator_seconds / base.operator_seconds,
                "<=",
                OPERATOR_GOAL,
            ),
            (
                "operator's file at ten times the records",
                more.statement_bytes / base.statement_bytes,
                "<=",
                OPERATOR_GOAL,
            ),
        ]
    )


def _rate(turns: list[tuple[float, float]], which: int) -> Spread:
    return spread([turn[which] for turn in turns])


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
