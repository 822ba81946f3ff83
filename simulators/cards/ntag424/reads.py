"""Free reading: the counter that goes up once for each row of reads, and the content that it changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from simulators.cards.card import RandomBytes
from simulators.cards.native.files import NEVER
from simulators.cards.ntag424.memory import NDEF, Ntag424Memory
from simulators.cards.ntag424.sdm import PADDING_BYTES, mirrored
from simulators.cards.status import Status


class FreeReads:
    """Reads without authentication. Reads of one kind that follow each other directly share one count and one
    padding, so that a file can be read in pieces (NT4H2421Gx 9.3.1 and 9.3.4)."""

    def __init__(self, memory: Ntag424Memory, random_bytes: RandomBytes) -> None:
        self._memory = memory
        self._random_bytes = random_bytes
        self._before: tuple[int, int] | None = None
        self._now: tuple[int, int] | None = None
        self._padding = b""

    def interrupted(self) -> None:
        """Whatever was read before: the next read is a first one."""
        self._before = self._now = None

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """Around every command: one that did not read, or was refused, breaks the row."""
        self._before, self._now = self._now, None
        try:
            yield
        except Exception:
            self._now = None
            raise

    def opens(self, number: int) -> bool:
        """Whether SDM lets everybody read the file, whatever its rights say."""
        sdm = self._memory.sdm
        return number == NDEF and sdm is not None and sdm.file_read != NEVER

    def content(self, kind: int, number: int, spent: int) -> bytes:
        """The whole file as it shows; counts, unless the row goes on. Refuses with `spent` at the limit."""
        file = self._memory.files[number]
        sdm = self._memory.sdm
        self._now = (kind, number)
        if number != NDEF or sdm is None:
            return file.content
        if self._before != self._now:
            if self._memory.read_counter >= sdm.last_count:
                raise Status(spent)
            self._memory.read_counter += 1
            self._padding = self._random_bytes(PADDING_BYTES)
        return mirrored(
            file.content,
            sdm,
            lambda key_number: self._memory.keys[key_number].key,
            self._memory.uid,
            self._memory.read_counter,
            self._padding,
        )
