"""Fields of a settlement's documents: amounts, times, ids, each within its bounds or refused by name."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage
from google.protobuf.timestamp_pb2 import Timestamp

from node.config import SLUG_PATTERN

WIDE_BYTES = 16
MAX_LANES = 64
MAX_NUMBER = 1 << 62

_SLUG = re.compile(SLUG_PATTERN, re.ASCII).fullmatch
_M = TypeVar("_M", bound=ProtoMessage)
_E = TypeVar("_E", bound=IntEnum)


class DocumentUnreadable(ValueError):
    """Bytes that are not the document they should be; the text names the field, never its content."""


def wide(amount: int) -> bytes:
    """An amount as 16 bytes; OverflowError where they do not hold it."""
    return amount.to_bytes(WIDE_BYTES, "big", signed=True)


def read_wide(data: bytes, field: str) -> int:
    """The amount that 16 bytes are."""
    if len(data) != WIDE_BYTES:
        raise DocumentUnreadable(f"{field} has {WIDE_BYTES} bytes")
    return int.from_bytes(data, "big", signed=True)


def parsed(kind: type[_M], data: bytes) -> _M:
    """A message from its bytes; raises DocumentUnreadable."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise DocumentUnreadable(f"the bytes are no {kind.__name__}") from None


def stamp(at_ms: int) -> Timestamp:
    """A time."""
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000)


def read_stamp(message: Timestamp) -> int:
    """A time in epoch milliseconds; raises DocumentUnreadable."""
    if not 0 <= message.nanos < 1_000_000_000 or not 0 <= message.seconds < 1 << 40:
        raise DocumentUnreadable("a time is not one")
    return message.seconds * 1000 + message.nanos // 1_000_000


def slug(value: str, field: str) -> str:
    """An id, or DocumentUnreadable."""
    if _SLUG(value) is None:
        raise DocumentUnreadable(f"{field} is no id")
    return value


def count(value: int, field: str) -> int:
    """A number that is not negative and fits, or DocumentUnreadable."""
    if not 0 <= value <= MAX_NUMBER:
        raise DocumentUnreadable(f"{field} is out of bounds")
    return value


def lane_number(value: int) -> int:
    """A lane, or DocumentUnreadable."""
    if not 0 <= value < MAX_LANES:
        raise DocumentUnreadable("a lane is out of bounds")
    return value


def bounded_text(value: str, most: int, field: str) -> str:
    """A text of 1 to `most` characters, or DocumentUnreadable."""
    if not 1 <= len(value) <= most:
        raise DocumentUnreadable(f"{field} is empty or too long")
    return value


def named(kind: type[_E], value: int, field: str) -> _E:
    """An enum's member by its number, or DocumentUnreadable."""
    try:
        return kind(value)
    except ValueError:
        raise DocumentUnreadable(f"{field} has a value that this software does not know") from None
