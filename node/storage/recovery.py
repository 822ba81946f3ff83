"""Before a store is opened: is what its log lacks the torn tail of a power cut, or damage to what was synced?

A power cut may leave any part of what was not yet synced: that tail is cut off, kept aside, and the store
opens. Anything else refuses the store and changes nothing in it. The proof, in this order:

1. The chain of record lengths in the manifest and the logs, and the numbers of the batches, must run on.
2. Where they stop, or where RocksDB finds a wrong checksum, RocksDB itself reads a copy cut off there and so
   says which batch is the last good one.
3. If any whole batch behind that place says that more had been synced when it was written, if the head knows
   of more, or if one flipped bit explains the damage, then something synced was damaged.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from rocksdict import AccessType, DBRecoveryMode, Options, Rdict

from node.storage import wal
from node.storage.files import sync_directory, write_synced
from node.storage.head import verify_batches
from node.storage.store import StoreCorrupt

TORN_DIRECTORY = "torn"
TORN_KEPT_FILES = 8
_CURRENT = re.compile(rb"\AMANIFEST-\d{6,}\n\Z")
_NEXT_STEP = "Copy the directory aside, check the disk, and restore the last backup with `vafa restore`."


class _Log(NamedTuple):
    path: Path
    data: bytes


class _Place(NamedTuple):
    log: int
    offset: int


class _Files(NamedTuple):
    directory: Path
    manifest: _Log
    manifest_end: int  # where the manifest's last whole record ends
    in_tables: int  # the last batch in the table files
    logs: list[_Log]  # those that hold later batches


def prepare(directory: Path, at_least: int) -> str | None:
    """Checks manifest and logs before RocksDB reads them; cuts off a torn tail.

    `at_least` is the number of batches that the head knows to be durable. Returns what was cut, in words for
    the log, or None when nothing was. Raises StoreCorrupt, StoreBehindHead.
    """
    files = _read_files(directory)
    number = files.in_tables
    covered: list[_Place] = []
    for place, log in enumerate(files.logs):
        for record in wal.records(log.data):
            stamp = wal.read_stamp(log.data, record)
            if stamp is None or stamp.number <= number:
                continue
            if stamp.number > number + 1 and wal.is_whole(log.data, record):
                if stamp.synced > number:
                    _missing(directory, number + 1, stamp.synced)
                # The log before this one lost its tail, and this later one survived unsynced.
                return _cut_unless_damaged(files, _Place(place, record.start), number, at_least)
            number = stamp.number
        end = wal.structure_end(log.data)
        if end is not None and not _goes_on(files.logs[place + 1 :], number):
            return _cut_behind_last_good(files, _Place(place, end), at_least)
        if end is not None:
            covered.append(_Place(place, end))
    verify_batches(at_least, number)
    _cut_manifest(files)
    for place, end in covered:
        _set_aside(directory, files.logs[place].path, end, files.logs[place].data)
    return None


def _goes_on(logs: Sequence[_Log], number: int) -> bool:
    """Whether these logs start no later than right behind batch `number`: nothing before them is missing."""
    for log in logs:
        record = next(wal.records_after(log.data, 0), None)
        if record is not None:
            stamp = wal.read_stamp(log.data, record)
            return stamp is not None and stamp.number <= number + 1
    return False


def cut_torn_tail(directory: Path, at_least: int) -> str:
    """The same for logs whose lengths run on but in which RocksDB found a wrong checksum."""
    files = _read_files(directory)
    if not files.logs:
        _damaged(directory, "the manifest or a table file")
    end = _Place(len(files.logs) - 1, len(files.logs[-1].data))
    return _cut_behind_last_good(files, end, at_least)


def _read_files(directory: Path) -> _Files:
    """Reads what recovery looks at. The manifest lists the table files; like a log, it may have a torn tail.

    What came behind the tear is not looked at: several records may be written for one sync. That the manifest
    without its tail still leads to every batch is proven by the batches' numbers.
    """
    current = (directory / "CURRENT").read_bytes()
    manifest = directory / current[:-1].decode(errors="replace")
    if not _CURRENT.match(current) or not manifest.exists():
        _damaged(directory, "the file CURRENT")
    data = manifest.read_bytes()
    good = 0
    for record in wal.records(data):
        if not wal.is_whole(data, record):
            break
        good = record.end
    if not wal.ends_at(data, good) and wal.one_flip_explains(data, good):
        _damaged(directory, "the manifest: one bit is wrong")
    manifest_log = _Log(manifest, data)
    in_tables = _probe(directory, manifest_log, good, []).number
    logs = [_Log(path, path.read_bytes()) for path in wal.log_files(directory)]
    needed = [log for log in logs if not _is_in_tables(log, in_tables)]
    return _Files(directory, manifest_log, good, in_tables, needed)


def _is_in_tables(log: _Log, number: int) -> bool:
    """Whether a log that starts no later than batch `number` is one that RocksDB no longer needs.

    A log holds what one memory table held, so it is in the tables wholly or not at all. RocksDB neither reads
    nor syncs it any more: it may be torn, and it does not matter.
    """
    first = next(wal.records(log.data), None)
    stamp = None if first is None else wal.read_stamp(log.data, first)
    return (
        first is not None and stamp is not None and stamp.number <= number and wal.is_whole(log.data, first)
    )


def _cut_manifest(files: _Files) -> None:
    if not wal.ends_at(files.manifest.data, files.manifest_end):
        _set_aside(files.directory, files.manifest.path, files.manifest_end, files.manifest.data)


def _cut_behind_last_good(files: _Files, end: _Place, at_least: int) -> str:
    """Cuts the logs off behind the last good batch before `end`, up to which the chain of lengths holds."""
    readable = [*files.logs[: end.log]]
    readable.append(_Log(files.logs[end.log].path, files.logs[end.log].data[: end.offset]))
    number = _probe(files.directory, files.manifest, files.manifest_end, readable).number
    place = _behind(files.logs[: end.log + 1], number)
    if place.log == len(files.logs):
        _damaged(files.directory, "the manifest or a table file")
    return _cut_unless_damaged(files, place, number, at_least)


def _cut_unless_damaged(files: _Files, place: _Place, number: int, at_least: int) -> str:
    """Cuts the logs off at `place`, behind batch `number`, unless that loses synced ones."""
    directory, logs = files.directory, files.logs
    cut = logs[place.log]
    for position, log in enumerate(logs[place.log :]):
        for record in wal.records_after(log.data, place.offset if position == 0 else 0):
            stamp = wal.read_stamp(log.data, record)
            if stamp is not None and stamp.synced > number:
                _damaged(directory, f"batch {number + 1} in {cut.path.name}, which was synced")
    if wal.one_flip_explains(cut.data, place.offset):
        _damaged(directory, f"batch {number + 1} in {cut.path.name}: one bit is wrong")
    verify_batches(at_least, number)
    _cut_manifest(files)
    for log in reversed(logs[place.log + 1 :]):
        _set_aside(directory, log.path, 0, log.data)
    _set_aside(directory, cut.path, place.offset, cut.data)
    return (
        f"The log of {directory} ended in a batch that was never made durable, as after a power cut. "
        f"It was cut off behind batch {number}; nothing acknowledged was in it. "
        f"The bytes are kept in {directory / TORN_DIRECTORY}."
    )


def _behind(logs: Sequence[_Log], number: int) -> _Place:
    """The place right behind batch `number`, the last good one; the first place when it is in the tables."""
    for place, log in enumerate(logs):
        for record in wal.records(log.data):
            stamp = wal.read_stamp(log.data, record)
            if stamp is not None and stamp.number == number and wal.is_whole(log.data, record):
                at_end = wal.ends_at(log.data, record.end)
                return _Place(place + 1, 0) if at_end else _Place(place, record.end)
    return _Place(0, 0)


def _probe(directory: Path, manifest: _Log, manifest_end: int, logs: Sequence[_Log]) -> wal.Stamp:
    """The stamp of the last batch that RocksDB reads from the tables and these logs; touches neither."""
    options = Options(raw_mode=True)
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    options.set_paranoid_checks(True)
    with tempfile.TemporaryDirectory(prefix="vafa-recovery-") as scratch:
        for path in directory.resolve().iterdir():
            if path.name in ("CURRENT", "IDENTITY") or path.suffix == ".sst":
                (Path(scratch) / path.name).symlink_to(path)
        (Path(scratch) / manifest.path.name).write_bytes(manifest.data[:manifest_end])
        for log in logs:
            (Path(scratch) / log.path.name).write_bytes(log.data)
        try:
            database = Rdict(scratch, options, access_type=AccessType.read_only(False))
            value: bytes | None = database.get(wal.STAMP_KEY)
            database.close()
        except Exception as error:
            _damaged(directory, f"its files ({str(error).replace(scratch, '')})", error)
    return wal.Stamp.decode(value)


def _set_aside(directory: Path, path: Path, offset: int, data: bytes) -> None:
    """Keeps what follows `offset` in a file of its own, then cuts it off."""
    kept = directory / TORN_DIRECTORY
    kept.mkdir(exist_ok=True)
    write_synced(kept / f"{path.name}-{offset}", data[offset:])
    sync_directory(directory)
    with path.open("r+b") as file:
        file.truncate(offset)
        os.fsync(file.fileno())
    for old in sorted(kept.iterdir(), key=lambda entry: entry.stat().st_mtime_ns)[:-TORN_KEPT_FILES]:
        old.unlink()


def _missing(directory: Path, first: int, last: int) -> NoReturn:
    raise StoreCorrupt(
        f"{directory} lacks batches {first} to {last}, which were synced: a log or table file is missing.",
        "Nothing was changed.",
        _NEXT_STEP,
    )


def _damaged(directory: Path, what: str, cause: Exception | None = None) -> NoReturn:
    raise StoreCorrupt(
        f"{directory} is damaged: {what}.", "Nothing damaged was read and nothing was changed.", _NEXT_STEP
    ) from cause
