"""The card's end of SCP03 in S8 mode (GlobalPlatform Amendment D 1.1.2): session keys, MAC chain,
encryption.
"""

from __future__ import annotations

from dataclasses import dataclass

from cards.apdu import Command
from cards.crypto import (
    CardKey,
    PaddingWrong,
    cmac,
    decrypt_cbc,
    encrypt_block,
    encrypt_cbc,
    equal_in_constant_time,
    pad,
    unpad,
)
from simulators.cards.card import Answer
from simulators.cards.globalplatform.memory import KeySet
from simulators.cards.status import NOT_ALLOWED, Status

IMPLEMENTATION = 0x70
"""i: pseudo-random card challenge, R-MAC and R-ENC supported (table 5-1)."""
LEVELS = (0x00, 0x01, 0x03, 0x11, 0x13, 0x33)
CHALLENGE_BYTES = 8
MAC_BYTES = 8

_C_MAC, _C_ENC, _R_MAC, _R_ENC = 0x01, 0x02, 0x10, 0x20
_SECURE = 0x04
_CARD, _HOST, _CHALLENGE, _ENC, _MAC, _RMAC = 0x00, 0x01, 0x02, 0x04, 0x06, 0x07
_BLOCK = 16
_RESPONSE_MARK = 0x80


def derive(key: CardKey, constant: int, context: bytes, size: int) -> bytes:
    """`size` bytes from a key by the KDF in counter mode (4.1.5, NIST SP 800-108): label, 00, length,
    counter.
    """
    fixed = bytes(11) + bytes([constant, 0x00]) + (size * 8).to_bytes(2, "big")
    rounds = -(-size // _BLOCK)
    return b"".join(cmac(key, fixed + bytes([count]) + context) for count in range(1, rounds + 1))[:size]


def card_challenge(keys: KeySet, aid: bytes) -> bytes:
    """The pseudo-random challenge for the present value of the sequence counter (6.2.2.1)."""
    return derive(keys.keys[0], _CHALLENGE, keys.sequence.to_bytes(3, "big") + aid, CHALLENGE_BYTES)


@dataclass(frozen=True, slots=True)
class Handshake:
    """Between INITIALIZE UPDATE and EXTERNAL AUTHENTICATE: what both sides have derived."""

    version: int
    encryption: CardKey
    mac: CardKey
    response_mac: CardKey
    data_encryption: CardKey
    card_cryptogram: bytes
    host_cryptogram: bytes

    @classmethod
    def begin(cls, version: int, keys: KeySet, host_challenge: bytes, challenge: bytes) -> Handshake:
        """Derive everything from the static keys and both challenges (6.2.1 and 6.2.2)."""
        enc, mac, dek = keys.keys
        context = host_challenge + challenge
        session_mac = CardKey(derive(mac, _MAC, context, len(mac)))
        return cls(
            version,
            CardKey(derive(enc, _ENC, context, len(enc))),
            session_mac,
            CardKey(derive(mac, _RMAC, context, len(mac))),
            dek,
            derive(session_mac, _CARD, context, CHALLENGE_BYTES),
            derive(session_mac, _HOST, context, CHALLENGE_BYTES),
        )


class SecureChannel:
    """An open channel. Its key set's DEK decrypts what is sensitive in itself."""

    def __init__(self, handshake: Handshake, level: int) -> None:
        self.version = handshake.version
        self.level = level
        self.data_encryption = handshake.data_encryption
        self._keys = handshake
        self._chain = bytes(_BLOCK)
        self._counter = 0

    @property
    def encrypts(self) -> bool:
        """Whether commands come encrypted."""
        return bool(self.level & _C_ENC)

    def check_mac(self, command: Command) -> bytes:
        """The command's data without its MAC, and the chain moved on; `Status` 6982 if the MAC is wrong."""
        if len(command.data) < MAC_BYTES:
            raise Status(NOT_ALLOWED)
        data, mac = command.data[:-MAC_BYTES], command.data[-MAC_BYTES:]
        lc = _length(len(command.data), extended=command.extended)
        chain = cmac(self._keys.mac, self._chain + command.header + lc + data)
        if not equal_in_constant_time(chain[:MAC_BYTES], mac):
            raise Status(NOT_ALLOWED)
        self._chain = chain
        return data

    def open(self, command: Command) -> Command:
        """The command as it was before it was protected, counted; `Status` 6982 unless it is as the level
        asks.
        """
        if not self.level & _C_MAC:
            if command.cla & _SECURE:
                raise Status(NOT_ALLOWED)
            return command
        if not command.cla & _SECURE:
            raise Status(NOT_ALLOWED)
        data = self.check_mac(command)
        # Counted with or without data: a host that counts otherwise is found out at its next encryption.
        self._counter += 1
        if self.encrypts and data:
            data = self._decrypted(data)
        return Command(command.cla & ~_SECURE, command.ins, command.p1, command.p2, data, command.le)

    def _decrypted(self, data: bytes) -> bytes:
        iv = encrypt_block(self._keys.encryption, self._counter.to_bytes(_BLOCK, "big"))
        try:
            return unpad(decrypt_cbc(self._keys.encryption, iv, data))
        except (PaddingWrong, ValueError):
            raise Status(NOT_ALLOWED) from None

    def seal(self, answer: Answer) -> Answer:
        """What leaves the card. Errors carry neither encryption nor MAC; success and warnings do (6.2.5)."""
        if not self.level & _R_MAC or not (answer.status == 0x9000 or answer.status >> 8 in (0x62, 0x63)):
            return answer
        data = answer.data
        if self.level & _R_ENC and data:
            block = bytes([_RESPONSE_MARK]) + self._counter.to_bytes(_BLOCK - 1, "big")
            data = encrypt_cbc(self._keys.encryption, encrypt_block(self._keys.encryption, block), pad(data))
        mac = cmac(self._keys.response_mac, self._chain + data + answer.status.to_bytes(2, "big"))
        return Answer(data + mac[:MAC_BYTES], answer.status)


def _length(size: int, *, extended: bool) -> bytes:
    return b"\0" + size.to_bytes(2, "big") if extended else bytes([size])
