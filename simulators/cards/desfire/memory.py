"""What a DESFire keeps without power: its master key, and applications with keys and files of their own."""

from __future__ import annotations

import msgspec

from simulators.cards.native.files import StandardFile
from simulators.cards.native.keys import KEY_BYTES, FailureLimits, KeySlot
from simulators.cards.status import OUT_OF_MEMORY, Status

UID_BYTES = 7
PICC = 0
"""The application id that stands for the card itself."""
CAPACITY_BYTES = 4096
MAX_APPLICATIONS = 28
_UNIT_BYTES = 32
"""Memory is taken in blocks: one for an application, one for each begun block of a file."""


class KeySettings:
    """The bits of an application's key settings (MF3D(H)x2, ChangeKeySettings)."""

    MASTER_CHANGEABLE = 0x01
    FREE_DIRECTORY = 0x02
    FREE_CREATE = 0x04
    CHANGEABLE = 0x08


class Application(msgspec.Struct):
    """One application: settings, keys (AES only), files by number, and its ISO name if it has one."""

    settings: int
    keys: list[KeySlot]
    files: dict[int, StandardFile] = msgspec.field(default_factory=dict)
    iso_id: int | None = None
    iso_name: bytes = b""
    files_have_iso_ids: bool = False

    @property
    def change_key(self) -> int:
        """Who may change keys other than the master key: a key, E for each its own, F for nobody."""
        return self.settings >> 4


class DesfireMemory(msgspec.Struct, tag="desfire"):
    """State of the card. The card's own level is an application with one key and no files."""

    uid: bytes
    batch: bytes
    picc: Application
    applications: dict[int, Application] = msgspec.field(default_factory=dict)
    random_uid: bool = False
    formatting: bool = True
    limits: FailureLimits = msgspec.field(default_factory=FailureLimits)

    @property
    def free_bytes(self) -> int:
        """Memory that applications and files have not taken."""
        return CAPACITY_BYTES - sum(
            _UNIT_BYTES + sum(_taken(len(file.content)) for file in application.files.values())
            for application in self.applications.values()
        )

    def require(self, size: int) -> None:
        """Refuse what does not fit any more: OUT_OF_MEMORY."""
        if _taken(size) > self.free_bytes:
            raise Status(OUT_OF_MEMORY)


def _taken(size: int) -> int:
    return -(-size // _UNIT_BYTES) * _UNIT_BYTES


def blank(uid: bytes, batch: bytes = bytes.fromhex("BA548C0F305221")) -> DesfireMemory:
    """A card with no application, its AES master key zero, everything free to create (settings 0F)."""
    if len(uid) != UID_BYTES:
        raise ValueError(f"a UID has {UID_BYTES} bytes, not {len(uid)}")
    return DesfireMemory(uid, batch, Application(0x0F, [KeySlot(bytes(KEY_BYTES))]))
