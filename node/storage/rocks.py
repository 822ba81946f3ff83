"""The store on a disk: one RocksDB directory with one column family and raw bytes for keys and values.

Which options are set, which are left and why is in docs/adr/0004-durability-and-recovery.md.
"""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    RdictIter,
    WriteBatch,
)

from node.storage import recovery
from node.storage.lock import in_use, own_directory, require_store
from node.storage.store import (
    Batch,
    Op,
    StoreCorrupt,
    StoreError,
    StoreFailed,
)
from node.storage.wal import STAMP_KEY, Stamp

MIB = 1024 * 1024

BLOCK_CACHE_BYTES = 64 * MIB
"""Uncompressed blocks, with their index and filter blocks, kept in memory by one store."""

WRITE_BUFFER_BYTES = 32 * MIB
"""Size at which a memory table is written out; bounds the WAL to replay and so the time of a start."""

WRITE_BUFFER_COUNT = 3
"""Memory tables at most: one taking writes, the others on their way to the disk."""

BLOOM_BITS_PER_KEY = 10
"""About one false positive in a hundred: nearly every request id is new, and costs no disk read."""

BLOCK_BYTES = 4 * 1024
"""Small, since nearly all reads are of one key and pay for a whole block."""

MEMTABLE_FILTER_RATIO = 0.02
"""Share of a memory table given to a filter over its keys: a miss in it then costs a third or less."""

MAX_OPEN_FILES = 512
TABLE_FORMAT = 6
"""The first format whose footer has a checksum, so that no byte of a table file is without one."""

MAX_MANIFEST_BYTES = 256 * 1024
"""The manifest is read and checked in Python at each start, so it is kept short."""

KEEP_LOG_FILES = 4
MAX_LOG_FILE_BYTES = 4 * MIB
BACKGROUND_JOBS = 2
TOMBSTONE_WINDOW_ENTRIES = 4096
TOMBSTONE_TRIGGER_ENTRIES = 2048

_PUT, _DELETE = Op.PUT, Op.DELETE  # looked up once, not for every operation

_INFO_PROPERTIES = {
    "memtables": "rocksdb.cur-size-all-mem-tables",
    "tables": "rocksdb.live-sst-files-size",
    "tables_obsolete": "rocksdb.total-sst-files-size",
    "table_readers": "rocksdb.estimate-table-readers-mem",
    "block_cache": "rocksdb.block-cache-usage",
    "pending_compaction": "rocksdb.estimate-pending-compaction-bytes",
}


@dataclass(frozen=True, slots=True)
class RocksOptions:
    """What differs between stores: whether to create, and the memory bounds in bytes."""

    create: bool = False
    block_cache_bytes: int = BLOCK_CACHE_BYTES
    write_buffer_bytes: int = WRITE_BUFFER_BYTES


DEFAULT_OPTIONS = RocksOptions()


def _native_options(options: RocksOptions) -> Options:
    native = Options(raw_mode=True)
    native.create_if_missing(options.create)
    native.set_error_if_exists(options.create)
    # Anything but a perfect log is refused: what a power cut tore off, `recovery` has cut off before.
    native.set_wal_recovery_mode(DBRecoveryMode.absolute_consistency())
    native.set_recycle_log_file_num(0)
    native.set_paranoid_checks(True)
    native.set_max_manifest_file_size(MAX_MANIFEST_BYTES)
    native.set_write_buffer_size(options.write_buffer_bytes)
    native.set_max_write_buffer_number(WRITE_BUFFER_COUNT)
    native.set_memtable_whole_key_filtering(True)
    native.set_memtable_prefix_bloom_ratio(MEMTABLE_FILTER_RATIO)
    native.set_max_open_files(MAX_OPEN_FILES)
    native.set_max_background_jobs(BACKGROUND_JOBS)
    native.set_keep_log_file_num(KEEP_LOG_FILES)
    native.set_max_log_file_size(MAX_LOG_FILE_BYTES)
    native.set_compression_type(DBCompressionType.lz4())
    native.set_level_compaction_dynamic_level_bytes(True)
    native.add_compact_on_deletion_collector_factory(TOMBSTONE_WINDOW_ENTRIES, TOMBSTONE_TRIGGER_ENTRIES, 0.5)
    table = BlockBasedOptions()
    table.set_block_cache(Cache(options.block_cache_bytes))
    table.set_block_size(BLOCK_BYTES)
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, False)
    # Index and filter in small parts: one block each comes near the size of a shard of the cache, they drive
    # one another out of it, and nearly every look-up reads a megabyte.
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_partition_filters(True)
    table.set_metadata_block_size(BLOCK_BYTES)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_pin_top_level_index_and_filter(True)
    table.set_format_version(TABLE_FORMAT)
    native.set_block_based_table_factory(table)
    return native


class RocksStore:
    """A `Store` over the RocksDB directory `path`, owned by this process alone until `close`.

    Refuses (StoreLocked) a directory another process owns, (StoreForeign) one that holds no store unless
    `options.create`, one that holds a store when `options.create`, and (StoreCorrupt) one whose files do not
    pass their checksums.
    """

    def __init__(self, path: Path, options: RocksOptions = DEFAULT_OPTIONS, *, at_least: int = 0) -> None:
        """`at_least` is how many batches the store must hold, from its head: fewer is StoreBehindHead."""
        self.path = path
        self.recovered: str | None = None
        """What was cut off at this start, in words for the log; None when nothing was."""
        self._refusal: StoreError | None = None
        self._scans: weakref.WeakSet[Generator[tuple[bytes, bytes], None, None]] = weakref.WeakSet()
        if not options.create:
            require_store(path)
        self._owner = own_directory(path, create=options.create)
        try:
            self._db = self._open(options, at_least)
            # Everything recovered has been written to table files by the opening itself.
            self._written = self._synced = Stamp.decode(self._db.get(STAMP_KEY)).number
            self._get: Callable[[bytes], bytes | None] = self._db.get
        except BaseException:
            os.close(self._owner)
            raise

    def _open(self, options: RocksOptions, at_least: int) -> Rdict:
        if options.create:
            return self._open_native(options)
        try:
            self.recovered = recovery.prepare(self.path, at_least)
            try:
                return self._open_native(options)
            except StoreCorrupt:
                self.recovered = recovery.cut_torn_tail(self.path, at_least)
            return self._open_native(options)
        except OSError as error:
            raise _explain(error, self.path, "opening") from error

    def _open_native(self, options: RocksOptions) -> Rdict:
        try:
            # Named twice: of a store that exists rocksdict takes what is not named of a column family from a
            # file beside it, which tells neither the cache of blocks nor the filter.
            native = _native_options(options)
            return Rdict(str(self.path), native, {"default": native})
        except Exception as error:
            raise _explain(error, self.path, "opening") from error

    def get(self, key: bytes) -> bytes | None:
        # The one call so frequent that asking first whether the store still stands would show.
        try:
            return self._get(key)
        except Exception as error:
            self._read_failed(error)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        # One by one: rocksdict's own list form costs more a key than this does, up to five times for misses.
        return [self.get(key) for key in keys]

    def scan(
        self, start: bytes, end: bytes, *, limit: int | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        if self._refusal is not None:
            raise self._refusal
        # Made and placed here, not at the first `next`, so that the snapshot is of this moment.
        try:
            cursor = self._db.iter()
            if reverse:
                cursor.seek_for_prev(end)
                if cursor.valid() and cursor.key() == end:
                    cursor.prev()
            else:
                cursor.seek(start)
        except Exception as error:
            self._read_failed(error)
        scan = self._pairs(cursor, start, end, limit, reverse)
        self._scans.add(scan)
        return scan

    def _pairs(
        self, cursor: RdictIter, start: bytes, end: bytes, limit: int | None, reverse: bool
    ) -> Generator[tuple[bytes, bytes], None, None]:
        # Bounds are checked here: rocksdict encodes iterate bounds as if it were not in raw mode. Its `items`
        # would be faster, but ends silently at a damaged block; only `status` tells that from the end.
        step = cursor.prev if reverse else cursor.next
        left = -1 if limit is None else limit
        while left != 0 and cursor.valid():
            key: bytes = cursor.key()
            if not start <= key < end:
                return
            left -= 1
            yield key, cursor.value()
            step()
        try:
            cursor.status()
        except Exception as error:
            self._read_failed(error)

    def write(self, batch: Batch) -> None:
        if self._refusal is not None:
            raise self._refusal
        if not batch.operations:
            return
        native = WriteBatch(raw_mode=True)
        native.put(
            STAMP_KEY, Stamp(self._written + 1, self._synced).encode()
        )  # first: recovery finds it there
        put, delete, delete_range = native.put, native.delete, native.delete_range
        for op, first, second in batch.operations:
            if op is _PUT:
                put(first, second)
            elif op is _DELETE:
                delete(first)
            else:
                delete_range(first, second)
        try:
            self._db.write(native)
        except Exception as error:
            self._stop(error, "writing")
        self._written += 1

    def sync(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        written = self._written
        try:
            self._db.flush_wal(True)
        except Exception as error:
            self._stop(error, "syncing")
        self._synced = written

    def synced_batches(self) -> int:
        return self._synced

    def checkpoint(self, path: Path) -> None:
        if self._refusal is not None:
            raise self._refusal
        try:
            Checkpoint(self._db).create_checkpoint(str(path))
        except Exception as error:
            raise _explain(error, path, "writing a checkpoint of the store to") from error

    def forget_deleted(self, start: bytes, end: bytes) -> None:
        """Rewrite the table files that hold [start, end) without what was deleted there.

        A deleted value stays in them until they are next compacted, which may be never: an erased person's
        key must not. Deletions are synced first.
        """
        self.sync()
        try:
            self._db.compact_range(start, end)
        except Exception as error:
            raise _explain(error, self.path, "compacting") from error

    def approximate_size(self) -> dict[str, int]:
        if self._refusal is not None:
            raise self._refusal
        return {name: self._db.property_int_value(prop) or 0 for name, prop in _INFO_PROPERTIES.items()}

    def close(self) -> None:
        if not hasattr(self, "_db"):
            return
        # rocksdict keeps the database, and so its LOCK, alive for as long as an iterator over it lives.
        for scan in list(self._scans):
            scan.close()
        self._db.close()
        del self._db
        self._get = _nothing
        gc.collect()
        os.close(self._owner)
        if self._refusal is None:
            self._refusal = StoreFailed(
                f"The store in {self.path} is closed.", "What was synced is kept.", "Open it again to use it."
            )

    def _stop(self, error: Exception, doing: str) -> NoReturn:
        self._refusal = _explain(error, self.path, doing)
        self._get = _nothing
        raise self._refusal from error

    def _read_failed(self, error: Exception) -> NoReturn:
        if self._refusal is not None:
            raise self._refusal
        raise _explain(error, self.path, "reading") from error


def _nothing(key: bytes) -> NoReturn:
    """Stands in for reading when the store has failed or is closed; the store says why."""
    raise RuntimeError


def _explain(error: Exception, path: Path, doing: str) -> StoreError:
    """Say in our words what RocksDB said; rocksdict raises plain `Exception`, so only its text tells."""
    said = str(error)
    if "LOCK: " in said:
        return in_use(path)
    if said.startswith("Corruption"):
        return StoreCorrupt(
            f"Damage was found when {doing} {path} ({said}).",
            "Nothing damaged was returned and nothing was changed.",
            "Copy the directory aside, check the disk, and restore the last backup with `vafa restore`.",
        )
    return StoreFailed(
        f"{doing.capitalize()} {path} failed ({said}).",
        "Everything acknowledged before is kept; what was being written is unknown and was not acknowledged.",
        "Stop the node, free space or repair the disk, and start it again.",
    )
