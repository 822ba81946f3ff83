"""The ISO 7816-4 commands of an NTAG 424 DNA: SELECT, READ BINARY, UPDATE BINARY (NT4H2421Gx 10.9)."""

from __future__ import annotations

from enum import IntEnum

from cards.apdu import Command
from simulators.cards.card import Answer
from simulators.cards.native.files import FREE
from simulators.cards.ntag424.memory import Ntag424Memory
from simulators.cards.ntag424.reads import FreeReads
from simulators.cards.status import (
    CONDITIONS_NOT_SATISFIED,
    LENGTH_AGAINST_P1_P2,
    NOT_ALLOWED,
    NOT_FOUND,
    UNKNOWN_INSTRUCTION,
    WRONG_LENGTH,
    WRONG_P1_P2,
    Status,
)

_BY_ID, _CHILD, _ELEMENTARY, _PARENT, _BY_NAME = range(5)
_PICC_NAME = bytes.fromhex("D2760000850100")
_APPLICATION_NAME = bytes.fromhex("D2760000850101")
_PICC_ID, _APPLICATION_ID = 0x3F00, 0xE110
_SHORT_ID_LEAD = 0xE100
_MAX_NAME_BYTES = 16


class Instruction(IntEnum):
    """Of class 00."""

    SELECT = 0xA4
    READ_BINARY = 0xB0
    UPDATE_BINARY = 0xD6


class Interindustry:
    """What is selected, and the three commands."""

    def __init__(self, memory: Ntag424Memory, reads: FreeReads) -> None:
        self._memory = memory
        self._reads = reads
        self.deselect()

    def deselect(self) -> None:
        """The PICC level, as after a reset."""
        self.in_application = False
        self.changed_application = False
        """Whether the last command selected a PICC level or application, which ends a session."""
        self._file: int | None = None

    def process(self, command: Command, *, authenticated: bool) -> Answer:
        """Carry out one command of class 00; `Status` is the refusal."""
        self.changed_application = False
        match command.ins:
            case Instruction.SELECT:
                return self._select(command)
            case Instruction.READ_BINARY:
                return self._read(command, authenticated)
            case Instruction.UPDATE_BINARY:
                return self._update(command, authenticated)
        raise Status(UNKNOWN_INSTRUCTION)

    def _select(self, command: Command) -> Answer:
        if command.p1 > _BY_NAME or command.p2 not in (0x00, 0x0C):
            raise Status(WRONG_P1_P2)
        if command.p1 == _BY_NAME:
            if not 1 <= len(command.data) <= _MAX_NAME_BYTES:
                raise Status(LENGTH_AGAINST_P1_P2)
            if command.data not in (_PICC_NAME, _APPLICATION_NAME):
                raise Status(NOT_FOUND)
            self._enter(application=command.data == _APPLICATION_NAME)
            return Answer()
        if command.p1 == _PARENT or (command.p1 == _BY_ID and not command.data):
            self._enter(application=False)
            return Answer()
        if len(command.data) != 2:
            raise Status(LENGTH_AGAINST_P1_P2)
        return self._select_id(command.p1, int.from_bytes(command.data, "big"))

    def _select_id(self, how: int, identifier: int) -> Answer:
        if identifier in (_PICC_ID, _APPLICATION_ID) and how != _ELEMENTARY:
            self._enter(application=identifier == _APPLICATION_ID)
            return Answer()
        if how != _CHILD and (number := self._numbered(identifier)):
            self._file = number
            return Answer()
        raise Status(NOT_FOUND)

    def _enter(self, *, application: bool) -> None:
        self.in_application, self._file, self.changed_application = application, None, True

    def _numbered(self, identifier: int) -> int | None:
        if not self.in_application:
            return None
        found = (number for number, file in self._memory.files.items() if file.iso_id == identifier)
        return next(found, None)

    def _read(self, command: Command, authenticated: bool) -> Answer:
        number, offset = self._target(command)
        if command.data or command.le is None:
            raise Status(WRONG_LENGTH)
        file = self._memory.files[number]
        if authenticated or not (FREE in file.reading or self._reads.opens(number)):
            raise Status(NOT_ALLOWED)
        if offset >= len(file.content):
            raise Status(WRONG_P1_P2)
        content = self._reads.content(Instruction.READ_BINARY, number, NOT_ALLOWED)
        return Answer(content[offset : offset + command.le])

    def _update(self, command: Command, authenticated: bool) -> Answer:
        number, offset = self._target(command)
        file = self._memory.files[number]
        if authenticated or FREE not in file.writing:
            raise Status(NOT_ALLOWED)
        end = offset + len(command.data)
        if not command.data or end > len(file.content):
            raise Status(WRONG_LENGTH)
        file.content = file.content[:offset] + command.data + file.content[end:]
        return Answer()

    def _target(self, command: Command) -> tuple[int, int]:
        """The file and the offset that P1 and P2 name; a short file identifier selects its file."""
        if not command.p1 & 0x80:
            if self._file is None:
                raise Status(CONDITIONS_NOT_SATISFIED)
            return self._file, command.p1 << 8 | command.p2
        if command.p1 & 0x60 or command.p1 & 0x1F == 0x1F:
            raise Status(WRONG_P1_P2)
        if short := command.p1 & 0x1F:
            self._file = self._numbered(_SHORT_ID_LEAD | short)
            if self._file is None:
                raise Status(NOT_FOUND)
        elif self._file is None:
            raise Status(CONDITIONS_NOT_SATISFIED)
        return self._file, command.p2
