"""Secure Dynamic Messaging: what of a file the card replaces when somebody reads it freely (NT4H2421Gx 9.3).

The counter stands least significant byte first in everything that is encrypted or authenticated, and most
significant first where it shows as text.
"""

from __future__ import annotations

from collections.abc import Callable

from cards.crypto import CardKey, cmac, encrypt_block, encrypt_cbc, odd_bytes
from simulators.cards.ntag424.settings import PICC_DATA_CHARACTERS, SdmSettings, shows_counter_at

PADDING_BYTES = 12
"""Random bytes that fill encrypted PICC data up to a block: as many as are needed of these."""

_BLOCK = 16
_TAG_UID, _TAG_COUNTER = 0x80, 0x40
_FOR_ENCRYPTION, _FOR_MAC = b"\xc3\x3c\x00\x01\x00\x80", b"\x3c\xc3\x00\x01\x00\x80"


def mirrored(
    content: bytes,
    sdm: SdmSettings,
    key: Callable[[int], CardKey],
    uid: bytes,
    counter: int,
    padding: bytes,
) -> bytes:
    """The whole file as a free reader gets it at this value of the counter; `key` gives keys by number."""
    shown = bytearray(content)
    if sdm.picc_data_at is not None:
        secret = _picc_data(sdm, key(sdm.meta_read), uid, counter, padding)
        assert len(secret) * 2 == PICC_DATA_CHARACTERS
        _show(shown, sdm.picc_data_at, secret)
    if sdm.uid_at is not None:
        _show(shown, sdm.uid_at, uid)
    if (at := shows_counter_at(sdm)) is not None:
        _show(shown, at, counter.to_bytes(3, "big"))
    if sdm.mac_at is None or sdm.mac_input_from is None:
        return bytes(shown)
    about = _about(sdm, uid, counter)
    file_key = key(sdm.file_read)
    if sdm.encrypted_at is not None and sdm.encrypted_length is not None:
        start, length = sdm.encrypted_at, sdm.encrypted_length // 2
        session = CardKey(cmac(file_key, _zero_filled(_FOR_ENCRYPTION + uid + counter.to_bytes(3, "little"))))
        iv = encrypt_block(session, counter.to_bytes(3, "little") + bytes(_BLOCK - 3))
        _show(shown, start, encrypt_cbc(session, iv, content[start : start + length]))
    session = CardKey(cmac(file_key, _zero_filled(_FOR_MAC + about)))
    mac = odd_bytes(cmac(session, bytes(shown[sdm.mac_input_from : sdm.mac_at])))
    _show(shown, sdm.mac_at, mac)
    return bytes(shown)


def _picc_data(sdm: SdmSettings, key: CardKey, uid: bytes, counter: int, padding: bytes) -> bytes:
    tag = (_TAG_UID | len(uid) if sdm.mirrors_uid else 0) | (_TAG_COUNTER if sdm.counts else 0)
    plain = bytes([tag]) + _about(sdm, uid, counter)
    return encrypt_cbc(key, bytes(_BLOCK), (plain + padding)[:_BLOCK])


def _about(sdm: SdmSettings, uid: bytes, counter: int) -> bytes:
    """What the settings let out of the card's identity: UID, counter, both or neither."""
    shown_uid = uid if sdm.mirrors_uid else b""
    return shown_uid + (counter.to_bytes(3, "little") if sdm.counts else b"")


def _zero_filled(vector: bytes) -> bytes:
    return vector + bytes(-len(vector) % _BLOCK)


def _show(content: bytearray, at: int, value: bytes) -> None:
    text = value.hex().upper().encode("ascii")
    content[at : at + len(text)] = text
