"""Padding by ISO/IEC 9797-1 method 2: one byte 80, then zeros, always at least the 80."""

from cards.crypto.aes import BLOCK_BYTES


class PaddingWrong(Exception):
    """Decrypted bytes that do not end in 80 00.. : another key, another counter, or tampered with."""


def pad(data: bytes, block_bytes: int = BLOCK_BYTES) -> bytes:
    """`data`, 80, and zeros up to whole blocks; data that fills its blocks gets another whole one."""
    return data + b"\x80" + bytes(-(len(data) + 1) % block_bytes)


def unpad(data: bytes, block_bytes: int = BLOCK_BYTES) -> bytes:
    """What `pad` was given; `PaddingWrong` if it cannot have made this."""
    stripped = data.rstrip(b"\0")
    if not stripped.endswith(b"\x80") or len(data) % block_bytes or len(data) - len(stripped) >= block_bytes:
        raise PaddingWrong("the padding is wrong: another key, or the data was changed on its way")
    return stripped[:-1]
