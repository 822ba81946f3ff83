"""What happened in a simulation, in its order: the words, and a hash by which two runs are the same."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable

KEPT_LINES = 400
"""The last lines, which a failure is shown with."""


class Trace:
    """Notes what happens. `clock` gives the loop's seconds; `show` is told of every line."""

    def __init__(self, clock: Callable[[], float], show: Callable[[str], None] | None = None) -> None:
        self.faults: Counter[str] = Counter()
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._clock = clock
        self._show = show
        self._hash = hashlib.sha256()

    def note(self, who: str, what: str, data: bytes = b"") -> None:
        """One thing that happened: to whom, what, and the bytes that went with it."""
        line = f"{self._clock():12.6f} {who}: {what}"
        self._hash.update(line.encode())
        self._hash.update(len(data).to_bytes(4, "big"))
        self._hash.update(data)
        self.lines.append(line)
        if self._show is not None:
            self._show(line)

    def fault(self, who: str, kind: str, what: str = "") -> None:
        """A fault that was put on the simulation; counted by its kind."""
        self.faults[kind] += 1
        self.note(who, f"FAULT {kind} {what}".rstrip())

    def digest(self) -> str:
        """The hash of everything so far, in hexadecimal."""
        return self._hash.hexdigest()
