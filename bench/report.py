"""What a bench prints and writes: medians with their spread, plain tables, one JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

FILE_COLUMNS = 110
"""The width of a table that goes to a file or a pipe."""

MAX_LINES = 100

_PACKAGES = ("grpcio", "ray", "rocksdict", "uvloop", "msgspec", "protobuf")

console = Console(highlight=False, width=None if sys.stdout.isatty() else FILE_COLUMNS)
"""Where tables go. Progress goes to standard error, so that a table can be piped into a file."""

_progress = Console(stderr=True, highlight=False)


class BenchFailed(Exception):
    """A bench could not measure what it meant to; the text is for the person who ran it."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure measured several times: the median, and how far apart the measurements lay."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(self.low)}–{figure(self.high)})"


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest of at least one measurement."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in ascending order: a value that really occurred, never a mean.

    With nothing measured it is NaN, which no bound is met by.
    """
    if not ordered:
        return float("nan")
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def figure(value: float) -> str:
    """Three significant digits below 1,000, whole numbers with separators above."""
    if value != value:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def say(text: str) -> None:
    """One line of progress, on standard error."""
    _progress.print(text, soft_wrap=True)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table that is also readable in a terminal without colours or box characters in its font."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.ASCII2)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=index > 0)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_goals(goals: Sequence[tuple[str, float, str, float]]) -> bool:
    """Each goal as (what, measured, ">=" or "<=", wanted), with whether it is reached; True when all are.

    A bench reports, it does not fail: figures depend on the machine, and a timed test is a coin toss.
    """
    rows = []
    reached_all = True
    for what, measured, relation, wanted in goals:
        reached = measured >= wanted if relation == ">=" else measured <= wanted
        reached_all &= reached
        rows.append(
            (what, figure(measured), f"{relation} {figure(wanted)}", "reached" if reached else "NOT reached")
        )
    show_table("Goals", ("goal", "measured", "wanted", ""), rows)
    return reached_all


def machine() -> dict[str, Any]:
    """What the figures were measured on. Names no host and no path."""
    return {
        "cores": os.cpu_count(),
        "processor": _first_value(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "memory_kib": int((_first_value(Path("/proc/meminfo"), "MemTotal") or "0 kB").split()[0]),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average_1m": os.getloadavg()[0],
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def warn_when_busy() -> None:
    """Say so where other work would make the figures worthless: nobody reads a load average unasked."""
    load = os.getloadavg()[0]
    if load > 0.5 * (os.cpu_count() or 1):
        say(f"[yellow]This machine is busy (load {load:.1f}): figures will be worse than it can do.[/yellow]")


def finish(name: str, figures: dict[str, Any], json_file: Path | None) -> None:
    """Write the figures of bench `name` and the machine's description to `json_file`, where one is given."""
    if json_file is not None:
        document = {"bench": name, "machine": machine(), **figures}
        json_file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        say(f"Figures are in {json_file}.")


def parser(name: str, about: str, *, seconds: float) -> argparse.ArgumentParser:
    """The options that every bench has: `--json FILE` and `--seconds S` for one measurement."""
    made = argparse.ArgumentParser(prog=f"python -m bench {name}", description=about)
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as JSON")
    made.add_argument(
        "--seconds",
        type=_seconds,
        default=seconds,
        metavar="S",
        help=f"length of each measurement, 0.2 to 3600 (default {seconds:g})",
    )
    return made


def add_lines(made: argparse.ArgumentParser, default: int) -> None:
    """The option `--lines N` of benches that send accruals: the size of every basket, 0 a bare total."""
    made.add_argument(
        "--lines",
        type=int,
        choices=range(MAX_LINES + 1),
        default=default,
        metavar="N",
        help=f"lines of every basket, 0 to {MAX_LINES} (default {default})",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.2 <= value <= 3600:
        raise argparse.ArgumentTypeError("must lie between 0.2 and 3600")
    return value


def _first_value(path: Path, key: str) -> str | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)
