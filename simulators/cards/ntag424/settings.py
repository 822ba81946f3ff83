"""File settings of an NTAG 424 DNA on the wire, and what the card refuses to be set to (NT4H2421Gx
10.7.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import msgspec

from simulators.cards.native.files import FREE, NEVER, StandardFile
from simulators.cards.status import LENGTH_ERROR, PARAMETER_ERROR, PERMISSION_DENIED, Status

UID_CHARACTERS = 14
COUNTER_CHARACTERS = 6
PICC_DATA_CHARACTERS = 32
MAC_CHARACTERS = 16
COUNTER_LIMIT = 0xFFFFFF
KEYS = 5

_SDM_ENABLED = 0x40
_FILE_OPTION_RFU = 0xBC
_UID, _COUNTER, _LIMIT, _ENCRYPTION, _ASCII = 0x80, 0x40, 0x20, 0x10, 0x01
_SDM_OPTIONS_RFU = 0x0E
_NOT_MIRRORED = 0xFFFFFF
_ENCRYPTION_UNIT = 32


class SdmSettings(msgspec.Struct, frozen=True):
    """Secure Dynamic Messaging of one file. Offsets and lengths are in characters from the file's beginning.

    What the options and rights leave out is None, and absent on the wire.
    """

    options: int
    meta_read: int
    file_read: int
    counter_retrieval: int
    uid_at: int | None = None
    counter_at: int | None = None
    picc_data_at: int | None = None
    mac_input_from: int | None = None
    encrypted_at: int | None = None
    encrypted_length: int | None = None
    mac_at: int | None = None
    counter_limit: int | None = None

    @property
    def mirrors_uid(self) -> bool:
        """Whether the UID shows."""
        return bool(self.options & _UID)

    @property
    def counts(self) -> bool:
        """Whether the read counter shows."""
        return bool(self.options & _COUNTER)

    @property
    def encrypts(self) -> bool:
        """Whether a part of the file is encrypted when it is read freely."""
        return bool(self.options & _ENCRYPTION)

    @property
    def last_count(self) -> int:
        """The counter at which free reading ends."""
        return COUNTER_LIMIT if self.counter_limit is None else self.counter_limit


_FIELDS = (
    "uid_at",
    "counter_at",
    "picc_data_at",
    "mac_input_from",
    "encrypted_at",
    "encrypted_length",
    "mac_at",
    "counter_limit",
)


def _present(options: int, meta_read: int, file_read: int) -> Iterator[str]:
    """The fields that follow, in their order on the wire."""
    signs = file_read != NEVER
    shown = {
        "uid_at": bool(options & _UID) and meta_read == FREE,
        "counter_at": bool(options & _COUNTER) and meta_read == FREE,
        "picc_data_at": meta_read < KEYS,
        "mac_input_from": signs,
        "encrypted_at": signs and bool(options & _ENCRYPTION),
        "encrypted_length": signs and bool(options & _ENCRYPTION),
        "mac_at": signs,
        "counter_limit": bool(options & _LIMIT),
    }
    return (name for name in _FIELDS if shown[name])


def encode(file: StandardFile, sdm: SdmSettings | None) -> bytes:
    """What GetFileSettings answers (10.7.2)."""
    option = file.mode | (_SDM_ENABLED if sdm else 0)
    head = bytes([0x00, option]) + file.rights.to_bytes(2, "little") + len(file.content).to_bytes(3, "little")
    if sdm is None:
        return head
    rights = sdm.meta_read << 12 | sdm.file_read << 8 | NEVER << 4 | sdm.counter_retrieval
    values = (getattr(sdm, name) for name in _present(sdm.options, sdm.meta_read, sdm.file_read))
    return (
        head
        + bytes([sdm.options])
        + rights.to_bytes(2, "little")
        + b"".join(value.to_bytes(3, "little") for value in values)
    )


def parse(
    data: bytes, number: int, file: StandardFile, read_counter: int
) -> tuple[int, int, SdmSettings | None]:
    """Mode, rights and SDM that ChangeFileSettings brings for `file`, or the refusal of table 71."""
    if len(data) < 3:
        raise Status(LENGTH_ERROR)
    option, rights = data[0], int.from_bytes(data[1:3], "little")
    _require(not option & _FILE_OPTION_RFU)
    _require(all(_known(nibble) for nibble in _nibbles(rights)))
    if not option & _SDM_ENABLED:
        if len(data) != 3:
            raise Status(LENGTH_ERROR)
        return option & 0x03, rights, None
    if number != 2:
        raise Status(PERMISSION_DENIED)
    sdm = _parse_sdm(data[3:])
    _check(sdm, len(file.content), read_counter)
    return option & 0x03, rights, sdm


def _parse_sdm(data: bytes) -> SdmSettings:
    if len(data) < 3:
        raise Status(LENGTH_ERROR)
    options = data[0]
    meta_read, file_read, reserved, retrieval = _nibbles(int.from_bytes(data[1:3], "little"))
    _require(reserved == NEVER and not options & _SDM_OPTIONS_RFU and bool(options & _ASCII))
    _require(_known(meta_read) and _known(retrieval))
    _require(file_read < KEYS or file_read == NEVER)
    names = list(_present(options, meta_read, file_read))
    body = data[3:]
    if len(body) != 3 * len(names):
        raise Status(LENGTH_ERROR)
    values = {
        name: int.from_bytes(body[3 * place : 3 * place + 3], "little") for place, name in enumerate(names)
    }
    return SdmSettings(options, meta_read, file_read, retrieval, **values)


def _check(sdm: SdmSettings, size: int, read_counter: int) -> None:
    _require(sdm.meta_read == NEVER or sdm.mirrors_uid or sdm.counts)
    _require(not (sdm.meta_read == NEVER and sdm.mirrors_uid))
    _require(sdm.counter_retrieval == NEVER or sdm.counts)
    _require(not sdm.encrypts or (sdm.file_read != NEVER and sdm.mirrors_uid and sdm.counts))
    if sdm.counter_limit is not None:
        _require(sdm.counts and sdm.counter_limit > read_counter)
    spans = list(mirrored_spans(sdm))
    _require(all(end <= size for _, end in spans))
    ordered = sorted(spans)
    _require(all(before[1] <= after[0] for before, after in pairwise(ordered)))
    if sdm.mac_at is None or sdm.mac_input_from is None:
        return
    _require(sdm.mac_input_from <= sdm.mac_at)
    if sdm.encrypted_at is not None and sdm.encrypted_length is not None:
        length = sdm.encrypted_length
        _require(length >= _ENCRYPTION_UNIT and length % _ENCRYPTION_UNIT == 0)
        _require(sdm.mac_input_from <= sdm.encrypted_at and sdm.encrypted_at + length <= sdm.mac_at)


def mirrored_spans(sdm: SdmSettings) -> Iterator[tuple[int, int]]:
    """From and to of everything that the card writes over the file when it is read freely."""
    counter_at = None if sdm.counter_at == _NOT_MIRRORED else sdm.counter_at
    for at, length in (
        (sdm.uid_at, UID_CHARACTERS),
        (counter_at, COUNTER_CHARACTERS),
        (sdm.picc_data_at, PICC_DATA_CHARACTERS),
        (sdm.encrypted_at, sdm.encrypted_length or 0),
        (sdm.mac_at, MAC_CHARACTERS),
    ):
        if at is not None:
            yield at, at + length


def shows_counter_at(sdm: SdmSettings) -> int | None:
    """Where the counter is mirrored in plain, if it is."""
    return None if sdm.counter_at == _NOT_MIRRORED else sdm.counter_at


def _nibbles(value: int) -> tuple[int, int, int, int]:
    return value >> 12, value >> 8 & 0xF, value >> 4 & 0xF, value & 0xF


def _known(nibble: int) -> bool:
    return nibble < KEYS or nibble in (FREE, NEVER)


def _require(condition: bool) -> None:
    if not condition:
        raise Status(PARAMETER_ERROR)
