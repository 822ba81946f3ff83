"""ChangeKey: what is encrypted into it (NT4H2421Gx 10.6.1, AN12196 5.16).

The CRC-32 has no final inversion. Changing the key that opened the session ends it: the answer then has no
MAC.
"""

from cards.apdu import Command, Hides
from cards.crypto import CardKey, crc32_desfire, xor
from cards.ev2.messaging import native

INS_CHANGE_KEY = 0xC4
KEY_BYTES = 16
MAX_KEY_VERSION = 0xFF


def change_key(key_number: int, old: CardKey, new: CardKey, version: int) -> Command:
    """Change a key other than the session's own: the card must be shown that the old one is known."""
    data = xor(_raw(new), _raw(old)) + bytes((version,)) + crc32_desfire(_raw(new))
    return _command(key_number, data)


def change_session_key(key_number: int, new: CardKey, version: int) -> Command:
    """Change the key that opened the session."""
    return _command(key_number, _raw(new) + bytes((version,)))


def _command(key_number: int, data: bytes) -> Command:
    header = bytes((key_number,))
    return native(INS_CHANGE_KEY, header, data, name=f"change key {key_number & 0x3F}", hides=Hides.COMMAND)


def _raw(key: CardKey) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError("these cards hold AES keys of 128 bits")
    return key.raw
