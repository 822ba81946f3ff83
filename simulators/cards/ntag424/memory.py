"""What an NTAG 424 DNA keeps without power, and how it leaves the factory."""

from __future__ import annotations

import msgspec

from simulators.cards.native.files import StandardFile
from simulators.cards.native.keys import KEY_BYTES, FailureLimits, KeySlot
from simulators.cards.ntag424.settings import KEYS, SdmSettings

CAPABILITY, NDEF, PROPRIETARY = 1, 2, 3
UID_BYTES = 7

# NT4H2421Gx 8.2.3 and table 7: MLe 256, MLc 255, the NDEF file free, the proprietary one by keys 2 and 3.
_CAPABILITY_CONTAINER = bytes.fromhex("001720010000FF0406E104010000000506E10500808283")
_PROPRIETARY_AT_DELIVERY = bytes.fromhex("007E")


class Ntag424Memory(msgspec.Struct, tag="ntag424"):
    """State of the card: its UID, five keys, three files, and what SetConfiguration set."""

    uid: bytes
    batch: bytes
    keys: list[KeySlot]
    files: dict[int, StandardFile]
    sdm: SdmSettings | None = None
    """Of the NDEF file, the only one that can have it."""
    read_counter: int = 0
    random_uid: bool = False
    chained_writing: bool = True
    strong_back_modulation: bool = True
    user_capabilities: bytes = bytes(2)
    limits: FailureLimits = msgspec.field(default_factory=FailureLimits)


def blank(uid: bytes, batch: bytes = bytes.fromhex("CF395AD4F20519")) -> Ntag424Memory:
    """A card as it is delivered: all keys zero, SDM off, the UID not random."""
    if len(uid) != UID_BYTES:
        raise ValueError(f"a UID has {UID_BYTES} bytes, not {len(uid)}")
    return Ntag424Memory(
        uid=uid,
        batch=batch,
        keys=[KeySlot(bytes(KEY_BYTES)) for _ in range(KEYS)],
        files={
            CAPABILITY: StandardFile(_CAPABILITY_CONTAINER.ljust(32, b"\0"), 0, 0xE000, iso_id=0xE103),
            NDEF: StandardFile(bytes(256), 0, 0xEEE0, iso_id=0xE104),
            PROPRIETARY: StandardFile(_PROPRIETARY_AT_DELIVERY.ljust(128, b"\0"), 3, 0x2330, iso_id=0xE105),
        },
    )
