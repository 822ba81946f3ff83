"""What waits for a partner: bounded by number and by bytes. A full outbox refuses; it drops nothing."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence

OUTBOX_MESSAGES = 4_096
OUTBOX_BYTES = 16 * 1024 * 1024


class Outbox:
    """Messages for one partner in their order. One that already waits is not taken twice."""

    def __init__(self, messages: int = OUTBOX_MESSAGES, most_bytes: int = OUTBOX_BYTES) -> None:
        self._messages = messages
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._digests: set[bytes] = set()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, carried: bytes) -> bool:
        """Takes a message; False where the outbox is full. A repetition of one that waits counts as taken."""
        digest = hashlib.sha256(carried).digest()
        if digest in self._digests:
            return True
        if len(self._waiting) >= self._messages or self._bytes + len(carried) > self._most_bytes:
            return False
        self._waiting.append((digest, carried))
        self._digests.add(digest)
        self._bytes += len(carried)
        return True

    def take(self, messages: int, most_bytes: int) -> tuple[bytes, ...]:
        """The next messages, at most so many and so many bytes, but always one where one waits."""
        taken: list[bytes] = []
        size = 0
        while self._waiting and len(taken) < messages:
            digest, carried = self._waiting[0]
            if taken and size + len(carried) > most_bytes:
                break
            self._waiting.popleft()
            self._digests.discard(digest)
            self._bytes -= len(carried)
            size += len(carried)
            taken.append(carried)
        return tuple(taken)

    def put_back(self, taken: Sequence[bytes]) -> None:
        """Puts what could not be sent in front again; they were taken once and are never refused."""
        for carried in reversed(taken):
            digest = hashlib.sha256(carried).digest()
            if digest not in self._digests:
                self._waiting.appendleft((digest, carried))
                self._digests.add(digest)
                self._bytes += len(carried)
