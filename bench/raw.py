"""The raw limit: rocksdict alone, writing the very same records in the same batches with the same flushes.

The batches of a run come out of the stores' write-ahead logs. Each store is replayed by a process of its own,
all at once, as the shards were: `python -m bench.raw` is that process.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rocksdict import Options, Rdict, WriteBatch

from bench.processes import stop
from bench.wal import LoggedBatch, read_store
from node.storage.keyspace import PARTITIONS_MAX, Kind
from node.storage.rocks import WRITE_BUFFER_BYTES

_REPLAY_TIMEOUT_SECONDS = 600
_RECORDED = tuple[list[tuple[bytes, bytes]], list[tuple[bytes, ...]]]


@dataclass(frozen=True, slots=True)
class StoreRun:
    """What one store wrote for one run: its batches, and how many accruals they hold."""

    batches: tuple[LoggedBatch, ...]
    accruals: int


@dataclass(frozen=True, slots=True)
class RawLimit:
    """Accruals per second of rocksdict alone, and what the batches were like."""

    per_second: float
    accruals: int
    batches: int
    accruals_per_batch: float
    bytes_per_accrual: float
    records_per_accrual: float


def batches_of_run(data_directory: Path, tag: bytes) -> list[StoreRun]:
    """From every store below `data_directory` the batches with requests of this tag, as far as still logged.

    A request's receipt may be claimed in a batch of its own; that belongs to it. A batch is as it was
    written, also where it did other work besides. Stores without any are left out.
    """
    runs = []
    for directory in sorted({path.parent for path in data_directory.rglob("*.log")}):
        kept = tuple(batch for batch in read_store(directory) if _speaks_of(batch, tag))
        if kept:
            runs.append(StoreRun(kept, sum(_accruals(batch, tag) for batch in kept)))
    return runs


def measure(runs: Sequence[StoreRun], near: Path) -> RawLimit:
    """Write the batches anew, in fresh stores on the disk that `near` lies on."""
    with tempfile.TemporaryDirectory(prefix="raw-", dir=near) as scratch, contextlib.ExitStack() as stack:
        children = []
        for index, run in enumerate(runs):
            recorded = Path(scratch, f"{index}.batches")
            recorded.write_bytes(
                msgspec.msgpack.encode([(batch.puts, batch.deletes) for batch in run.batches])
            )
            child = subprocess.Popen(
                [sys.executable, "-m", "bench.raw", str(recorded), str(Path(scratch, f"store-{index}"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            stack.callback(stop, child)
            children.append(child)
        for child in children:
            assert child.stdout
            child.stdout.readline()  # everything is loaded
        for child in children:
            assert child.stdin
            child.stdin.write(b"go\n")
            child.stdin.flush()
        seconds = [
            float(json.loads(child.communicate(timeout=_REPLAY_TIMEOUT_SECONDS)[0])) for child in children
        ]
    accruals = sum(run.accruals for run in runs)
    batches = [batch for run in runs for batch in run.batches]
    return RawLimit(
        per_second=accruals / max(seconds),
        accruals=accruals,
        batches=len(batches),
        accruals_per_batch=accruals / len(batches),
        bytes_per_accrual=sum(batch.bytes_written for batch in batches) / accruals,
        records_per_accrual=sum(len(batch.puts) + len(batch.deletes) for batch in batches) / accruals,
    )


def _speaks_of(batch: LoggedBatch, tag: bytes) -> bool:
    return any(tag in key or tag in value for key, value in batch.puts)


def _accruals(batch: LoggedBatch, tag: bytes) -> int:
    return sum(
        len(key) > 1 and key[0] < PARTITIONS_MAX and key[1] == Kind.REQUEST and tag in key
        for key, _ in batch.puts
    )


def _replay(recorded: Path, directory: Path) -> float:
    """Seconds that the batches took in a fresh store."""
    batches = msgspec.msgpack.decode(recorded.read_bytes(), type=list[_RECORDED])
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    database = Rdict(str(directory), options)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    for puts, deletes in batches:
        native = WriteBatch(raw_mode=True)
        for key, value in puts:
            native.put(key, value)
        for ends in deletes:
            if len(ends) == 1:
                native.delete(ends[0])
            else:
                native.delete_range(ends[0], ends[1])
        database.write(native)
        database.flush_wal(True)
    seconds = time.perf_counter() - began
    database.close()
    return seconds


if __name__ == "__main__":
    print(json.dumps(_replay(Path(sys.argv[1]), Path(sys.argv[2]))), flush=True)
