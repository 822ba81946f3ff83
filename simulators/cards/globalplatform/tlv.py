"""BER-TLV and length-value fields, as far as GlobalPlatform commands have them."""

from __future__ import annotations

from collections.abc import Iterator

from simulators.cards.status import NO_SUCH_DATA_IN_COMMAND, Status


def encode(tag: int, value: bytes) -> bytes:
    """One object: tag (as many bytes as it has), length in DER, value."""
    head = tag.to_bytes(max(1, (tag.bit_length() + 7) // 8), "big")
    size = len(value)
    if size < 0x80:
        return head + bytes([size]) + value
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return head + bytes([0x80 | len(octets)]) + octets + value


def objects(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The objects that follow each other in `data`; `Status` 6A80 when they do not fill it exactly."""
    place = 0
    while place < len(data):
        start = place
        many = data[place] & 0x1F == 0x1F
        place += 1
        while many and place < len(data):
            more = data[place] & 0x80
            place += 1
            if not more:
                break
        tag = int.from_bytes(data[start:place], "big")
        size, place = _length(data, place)
        yield tag, data[place : place + size]
        place += size


def values(data: bytes) -> list[bytes]:
    """Length-value fields, one byte of length each, that fill `data` exactly."""
    found, place = [], 0
    while place < len(data):
        end = place + 1 + data[place]
        if end > len(data):
            raise Status(NO_SUCH_DATA_IN_COMMAND)
        found.append(data[place + 1 : end])
        place = end
    return found


def _length(data: bytes, place: int) -> tuple[int, int]:
    if place >= len(data):
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    size, place = data[place], place + 1
    if size >= 0x80:
        octets = size & 0x7F
        if octets not in (1, 2) or place + octets > len(data):
            raise Status(NO_SUCH_DATA_IN_COMMAND)
        size, place = int.from_bytes(data[place : place + octets], "big"), place + octets
    if place + size > len(data):
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    return size, place
