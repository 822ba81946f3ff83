"""The head: how far each partition had durably come, kept in a small file beside the store.

RocksDB cannot say that its own last records are gone. The head can: a store that ends before its head has
lost what was acknowledged, and is refused. It is written by a thread of its own, off the answering path, a
few tens of milliseconds behind at most.

The file is two slots of one page, written in turn and synced each time, so that a power cut can only tear the
slot in the making while the other stands. A damaged slot is therefore either torn or was damaged later. One
flipped bit is told from a tear by trying: if turning one bit back makes the slot's SHA-256 hold, the slot is
read as it was, and the damage is reported. So a flipped bit never makes the guard fall back to the older
slot. A clean stop writes both slots. A torn slot costs one interval of the head; the log's own proofs
(`recovery`) do not depend on the head and go on covering what was synced since.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from node.storage.files import replace_synced, write_synced
from node.storage.store import StoreBehindHead, StoreCorrupt, StoreFailed

SLOT_BYTES = 4096
INTERVAL_SECONDS = 0.02
"""At least this long between two writes of the head, so that its syncs do not crowd out the log's."""
LAG_LIMIT_SECONDS = 0.05
"""A batch that would leave the head further behind than this waits for it."""

_MAGIC = b"VAFAHEAD\x01"
_FRONT = struct.Struct(">9s?Q16sQQB")
_ENTRY = struct.Struct(">BQ32s")
_DIGEST_BYTES = 32


class Head(NamedTuple):
    """How far one partition had come: its last journal sequence and the chain's hash there."""

    sequence: int
    hash: bytes


class HeadState(msgspec.Struct, frozen=True):
    """One slot: which store it guards, how many batches were synced, and each partition's head."""

    store_id: bytes
    generation: int
    synced_batches: int
    partitions: dict[int, Head]
    counter: int = 0
    closed: bool = False


class HeadRead(NamedTuple):
    """What the file says, and in words for the log what was wrong with it, if anything was."""

    state: HeadState
    note: str | None


def create_head(path: Path, state: HeadState) -> None:
    """Makes the head file of a new, restored or moved store: both slots the same, durable."""
    write_synced(path, _encode(state) * 2)


def replace_head(path: Path, state: HeadState) -> None:
    """Replaces the head of a store that is not open, wholly or not at all."""
    replace_synced(path, _encode(state) * 2)


def read_head(path: Path) -> HeadRead:
    """The newest head in the file. Raises StoreCorrupt when neither slot holds or the file is not there."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    except OSError as error:
        raise StoreFailed(
            f"The head file {path} cannot be read ({error.strerror}).",
            "Nothing was changed.",
            "Check its owner and permissions, and the disk.",
        ) from error
    if len(data) != 2 * SLOT_BYTES:
        raise _unreadable(path, "is missing or has the wrong size")
    slots = [_decode(data[:SLOT_BYTES]), _decode(data[SLOT_BYTES:])]
    note = None
    for place, slot in enumerate(slots):
        if slot is None:
            slots[place] = _repaired(data[place * SLOT_BYTES : (place + 1) * SLOT_BYTES])
            note = (
                f"Slot {place} of {path} was torn, as by a power cut; the head before it was used."
                if slots[place] is None
                else f"One bit of {path} was wrong and was turned back. Check the disk."
            )
    good = [slot for slot in slots if slot is not None]
    if not good:
        raise _unreadable(path, "is damaged in both its slots")
    return HeadRead(max(good, key=lambda slot: slot.counter), note)


def verify_batches(at_least: int, found: int) -> None:
    """Refuses (StoreBehindHead) a store that came back with fewer batches than its head knows of."""
    if found < at_least:
        raise _behind([f"the last {at_least - found} of {at_least} synced batches"])


def verify_partitions(
    state: HeadState, heads: Mapping[int, Head], hash_at: Callable[[int, int], bytes | None]
) -> None:
    """Refuses (StoreBehindHead) a store whose partitions end before their heads or have another history.

    `heads` is what the store itself says of its partitions, `hash_at(partition, sequence)` the chain's hash
    in its journal.
    """
    missing = []
    for partition, (sequence, digest) in sorted(state.partitions.items()):
        found = heads.get(partition, Head(0, b""))
        if found.sequence < sequence:
            missing.append(f"entries {found.sequence + 1} to {sequence} of partition {partition}")
        elif sequence and hash_at(partition, sequence) != digest:
            missing.append(f"the history of partition {partition} up to entry {sequence}; another is there")
    if missing:
        raise _behind(missing)


class HeadWriter:
    """Keeps a head file up to date from a thread of its own.

    `keep` and `touch` are called by the store's owner after each sync. A failure of the thread is raised by
    their next call and by `close`: the owner then stops, as it does when the store fails.
    """

    def __init__(self, path: Path, state: HeadState, synced_batches: Callable[[], int]) -> None:
        """Writes `state` as the newest head before it returns, and then goes on from there."""
        self._path = path
        self._state = state
        self._heads = dict(state.partitions)
        self._synced_batches = synced_batches
        self._failure: StoreFailed | None = None
        self._waiting_since: float | None = None  # when the oldest head was kept that no write has taken
        self._writing_since: float | None = None  # the same for what is being written now
        self._dirty = threading.Event()
        self._stop = threading.Event()
        self._written = threading.Condition()
        self._handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._write(closed=False)
        if self._failure is not None:
            os.close(self._handle)
            raise self._failure
        self._thread = threading.Thread(target=self._run, name=f"head {path.parent.name}", daemon=True)
        self._thread.start()

    def keep(self, partition: int, sequence: int, digest: bytes) -> None:
        """Takes over how far `partition` has durably come. Waits only when the head is too far behind."""
        self._heads[partition] = Head(sequence, digest)
        self.touch()

    def touch(self) -> None:
        """Has the number of synced batches written, for a store whose batches touch no journal."""
        if self._failure is not None:
            raise self._failure
        if not self._dirty.is_set():
            self._waiting_since = time.monotonic()
            self._dirty.set()
        if self._lag_seconds() > LAG_LIMIT_SECONDS:
            with self._written:
                self._written.wait_for(
                    lambda: self._failure is not None or self._lag_seconds() <= LAG_LIMIT_SECONDS
                )
            if self._failure is not None:
                raise self._failure

    def close(self) -> None:
        """Writes the last head into both slots and ends the thread. Raises StoreFailed if that failed."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._dirty.set()
        self._thread.join()
        if self._failure is None:
            self._write(closed=True)
            self._write(closed=True)
        os.close(self._handle)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while not self._stop.is_set() and self._failure is None:
            self._dirty.wait()
            # Cleared before the heads are copied: whatever is kept from here on sets it again.
            self._writing_since, self._waiting_since = self._waiting_since, None
            self._dirty.clear()
            self._write(closed=False)
            self._writing_since = None
            with self._written:
                self._written.notify_all()
            self._stop.wait(INTERVAL_SECONDS)

    def _write(self, *, closed: bool) -> None:
        try:
            state = msgspec.structs.replace(
                self._state,
                synced_batches=self._synced_batches(),
                partitions=dict(self._heads),
                counter=self._state.counter + 1,
                closed=closed,
            )
            os.pwrite(self._handle, _encode(state), state.counter % 2 * SLOT_BYTES)
            os.fdatasync(self._handle)
        except (
            Exception
        ) as error:  # whatever it is, the owner must hear of it rather than wait for the thread
            self._failure = StoreFailed(
                f"The head file {self._path} could not be written ({error}).",
                "Everything acknowledged is in the store; only its guard is behind.",
                "Stop the node, free space or repair the disk, and start it again.",
            )
            return
        self._state = state

    def _lag_seconds(self) -> float:
        since = self._writing_since or self._waiting_since
        return 0.0 if since is None else time.monotonic() - since


def _encode(state: HeadState) -> bytes:
    front = _FRONT.pack(
        _MAGIC,
        state.closed,
        state.counter,
        state.store_id,
        state.generation,
        state.synced_batches,
        len(state.partitions),
    )
    entries = b"".join(
        _ENTRY.pack(partition, head.sequence, head.hash)
        for partition, head in sorted(state.partitions.items())
    )
    body = front + entries
    slot = (body + hashlib.sha256(body).digest()).ljust(SLOT_BYTES, b"\x00")
    assert len(slot) == SLOT_BYTES, "a slot has room for every partition"
    return slot


def _decode(slot: bytes) -> HeadState | None:
    magic, closed, counter, store_id, generation, synced, count = _FRONT.unpack_from(slot)
    size = _FRONT.size + count * _ENTRY.size
    if magic != _MAGIC or slot[size + _DIGEST_BYTES :].strip(b"\x00"):
        return None
    if hashlib.sha256(slot[:size]).digest() != slot[size : size + _DIGEST_BYTES]:
        return None
    partitions = {}
    for place in range(count):
        partition, sequence, digest = _ENTRY.unpack_from(slot, _FRONT.size + place * _ENTRY.size)
        partitions[partition] = Head(sequence, digest)
    return HeadState(store_id, generation, synced, partitions, counter, closed)


def _repaired(slot: bytes) -> HeadState | None:
    """The slot with the one bit turned back that makes its digest hold, if there is such a bit."""
    flipped = bytearray(slot)
    # A bit set behind the end is the last of all; one that was cleared may have been the digest's last.
    end = min(SLOT_BYTES, len(slot.rstrip(b"\x00")) + _DIGEST_BYTES)
    for place in reversed(range(end)):
        for bit in range(8):
            flipped[place] ^= 1 << bit
            state = _decode(bytes(flipped))
            if state is not None:
                return state
            flipped[place] ^= 1 << bit
    return None


def _behind(missing: list[str]) -> StoreBehindHead:
    return StoreBehindHead(
        f"The store lacks what was acknowledged: {'; '.join(missing)}.",
        "Nothing was changed.",
        "If files were moved or replaced, put them back. Otherwise copy the directory aside and restore the "
        "last backup with `vafa restore`.",
    )


def _unreadable(path: Path, what: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"The head file {path} {what}, so nothing says whether the store is complete.",
        "The store itself was not touched.",
        "Put the file back if it was moved. Otherwise copy the directory aside and restore the last backup "
        "with `vafa restore`.",
    )
