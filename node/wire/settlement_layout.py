"""How a lane record lies in a store when nothing about it is unusual, as one expression over its bytes.

To read protobuf costs more than to hash what is read, and a merchant reads millions of records when a
window closes. Nearly all of them are laid out alike: fields in the order of their numbers, each once, none
unknown. Such a record matches `usual`, which says where each field lies; whatever does not match is read by
protobuf, so the expression decides how fast a record is read, never what it says. The stored form is
`coalition_store.LaneEntry`, the fields are those of Posted and PostedCore in exchange.proto.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, count, islice

SHORT = 0xC4
"""Before bytes with a length of one byte (MessagePack's bin 8)."""
BEFORE_BODY, AROUND_BODY = 5, 76
"""Bytes before POSTED's header, and those around its body up to the request's header, but for what varies."""

_MORE, _LAST = rb"[\x80-\xff]", rb"[\x00-\x7f]"
_NUMBER = _MORE + rb"{0,7}" + _LAST
"""A varint of at most 56 bits, so that it is never negative."""


def _time() -> bytes:
    """A Timestamp and its length: seconds of this age, nanoseconds of each width, the usual ones first."""
    seconds = rb"\x08" + _MORE + rb"{4}" + _LAST
    nanos = [rb"\x10" + _MORE + rb"{%d}" % (width - 1) + _LAST for width in (5, 4, 3, 2, 1)]
    forms = [seconds + one for one in (*nanos[:2], b"", *nanos[2:])]
    sizes = (12, 11, 6, 10, 9, 8)
    return b"|".join(re.escape(bytes((size,))) + form for size, form in zip(sizes, forms, strict=True))


@lru_cache(maxsize=256)
def usual(purse: str, lane: int, window: int) -> re.Pattern[bytes]:
    """A usual record of a lane and window from before POSTED's body up to the request's header.

    To be matched behind POSTED's header, which ends its length and `BEFORE_BODY` into the record. Groups: the
    core's length, the core, its kind, units, number and rate version, and the chain's hash. Two lengths are
    for the caller to compare: the core's, and the body's, which are `AROUND_BODY` less than where it ends.
    """
    code = purse.encode()
    named_lane = re.escape(b"(" + varint(lane)) if lane else b""
    core = (
        rb"\n\x10.{16}\x10([\x01-\x7f])"
        + rb"\x1a" + re.escape(varint(len(code)) + code) + rb"\x20(" + _NUMBER + rb")"
        + named_lane + rb"0(" + _NUMBER + rb")8" + re.escape(varint(window)) + rb"@([\x01-\x7f])"
        + rb"J(?:" + _time() + rb")R\x20.{32}(?:X" + _NUMBER + rb"|)"
    )  # fmt: skip
    body = rb"\n(.)(" + core + rb")\x12\x20(.{32})(?:\x18" + _NUMBER + rb"|)\x22\x10.{16}"
    return re.compile(rb"\xc4." + body + rb"\xc4\x40.{64}\x93\xc4.", re.DOTALL)


def varint(value: int) -> bytes:
    """A number that is not negative, as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_in(data: bytes) -> int:
    """The number that a whole varint is."""
    if len(data) == 3:  # by far the most amounts, and twice as fast
        low, middle, high = data
        return low + (middle << 7) + (high << 14) - 0x4080
    value = 0
    for byte in reversed(data):
        value = value << 7 | byte & 0x7F
    return value


def varints(first: int) -> Iterator[bytes]:
    """`first` and the numbers after it, as protobuf writes them."""
    blocks = chain.from_iterable(map(_block, count(first >> 7)))
    return islice(blocks, first & 0x7F, None)


@lru_cache(maxsize=256)
def _block(high: int) -> tuple[bytes, ...]:
    """The 128 numbers that are alike but for their last seven bits."""
    if not high:
        return tuple(bytes((low,)) for low in range(0x80))
    rest = varint(high)
    return tuple(bytes((low | 0x80,)) + rest for low in range(0x80))
