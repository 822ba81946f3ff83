"""The CRC-32 with which a card checks a new key."""

import zlib


def crc32_desfire(data: bytes) -> bytes:
    """CRC-32 as DESFire and NTAG 424 DNA want it in ChangeKey: IEEE polynomial, without the final inversion,
    and least significant byte first (AN12196, 5.16.1)."""
    return (zlib.crc32(data) ^ 0xFFFFFFFF).to_bytes(4, "little")
