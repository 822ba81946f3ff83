"""The card's end of EV2 secure messaging (NT4H2421Gx 9.1, AN12343): session keys, MAC, encryption, the
counter."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cards.crypto import (
    CardKey,
    PaddingWrong,
    cmac,
    decrypt_cbc,
    encrypt_block,
    encrypt_cbc,
    equal_in_constant_time,
    odd_bytes,
    pad,
    unpad,
    xor,
)
from simulators.cards.status import INTEGRITY_ERROR, LENGTH_ERROR, Status

MAC_BYTES = 8
BLOCK = 16
_COMMAND_COUNTER_LIMIT = 0xFFFF
_COMMAND_IV, _RESPONSE_IV = b"\xa5\x5a", b"\x5a\xa5"


class CommMode(IntEnum):
    """How a command's data travels (NT4H2421Gx table 12)."""

    PLAIN = 0
    MAC = 1
    FULL = 3


@dataclass(slots=True)
class Session:
    """An authenticated session: which key opened it, its keys, its transaction, the commands counted so
    far."""

    key_number: int
    encryption_key: CardKey
    mac_key: CardKey
    transaction: bytes
    """TI, 4 bytes, from the AuthenticateEV2First that began the transaction."""
    command_counter: int = 0

    def open(self, instruction: int, header: bytes, body: bytes, mode: CommMode) -> bytes:
        """The data of a command, its MAC checked and its encryption taken off; counts the command.

        `Status` INTEGRITY_ERROR for a wrong MAC or padding and for a spent counter, LENGTH_ERROR for too
        little.
        """
        if self.command_counter >= _COMMAND_COUNTER_LIMIT:
            raise Status(INTEGRITY_ERROR)
        if mode is CommMode.PLAIN:
            self.command_counter += 1
            return body
        if len(body) < MAC_BYTES:
            raise Status(LENGTH_ERROR)
        data, mac = body[:-MAC_BYTES], body[-MAC_BYTES:]
        if not equal_in_constant_time(mac, self._mac(instruction, header + data)):
            raise Status(INTEGRITY_ERROR)
        plain = self._decrypted(data) if mode is CommMode.FULL and data else data
        self.command_counter += 1
        return plain

    def seal(self, status_byte: int, data: bytes, mode: CommMode) -> bytes:
        """What leaves the card for `data`: encrypted and with the MAC, as the mode has it. Counts nothing."""
        if mode is CommMode.PLAIN:
            return data
        if mode is CommMode.FULL and data:
            data = encrypt_cbc(self.encryption_key, self._iv(_RESPONSE_IV), pad(data))
        return data + self._mac(status_byte, data)

    def _decrypted(self, data: bytes) -> bytes:
        if len(data) % BLOCK:
            raise Status(LENGTH_ERROR)
        try:
            return unpad(decrypt_cbc(self.encryption_key, self._iv(_COMMAND_IV), data))
        except PaddingWrong:
            raise Status(INTEGRITY_ERROR) from None

    def _mac(self, first: int, data: bytes) -> bytes:
        counter = self.command_counter.to_bytes(2, "little")
        return odd_bytes(cmac(self.mac_key, bytes([first]) + counter + self.transaction + data))

    def _iv(self, label: bytes) -> bytes:
        counter = self.command_counter.to_bytes(2, "little")
        return encrypt_block(self.encryption_key, label + self.transaction + counter + bytes(8))


def session_keys(key: CardKey, rnd_a: bytes, rnd_b: bytes) -> tuple[CardKey, CardKey]:
    """The session keys for encryption and MAC from both challenges (NT4H2421Gx 9.1.7)."""
    mixed = xor(rnd_a[2:8], rnd_b[:6])
    context = rnd_a[:2] + mixed + rnd_b[6:] + rnd_a[8:]
    counted = b"\x00\x01\x00\x80"
    return (
        CardKey(cmac(key, b"\xa5\x5a" + counted + context)),
        CardKey(cmac(key, b"\x5a\xa5" + counted + context)),
    )
