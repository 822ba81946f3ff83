"""A key slot of an NXP card: the key, its version, and what it remembers of wrong guesses."""

from __future__ import annotations

import msgspec

from cards.crypto import CardKey, crc32_desfire, equal_in_constant_time, xor
from simulators.cards.status import (
    AUTHENTICATION_DELAY,
    INTEGRITY_ERROR,
    LENGTH_ERROR,
    PERMISSION_DENIED,
    Status,
)

KEY_BYTES = 16
_VERSION_BYTES = 1
_CRC_BYTES = 4
_DELAY_FROM = 50
"""So many wrong authentications in a row, and the card begins to stall (AN12196 7.4)."""
_SLOWEST = 255


class KeySlot(msgspec.Struct):
    """An AES-128 key in the card. The three counters are per key and go back to zero with ChangeKey."""

    value: bytes
    version: int = 0
    total_failures: int = 0
    consecutive_failures: int = 0
    delays_served: int = 0

    @property
    def key(self) -> CardKey:
        """The key for the cipher."""
        return CardKey(self.value)

    def __repr__(self) -> str:
        return f"KeySlot(version={self.version}, total_failures={self.total_failures})"


class FailureLimits(msgspec.Struct):
    """SetConfiguration 0Ah: after how many failures in all a key is dead, and what a success gives back."""

    enabled: bool = True
    limit: int = 1000
    decrement: int = 10


def admit(slot: KeySlot, limits: FailureLimits) -> None:
    """Let an authentication begin, or refuse: PERMISSION_DENIED for a dead key, AUTHENTICATION_DELAY to
    stall.

    The stalling is counted in answers and not in seconds: a virtual card has no clock. Each failure past the
    50th in a row costs one refused attempt more than the one before, up to 206.
    """
    if limits.enabled and slot.total_failures >= limits.limit:
        raise Status(PERMISSION_DENIED)
    owed = min(slot.consecutive_failures, _SLOWEST) - _DELAY_FROM + 1
    if slot.delays_served < owed:
        slot.delays_served += 1
        raise Status(AUTHENTICATION_DELAY)


def count_failure(slot: KeySlot) -> None:
    """A wrong answer to the card's challenge."""
    slot.total_failures = min(slot.total_failures + 1, 0xFFFF)
    slot.consecutive_failures = min(slot.consecutive_failures + 1, _SLOWEST)
    slot.delays_served = 0


def count_success(slot: KeySlot, limits: FailureLimits) -> None:
    """A right answer: full speed again, and some of the failures forgiven."""
    slot.total_failures = max(0, slot.total_failures - limits.decrement)
    slot.consecutive_failures = slot.delays_served = 0


def changed(old: KeySlot, key_data: bytes, *, authenticated_with_it: bool) -> KeySlot:
    """The slot after ChangeKey (NT4H2421Gx 10.6.1).

    The key that opened the session is replaced by NewKey || version. Another one takes (NewKey XOR OldKey) ||
    version || CRC-32 of NewKey, so that a wrong idea of the old key is found: INTEGRITY_ERROR.
    """
    tail = _VERSION_BYTES if authenticated_with_it else _VERSION_BYTES + _CRC_BYTES
    if len(key_data) != KEY_BYTES + tail:
        raise Status(LENGTH_ERROR)
    value, version = key_data[:KEY_BYTES], key_data[KEY_BYTES]
    if not authenticated_with_it:
        value = xor(value, old.value)
        if not equal_in_constant_time(crc32_desfire(value), key_data[-_CRC_BYTES:]):
            raise Status(INTEGRITY_ERROR)
    return KeySlot(value, version)
