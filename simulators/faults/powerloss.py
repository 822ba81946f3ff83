"""Power cuts at every step of a store's work: what was acknowledged is there, the rest is whole or gone.

`python -m simulators.faults.powerloss [--all] [--batches N] [--seed S]` records every write, sync and change
of a name that a node's store does, then cuts the power after each of them (a sample without --all), three
ways: nothing unsynced survives, everything does, or a torn mixture. `kill -9` could not show this: the page
cache outlives the process.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from node.storage.store import StoreForeign
from simulators.faults import workload
from simulators.faults.disk import Disk, Step, Survival, read_record

RECORDER = Path(__file__).with_name("recorder.c")
SAMPLE = 60
TIMEOUT_SECONDS = 120


class NoCompilerError(Exception):
    """There is no C compiler here, so nothing can be recorded."""


def build_recorder(directory: Path) -> Path:
    """Compiles the recorder; raises NoCompilerError."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompilerError("no C compiler (cc, gcc, clang) is installed")
    library = directory / "recorder.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(RECORDER), "-ldl", "-lpthread"]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own arguments
    return library


def record(directory: Path, arguments: list[str]) -> list[Step]:
    """Runs `python -m ARGUMENTS` under the recorder and returns what it did in DIRECTORY/disk.

    The first of `arguments` is the module, which is given that directory in front of the others.
    """
    root = (directory / "disk").resolve()
    root.mkdir()
    run_recorded(directory, root, [arguments[0], str(root), *arguments[1:]])
    return list(read_record(directory / "record"))


def run_recorded(directory: Path, root: Path, arguments: list[str], **faults: str) -> str:
    """Runs `python -m ARGUMENTS` with what it does under `root` recorded, and with `faults` (see recorder.c).

    Returns what it printed.
    """
    environment = os.environ | faults
    environment["LD_PRELOAD"] = str(build_recorder(directory))
    environment["VAFA_RECORD_ROOT"], environment["VAFA_RECORD_LOG"] = str(root), str(directory / "record")
    done = subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", *arguments],
        check=True,
        env=environment,
        timeout=TIMEOUT_SECONDS,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def cut_power(
    directory: Path,
    steps: list[Step],
    points: Iterable[int],
    survivals: Iterable[Survival],
    check: Callable[[Path, int, int], object],
    seed: int = 0,
) -> int:
    """Cuts the power after each of `points` steps and lets `check(image, acknowledged, point)` judge.

    Returns how many cuts were made. What `check` raises says which cut it was.
    """
    disk, wanted, cuts = Disk((directory / "disk").resolve(), workload.ACK), set(points), 0
    image, survivals = directory / "image", tuple(survivals)
    for point, step in enumerate(steps, 1):
        disk.apply(step)
        if point not in wanted:
            continue
        for survival in survivals:
            shutil.rmtree(image, ignore_errors=True)
            disk.cut(image, survival, random.Random(f"{seed}/{point}"))
            try:
                check(image, disk.acknowledged, point)
            except Exception as error:
                error.add_note(f"power cut after step {point} ({step.op}), {survival} survived, seed {seed}")
                raise
            cuts += 1
    return cuts


def check_store(image: Path, acknowledged: int, seed: int) -> bool:
    """Opens what a power cut left as a node would, twice, and proves that nothing acknowledged is lost.

    Says whether a torn tail was cut off.
    """
    torn = False
    for _ in range(2):
        try:
            opened = workload.open_it(image / workload.STORE)
        except StoreForeign:
            if acknowledged or (image / workload.STORE).exists():
                raise
            return torn  # the cut came before the store was made
        try:
            torn = torn or opened.store.recovered is not None
            workload.check(opened.store, acknowledged, seed)
        finally:
            opened.close()
    return torn


def sample(steps: list[Step], count: int, seed: int) -> list[int]:
    """Some of the points at which the power may be cut, always with the last."""
    points = range(1, len(steps) + 1)
    return sorted({*random.Random(seed).sample(points, min(count, len(steps))), len(steps)})


def main() -> None:
    """See the module's docs."""
    parser = argparse.ArgumentParser(prog="python -m simulators.faults.powerloss", description=__doc__)
    parser.add_argument("--all", action="store_true", help="cut after every step, not after a sample")
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vafa-powerloss-") as scratch:
        directory = Path(scratch)
        arguments = ["simulators.faults.workload", str(given.batches), str(given.seed)]
        steps = record(directory, arguments)
        points = list(range(1, len(steps) + 1)) if given.all else sample(steps, SAMPLE, given.seed)
        shown = torn = 0

        def check(image: Path, acknowledged: int, point: int) -> None:
            nonlocal shown, torn
            torn += check_store(image, acknowledged, given.seed)
            if point * 20 // len(steps) > shown:
                shown = point * 20 // len(steps)
                print(f"{point} of {len(steps)} steps, {acknowledged} batches acknowledged", flush=True)

        cuts = cut_power(directory, steps, points, Survival, check, given.seed)
    print(
        f"{cuts} power cuts at {len(points)} of {len(steps)} steps, {torn} left a torn tail: "
        "nothing acknowledged was lost."
    )


if __name__ == "__main__":
    main()
