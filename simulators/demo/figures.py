"""What a run measured: how often, how fast, what was refused, and what the tills were told of points."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from node.proto.vafa.common.v1 import balance_pb2, effect_pb2

PERCENTS = (50, 95, 99)


def percentile(values: Sequence[int], percent: int) -> int:
    """The value that `percent` of the values do not exceed (the nearest rank); 0 where there are none."""
    if not values:
        return 0
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, rank - 1)]


@dataclass(slots=True)
class Figures:
    """Counts, and the time that each call took from the till's side, in microseconds.

    `issued` and `redeemed` are units by purse, added up from the answers that the tills had: what the node's
    books must come to if it kept its word.
    """

    counts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    latencies_us: dict[str, list[int]] = field(default_factory=dict)
    issued: Counter[str] = field(default_factory=Counter)
    redeemed: Counter[str] = field(default_factory=Counter)
    shopping_seconds: float = 0.0

    @contextmanager
    def timed(self, call: str) -> Iterator[None]:
        """Times a call; one that raises is not counted."""
        started = time.perf_counter_ns()
        yield
        self.latencies_us.setdefault(call, []).append((time.perf_counter_ns() - started) // 1000)

    def told(self, effects: Iterable[effect_pb2.Effect], *, undone: bool = False) -> None:
        """Adds up what an accrual or return said that it brought or took; `undone` takes it off again."""
        sign = -1 if undone else 1
        for effect in effects:
            if effect.WhichOneof("kind") == "points":
                self.issued[effect.points.purse] += sign * effect.points.units
            elif effect.WhichOneof("kind") == "stamp":
                self.issued[effect.stamp.purse] += sign * effect.stamp.stamps

    def paid(self, spent: Iterable[balance_pb2.Spent]) -> None:
        """Adds up what a redemption or capture said that it took."""
        for part in spent:
            self.redeemed[part.purse] += part.units

    def accruals_per_second(self) -> float:
        """Purchases posted one by one in the shopping, over the seconds that it took."""
        accruals = len(self.latencies_us.get("accrue", ()))
        return accruals / self.shopping_seconds if self.shopping_seconds else 0.0

    def latency_ms(self) -> dict[str, dict[str, float]]:
        """p50, p95 and p99 of each call in milliseconds, the most frequent call first."""
        by_count = sorted(self.latencies_us.items(), key=lambda item: -len(item[1]))
        return {
            call: {f"p{percent}": percentile(values, percent) / 1000 for percent in PERCENTS}
            for call, values in by_count
        }
