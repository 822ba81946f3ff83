"""One accrual room by room: the stages of a plain shard, without Ray and gRPC around it.

Each stage is a function of the shard's own; for the length of a measurement it is replaced by one that takes
the time around it. Two readings of the clock cost about a tenth of a microsecond, far below any stage.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from bench.messages import AccrualMaker, card_number
from bench.plain_shard import accruals, enrolments, insist, new_spec
from bench.report import figure
from node.actors import member, partition, shard
from node.actors.desk import Desk
from node.actors.host import ShardHost
from node.storage.rocks import RocksStore
from node.wire.commands import encode

BATCH_SIZES = (1, 16, 128, 1_000)
"""Accruals in one batch: what natural batching makes of few and of many calls in flight, and of Submit."""

_MEMBERS = 2_000
_WARM_UP_BATCHES = 20

STAGES: tuple[tuple[str, object, str], ...] = (
    ("unpack the batch", shard, "decode_commands"),
    ("look for an earlier answer", Desk, "open_case"),
    ("decide", Desk, "decide"),
    ("evolve the state", member, "apply_entry"),
    ("write the answer", Desk, "answer"),
    ("journal entry, chain, books", partition.Partition, "post"),
    ("account state", member.MemberActor, "save"),
    ("partition heads", partition.Partition, "save"),
    ("rocksdb write", RocksStore, "write"),
    ("flush the log", RocksStore, "sync"),
    ("pack the answers", shard, "encode"),
)
"""Each stage with where its function stands; none of them is inside another."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Microseconds an accrual, by stage and by the size of the batch."""

    by_size: dict[int, dict[str, float]]

    def rows(self) -> list[tuple[str, ...]]:
        """For a table: a row a stage."""
        names = next(iter(self.by_size.values()))
        return [(name, *(figure(stages[name]) for stages in self.by_size.values())) for name in names]

    def figures(self) -> dict[str, dict[str, float]]:
        """For the JSON file."""
        return {str(size): stages for size, stages in self.by_size.items()}


def measure(*, lines: int, seconds: float) -> Stages:
    """Time the stages for each size of batch, `seconds` each, over a fresh store of 2,000 members."""
    now_ms = time.time_ns() // 1_000_000
    maker = AccrualMaker([card_number(0)], occurred_ms=now_ms, lines=lines)
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="vafa-bench-") as scratch:
        served = ShardHost(new_spec(Path(scratch, "store")))
        for message in enrolments(range(_MEMBERS), now_ms=now_ms):
            insist(served.apply(message))

        def batch(size: int) -> bytes:
            return encode(accruals(maker, chance.choices(range(_MEMBERS), k=size)))

        by_size = {size: _measure_size(served, batch, size, seconds) for size in BATCH_SIZES}
        served.close()
    return Stages(by_size)


def _measure_size(
    served: ShardHost, batch: Callable[[int], bytes], size: int, seconds: float
) -> dict[str, float]:
    for _ in range(_WARM_UP_BATCHES):
        insist(served.apply(batch(size)))
    with stopwatch() as spent:
        done, whole, deadline = 0, 0.0, time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            message = batch(size)
            began = time.perf_counter()
            answers = served.apply(message)
            whole += time.perf_counter() - began
            done += insist(answers)
    stages = {name: spent[name] / done * 1e6 for name, _, _ in STAGES}
    stages["everything else"] = (whole - sum(spent.values())) / done * 1e6
    stages["the whole accrual"] = whole / done * 1e6
    return stages


@contextlib.contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Inside the block every stage's time adds up here, in seconds by the stage's name."""
    spent: dict[str, float] = defaultdict(float)
    with contextlib.ExitStack() as stack:
        for name, owner, attribute in STAGES:
            timed = _timed(getattr(owner, attribute), name, spent)
            stack.enter_context(mock.patch.object(owner, attribute, timed))
        yield spent


def _timed(function: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    clock = time.perf_counter

    def timed(*arguments: Any, **named: Any) -> Any:
        began = clock()
        try:
            return function(*arguments, **named)
        finally:
            spent[name] += clock() - began

    return timed
