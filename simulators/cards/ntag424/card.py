"""An NTAG 424 DNA on the reader: its commands (NT4H2421Gx 10)."""

from __future__ import annotations

from collections.abc import Mapping

from cards.apdu import Command
from simulators.cards.card import Answer, RandomBytes
from simulators.cards.native.card import NativeCard, Operation, always, no_data
from simulators.cards.native.channel import CommMode
from simulators.cards.native.files import HEADER_BYTES, Span, StandardFile, access, read, written
from simulators.cards.native.keys import FailureLimits, KeySlot, changed
from simulators.cards.ntag424 import settings
from simulators.cards.ntag424.interindustry import Interindustry
from simulators.cards.ntag424.memory import NDEF, UID_BYTES, Ntag424Memory
from simulators.cards.ntag424.reads import FreeReads
from simulators.cards.status import (
    AUTHENTICATION_ERROR,
    FILE_NOT_FOUND,
    LENGTH_ERROR,
    NO_SUCH_KEY,
    PARAMETER_ERROR,
    PERMISSION_DENIED,
    Status,
)

READ_DATA = 0xAD
_MASTER = 0
_RANDOM_UID_LEAD = b"\x08"
_HARDWARE = bytes.fromhex("04040230001105")
_SOFTWARE = bytes.fromhex("04040201021105")
_STANDARD_BACK_MODULATION = 0x80
_CONFIGURATION_BYTES = {0x00: 1, 0x04: 2, 0x05: 10, 0x0A: 5, 0x0B: 1}
"""SetConfiguration: option and length of its data (table 50)."""


class Ntag424(NativeCard[Ntag424Memory]):
    """The card. After the tap the PICC level is selected; the application wants an ISO SELECT."""

    def __init__(self, memory: Ntag424Memory, random_bytes: RandomBytes) -> None:
        super().__init__(memory, random_bytes)
        self._reads = FreeReads(memory, random_bytes)
        self._iso = Interindustry(memory, self._reads)
        self._powered()

    def tap(self) -> bytes:
        """Power the card; with random UID configured, a reader sees another one at every tap."""
        self._iso.deselect()
        self._reads.interrupted()
        random = _RANDOM_UID_LEAD + self.random_bytes(3) if self.memory.random_uid else None
        self.contactless_uid = random or self.memory.uid
        return super().tap()

    def _process(self, command: Command) -> Answer:
        with self._reads.unbroken():
            return super()._process(command)

    def _interindustry(self, command: Command) -> Answer:
        answer = self._iso.process(command, authenticated=self.session is not None)
        if self._iso.changed_application:
            self.session = None
        return answer

    def _operations(self) -> Mapping[int, Operation]:
        mac, full = always(CommMode.MAC), always(CommMode.FULL)
        return {
            0x51: Operation(0, full, self._get_card_uid, needs_session=True),
            0x5C: Operation(1, self._only_master, self._set_configuration, needs_session=True),
            0x5F: Operation(1, self._changing, self._change_file_settings),
            0x60: Operation(0, mac, self._get_version),
            0x64: Operation(1, mac, self._get_key_version),
            0x8D: Operation(HEADER_BYTES, self._writing, self._write_data),
            READ_DATA: Operation(HEADER_BYTES, self._reading, self._read_data),
            0xC4: Operation(1, self._only_master, self._change_key, needs_session=True),
            0xF5: Operation(1, mac, self._get_file_settings),
            0xF6: Operation(1, self._counting, self._get_file_counters),
        }

    def _limits(self) -> FailureLimits:
        return self.memory.limits

    def _slot(self, number: int) -> KeySlot:
        if not self._iso.in_application or number >= len(self.memory.keys):
            raise Status(NO_SUCH_KEY)
        return self.memory.keys[number]

    def _file(self, number: int) -> StandardFile:
        if not self._iso.in_application:
            raise Status(PERMISSION_DENIED)
        if number not in self.memory.files:
            raise Status(FILE_NOT_FOUND)
        return self.memory.files[number]

    # Who may, and how the data travels

    def _only_master(self, _header: bytes) -> CommMode:
        if self.session is None or self.session.key_number != _MASTER:
            raise Status(AUTHENTICATION_ERROR)
        return CommMode.FULL

    def _reading(self, header: bytes) -> CommMode:
        span = Span.parse(header)
        file = self._file(span.number)
        if self.session is None and self._reads.opens(span.number):
            return CommMode.PLAIN
        return access(file.reading, self.session, file.comm_mode)

    def _writing(self, header: bytes) -> CommMode:
        file = self._file(Span.parse(header).number)
        return access(file.writing, self.session, file.comm_mode)

    def _changing(self, header: bytes) -> CommMode:
        return access((self._file(header[0]).changing,), self.session, CommMode.FULL)

    def _counting(self, header: bytes) -> CommMode:
        self._file(header[0])
        if header[0] != NDEF or self.memory.sdm is None:
            raise Status(PERMISSION_DENIED)
        condition = self.memory.sdm.counter_retrieval
        access((condition,), self.session, CommMode.FULL)
        return CommMode.FULL

    # Commands

    def _get_card_uid(self, _header: bytes, data: bytes) -> bytes:
        no_data(data)
        return self.memory.uid

    def _get_version(self, _header: bytes, data: bytes) -> list[bytes]:
        no_data(data)
        hardware = bytearray(_HARDWARE)
        if not self.memory.strong_back_modulation:
            hardware[2] |= _STANDARD_BACK_MODULATION
        uid = bytes(UID_BYTES) if self.memory.random_uid else self.memory.uid
        return [bytes(hardware), _SOFTWARE, uid + self.memory.batch]

    def _get_key_version(self, header: bytes, data: bytes) -> bytes:
        no_data(data)
        return bytes([self._slot(header[0]).version])

    def _change_key(self, header: bytes, data: bytes) -> bytes:
        number = header[0]
        slot = self._slot(number)
        self.memory.keys[number] = changed(slot, data, authenticated_with_it=number == _MASTER)
        if number == _MASTER:
            self.session = None
        return b""

    def _get_file_settings(self, header: bytes, data: bytes) -> bytes:
        no_data(data)
        return settings.encode(self._file(header[0]), self.memory.sdm if header[0] == NDEF else None)

    def _change_file_settings(self, header: bytes, data: bytes) -> bytes:
        number = header[0]
        file = self._file(number)
        mode, rights, sdm = settings.parse(data, number, file, self.memory.read_counter)
        file.mode, file.rights = mode, rights
        if number == NDEF:
            if sdm is not None and self.memory.sdm is None:
                self.memory.read_counter = 0
            self.memory.sdm = sdm
        return b""

    def _get_file_counters(self, _header: bytes, data: bytes) -> bytes:
        no_data(data)
        return self.memory.read_counter.to_bytes(3, "little") + bytes(2)

    def _read_data(self, header: bytes, data: bytes) -> bytes:
        no_data(data)
        span = Span.parse(header)
        content = self._file(span.number).content
        stretch = read(content, span)
        if self.session is not None:
            return stretch
        return read(self._reads.content(READ_DATA, span.number, PERMISSION_DENIED), span)

    def _write_data(self, header: bytes, data: bytes) -> bytes:
        span = Span.parse(header)
        file = self._file(span.number)
        file.content = written(file.content, span, data)
        return b""

    def _set_configuration(self, header: bytes, data: bytes) -> bytes:
        if (wanted := _CONFIGURATION_BYTES.get(header[0])) is None:
            raise Status(PARAMETER_ERROR)
        if len(data) != wanted:
            raise Status(LENGTH_ERROR)
        match header[0]:
            case 0x00:
                _only_bits(data[0], 0x02)
                self.memory.random_uid |= bool(data[0])
            case 0x04:
                _only_bits(int.from_bytes(data, "big"), 0x04)
                self.memory.chained_writing &= not data[1]
            case 0x05:
                _only_bits(data[4], 0x00)
                self.memory.user_capabilities = data[8:]
            case 0x0A:
                self.memory.limits = _limits(data)
            case _:
                _only_bits(data[0], 0x01)
                self.memory.strong_back_modulation = bool(data[0])
        return b""


def _only_bits(value: int, allowed: int) -> None:
    """Refuse reserved bits; among them the one for LRP, which would turn this card into another."""
    if value & ~allowed:
        raise Status(PARAMETER_ERROR)


def _limits(data: bytes) -> FailureLimits:
    _only_bits(data[0], 0x01)
    if not data[0]:
        return FailureLimits(enabled=False)
    limit = int.from_bytes(data[1:3], "little")
    if not limit:
        raise Status(PARAMETER_ERROR)
    return FailureLimits(limit=limit, decrement=int.from_bytes(data[3:5], "little"))
