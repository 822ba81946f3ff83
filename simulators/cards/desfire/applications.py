"""Applications and keys of a DESFire: who may create, delete and change what (MF3D(H)x2, key settings)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.cards.desfire.memory import MAX_APPLICATIONS, PICC, Application, KeySettings
from simulators.cards.native.card import no_data
from simulators.cards.native.channel import Session
from simulators.cards.native.keys import KEY_BYTES, KeySlot, changed
from simulators.cards.status import (
    APPLICATION_NOT_FOUND,
    AUTHENTICATION_ERROR,
    DUPLICATE,
    LENGTH_ERROR,
    OUT_OF_MEMORY,
    PARAMETER_ERROR,
    PERMISSION_DENIED,
    Status,
)

if TYPE_CHECKING:
    from simulators.cards.desfire.card import Desfire

_MASTER = 0
_MAX_KEYS = 14
_AES = 0x80
_KIND = 0xC0
_FILES_HAVE_ISO_IDS = 0x20
_MORE_SETTINGS = 0x10
_ITS_OWN, _NOBODY = 0xE, 0xF
_AID_BYTES = 3
_MAX_NAME_BYTES = 16


def require_master(session: Session | None) -> None:
    """Only for whoever authenticated with key 0 of the selected level."""
    if session is None or session.key_number != _MASTER:
        raise Status(AUTHENTICATION_ERROR)


def require_picc(card: Desfire) -> None:
    """Only at the card's own level."""
    if card.selected != PICC:
        raise Status(PERMISSION_DENIED)


def create(card: Desfire, data: bytes) -> bytes:
    """CreateApplication: AID, key settings, number and kind of keys, and the ISO identifier and name."""
    require_picc(card)
    if not card.memory.picc.settings & KeySettings.FREE_CREATE:
        require_master(card.session)
    if len(data) < _AID_BYTES + 2:
        raise Status(LENGTH_ERROR)
    number = int.from_bytes(data[:_AID_BYTES], "little")
    settings, kinds, rest = data[3], data[4], data[5:]
    if kinds & _KIND != _AES or kinds & _MORE_SETTINGS or not 1 <= kinds & 0x0F <= _MAX_KEYS:
        raise Status(PARAMETER_ERROR)
    if number == PICC:
        raise Status(PARAMETER_ERROR)
    iso_id, name = _iso(rest)
    known = card.memory.applications
    if number in known or any(iso_id is not None and iso_id == other.iso_id for other in known.values()):
        raise Status(DUPLICATE)
    if name and any(name == other.iso_name for other in known.values()):
        raise Status(DUPLICATE)
    if len(known) >= MAX_APPLICATIONS:
        raise Status(OUT_OF_MEMORY)
    card.memory.require(1)
    known[number] = Application(
        settings,
        [KeySlot(bytes(KEY_BYTES)) for _ in range(kinds & 0x0F)],
        iso_id=iso_id,
        iso_name=name,
        files_have_iso_ids=bool(kinds & _FILES_HAVE_ISO_IDS),
    )
    return b""


def _iso(rest: bytes) -> tuple[int | None, bytes]:
    if not rest:
        return None, b""
    if not 2 <= len(rest) <= 2 + _MAX_NAME_BYTES:
        raise Status(LENGTH_ERROR)
    return int.from_bytes(rest[:2], "little"), rest[2:]


def delete(card: Desfire, data: bytes) -> bytes:
    """DeleteApplication, at the card's level by its master key, in the application by the application's."""
    require_master(card.session)
    if len(data) != _AID_BYTES:
        raise Status(LENGTH_ERROR)
    number = int.from_bytes(data, "little")
    if card.selected not in (PICC, number):
        raise Status(PERMISSION_DENIED)
    if number not in card.memory.applications:
        raise Status(APPLICATION_NOT_FOUND)
    del card.memory.applications[number]
    if card.selected == number:
        card.enter(PICC)
    return b""


def listed(card: Desfire, data: bytes) -> bytes:
    """GetApplicationIDs."""
    no_data(data)
    require_picc(card)
    require_directory(card.memory.picc, card.session)
    return b"".join(number.to_bytes(_AID_BYTES, "little") for number in card.memory.applications)


def require_directory(level: Application, session: Session | None) -> None:
    """Listing is free, or for key 0, as the settings say."""
    if not level.settings & KeySettings.FREE_DIRECTORY:
        require_master(session)


def format_all(card: Desfire, data: bytes) -> bytes:
    """FormatPICC: all applications go, keys and settings of the card itself stay."""
    no_data(data)
    require_picc(card)
    require_master(card.session)
    if not card.memory.formatting:
        raise Status(PERMISSION_DENIED)
    card.memory.applications.clear()
    return b""


def key_settings(card: Desfire, data: bytes) -> bytes:
    """GetKeySettings: the settings, and how many keys of which kind."""
    no_data(data)
    require_directory(card.level, card.session)
    return bytes([card.level.settings, _AES | len(card.level.keys)])


def change_settings(card: Desfire, data: bytes) -> bytes:
    """ChangeKeySettings, while the settings themselves allow it."""
    require_master(card.session)
    if not card.level.settings & KeySettings.CHANGEABLE:
        raise Status(PERMISSION_DENIED)
    if len(data) != 1:
        raise Status(LENGTH_ERROR)
    if card.selected == PICC and data[0] & 0xF0:
        raise Status(PARAMETER_ERROR)
    card.level.settings = data[0]
    return b""


def change_key(card: Desfire, named: int, data: bytes) -> bytes:
    """ChangeKey. At the card's own level the number also says the kind of key: 80 is an AES key."""
    session = card.session
    assert session is not None, "the command needs a session"
    if named & _KIND != (_AES if card.selected == PICC else 0):
        raise Status(PARAMETER_ERROR)
    number = named & ~_KIND
    slot = card.key_slot(number)
    _may_change(card.level, number, session.key_number)
    card.level.keys[number] = changed(slot, data, authenticated_with_it=number == session.key_number)
    if number == session.key_number:
        card.session = None
    return b""


def _may_change(level: Application, number: int, by: int) -> None:
    if number == _MASTER:
        if not level.settings & KeySettings.MASTER_CHANGEABLE:
            raise Status(PERMISSION_DENIED)
        wanted = _MASTER
    elif level.change_key == _NOBODY:
        raise Status(PERMISSION_DENIED)
    elif level.change_key == _ITS_OWN:
        wanted = number
    else:
        # The key that changes the others is itself changed by the master key.
        wanted = _MASTER if number == level.change_key else level.change_key
    if by != wanted:
        raise Status(AUTHENTICATION_ERROR)
