"""What a GlobalPlatform card keeps without power: keys, life cycle, what is installed, what was stored."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from cards.crypto import CardKey

ISD_AID = bytes.fromhex("A000000151000000")
PACKAGE_AID = bytes.fromhex("F05641464101")
MODULE_AID = bytes.fromhex("F0564146410101")
FACTORY_VERSION = 0xFF
FACTORY_KEY = bytes(range(0x40, 0x50))
"""The key that cards of the trade are delivered with, known to everybody."""
MAX_KEY_SETS = 4
MAX_FAILURES = 10


_RECOGNITION = bytes.fromhex(
    "732E06072A864886FC6B01600B06092A864886FC6B020203630906072A864886FC6B03640B06092A864886FC6B040370"
)
"""Card recognition data (annex H.2): GlobalPlatform 2.3, SCP03 with i = 70."""


class LifeCycle(IntEnum):
    """Of the card (GlobalPlatform 11.1.1, table 11-6)."""

    OP_READY = 0x01
    INITIALIZED = 0x07
    SECURED = 0x0F
    CARD_LOCKED = 0x7F
    TERMINATED = 0xFF


class ApplicationState(IntEnum):
    """Of an application (table 11-4); LOCKED is a bit above what it was before."""

    INSTALLED = 0x03
    SELECTABLE = 0x07
    PERSONALISED = 0x0F
    LOCKED = 0x80


class KeySet(msgspec.Struct):
    """Three AES keys of one length under a version number, their sequence counter, and the failures so
    far.
    """

    enc: bytes
    mac: bytes
    dek: bytes
    sequence: int = 0
    failures: int = 0

    @property
    def keys(self) -> tuple[CardKey, CardKey, CardKey]:
        """Key identifiers 1, 2 and 3."""
        return CardKey(self.enc), CardKey(self.mac), CardKey(self.dek)

    def __repr__(self) -> str:
        return f"KeySet(sequence={self.sequence}, failures={self.failures})"


class LoyaltyMemory(msgspec.Struct):
    """What the loyalty applet keeps; `docs/cards/applet.md` says what it is for."""

    issuer: bytes = b""
    alias: bytes = b""
    key: bytes = b""
    version: int = 0
    counter: int = 0
    """The last transaction counter used; it survives a new personalisation."""

    def __repr__(self) -> str:
        return f"LoyaltyMemory(alias={self.alias!r}, version={self.version}, counter={self.counter})"


class Instance(msgspec.Struct):
    """An installed application."""

    module: bytes
    privileges: bytes
    state: int
    memory: LoyaltyMemory = msgspec.field(default_factory=LoyaltyMemory)


class GlobalPlatformMemory(msgspec.Struct, tag="javacard"):
    """State of the card. Key sets are in the order in which they came; the first answers for version 0."""

    uid: bytes
    diversification: bytes
    """10 bytes that INITIALIZE UPDATE shows, from which a host derives the card's keys."""
    key_sets: dict[int, KeySet]
    life_cycle: int = LifeCycle.OP_READY
    aid: bytes = ISD_AID
    objects: dict[int, bytes] = msgspec.field(default_factory=dict)
    instances: dict[str, Instance] = msgspec.field(default_factory=dict)
    """By instance AID in hex."""


def blank(uid: bytes, diversification: bytes | None = None) -> GlobalPlatformMemory:
    """A card as it is delivered: OP_READY, factory keys under version FF, nothing installed."""
    return GlobalPlatformMemory(
        uid=uid,
        diversification=diversification or uid[-10:].rjust(10, b"\0"),
        key_sets={FACTORY_VERSION: KeySet(FACTORY_KEY, FACTORY_KEY, FACTORY_KEY)},
        objects={
            # Card production life cycle data, 42 bytes: all zero but for the chip's serial number.
            0x9F7F: bytes(12) + uid[-4:].rjust(4, b"\0") + bytes(26),
            0x66: _RECOGNITION,
        },
    )
