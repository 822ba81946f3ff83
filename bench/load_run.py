"""`python -m bench load`, which `make load` runs: many simulated tills over mTLS, then PASS or FAIL and why.

Locust runs in a process of its own, for it replaces the standard library's waiting by gevent's. Afterwards
the node is stopped and its books are checked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.load_manifest import MANIFEST_VARIABLE, LoadManifest
from bench.report import BenchFailed, console, figure, finish, parser, say, show_table, warn_when_busy
from bench.subject import Subject, running_node
from node.identity.caller import Role
from simulators.launch import NodeFailed, NodeUnderTest

MEMBERS_PER_TILL = 20
STORES = 10
_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_GRACE_SECONDS = 60.0
_STOP_SECONDS = 15
_OUTPUT_TAIL_LINES = 40


class _Entry(msgspec.Struct):
    """One line of Locust's statistics (`--json-file`), as far as it is read here."""

    name: str
    num_requests: int
    num_failures: int
    response_times: dict[str, int]
    """Calls by response time in milliseconds, which Locust rounds to two digits."""
    start_time: float
    last_request_timestamp: float | None


class LocustFailed(BenchFailed):
    """Locust itself ended badly. Says what it wrote."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the run must hold to pass."""

    p99_ms: float
    calls_per_second: float
    failed_share: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the tills saw. `output` is the end of what Locust wrote, with its table of errors."""

    calls: Counter[str]
    failures: Counter[str]
    p99_ms: dict[str, float]
    calls_per_second: float
    output: str


def main(arguments: list[str]) -> int:
    """Run, print, write; 0 for PASS, 1 for FAIL."""
    made = parser("load", __doc__ or "", seconds=30.0)
    made.add_argument("--users", type=int, default=100, metavar="N", help="tills at once (default 100)")
    made.add_argument("--p99-ms", type=float, default=500.0, help="bound of the p99 (default 500)")
    made.add_argument("--floor", type=float, metavar="RATE", help="calls/s to reach (default 2 a till)")
    made.add_argument("--failed-share", type=float, default=0.0, help="share that may fail (default 0)")
    made.add_argument("--calls", type=int, metavar="N", help="end early once every till has made N calls")
    options = made.parse_args(arguments)
    floor = 2.0 * options.users if options.floor is None else options.floor
    bounds = Bounds(options.p99_ms, floor, options.failed_share)
    warn_when_busy()
    with running_node(options.users * MEMBERS_PER_TILL) as subject:
        with tempfile.TemporaryDirectory(prefix="vafa-load-") as scratch:
            say(f"{options.users} tills for {options.seconds:g} s …")
            manifest = write_manifest(subject, Path(scratch), options.users, options.calls)
            outcome = run_locust(manifest, options.users, options.seconds)
        say("Stopping the node and checking its books …")
        books = stop_and_check(subject.node)
    broken = verdict(outcome, bounds, books)
    show(outcome, broken)
    figures: dict[str, Any] = {
        "tills": options.users,
        "seconds": options.seconds,
        "bounds": asdict(bounds),
        "calls": dict(outcome.calls),
        "failures": dict(outcome.failures),
        "p99_ms": outcome.p99_ms,
        "calls_per_second": outcome.calls_per_second,
        "check": books,
        "broken": broken,
        "passed": not broken,
    }
    finish("load", figures, options.json)
    return 1 if broken else 0


def stop_and_check(node: NodeUnderTest) -> str:
    """ "clean" where the node drained and its books prove themselves, or what is wrong."""
    try:
        node.stop()
    except NodeFailed as failed:
        return str(failed)
    checked = node.vafa("check", "--config", str(node.config_path))
    return "clean" if checked.returncode == 0 else (checked.stdout + checked.stderr).strip()


def write_manifest(subject: Subject, directory: Path, tills: int, calls: int | None = None) -> Path:
    """A certificate for each till, and the file that tells the locustfile of them; all below `directory`."""
    certificates = directory / "certificates"
    certificates.mkdir(mode=0o700)
    address = subject.node.addresses.serving
    manifest = LoadManifest(address, certificates, tills, MEMBERS_PER_TILL, "IRR", calls)
    for number in range(tills):
        till = subject.node.issue(Role.TILL, f"till-{number}", store=f"store-{number % STORES}")
        manifest.keep_certificate(number, till)
    path = directory / "manifest.json"
    manifest.write(path)
    return path


def run_locust(manifest: Path, users: int, seconds: float) -> Outcome:
    """Run the locustfile headless for at most `seconds`, all `users` begun within five of them."""
    statistics = manifest.with_name("statistics")
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--only-summary"),
            *("-u", str(users), "-r", str(max(1.0, users / 5)), "-t", f"{max(1, round(seconds))}s"),
            *("--stop-timeout", str(_STOP_SECONDS), "--exit-code-on-error", "0"),
            *("--json-file", str(statistics)),
        ],
        env={**os.environ, MANIFEST_VARIABLE: str(manifest)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds + _STOP_SECONDS + _GRACE_SECONDS,
        check=False,
    )
    output = "\n".join(ran.stdout.splitlines()[-_OUTPUT_TAIL_LINES:])
    written = statistics.with_suffix(".json")
    if ran.returncode or not written.exists():
        raise LocustFailed(f"Locust ended with status {ran.returncode}:\n{output}")
    return _outcome(msgspec.json.decode(written.read_bytes(), type=list[_Entry]), output)


def verdict(outcome: Outcome, bounds: Bounds, books: str) -> list[str]:
    """Each bound that was not held, in a sentence; none is a pass."""
    broken = []
    calls, failed = outcome.calls.total(), outcome.failures.total()
    if failed > bounds.failed_share * calls:
        broken.append(f"{failed:,} of {calls:,} calls failed (allowed: {bounds.failed_share:.2%}).")
    if outcome.calls_per_second < bounds.calls_per_second:
        rate, floor = figure(outcome.calls_per_second), figure(bounds.calls_per_second)
        broken.append(f"Only {rate} calls/s were made (wanted: {floor}).")
    for name, p99_ms in outcome.p99_ms.items():
        if not p99_ms <= bounds.p99_ms:
            broken.append(f"{name}: the p99 is {figure(p99_ms)} ms (allowed: {figure(bounds.p99_ms)}).")
    uncalled = [name for name in ("Accrue", "Redeem", "Return") if not outcome.calls[name]]
    if uncalled:
        broken.append(f"{', '.join(uncalled)} was never called, so the mix was not what it should be.")
    if books != "clean":
        broken.append(f"The books are not clean: {books}")
    return broken


def show(outcome: Outcome, broken: Sequence[str]) -> None:
    """The table, the reasons and the last word."""
    rows = [
        (name, f"{outcome.calls[name]:,}", f"{outcome.failures[name]:,}", figure(outcome.p99_ms[name]))
        for name in sorted(outcome.calls)
    ]
    show_table(
        f"Calls of the tills: {figure(outcome.calls_per_second)} per second",
        ("", "calls", "failed", "p99 ms"),
        rows,
    )
    if outcome.failures.total():
        console.print(outcome.output, markup=False)
    for reason in broken:
        console.print(f"- {reason}", markup=False)
    console.print("FAIL" if broken else "PASS: nothing failed, all bounds held, the books are clean.")


def _outcome(entries: Sequence[_Entry], output: str) -> Outcome:
    calls = Counter({entry.name: entry.num_requests for entry in entries})
    failures = Counter({entry.name: entry.num_failures for entry in entries})
    began = min((entry.start_time for entry in entries), default=0.0)
    ended = max((entry.last_request_timestamp or 0.0 for entry in entries), default=0.0)
    return Outcome(
        calls,
        failures,
        {entry.name: _p99_ms(entry.response_times) for entry in entries},
        calls.total() / (ended - began) if ended > began else 0.0,
        output,
    )


def _p99_ms(response_times: dict[str, int]) -> float:
    """The nearest-rank p99 of Locust's histogram; NaN, which holds no bound, without any call."""
    seen, wanted = 0, 0.99 * sum(response_times.values())
    for milliseconds, count in sorted((float(text), count) for text, count in response_times.items()):
        seen += count
        if seen >= wanted:
            return milliseconds
    return float("nan")


if __name__ == "__main__":
    from bench.__main__ import main as run_bench

    sys.exit(run_bench(["load", *sys.argv[1:]]))
