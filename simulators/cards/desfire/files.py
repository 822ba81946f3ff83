"""Files of a DESFire application: creating, listing, settings, reading and writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.cards.desfire.applications import require_directory, require_master
from simulators.cards.desfire.memory import PICC, KeySettings
from simulators.cards.native import files
from simulators.cards.native.card import no_data
from simulators.cards.native.channel import CommMode
from simulators.cards.native.files import FREE, NEVER, Span, StandardFile, access
from simulators.cards.status import (
    DUPLICATE,
    FILE_NOT_FOUND,
    LENGTH_ERROR,
    PARAMETER_ERROR,
    PERMISSION_DENIED,
    Status,
)

if TYPE_CHECKING:
    from simulators.cards.desfire.card import Desfire

_MAX_NUMBER = 0x1F


def create(card: Desfire, data: bytes) -> bytes:
    """CreateStdDataFile: number, ISO identifier where the application has them, mode, rights, size."""
    _require_application(card)
    if not card.level.settings & KeySettings.FREE_CREATE:
        require_master(card.session)
    named = 2 if card.level.files_have_iso_ids else 0
    if len(data) != 7 + named:
        raise Status(LENGTH_ERROR)
    number, rest = data[0], data[1 + named :]
    iso_id = int.from_bytes(data[1:3], "little") if named else None
    mode, rights, size = rest[0], int.from_bytes(rest[1:3], "little"), int.from_bytes(rest[3:6], "little")
    if number > _MAX_NUMBER or mode & ~0x03 or size == 0:
        raise Status(PARAMETER_ERROR)
    _require_keys(card, rights)
    if number in card.level.files:
        raise Status(DUPLICATE)
    card.memory.require(size)
    card.level.files[number] = StandardFile(bytes(size), mode, rights, iso_id)
    return b""


def delete(card: Desfire, data: bytes) -> bytes:
    """DeleteFile."""
    _require_application(card)
    if not card.level.settings & KeySettings.FREE_CREATE:
        require_master(card.session)
    if len(data) != 1:
        raise Status(LENGTH_ERROR)
    _file(card, data[0])
    del card.level.files[data[0]]
    return b""


def listed(card: Desfire, data: bytes) -> bytes:
    """GetFileIDs."""
    no_data(data)
    _require_application(card)
    require_directory(card.level, card.session)
    return bytes(sorted(card.level.files))


def shown(card: Desfire, header: bytes, data: bytes) -> bytes:
    """GetFileSettings: type, mode, rights, size."""
    no_data(data)
    require_directory(card.level, card.session)
    file = _file(card, header[0])
    return (
        bytes([0x00, file.mode]) + file.rights.to_bytes(2, "little") + len(file.content).to_bytes(3, "little")
    )


def changing(card: Desfire, header: bytes) -> CommMode:
    """How ChangeFileSettings travels, or who may not."""
    return access((_file(card, header[0]).changing,), card.session, CommMode.FULL)


def change(card: Desfire, header: bytes, data: bytes) -> bytes:
    """ChangeFileSettings: mode and rights."""
    if len(data) != 3:
        raise Status(LENGTH_ERROR)
    rights = int.from_bytes(data[1:3], "little")
    if data[0] & ~0x03:
        raise Status(PARAMETER_ERROR)
    _require_keys(card, rights)
    file = _file(card, header[0])
    file.mode, file.rights = data[0], rights
    return b""


def reading(card: Desfire, header: bytes) -> CommMode:
    """How data read travels, or who may not."""
    file = _file(card, Span.parse(header).number)
    return access(file.reading, card.session, file.comm_mode)


def read(card: Desfire, header: bytes, data: bytes) -> bytes:
    """ReadData."""
    no_data(data)
    span = Span.parse(header)
    return files.read(_file(card, span.number).content, span)


def writing(card: Desfire, header: bytes) -> CommMode:
    """How data to be written travels, or who may not."""
    file = _file(card, Span.parse(header).number)
    return access(file.writing, card.session, file.comm_mode)


def write(card: Desfire, header: bytes, data: bytes) -> bytes:
    """WriteData."""
    span = Span.parse(header)
    file = _file(card, span.number)
    file.content = files.written(file.content, span, data)
    return b""


def _file(card: Desfire, number: int) -> StandardFile:
    _require_application(card)
    if number not in card.level.files:
        raise Status(FILE_NOT_FOUND)
    return card.level.files[number]


def _require_application(card: Desfire) -> None:
    if card.selected == PICC:
        raise Status(PERMISSION_DENIED)


def _require_keys(card: Desfire, rights: int) -> None:
    """Rights may name keys that are there, everybody, or nobody."""
    for shift in (0, 4, 8, 12):
        condition = rights >> shift & 0xF
        if condition not in (FREE, NEVER) and condition >= len(card.level.keys):
            raise Status(PARAMETER_ERROR)
