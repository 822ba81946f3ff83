"""What a till has not yet had an answer to.

A till puts every change here before it sends it, and takes it out when it knows the outcome. So a sale made
while the line was cut, a call that timed out, and whatever was under way when the till lost power are one and
the same thing: something to send again, the same bytes under the same request id, until there is an answer.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from node.proto.vafa.pos.v1 import operation_pb2

MAX_QUEUED = 20_000
"""Beyond it a till takes no more, rather than forget some: weeks of a shop's sales."""

_SUFFIX = ".operation"


class QueueFull(Exception):
    """The till has too much unanswered to take more; nothing was dropped."""


class TillQueue:
    """Operations without an answer, oldest first; on disk where a directory is given, else in memory.

    One file an operation: it is written and synced beside its place and then renamed into it, so that a power
    cut leaves a whole file or none, and taking one out is one unlink. A file that is not an operation is left
    alone and named in the `ValueError` that refuses the directory.
    """

    def __init__(self, directory: Path | None = None, *, capacity: int = MAX_QUEUED) -> None:
        self._directory = directory
        self._capacity = capacity
        self._operations: dict[int, operation_pb2.Operation] = {}
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            for path in sorted(directory.glob(f"*{_SUFFIX}")):
                self._operations[int(path.stem)] = _read(path)
        self._next = max(self._operations, default=0) + 1

    def __len__(self) -> int:
        return len(self._operations)

    def put(self, operation: operation_pb2.Operation) -> int:
        """Keep an operation; its number here. On disk it is synced, which takes milliseconds. `QueueFull`."""
        if len(self._operations) >= self._capacity:
            raise QueueFull(f"{len(self._operations)} operations wait for an answer. Connect the till first.")
        number = self._next
        if self._directory is not None:
            _write(
                self._directory / f"{number:012d}{_SUFFIX}", operation.SerializeToString(deterministic=True)
            )
        self._operations[number] = operation
        self._next += 1
        return number

    def remove(self, number: int) -> None:
        """Take out an operation whose outcome is known; a second time nothing is left to do."""
        if self._operations.pop(number, None) is not None and self._directory is not None:
            # Not synced: should the unlink be lost with the power, the operation is sent once more and its
            # stored answer comes back.
            (self._directory / f"{number:012d}{_SUFFIX}").unlink()

    def oldest(self, count: int) -> list[tuple[int, operation_pb2.Operation]]:
        """Up to `count` operations in the order in which they were put, with their numbers."""
        return list(islice(self._operations.items(), count))


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path) -> operation_pb2.Operation:
    operation = operation_pb2.Operation()
    try:
        operation.ParseFromString(path.read_bytes())
        if operation.WhichOneof("operation") is None:
            raise ValueError("no operation in it")
    except Exception as error:
        raise ValueError(
            f"{path} is no operation of a till ({error}). Keep it, and look at it by hand."
        ) from error
    return operation
