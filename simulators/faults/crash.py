"""A shard's process that ends between any two steps, or whose disk fails there: all or nothing of each batch.

`python -m simulators.faults.crash [--all] [--batches N] [--seed S] [--sample N]` does the work of
`shard_work` in processes of their own and kills each (SIGKILL) at another step: before a batch is written,
before it is synced, before the head is told, before it is answered, after the answer. A second round lets the
disk fail there instead, which must end the process by itself. A third cuts the power, on a disk as
`powerloss` models it. Each time the store is opened as a node would open it and proven: see
`shard_work.prove`.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from node.actors.host import FAULT_STATUS
from node.storage.store import Batch, Store, StoreFailed, StoreForeign
from simulators.faults import powerloss, shard_work
from simulators.faults.disk import Survival
from simulators.faults.powerloss import NoCompilerError
from simulators.faults.shard_work import Plan
from simulators.faults.workload import ACK, Lost

SAMPLE = 15
BATCHES = 40
_NEVER = 1 << 60
_SURVIVED = 0


class Fault(StrEnum):
    """What happens at the chosen step."""

    KILL = "kill"
    FAIL = "fail"


class Steps:
    """Counts the durable steps of a process and calls `end` at one of them."""

    def __init__(self, at: int, end: Callable[[str], None]) -> None:
        self.reached = 0
        self._at = at
        self._end = end

    def step(self, name: str) -> None:
        """The next step; `name` says which kind it is."""
        self.reached += 1
        if self.reached == self._at:
            self._end(name)


class SteppedStore:
    """A store each of whose writes and syncs is a step, before and after."""

    def __init__(self, store: Store, steps: Steps) -> None:
        self._store = store
        self._steps = steps

    def write(self, batch: Batch) -> None:
        """A step, the write, a step."""
        self._steps.step("before the write")
        self._store.write(batch)
        self._steps.step("after the write")

    def sync(self) -> None:
        """The sync and a step."""
        self._store.sync()
        self._steps.step("after the sync")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class SteppedHead:
    """A head that is a step before it is told of a batch, and a step after."""

    def __init__(self, head: Any, steps: Steps) -> None:
        self._head = head
        self._steps = steps

    def keep(self, partition: int, sequence: int, digest: bytes) -> None:
        """What the head does."""
        self._head.keep(partition, sequence, digest)

    def touch(self) -> None:
        """What the head does and a step."""
        self._head.touch()
        self._steps.step("after the head was told")


def work(directory: Path, plan: Plan, at: int, fault: Fault) -> int:
    """Does the plan's work in this process until the fault comes; the number of steps where none comes."""

    def end(name: str) -> None:
        if fault is Fault.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        raise StoreFailed(f"The disk failed {name}.", "Everything acknowledged is kept.", "Replace it.")

    steps = Steps(at, end)
    host, clock = shard_work.open_host(directory, plan)
    host.shard._store = SteppedStore(host.shard._store, steps)
    host.shard._head = SteppedHead(host.shard._head, steps)
    ack = os.open(directory / ACK, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, batch in enumerate(plan.batches, 1):
        clock[0] = batch.at_ms
        shard_work.do(host, batch)
        os.write(ack, b"%d\n" % number)
        if fault is Fault.KILL:
            steps.step("after the answer")
    return steps.reached


def prove(directory: Path, plan: Plan, acknowledged: int) -> int:
    """Opens what the fault left as a node would, and proves it; how many batches it held."""
    host, clock = shard_work.open_host(directory, plan, abort=_raise)
    try:
        return shard_work.prove(host._store, host, clock, plan, acknowledged)
    finally:
        host.close()


def _raise(fault: Exception) -> None:
    raise fault


def acknowledged_in(directory: Path) -> int:
    """The last batch that was answered."""
    try:
        numbers = (directory / ACK).read_bytes().split()
    except FileNotFoundError:
        return 0
    return int(numbers[-1]) if numbers else 0


class Proving:
    """Faults at many points of one plan, each in a copy of one empty store. This process opens none itself:
    it forks, and what RocksDB starts in a process would not survive that."""

    def __init__(self, scratch: Path, seed: int, batches: int) -> None:
        self.plan = shard_work.make_plan(seed, batches)
        self._empty, self._disk = scratch / "empty", scratch / "disk"
        self._empty.mkdir()
        self._forked(lambda: shard_work.create(self._empty))

    def steps(self, fault: Fault) -> int:
        """How many steps the whole work has."""
        self._fresh()
        counted = self._disk / "steps"
        self._forked(
            lambda: counted.write_text(str(work(self._disk, self.plan, _NEVER, fault)), encoding="ascii")
        )
        return int(counted.read_text(encoding="ascii"))

    def at(self, point: int, fault: Fault) -> None:
        """One process that ends at step `point`, and the proof of what it left; raises Lost."""
        self._fresh()
        status = self._fork(lambda: work(self._disk, self.plan, point, fault))
        expected = (
            os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            if fault is Fault.KILL
            else os.WIFEXITED(status) and os.WEXITSTATUS(status) == FAULT_STATUS
        )
        if not expected:
            raise Lost(f"the process at step {point} ended with {status}, not by the {fault}")
        acknowledged, everything = acknowledged_in(self._disk), len(self.plan.batches)
        self._forked(lambda: prove(self._disk, self.plan, acknowledged))
        self._forked(lambda: prove(self._disk, self.plan, everything))  # as the proof left it

    def _fresh(self) -> None:
        shutil.rmtree(self._disk, ignore_errors=True)
        shutil.copytree(self._empty, self._disk)

    def _forked(self, function: Callable[[], object]) -> None:
        status = self._fork(function)
        if status != _SURVIVED:
            raise Lost(f"a process ended with {status}; what it said is above")

    def _fork(self, function: Callable[[], object]) -> int:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            try:
                function()
                os._exit(_SURVIVED)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        return os.waitpid(child, 0)[1]


def cut_power(scratch: Path, seed: int, batches: int, count: int | None) -> int:
    """Cuts the power after `count` of the steps of a disk, or after each; how many cuts. NoCompilerError."""
    plan, written = shard_work.make_plan(seed, batches), scratch / "plan"
    written.write_bytes(msgspec.msgpack.encode(plan))
    steps = powerloss.record(scratch, ["simulators.faults.shard_work", str(written)])
    points = range(1, len(steps) + 1) if count is None else powerloss.sample(steps, count, seed)

    def check(image: Path, acknowledged: int, point: int) -> None:
        if not (image / shard_work.SHARD).exists() and not acknowledged:
            return  # the cut came before the store was made
        try:
            prove(image, plan, acknowledged)
        except StoreForeign:
            if acknowledged:
                raise

    return powerloss.cut_power(scratch, steps, points, Survival, check, seed)


def points_of(steps: int, count: int | None, seed: int) -> list[int]:
    """All steps, or some of them by chance, always with the first and the last."""
    if count is None or count >= steps:
        return list(range(1, steps + 1))
    return sorted({1, steps, *random.Random(seed).sample(range(1, steps + 1), count)})


def main() -> None:
    """See the module's docs."""
    parser = argparse.ArgumentParser(prog="python -m simulators.faults.crash", description=__doc__)
    parser.add_argument("--all", action="store_true", help="at every step, not at a sample")
    parser.add_argument("--batches", type=int, default=BATCHES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, default=SAMPLE, help="steps of each round without --all")
    given = parser.parse_args()
    count = None if given.all else given.sample
    for fault in Fault:
        with tempfile.TemporaryDirectory(prefix="vafa-crash-") as scratch:
            proving = Proving(Path(scratch), given.seed, given.batches)
            steps = proving.steps(fault)
            points = points_of(steps, count, given.seed)
            for point in points:
                try:
                    proving.at(point, fault)
                except Lost as lost:
                    sys.exit(f"{fault} at step {point} of {steps}, seed {given.seed}: {lost}")
        print(f"{fault}: {len(points)} of {steps} steps, all or nothing of each batch.", flush=True)
    with tempfile.TemporaryDirectory(prefix="vafa-crash-") as scratch:
        try:
            cuts = cut_power(Path(scratch), given.seed, given.batches, count)
        except NoCompilerError as missing:
            print(f"power cuts left out: {missing}.")
            return
    print(f"power: {cuts} cuts, nothing acknowledged was lost.")


if __name__ == "__main__":
    main()
