"""Contestants take turns, are compared turn by turn, and account for the time of all their processes."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest

from bench.contest import Contestant, p99_ratio, rate_ratio, take_turns
from bench.load import LoadFailed, Measurement
from bench.processes import DidNotStart, cpu_seconds, descendants, resident_bytes, serve_module


def _measured(work: int, latency_ms: float) -> Measurement:
    return Measurement(work, work, 1.0, 0.5, array("d", [latency_ms] * work))


def _contestant(name: str, turns: list[Measurement], log: list[str]) -> Contestant:
    remaining = iter(turns)
    used = iter(range(100))

    def turn() -> Measurement:
        log.append(name)
        return next(remaining)

    return Contestant(name, 1, turn, lambda: {"server": float(next(used))})


def test_contestants_alternate_and_ratios_are_those_of_one_turn() -> None:
    log: list[str] = []
    # The machine halves its speed after the first turn; each ratio stays what it was.
    one = _contestant("a", [_measured(80, 2.0), _measured(40, 4.0), _measured(40, 4.0)], log)
    other = _contestant("b", [_measured(100, 1.0), _measured(50, 2.0), _measured(50, 2.0)], log)
    take_turns((one, other), 3)
    assert log == ["a", "b"] * 3
    assert rate_ratio(one, other).low == rate_ratio(one, other).high == 0.8
    assert p99_ratio(one, other).median == 2.0


def test_cpu_time_is_counted_by_process_for_each_piece_of_work() -> None:
    one = _contestant("a", [_measured(100, 1.0), _measured(300, 1.0)], [])
    take_turns((one,), 2)
    # Each turn used one second of the server and half a second of the client, over 400 pieces in all.
    assert one.cpu_us() == {"server": pytest.approx(5_000), "client": pytest.approx(2_500)}


def test_a_turn_with_a_failure_ends_the_contest() -> None:
    failed = _measured(10, 1.0)
    failed.failures = Counter({"UNAVAILABLE: gone": 1})
    with pytest.raises(LoadFailed, match="gone"):
        take_turns((_contestant("a", [failed], []),), 1)


def test_a_server_that_ends_before_it_serves_is_reported_with_its_words() -> None:
    with (
        pytest.raises(DidNotStart, match="the following arguments are required"),
        serve_module("bench.echo", []),
    ):
        pass


def test_a_process_is_among_its_own_descendants_and_its_use_is_seen() -> None:
    import os
    import subprocess
    import sys

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        try:
            assert {os.getpid(), child.pid} <= set(descendants(os.getpid()))
            assert os.getpid() not in descendants(child.pid)
        finally:
            child.communicate(b"\n")
    assert cpu_seconds(os.getpid()) > 0
    assert resident_bytes(os.getpid()) > 1_000_000
    assert cpu_seconds(child.pid) == resident_bytes(child.pid) == 0
