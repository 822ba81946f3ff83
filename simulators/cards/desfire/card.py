"""A DESFire on the reader: its commands, and which level they belong to."""

from __future__ import annotations

from collections.abc import Mapping

from cards.apdu import Command
from simulators.cards.card import Answer, RandomBytes
from simulators.cards.desfire import applications, files
from simulators.cards.desfire.memory import PICC, UID_BYTES, Application, DesfireMemory
from simulators.cards.native.card import MAX_FRAME_BYTES, NativeCard, Operation, always, no_data
from simulators.cards.native.channel import BLOCK, MAC_BYTES, CommMode
from simulators.cards.native.files import HEADER_BYTES, Span
from simulators.cards.native.keys import FailureLimits, KeySlot
from simulators.cards.status import (
    ADDITIONAL_FRAME,
    APPLICATION_NOT_FOUND,
    LENGTH_AGAINST_P1_P2,
    LENGTH_ERROR,
    NO_SUCH_KEY,
    NOT_FOUND,
    PARAMETER_ERROR,
    PERMISSION_DENIED,
    UNKNOWN_INSTRUCTION,
    WRONG_P1_P2,
    Status,
)

_READ, _READ_NATIVE, _WRITE, _WRITE_NATIVE = 0xAD, 0xBD, 0x8D, 0x3D
_SELECT = 0xA4
_BY_NAME = 4
_PICC_NAME = bytes.fromhex("D2760000850100")
_RANDOM_UID_LEAD = b"\x08"
_NATIVE_FRAME_BYTES = 59
"""What a frame of 64 bytes leaves for data; ADh and 8Dh leave the cutting to ISO 14443-4."""
_HARDWARE = bytes.fromhex("04010112001805")
_SOFTWARE = bytes.fromhex("04010102011805")


class Desfire(NativeCard[DesfireMemory]):
    """The card. After the tap the card's own level (application 000000) is selected."""

    chains_long_answers = True

    def __init__(self, memory: DesfireMemory, random_bytes: RandomBytes) -> None:
        super().__init__(memory, random_bytes)
        self.selected = PICC
        self._powered()

    def tap(self) -> bytes:
        """Power the card; with random UID configured, a reader sees another one at every tap."""
        self.selected = PICC
        random = _RANDOM_UID_LEAD + self.random_bytes(3) if self.memory.random_uid else None
        self.contactless_uid = random or self.memory.uid
        return super().tap()

    @property
    def level(self) -> Application:
        """The selected application, or the card itself."""
        return self.memory.picc if self.selected == PICC else self.memory.applications[self.selected]

    def enter(self, application: int) -> None:
        """Select, which ends any session."""
        self.selected, self.session = application, None

    def _limits(self) -> FailureLimits:
        return self.memory.limits

    def key_slot(self, number: int) -> KeySlot:
        """The key of that number at the selected level, or NO_SUCH_KEY."""
        if number >= len(self.level.keys):
            raise Status(NO_SUCH_KEY)
        return self.level.keys[number]

    _slot = key_slot

    def _frame_bytes(self, instruction: int) -> int:
        return MAX_FRAME_BYTES if instruction == _READ else _NATIVE_FRAME_BYTES

    def _operations(self) -> Mapping[int, Operation]:
        plain, mac, full = (always(mode) for mode in CommMode)
        return {
            0x45: Operation(0, mac, lambda _h, d: applications.key_settings(self, d)),
            0x51: Operation(0, full, self._get_card_uid, needs_session=True),
            0x54: Operation(0, full, lambda _h, d: applications.change_settings(self, d), needs_session=True),
            0x5A: Operation(3, plain, self._select_application),
            0x5C: Operation(1, full, self._set_configuration, needs_session=True),
            0x5F: Operation(1, lambda h: files.changing(self, h), lambda h, d: files.change(self, h, d)),
            0x60: Operation(0, mac, self._get_version),
            0x64: Operation(1, mac, self._get_key_version),
            0x6A: Operation(0, mac, lambda _h, d: applications.listed(self, d)),
            0x6E: Operation(0, mac, self._free_memory),
            0x6F: Operation(0, mac, lambda _h, d: files.listed(self, d)),
            _WRITE: self._write(),
            _WRITE_NATIVE: self._write(),
            _READ: self._read(),
            _READ_NATIVE: self._read(),
            0xC4: Operation(1, full, lambda h, d: applications.change_key(self, h[0], d), needs_session=True),
            0xCA: Operation(0, mac, lambda _h, d: applications.create(self, d)),
            0xCD: Operation(0, mac, lambda _h, d: files.create(self, d)),
            0xDA: Operation(0, mac, lambda _h, d: applications.delete(self, d)),
            0xDF: Operation(0, mac, lambda _h, d: files.delete(self, d)),
            0xF5: Operation(1, mac, lambda h, d: files.shown(self, h, d)),
            0xFC: Operation(0, mac, lambda _h, d: applications.format_all(self, d)),
        }

    def _read(self) -> Operation:
        return Operation(HEADER_BYTES, lambda h: files.reading(self, h), lambda h, d: files.read(self, h, d))

    def _write(self) -> Operation:
        return Operation(HEADER_BYTES, lambda h: files.writing(self, h), lambda h, d: files.write(self, h, d))

    # Long commands

    def _carried_out(self, instruction: int, operation: Operation, payload: bytes) -> Answer:
        if instruction in (_WRITE, _WRITE_NATIVE) and len(payload) >= HEADER_BYTES:
            if len(payload) > (wanted := self._announced(operation, payload[:HEADER_BYTES])):
                raise Status(LENGTH_ERROR)
            if len(payload) < wanted:
                return self._await_more(instruction, operation, payload)
        return super()._carried_out(instruction, operation, payload)

    def _announced(self, operation: Operation, header: bytes) -> int:
        """How long the whole command is, by the length in its header and the file's mode."""
        length = Span.parse(header).length
        mode = operation.mode(header) if self.session else CommMode.PLAIN
        if mode is CommMode.FULL:
            length = (length // BLOCK + 1) * BLOCK
        return HEADER_BYTES + length + (0 if mode is CommMode.PLAIN else MAC_BYTES)

    def _await_more(self, instruction: int, operation: Operation, payload: bytes) -> Answer:
        def more(data: bytes) -> Answer:
            if not data:
                raise Status(LENGTH_ERROR)
            return self._carried_out(instruction, operation, payload + data)

        self._pending = more
        return Answer(status=ADDITIONAL_FRAME)

    # Commands of the card itself

    def _select_application(self, header: bytes, data: bytes) -> bytes:
        no_data(data)
        wanted = int.from_bytes(header, "little")
        if wanted != PICC and wanted not in self.memory.applications:
            raise Status(APPLICATION_NOT_FOUND)
        self.enter(wanted)
        return b""

    def _get_card_uid(self, _header: bytes, data: bytes) -> bytes:
        no_data(data)
        return self.memory.uid

    def _get_version(self, _header: bytes, data: bytes) -> list[bytes]:
        no_data(data)
        uid = bytes(UID_BYTES) if self.memory.random_uid else self.memory.uid
        return [_HARDWARE, _SOFTWARE, uid + self.memory.batch]

    def _get_key_version(self, header: bytes, data: bytes) -> bytes:
        no_data(data)
        return bytes([self.key_slot(header[0]).version])

    def _free_memory(self, _header: bytes, data: bytes) -> bytes:
        no_data(data)
        return self.memory.free_bytes.to_bytes(3, "little")

    def _set_configuration(self, header: bytes, data: bytes) -> bytes:
        if self.selected != PICC:
            raise Status(PERMISSION_DENIED)
        if header[0] != 0x00:
            raise Status(PARAMETER_ERROR)
        if len(data) != 1:
            raise Status(LENGTH_ERROR)
        if data[0] & ~0x03:
            raise Status(PARAMETER_ERROR)
        self.memory.formatting &= not data[0] & 0x01
        self.memory.random_uid |= bool(data[0] & 0x02)
        return b""

    # ISO 7816-4: applications can be selected by their name

    def _interindustry(self, command: Command) -> Answer:
        if command.ins != _SELECT:
            raise Status(UNKNOWN_INSTRUCTION)
        if command.p1 != _BY_NAME or command.p2 not in (0x00, 0x0C):
            raise Status(WRONG_P1_P2)
        if not command.data:
            raise Status(LENGTH_AGAINST_P1_P2)
        if command.data == _PICC_NAME:
            self.enter(PICC)
            return Answer()
        for number, application in self.memory.applications.items():
            if application.iso_name == command.data:
                self.enter(number)
                return Answer()
        raise Status(NOT_FOUND)
