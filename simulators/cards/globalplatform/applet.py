"""The loyalty applet in the card's ROM, as `docs/cards/applet.md` specifies it by its APDUs."""

from __future__ import annotations

from cards.apdu import Command
from cards.crypto import CardKey, cmac, decrypt_cbc, equal_in_constant_time
from simulators.cards.card import Answer
from simulators.cards.globalplatform import tlv
from simulators.cards.globalplatform.keys import WRONG_CHECK_VALUE, check_value
from simulators.cards.globalplatform.memory import ApplicationState, Instance
from simulators.cards.status import (
    CONDITIONS_NOT_SATISFIED,
    NO_ROOM,
    NO_SUCH_DATA_IN_COMMAND,
    NOT_ALLOWED,
    REFERENCE_NOT_FOUND,
    UNKNOWN_CLASS,
    UNKNOWN_INSTRUCTION,
    WRONG_LENGTH,
    WRONG_P1_P2,
    Status,
)

_GET_DATA, _INTERNAL_AUTHENTICATE, _STORE_DATA = 0xCA, 0x88, 0xE2
_INTERINDUSTRY, _PROPRIETARY = 0x00, 0x80
_SPECIFICATION, _ISSUER, _ALIAS, _VERSION, _COUNTER, _CHECK, _KEY = range(0xDF20, 0xDF27)
_PERSONALISE = 0xB0
"""P1 of STORE DATA: the last block, BER-TLV, partly encrypted."""
_MAX_ISSUER_BYTES, _MAX_ALIAS_BYTES, _MAX_VERSION = 40, 16, 127
_SALE_BYTES = 56
_SALE = b"\x01"
_LAST_COUNT = 0xFFFFFFFF
_CHECK_BYTES = 3
_BLOCK = 16


def control_information(aid: bytes) -> bytes:
    """What SELECT answers: the AID, and version 1 of the specification."""
    version = tlv.encode(_SPECIFICATION, b"\x01")
    return tlv.encode(0x6F, tlv.encode(0x84, aid) + tlv.encode(0xA5, version))


class LoyaltyApplet:
    """The applet while it is selected."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._memory = instance.memory

    @property
    def _personalised(self) -> bool:
        return self._instance.state == ApplicationState.PERSONALISED

    def process(self, command: Command) -> Answer:
        """Carry out one command; `Status` is the refusal."""
        if command.cla not in (_INTERINDUSTRY, _PROPRIETARY):
            raise Status(UNKNOWN_CLASS)
        if (command.cla, command.ins) == (_PROPRIETARY, _GET_DATA):
            return self._get_data(command)
        if (command.cla, command.ins) == (_INTERINDUSTRY, _INTERNAL_AUTHENTICATE):
            return self._prove(command)
        if (command.cla, command.ins) == (_PROPRIETARY, _STORE_DATA):
            raise Status(NOT_ALLOWED)
        raise Status(UNKNOWN_INSTRUCTION)

    def _get_data(self, command: Command) -> Answer:
        tag = command.p1 << 8 | command.p2
        if not _ISSUER <= tag <= _CHECK:
            raise Status(REFERENCE_NOT_FOUND)
        if command.data:
            raise Status(WRONG_LENGTH)
        if tag == _VERSION:
            return Answer(tlv.encode(tag, bytes([self._memory.version])))
        if tag == _COUNTER:
            return Answer(tlv.encode(tag, self._memory.counter.to_bytes(4, "big")))
        if not self._personalised:
            raise Status(CONDITIONS_NOT_SATISFIED)
        if tag == _CHECK:
            return Answer(tlv.encode(tag, check_value(CardKey(self._memory.key))))
        return Answer(tlv.encode(tag, self._memory.issuer if tag == _ISSUER else self._memory.alias))

    def _prove(self, command: Command) -> Answer:
        memory = self._memory
        if not self._personalised:
            raise Status(CONDITIONS_NOT_SATISFIED)
        if command.p1 or command.p2:
            raise Status(WRONG_P1_P2)
        if len(command.data) != _SALE_BYTES:
            raise Status(WRONG_LENGTH)
        if memory.counter == _LAST_COUNT:
            raise Status(NO_ROOM)
        # Kept before it is used: no counter ever proves two sales.
        memory.counter += 1
        proof = memory.counter.to_bytes(4, "big") + bytes([memory.version])
        message = _SALE + memory.alias.ljust(_MAX_ALIAS_BYTES, b"\0") + proof + command.data
        return Answer(proof + cmac(CardKey(memory.key), message))


def personalise(instance: Instance, p1: int, p2: int, data: bytes, data_encryption: CardKey) -> None:
    """STORE DATA as the security domain hands it on: everything is taken, or nothing."""
    if p1 != _PERSONALISE or p2:
        raise Status(WRONG_P1_P2)
    given = list(tlv.objects(data))
    if [tag for tag, _ in given] != [_ISSUER, _ALIAS, _KEY]:
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    issuer, alias, field = (value for _, value in given)
    if not 1 <= len(issuer) <= _MAX_ISSUER_BYTES or not issuer.isascii() or not _is_alias(alias):
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    version, key = _key(field, data_encryption)
    memory = instance.memory
    memory.issuer, memory.alias, memory.version, memory.key = issuer, alias, version, key.raw
    instance.state = ApplicationState.PERSONALISED


def _is_alias(alias: bytes) -> bool:
    if not 1 <= len(alias) <= _MAX_ALIAS_BYTES or not alias.isascii():
        return False
    return alias.isalnum() and alias == alias.upper()


def _key(field: bytes, data_encryption: CardKey) -> tuple[int, CardKey]:
    """Version and key from version, length, encrypted key and check value."""
    if len(field) < 2 or not 1 <= field[0] <= _MAX_VERSION or field[1] not in (16, 24, 32):
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    version, size = field[0], field[1]
    encrypted, check = field[2:-_CHECK_BYTES], field[-_CHECK_BYTES:]
    if len(encrypted) != -(-size // _BLOCK) * _BLOCK:
        raise Status(NO_SUCH_DATA_IN_COMMAND)
    key = CardKey(decrypt_cbc(data_encryption, bytes(_BLOCK), encrypted)[:size])
    if not equal_in_constant_time(check_value(key), check):
        raise Status(WRONG_CHECK_VALUE)
    return version, key
