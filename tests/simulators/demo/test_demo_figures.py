"""The figures that the demo reports are those that were measured."""

from __future__ import annotations

import pytest

from simulators.demo.figures import Figures, percentile


def test_percentiles_are_values_that_occurred() -> None:
    values = list(range(1, 101))
    assert [percentile(values, percent) for percent in (50, 95, 99)] == [50, 95, 99]
    assert percentile([7], 99) == 7
    assert percentile([], 50) == 0
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([1, 100], 99) == 100


def test_a_call_that_fails_is_no_measurement() -> None:
    figures = Figures()
    with figures.timed("accrue"):
        pass
    with pytest.raises(ValueError, match="refused"), figures.timed("accrue"):
        raise ValueError("refused")
    assert len(figures.latencies_us["accrue"]) == 1


def test_the_rate_is_of_single_calls_over_the_time_of_the_shopping() -> None:
    figures = Figures()
    assert figures.accruals_per_second() == 0
    figures.latencies_us["accrue"] = [1_000] * 500
    figures.counts["accruals"] = 900
    figures.shopping_seconds = 2.0
    assert figures.accruals_per_second() == 250
    assert figures.latency_ms() == {"accrue": {"p50": 1.0, "p95": 1.0, "p99": 1.0}}
