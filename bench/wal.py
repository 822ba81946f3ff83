"""Reads back exactly which batches a store has written, with their keys and values, from its write-ahead log.

What a batch looks like is in RocksDB's write_batch.cc; how the log is cut into records, in
`node.storage.wal`. The log of a live store may be read: what is being appended at the moment looks like a
torn tail, and reading ends there. A store that is closed in order writes its memory tables out and leaves an
empty log.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.storage.wal import LogRecord, log_files, records

_BATCH_HEADER_BYTES = 12  # sequence, count
_DELETE, _PUT, _DELETE_RANGE, _LOG_DATA, _NOOP = 0x0, 0x1, 0xF, 0x3, 0xD


class UnknownOperation(Exception):
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
    for path in log_files(directory):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # a memory table was written out meanwhile, and its log is gone
        batches.extend(parse_batch(_payload(data, record)) for record in records(data))
    return batches


def parse_batch(payload: bytes) -> LoggedBatch:
    """One record of the log, a WriteBatch; anything but puts and deletes is `UnknownOperation`."""
    puts: list[tuple[bytes, bytes]] = []
    deletes: list[tuple[bytes, ...]] = []
    at = _BATCH_HEADER_BYTES
    while at < len(payload):
        tag = payload[at]
        at += 1
        if tag == _PUT:
            key, at = _text(payload, at)
            value, at = _text(payload, at)
            puts.append((key, value))
        elif tag == _DELETE:
            key, at = _text(payload, at)
            deletes.append((key,))
        elif tag == _DELETE_RANGE:
            start, at = _text(payload, at)
            end, at = _text(payload, at)
            deletes.append((start, end))
        elif tag == _LOG_DATA:
            _, at = _text(payload, at)
        elif tag != _NOOP:
            raise UnknownOperation(f"The log holds an operation of kind {tag:#x}, which is not read here.")
    return LoggedBatch(tuple(puts), tuple(deletes))


def _payload(data: bytes, record: LogRecord) -> bytes:
    return b"".join(data[fragment.start : fragment.end] for fragment in record.fragments)


def _text(payload: bytes, at: int) -> tuple[bytes, int]:
    """A length as varint32 and so many bytes; with where the next begins."""
    length = shift = 0
    while True:
        byte = payload[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return payload[at : at + length], at + length
        shift += 7
