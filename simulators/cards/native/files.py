"""Standard data files of NXP cards: rights, and reading and writing within bounds."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from simulators.cards.native.channel import CommMode, Session
from simulators.cards.status import (
    AUTHENTICATION_ERROR,
    BOUNDARY_ERROR,
    LENGTH_ERROR,
    PARAMETER_ERROR,
    PERMISSION_DENIED,
    Status,
)

FREE = 0xE
NEVER = 0xF
HEADER_BYTES = 7
"""File number, offset (3) and length (3), before the data of ReadData and WriteData."""


class StandardFile(msgspec.Struct):
    """A file: its content (whose length is its size), how it travels, and who may what."""

    content: bytes
    mode: int
    """Bits 1 and 0 of FileOption."""
    rights: int
    """Read, write, read-and-write, change: four nibbles, each a key's number, E for everybody or F for
    nobody."""
    iso_id: int | None = None

    @property
    def comm_mode(self) -> CommMode:
        """How data of this file travels in a session; 2 is another way to say plain."""
        return CommMode.PLAIN if self.mode == 2 else CommMode(self.mode)

    @property
    def reading(self) -> tuple[int, int]:
        """Whose key opens the file for reading."""
        return self.rights >> 12, (self.rights >> 4) & 0xF

    @property
    def writing(self) -> tuple[int, int]:
        """Whose key opens the file for writing."""
        return (self.rights >> 8) & 0xF, (self.rights >> 4) & 0xF

    @property
    def changing(self) -> int:
        """Whose key may change the settings."""
        return self.rights & 0xF


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file as a command names it: offset and length in bytes (0 is all that is left)."""

    number: int
    offset: int
    length: int

    @classmethod
    def parse(cls, header: bytes) -> Span:
        """From the 7 header bytes of ReadData or WriteData."""
        if header[0] & 0xE0:
            raise Status(PARAMETER_ERROR)
        return cls(header[0], int.from_bytes(header[1:4], "little"), int.from_bytes(header[4:7], "little"))


def access(conditions: tuple[int, ...], session: Session | None, mode: CommMode) -> CommMode:
    """How the data travels for whoever asks (NT4H2421Gx 8.2.3.5), or the refusal.

    The file's own mode when the session's key has the right; plain where only the right of everybody lets one
    in; PERMISSION_DENIED where nobody has the right, and AUTHENTICATION_ERROR where somebody else has.
    """
    if session is not None and session.key_number in conditions:
        return mode
    if FREE in conditions:
        return CommMode.PLAIN
    raise Status(PERMISSION_DENIED if set(conditions) == {NEVER} else AUTHENTICATION_ERROR)


def read(content: bytes, span: Span) -> bytes:
    """The bytes of a span; BOUNDARY_ERROR outside of the file."""
    end = span.offset + span.length if span.length else len(content)
    if span.offset >= len(content) or end > len(content):
        raise Status(BOUNDARY_ERROR)
    return content[span.offset : end]


def written(content: bytes, span: Span, data: bytes) -> bytes:
    """The file's content with `data` at the span; LENGTH_ERROR if its length is not the one announced."""
    if not span.length or len(data) != span.length:
        raise Status(LENGTH_ERROR)
    if span.offset + span.length > len(content):
        raise Status(BOUNDARY_ERROR)
    return content[: span.offset] + data + content[span.offset + span.length :]
