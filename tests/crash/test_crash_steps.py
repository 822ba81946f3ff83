"""A shard that ends at any step of its work comes back with all or nothing of each batch.

In memory every step is tried here; with real processes and files some of what `python -m
simulators.faults.crash --all` tries.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from node.actors.host import PROGRAMMES
from node.actors.shard import Shard
from node.actors.vault import Vault
from node.actors.work import Work
from node.identity.digests import RequestDigests
from node.identity.keys import SecretKey
from node.storage.memory import MemoryStore
from node.storage.store import Batch
from simulators.faults import shard_work
from simulators.faults.crash import SteppedHead, SteppedStore, Steps
from simulators.faults.shard_work import PARTITIONS, Plan
from simulators.faults.workload import Lost

PLAN = shard_work.make_plan(seed=11, batches=14)


class PowerCut(BaseException):
    """The process ends here and what was not synced is gone."""


def cut(name: str) -> None:
    raise PowerCut(name)


def shard_over(store: MemoryStore, plan: Plan) -> tuple[Shard, list[int]]:
    """A shard over a store in memory, and its clock."""
    clock = [shard_work.START_MS]
    key = SecretKey(bytes(32))
    shard = Shard(
        store,
        range(PARTITIONS),
        shard_work.settings(),
        PROGRAMMES.decode(plan.programmes),
        digests=RequestDigests(key),
        clock=lambda: clock[0],
        vault=Vault(key),
    )
    return shard, clock


def work_until(store: MemoryStore, plan: Plan, at: int) -> int:
    """Does the work until the power is cut at step `at`; how many batches were answered."""
    shard, clock = shard_over(store, plan)
    steps = Steps(at, cut)
    shard._store = SteppedStore(shard._store, steps)
    shard._head = SteppedHead(shard._head, steps)
    answered = 0
    try:
        for batch in plan.batches:
            clock[0] = batch.at_ms
            shard_work.do(shard, batch)
            answered += 1
            steps.step("after the answer")
    except PowerCut:
        return answered
    raise EndOfWork


class EndOfWork(Exception):
    """There is no such step any more."""


def every_cut(survive: int, plan: Plan = PLAN) -> Iterator[int]:
    """Cuts the power at each step in turn and proves what is left; gives how many batches that was."""
    for at in range(1, 1_000):
        store = MemoryStore()
        try:
            answered = work_until(store, plan, at)
        except EndOfWork:
            return
        store.lose_unsynced(survive=survive)
        store = store.reopen()
        shard, clock = shard_over(store, plan)
        yield shard_work.prove(store, shard, clock, plan, answered)


@pytest.mark.parametrize("survive", [0, 1], ids=["nothing unsynced survives", "everything does"])
def test_a_power_cut_at_any_step_loses_nothing_acknowledged_and_leaves_no_half_batch(survive: int) -> None:
    held = list(every_cut(survive))
    assert len(held) >= 4 * (len(PLAN.batches) - 3), "write, sync, head and answer of each batch"
    assert held == sorted(held)
    assert held[0] == 0
    assert held[-1] == len(PLAN.batches)


def test_the_plan_does_work_of_every_kind() -> None:
    plan = shard_work.make_plan(seed=11, batches=60)
    kinds = {
        command[0]
        for batch in plan.batches
        if batch.message != shard_work.SWEEP
        for command in msgspec.msgpack.decode(batch.message)
    }
    assert kinds >= {1, 2, 3, 4, 5, 6, 7, 8, 40}
    assert shard_work.make_plan(seed=11, batches=60) == plan, "the same seed gives the same work"


# --- that the proof can fail ------------------------------------------------------------------------


def test_answering_before_the_sync_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(work: Work) -> float:
        batch = Batch()
        for key, value in work._changed.items():
            batch.put(key, value) if value else batch.delete(key)
        work._store.write(batch)
        return 0.0

    monkeypatch.setattr(Work, "commit", commit)
    with pytest.raises(Lost, match="was acknowledged, and the store ends at"):
        list(every_cut(0))


def test_a_batch_written_in_two_parts_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(work: Work) -> float:
        for key, value in work._changed.items():
            batch = Batch()
            batch.put(key, value) if value else batch.delete(key)
            work._store.write(batch)
            work._store.sync()
        return 0.0

    monkeypatch.setattr(Work, "commit", commit)
    with pytest.raises(Lost, match="does not hold exactly"):
        list(every_cut(0))


# --- with processes and files -----------------------------------------------------------------------


@pytest.mark.slow
def test_processes_that_are_killed_or_whose_disk_fails_and_power_cuts_lose_nothing(tmp_path: Path) -> None:
    arguments = ["--sample", "4", "--batches", "24", "--seed", "5"]
    ended = subprocess.run(
        [sys.executable, "-m", "simulators.faults.crash", *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "kill: 6 of " in ended.stdout
    assert "fail: 6 of " in ended.stdout
    assert "Everything acknowledged is kept." in ended.stderr, "what each failing process said"
    assert "power: " in ended.stdout or "no C compiler" in ended.stdout
