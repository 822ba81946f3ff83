"""CRC-32C (Castagnoli) and the question a checksum alone does not answer: is one flipped bit to blame?

Only recovery uses this, on the few records around a damaged place, so plain Python is fast enough.
Checksum as in RFC 3720 appendix B.4; the masking is that of the RocksDB log format.
"""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_WORD = 0xFFFFFFFF


def _make_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _make_table()


def crc32c(data: bytes | memoryview, before: int = 0) -> int:
    """The checksum of `data`, continued from the checksum `before` of what came in front of it."""
    value = before ^ _WORD
    table = _TABLE
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ _WORD


def unmask(stored: int) -> int:
    """The checksum that the RocksDB log format stores rotated and offset as `stored`."""
    rotated = (stored - _MASK_DELTA) & _WORD
    return ((rotated >> 17) | (rotated << 15)) & _WORD


def one_bit_apart(length: int, wanted: int, found: int) -> bool:
    """Whether one flipped bit in `length` bytes explains that their checksum is `found` and not `wanted`.

    A CRC is linear: a flipped bit changes it by a value that depends only on how far from the end it is.
    """
    difference = wanted ^ found
    by_bit = [_TABLE[1 << bit] for bit in range(8)]
    for _ in range(length):
        if difference in by_bit:
            return True
        by_bit = [_TABLE[value & 0xFF] ^ (value >> 8) for value in by_bit]
    return False
