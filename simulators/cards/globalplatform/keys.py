"""PUT KEY and the deletion of key sets (GlobalPlatform 11.8 and 11.2, Amendment D 7.2)."""

from __future__ import annotations

from cards.crypto import CardKey, decrypt_cbc, encrypt_block, equal_in_constant_time
from simulators.cards.globalplatform.memory import FACTORY_VERSION, MAX_KEY_SETS, GlobalPlatformMemory, KeySet
from simulators.cards.status import (
    CONDITIONS_NOT_SATISFIED,
    NO_ROOM,
    NO_SUCH_DATA_IN_COMMAND,
    REFERENCE_NOT_FOUND,
    WRONG_P1_P2,
    Status,
)

UNKNOWN_ALGORITHM = 0x9484
WRONG_CHECK_VALUE = 0x9485
_AES = 0x88
_THREE_FROM_FIRST = 0x81
_LAST_VERSION = 0x7F
_CHECK_BYTES = 3
_BLOCK = 16


def check_value(key: CardKey) -> bytes:
    """The first bytes of the encryption of 16 bytes 01 (Amendment D 7.2.2)."""
    return encrypt_block(key, b"\x01" * _BLOCK)[:_CHECK_BYTES]


def put(memory: GlobalPlatformMemory, p1: int, p2: int, data: bytes, data_encryption: CardKey) -> bytes:
    """PUT KEY of a whole set; answers its version and check values.

    P1 is the version to replace, or 0 for a new one; a new one also replaces the factory's set. Refused
    without any change: another number of keys than three (6A86), a version that is not there (6A88), other
    keys than AES (9484), a check value that does not fit what came out of the decryption (9485).
    """
    if p2 != _THREE_FROM_FIRST:
        raise Status(WRONG_P1_P2)
    if not data or not 1 <= data[0] <= _LAST_VERSION:
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    version = data[0]
    keys = _keys(data[1:], data_encryption)
    replaced = _replaced(memory, p1, version)
    enc, mac, dek = (key.raw for key in keys)
    # One write: a card torn here has the old sets or the new ones, never a set of both.
    memory.key_sets = {
        **{number: kept for number, kept in memory.key_sets.items() if number not in (replaced, version)},
        version: KeySet(enc, mac, dek),
    }
    return bytes([version]) + b"".join(check_value(key) for key in keys)


def _replaced(memory: GlobalPlatformMemory, p1: int, version: int) -> int | None:
    if p1:
        if p1 not in memory.key_sets:
            raise Status(REFERENCE_NOT_FOUND)
        if version != p1 and version in memory.key_sets:
            raise Status(NO_SUCH_DATA_IN_COMMAND)
        return p1
    if version in memory.key_sets:
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    if FACTORY_VERSION in memory.key_sets:
        return FACTORY_VERSION
    if len(memory.key_sets) >= MAX_KEY_SETS:
        raise Status(NO_ROOM)
    return None


def _keys(data: bytes, data_encryption: CardKey) -> list[CardKey]:
    found, place = [], 0
    for _ in range(3):
        if place + 2 > len(data):
            raise Status(NO_SUCH_DATA_IN_COMMAND)
        if data[place] != _AES:
            raise Status(UNKNOWN_ALGORITHM)
        block_end = place + 2 + data[place + 1]
        found.append(_key(data[place + 2 : block_end], data[block_end:], data_encryption))
        place = block_end + 1 + _CHECK_BYTES
    if place != len(data) or len({len(key) for key in found}) != 1:
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    return found


def _key(block: bytes, rest: bytes, data_encryption: CardKey) -> CardKey:
    """One key from its data field: the length of the key in clear, then the key encrypted in whole blocks."""
    size = block[0] if block else 0
    encrypted = block[1:]
    if size not in (16, 24, 32) or len(encrypted) != -(-size // _BLOCK) * _BLOCK:
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    if len(rest) < 1 + _CHECK_BYTES or rest[0] != _CHECK_BYTES:
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    key = CardKey(decrypt_cbc(data_encryption, bytes(_BLOCK), encrypted)[:size])
    if not equal_in_constant_time(check_value(key), rest[1 : 1 + _CHECK_BYTES]):
        raise Status(WRONG_CHECK_VALUE)
    return key


def delete(memory: GlobalPlatformMemory, version: int) -> None:
    """Delete a key set; the last one stays (6985), since nobody could come back."""
    if version not in memory.key_sets:
        raise Status(REFERENCE_NOT_FOUND)
    if len(memory.key_sets) == 1:
        raise Status(CONDITIONS_NOT_SATISFIED)
    memory.key_sets = {number: keys for number, keys in memory.key_sets.items() if number != version}
