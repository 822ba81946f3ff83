"""Contestants that take turns: a machine that grows slower or faster in between does so for all alike."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from bench.load import Measurement, Target, drive_stream, drive_unary, run_async
from bench.messages import BATCH_ACCRUALS, AccrualMaker
from bench.report import Spread, figure, spread

UNARY_CEILING_PER_SECOND = 20_000
"""Requests made before the clock starts, for each second: more than one client process can send."""

BATCH_CEILING_PER_SECOND = 150
STREAMS = 4
COLUMNS = ("", "in flight", "per second", "p50 ms", "p95 ms", "p99 ms")
"""The heads of `Contestant.row`."""

_PERCENTILES = (50, 95, 99)


class Contestant:
    """One thing that is measured, several times.

    `turn` drives it once; `cpu_seconds` says what its own processes have used so far, by what they are.
    """

    def __init__(
        self,
        name: str,
        in_flight: int,
        turn: Callable[[], Measurement],
        cpu_seconds: Callable[[], dict[str, float]],
    ) -> None:
        self.name = name
        self.in_flight = in_flight
        self.turns: list[Measurement] = []
        self._turn = turn
        self._cpu_seconds = cpu_seconds
        self._cpu_used: defaultdict[str, float] = defaultdict(float)

    def take_turn(self) -> None:
        """Drive it once; `LoadFailed` when a single answer was not a good one."""
        before = self._cpu_seconds()
        measured = self._turn().insist(self.name)
        for role, seconds in self._cpu_seconds().items():
            self._cpu_used[role] += seconds - before.get(role, 0.0)
        self._cpu_used["client"] += measured.client_cpu_seconds
        self.turns.append(measured)

    @property
    def per_second(self) -> Spread:
        """Accruals (or echoes) per second."""
        return spread([turn.per_second for turn in self.turns])

    def latency_ms(self, percent: float) -> Spread:
        """That percentile of the latency of its calls."""
        return spread([turn.latency_ms(percent) for turn in self.turns])

    def cpu_us(self) -> dict[str, float]:
        """CPU microseconds for each accrual (or echo), by process, the client's included."""
        work = sum(turn.work for turn in self.turns)
        return {role: seconds / work * 1e6 for role, seconds in self._cpu_used.items()}

    def row(self) -> tuple[str, ...]:
        """For a table under `COLUMNS`."""
        latencies = (figure(self.latency_ms(percent).median) for percent in _PERCENTILES)
        return (self.name, str(self.in_flight), str(self.per_second), *latencies)

    def figures(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "in_flight": self.in_flight,
            "per_second": asdict(self.per_second),
            **{f"p{percent}_ms": asdict(self.latency_ms(percent)) for percent in _PERCENTILES},
            "cpu_us": self.cpu_us(),
        }


def take_turns(contestants: Sequence[Contestant], rounds: int) -> None:
    """A B A B …, `rounds` times."""
    for _ in range(rounds):
        for contestant in contestants:
            contestant.take_turn()


def rate_ratio(one: Contestant, other: Contestant) -> Spread:
    """How many times as much work per second `one` did, turn by turn."""
    return spread([a.per_second / b.per_second for a, b in zip(one.turns, other.turns, strict=True)])


def p99_ratio(one: Contestant, other: Contestant) -> Spread:
    """How many times as long the slowest hundredth of its calls took, turn by turn."""
    return spread([a.latency_ms(99) / b.latency_ms(99) for a, b in zip(one.turns, other.turns, strict=True)])


def unary_turn(target: Target, maker: AccrualMaker, in_flight: int, seconds: float) -> Measurement:
    """One turn of single accruals, none of which was ever sent before."""
    maker.renew()
    requests = maker.accruals(math.ceil(UNARY_CEILING_PER_SECOND * seconds))
    return run_async(drive_unary(target, requests, in_flight=in_flight, seconds=seconds))


def stream_turn(target: Target, maker: AccrualMaker, in_flight: int, seconds: float) -> Measurement:
    """One turn of accruals on `STREAMS` streams."""
    maker.renew()
    requests = maker.streamed(math.ceil(2 * UNARY_CEILING_PER_SECOND * seconds))
    driven = drive_stream(target, requests, streams=STREAMS, in_flight=in_flight, seconds=seconds)
    return run_async(driven)


def batch_turn(target: Target, maker: AccrualMaker, in_flight: int, seconds: float) -> Measurement:
    """One turn of batches of `BATCH_ACCRUALS`; `in_flight` counts batches."""
    maker.renew()
    requests = maker.batches(math.ceil(BATCH_CEILING_PER_SECOND * seconds))
    driven = drive_unary(
        target, requests, in_flight=in_flight, seconds=seconds, accruals_per_call=BATCH_ACCRUALS
    )
    return run_async(driven)


def echo_turn(target: Target, in_flight: int, seconds: float) -> Measurement:
    """One turn of calls with nothing in them."""
    requests = [b""] * math.ceil(UNARY_CEILING_PER_SECOND * seconds)
    return run_async(drive_unary(target, requests, in_flight=in_flight, seconds=seconds))
