"""Reads RocksDB's write-ahead log: exactly which batches a run wrote, with their keys and values.

The formats are those of the RocksDB wiki, "Write Ahead Log File Format", and of its write_batch.cc. The log
of a live store may be read: what is being appended at the moment looks like a torn tail, and reading ends
there. A store that is closed in order writes its memory tables out and leaves an empty log.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK_BYTES = 32 * 1024
_HEADER = struct.Struct("<IHB")  # checksum, length, type
_BATCH_HEADER_BYTES = 12  # sequence, count

_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_DELETE, _PUT, _DELETE_RANGE, _LOG_DATA, _NOOP = 0x0, 0x1, 0xF, 0x3, 0xD


class UnknownRecord(Exception):
    """The log holds something that a store with one column family and plain writes does not write."""


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """One atomic write: what it put, and the keys that it deleted (of a range, its two ends)."""

    puts: tuple[tuple[bytes, bytes], ...]
    deletes: tuple[tuple[bytes, ...], ...]

    @property
    def bytes_written(self) -> int:
        """Keys and values together."""
        return sum(len(key) + len(value) for key, value in self.puts) + sum(
            len(end) for ends in self.deletes for end in ends
        )


def read_store(directory: Path) -> list[LoggedBatch]:
    """All batches in the logs of the store in `directory`, in the order of writing."""
    batches: list[LoggedBatch] = []
    for path in sorted(directory.glob("*.log")):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # a memory table was written out meanwhile, and its log is gone
        batches.extend(parse_batch(record) for record in _records(data))
    return batches


def parse_batch(record: bytes) -> LoggedBatch:
    """One record of the log, a WriteBatch."""
    puts: list[tuple[bytes, bytes]] = []
    deletes: list[tuple[bytes, ...]] = []
    at = _BATCH_HEADER_BYTES
    while at < len(record):
        tag = record[at]
        at += 1
        if tag == _PUT:
            key, at = _text(record, at)
            value, at = _text(record, at)
            puts.append((key, value))
        elif tag == _DELETE:
            key, at = _text(record, at)
            deletes.append((key,))
        elif tag == _DELETE_RANGE:
            start, at = _text(record, at)
            end, at = _text(record, at)
            deletes.append((start, end))
        elif tag == _LOG_DATA:
            _, at = _text(record, at)
        elif tag != _NOOP:
            raise UnknownRecord(f"The log holds an operation of kind {tag:#x}, which is not read here.")
    return LoggedBatch(tuple(puts), tuple(deletes))


def _records(data: bytes) -> Iterator[bytes]:
    """The log's records, put together from their fragments, up to the torn tail."""
    at, fragments = 0, bytearray()
    while at + _HEADER.size <= len(data):
        left_in_block = _BLOCK_BYTES - at % _BLOCK_BYTES
        if left_in_block < _HEADER.size:
            at += left_in_block
            continue
        _, length, kind = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        if kind == 0 or at + length > len(data):
            return
        fragment = data[at : at + length]
        at += length
        if kind == _FULL:
            yield fragment
        elif kind in (_FIRST, _MIDDLE):
            if kind == _FIRST:
                fragments.clear()
            fragments += fragment
        elif kind == _LAST:
            yield bytes(fragments + fragment)
            fragments.clear()


def _text(record: bytes, at: int) -> tuple[bytes, int]:
    """A length as varint32 and so many bytes; with where the next begins."""
    length = shift = 0
    while True:
        byte = record[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return record[at : at + length], at + length
        shift += 7
