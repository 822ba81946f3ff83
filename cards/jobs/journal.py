"""Append-only files of lines, each of which holds the hash of the one before it.

A line is JSON. The first one's `before` is made from the job's digest and the file's own name, so that files
of two jobs or two cards cannot change places. A line that a power cut left half written was never answered
for, and is dropped when the file is opened again; anything else that does not fit is `JournalBroken`.
"""

from __future__ import annotations

import fcntl
import os
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import msgspec

_TAG = b"vafa card journal v1\0"


class JournalBroken(Exception):
    """A journal that is not as it was written. Nothing was changed; keep it, and find out who did it."""


class JournalInUse(Exception):
    """Another program writes to this job."""


class What(StrEnum):
    """What a line says happened."""

    ASSIGNED = "assigned"
    """A chip got a number."""
    VISIT = "visit"
    """A card is about to be worked on; `wrong_keys` is how many the visit may try."""
    STEP_BEGUN = "begun"
    STEP_DONE = "done"
    STEP_FOUND_DONE = "found done"
    VISIT_ENDED = "visit ended"
    """With how many wrong keys it tried."""
    FAILED = "failed"
    ACCEPTED = "accepted"
    """Read back whole: every key, all settings, a tap."""
    ENROLLING = "enrolling"
    ENROLLED = "enrolled"
    FINISHED = "finished"
    """May leave the bureau."""
    SET_ASIDE = "set aside"
    """Must not; its number is free for another chip."""
    CLOSED = "closed"
    """In the job's own journal: a card's journal ended, at `head`."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line. Keys appear by version and check value only; times are milliseconds since 1970."""

    n: int
    at_ms: int
    what: What
    before: str
    number: str = ""
    uid: str = ""
    step: str = ""
    intent: str = ""
    key_version: int | None = None
    check_value: str = ""
    keys: tuple[str, ...] = ()
    """Of an accepted card: `version:check value` of each key."""
    wrong_keys: int = 0
    tap_counter: int | None = None
    request_id: str = ""
    account: str = ""
    words: str = ""
    head: str = ""


class Journal:
    """One file, open for appending. The lines so far are in `lines`, the hash of the last one in `head`."""

    def __init__(self, path: Path, genesis: bytes) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise JournalInUse(f"{path} is in use by another program. Let it end first.") from None
            self.lines, self.head, whole = read_journal(path, genesis)
            if whole < os.fstat(self._descriptor).st_size:
                os.ftruncate(self._descriptor, whole)
            if not self.lines:
                _sync_directory(path.parent)
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, what: What, at_ms: int, *, sync: bool = True, **fields: object) -> Line:
        """Write one more line; with `sync` it is on the disk when this returns, and all those before it."""
        line = msgspec.convert(
            {"n": len(self.lines) + 1, "at_ms": at_ms, "what": what, "before": self.head, **fields}, Line
        )
        raw = msgspec.json.encode(line)
        write_line(self._descriptor, raw + b"\n", sync=sync)
        self.lines.append(line)
        self.head = sha256(raw).hexdigest()
        return line

    def close(self) -> None:
        """Let go of the file. Closing twice does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def write_line(descriptor: int, raw: bytes, *, sync: bool) -> None:
    """All of `raw`, and with `sync` durably."""
    while raw:
        raw = raw[os.write(descriptor, raw) :]
    if sync:
        os.fsync(descriptor)


def genesis(job_digest: bytes, name: str) -> bytes:
    """What the first line of a journal holds in place of the hash of a line before it."""
    return sha256(_TAG + job_digest + name.encode()).digest()


def read_journal(path: Path, first: bytes) -> tuple[list[Line], str, int]:
    """The lines, the last one's hash, and how many bytes of the file they are; `JournalBroken` by line."""
    raw = path.read_bytes() if path.exists() else b""
    whole = raw.rfind(b"\n") + 1
    lines: list[Line] = []
    head = first.hex()
    for n, text in enumerate(raw[:whole].splitlines(), start=1):
        try:
            line = msgspec.json.decode(text, type=Line)
        except msgspec.DecodeError:
            raise JournalBroken(f"{path}, line {n}: this is no line of a journal.") from None
        if (line.n, line.before) != (n, head):
            raise JournalBroken(f"{path}, line {n}: the chain is broken; a line was changed or taken out.")
        lines.append(line)
        head = sha256(text).hexdigest()
    return lines, head, whole


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
