"""Reading RocksDB's write-ahead log, to tell the torn tail of a power cut from damage to what was synced.

RocksDB's own recovery modes cannot: a flipped bit in a record's length looks to it like a tail cut short. So
every batch carries a stamp (its number, and the number of the last batch known to be synced when it was
written), and this module finds out what the log still proves. Log format: the RocksDB wiki, "Write Ahead Log
File Format": blocks of 32 KiB, in them records of checksum, length, type and payload, a batch in one or more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from node.storage.crc32c import crc32c, one_bit_apart, unmask
from node.storage.keyspace import StoreMeta, store_meta_key

BLOCK_BYTES = 32 * 1024
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_BATCH_HEADER_BYTES = 12
_STAMP = struct.Struct(">QQ")

STAMP_KEY = store_meta_key(StoreMeta.STAMP)
_STAMP_FRONT = b"\x01" + bytes((len(STAMP_KEY),)) + STAMP_KEY + bytes((_STAMP.size,))
_STAMP_BYTES = _BATCH_HEADER_BYTES + len(_STAMP_FRONT) + _STAMP.size


class Stamp(NamedTuple):
    """What each batch says of itself: its number, and the highest number known to be synced before it."""

    number: int
    synced: int

    def encode(self) -> bytes:
        """The stamp as the value of `STAMP_KEY`."""
        return _STAMP.pack(self.number, self.synced)

    @classmethod
    def decode(cls, value: bytes | None) -> Stamp:
        """The stamp stored under `STAMP_KEY`; a store that was never written has none and starts at zero."""
        return cls(0, 0) if value is None else cls(*_STAMP.unpack(value))


class Fragment(NamedTuple):
    """One physical record: where its header is, its type, and where its payload starts and ends."""

    offset: int
    type: int
    start: int
    end: int


class LogRecord(NamedTuple):
    """One batch in the log, made of one or more fragments."""

    fragments: tuple[Fragment, ...]

    @property
    def start(self) -> int:
        """The offset of the record."""
        return self.fragments[0].offset

    @property
    def end(self) -> int:
        """The offset behind the record."""
        return self.fragments[-1].end


def log_files(directory: Path) -> list[Path]:
    """The write-ahead logs of a RocksDB directory, oldest first, those without a byte left out."""
    logs = sorted(directory.glob("*.log"), key=lambda path: int(path.stem))
    return [path for path in logs if path.stat().st_size > 0]


def records(data: bytes, offset: int = 0) -> Iterator[LogRecord]:
    """The batches from `offset` on, by lengths alone, ending where the structure does not hold."""
    fragments: list[Fragment] = []
    while (fragment := _fragment(data, offset)) is not None:
        if (fragment.type in (_FULL, _FIRST)) == bool(fragments):
            return  # a start inside a batch, or a middle outside one
        fragments.append(fragment)
        offset = fragment.end
        if fragment.type in (_FULL, _LAST):
            yield LogRecord(tuple(fragments))
            fragments.clear()


def structure_end(data: bytes) -> int | None:
    """Where the chain of lengths stops holding, or None when it holds to the end of the file.

    RocksDB must not be given a log that fails this: some types in a header send its reader into an endless
    loop (seen in 9.8.4: a full record's type with one bit flipped, in every recovery mode).
    """
    end = 0
    for record in records(data):
        end = record.end
    return None if ends_at(data, end) else end


def ends_at(data: bytes, offset: int) -> bool:
    """Whether nothing but the filling of a block comes at and behind `offset`."""
    return _skip_trailer(offset) >= len(data)


def is_whole(data: bytes, record: LogRecord) -> bool:
    """Whether every checksum of the batch holds."""
    return all(_holds(data, fragment) for fragment in record.fragments)


def read_stamp(data: bytes, record: LogRecord) -> Stamp | None:
    """The batch's stamp, or None when it has none (it is not one of ours, or is damaged)."""
    front = b""
    for fragment in record.fragments:
        front += data[fragment.start : fragment.end][: _STAMP_BYTES - len(front)]
    if len(front) < _STAMP_BYTES or not front.startswith(_STAMP_FRONT, _BATCH_HEADER_BYTES):
        return None
    return Stamp.decode(front[-_STAMP.size :])


def records_after(data: bytes, offset: int) -> Iterator[LogRecord]:
    """Every whole batch that can be found at or behind `offset`, where the chain of lengths may be broken.

    In the first block any place may start one; from then on the chain resumes at the start of each block.
    """
    block_end = _block_end(offset)
    for start in range(offset, min(block_end, len(data)) - _HEADER.size):
        if data[start + 6] in (_FULL, _FIRST):
            record = next(records(data, start), None)
            if record is not None and is_whole(data, record):
                yield record
    for block in range(block_end, len(data), BLOCK_BYTES):
        yield from _whole_from_block(data, block)


def one_flip_explains(data: bytes, offset: int) -> bool:
    """Whether the batch at `offset` would be whole up to there but for one flipped bit in one fragment.

    A torn write loses pages, not bits: one bit off is damage to something that once was written whole.
    """
    while (fragment := _fragment(data, offset)) is not None and _holds(data, fragment):
        offset = fragment.end
        if fragment.type in (_FULL, _LAST):
            return False
    offset = _skip_trailer(offset)
    if offset + _HEADER.size > len(data):
        return False
    stored, length, _ = _HEADER.unpack_from(data, offset)
    return _payload_flip(data, offset, stored, length) or _length_flip(data, offset, stored, length)


def _fragment(data: bytes, offset: int) -> Fragment | None:
    offset = _skip_trailer(offset)
    start = offset + _HEADER.size
    if start > len(data):
        return None
    _, length, kind = _HEADER.unpack_from(data, offset)
    end = start + length
    if not _FULL <= kind <= _LAST or end > _block_end(offset) or end > len(data):
        return None
    return Fragment(offset, kind, start, end)


def _holds(data: bytes, fragment: Fragment) -> bool:
    stored = _HEADER.unpack_from(data, fragment.offset)[0]
    return crc32c(data[fragment.start - 1 : fragment.end]) == unmask(stored)


def _whole_from_block(data: bytes, block: int) -> Iterator[LogRecord]:
    """Whole batches that begin in the block at `block`, behind what may continue an earlier one."""
    offset, end = block, _block_end(block)
    while (fragment := _fragment(data, offset)) is not None and fragment.offset < end:
        if fragment.type in (_FULL, _FIRST):
            record = next(records(data, fragment.offset), None)
            if record is not None and is_whole(data, record):
                yield record
        offset = fragment.end


def _payload_flip(data: bytes, offset: int, stored: int, length: int) -> bool:
    """A flip in the type, the payload or the stored checksum of the fragment at `offset`."""
    end = offset + _HEADER.size + length
    if end > len(data) or end > _block_end(offset):
        return False
    found = crc32c(data[offset + _HEADER.size - 1 : end])
    if any(unmask(stored ^ (1 << bit)) == found for bit in range(32)):
        return True
    return one_bit_apart(length + 1, unmask(stored), found)


def _length_flip(data: bytes, offset: int, stored: int, length: int) -> bool:
    wanted = unmask(stored)
    for bit in range(16):
        end = offset + _HEADER.size + (length ^ (1 << bit))
        fits = end <= min(len(data), _block_end(offset))
        if fits and crc32c(data[offset + _HEADER.size - 1 : end]) == wanted:
            return True
    return False


def _block_end(offset: int) -> int:
    return (offset // BLOCK_BYTES + 1) * BLOCK_BYTES


def _skip_trailer(offset: int) -> int:
    """The next place a header can be: one never straddles a block, the few bytes left over are zeros."""
    left = _block_end(offset) - offset
    return offset + left if left < _HEADER.size else offset
