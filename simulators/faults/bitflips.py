"""Flipped bits in every file of a store: each is detected or without effect, none is ever served.

`python -m simulators.faults.bitflips [--all] [--file PART] [--seed S]` makes a store with tables and a log,
then for each bit (a sample without --all) of its log, table files, manifest and head opens a copy with that
bit flipped, as a node would, and reads everything back. Each flip runs in a helper process that is watched: a
store that neither opens nor refuses counts as a failure too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from node.storage.head import read_head
from node.storage.meta import HEAD_FILE
from node.storage.store import StoreBehindHead, StoreCorrupt, StoreForeign
from simulators.faults import workload

TABLE_BATCHES = 5
LOG_BATCHES = 5
SAMPLE = 40
PATIENCE_SECONDS = 30.0


class Outcome(StrEnum):
    """What became of a flipped bit."""

    REFUSED = "refused: detected, the store does not open"
    CAUGHT = "caught: detected when the damaged place was read"
    MENDED = "mended: detected, reported and turned back"
    HARMLESS = "harmless: in nothing that is read, everything is as it was"
    SERVED = "SERVED: wrong data was returned or data is missing"
    HUNG = "HUNG: the store neither opened nor refused"


class Flip(NamedTuple):
    """One bit of one file, by the file's path in the store's directory."""

    file: str
    bit: int


def make_store(directory: Path, seed: int) -> Path:
    """A store as a killed node leaves it, some batches in table files, some in the log; its directory."""
    live, store = directory / "live", directory / workload.STORE
    workload.create(live)
    opened = workload.open_it(live)
    for number in range(1, TABLE_BATCHES + 1):
        workload.commit(opened, number, seed, small=True)
    opened.close()  # writes the tables
    opened = workload.open_it(live)
    for number in range(TABLE_BATCHES + 1, TABLE_BATCHES + LOG_BATCHES + 1):
        workload.commit(opened, number, seed, small=True)
    shutil.copytree(live, store)
    opened.close()
    return store


def parts(store: Path) -> dict[str, list[str]]:
    """The files whose bits are flipped, by what they are."""
    names = [path.relative_to(store).as_posix() for path in store.rglob("*") if path.stat().st_size]
    return {
        "log": [name for name in names if name.endswith(".log")],
        "table": [name for name in names if name.endswith(".sst")],
        "manifest": [name for name in names if "MANIFEST" in name or name.endswith("CURRENT")],
        "head": [HEAD_FILE],
    }


def flips(store: Path, files: Iterable[str], count: int | None, seed: int) -> list[Flip]:
    """`count` flips in each of the files, spread evenly from a random start; all of them when it is None."""
    chosen = []
    for file in files:
        bits = (store / file).stat().st_size * 8
        step = 1 if count is None else max(1, bits // count)
        start = random.Random(f"{seed}/{file}").randrange(step)
        chosen += [Flip(file, bit) for bit in range(start, bits, step)]
    return chosen


def try_flip(store: Path, flip: Flip, scratch: Path, seed: int) -> Outcome:
    """Opens a copy of the store with the bit flipped and reads everything."""
    shutil.rmtree(scratch, ignore_errors=True)
    if flip.file == HEAD_FILE:
        scratch.mkdir()
        shutil.copy(store / HEAD_FILE, scratch)
    else:
        shutil.copytree(store, scratch)
    with (scratch / flip.file).open("r+b") as file:
        file.seek(flip.bit // 8)
        byte = file.read(1)[0]
        file.seek(flip.bit // 8)
        file.write(bytes((byte ^ (1 << flip.bit % 8),)))
    if flip.file == HEAD_FILE:
        return _try_head(store, scratch)
    try:
        opened = workload.open_it(scratch)
    except (StoreCorrupt, StoreBehindHead, StoreForeign):
        return Outcome.REFUSED
    try:
        workload.check(opened.store, TABLE_BATCHES + LOG_BATCHES, seed, small=True)
    except StoreCorrupt:
        return Outcome.CAUGHT
    except workload.Lost:
        return Outcome.SERVED
    finally:
        opened.close()
    return Outcome.HARMLESS


def _try_head(store: Path, damaged: Path) -> Outcome:
    good, found = read_head(store / HEAD_FILE), read_head(damaged / HEAD_FILE)
    if found.state != good.state:
        return Outcome.SERVED
    return Outcome.MENDED if found.note is not None else Outcome.HARMLESS


def run(store: Path, chosen: Iterable[Flip], directory: Path, seed: int) -> Iterator[tuple[Flip, Outcome]]:
    """The outcome of each flip, from a helper process that is replaced when it hangs."""
    context = multiprocessing.get_context("spawn")
    helper: multiprocessing.process.BaseProcess | None = None
    for flip in chosen:
        if helper is None:
            ours, theirs = context.Pipe()
            helper = context.Process(
                target=_serve, args=(theirs, store, directory / "flipped", seed), daemon=True
            )
            helper.start()
        ours.send(flip)
        if ours.poll(PATIENCE_SECONDS):
            yield flip, ours.recv()
        else:
            helper.kill()
            helper = None
            yield flip, Outcome.HUNG
    if helper is not None:
        ours.send(None)
        helper.join()


def _serve(pipe: Connection, store: Path, scratch: Path, seed: int) -> None:
    while (flip := pipe.recv()) is not None:
        pipe.send(try_flip(store, flip, scratch, seed))


def main() -> int:
    """See the module's docs. The exit status is 1 when a flip was served or hung."""
    parser = argparse.ArgumentParser(prog="python -m simulators.faults.bitflips", description=__doc__)
    parser.add_argument("--all", action="store_true", help="flip every bit, not a sample")
    parser.add_argument("--file", choices=("log", "table", "manifest", "head"), action="append")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="vafa-bitflips-") as scratch:
        directory = Path(scratch)
        store = make_store(directory, given.seed)
        for part, files in parts(store).items():
            if given.file and part not in given.file:
                continue
            chosen = flips(store, files, None if given.all else SAMPLE, given.seed)
            counts: Counter[Outcome] = Counter()
            for done, (flip, outcome) in enumerate(run(store, chosen, directory, given.seed), 1):
                counts[outcome] += 1
                if outcome in (Outcome.SERVED, Outcome.HUNG):
                    bad += 1
                    print(f"  bit {flip.bit} of {flip.file}: {outcome}", flush=True)
                if done % max(1, len(chosen) // 10) == 0:
                    print(f"  {part}: {done} of {len(chosen)} bits", flush=True)
            for outcome, count in counts.items():
                print(f"{part}: {count} {outcome}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
