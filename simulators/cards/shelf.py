"""Virtual cards by the name of their profile, and their memory as a file: a drawer of cards."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import msgspec

from simulators.cards.card import RandomBytes
from simulators.cards.desfire import memory as desfire
from simulators.cards.desfire.card import Desfire
from simulators.cards.globalplatform import memory as globalplatform
from simulators.cards.globalplatform.card import GlobalPlatformCard
from simulators.cards.ntag424 import memory as ntag424
from simulators.cards.ntag424.card import Ntag424

AnyCard = Ntag424 | Desfire | GlobalPlatformCard
_AnyMemory = ntag424.Ntag424Memory | desfire.DesfireMemory | globalplatform.GlobalPlatformMemory

UID_BYTES = 7
_NXP = b"\x04"
"""The maker's code that a 7-byte UID begins with (ISO 7816-6)."""


class Profile(StrEnum):
    """The three kinds of card."""

    NTAG424 = "ntag424"
    DESFIRE = "desfire"
    JAVACARD = "javacard"


class Unreadable(Exception):
    """A file that holds no virtual card, or one of a version that this program does not know."""


def new_card(profile: Profile, random_bytes: RandomBytes, uid: bytes | None = None) -> AnyCard:
    """A blank card as it leaves the factory; without `uid` (7 bytes) with one by chance."""
    uid = uid or _NXP + random_bytes(UID_BYTES - len(_NXP))
    if len(uid) != UID_BYTES:
        raise ValueError(f"a UID has {UID_BYTES} bytes, not {len(uid)}")
    if profile is Profile.NTAG424:
        return Ntag424(ntag424.blank(uid), random_bytes)
    if profile is Profile.DESFIRE:
        return Desfire(desfire.blank(uid), random_bytes)
    return GlobalPlatformCard(globalplatform.blank(uid), random_bytes)


def saved(card: AnyCard) -> bytes:
    """The card's non-volatile memory, keys and all, as JSON."""
    return msgspec.json.format(msgspec.json.encode(card.memory), indent=1)


def restored(memory: bytes, random_bytes: RandomBytes) -> AnyCard:
    """The card that `saved` kept, without power; `Unreadable` for anything else."""
    try:
        kept = msgspec.json.decode(memory, type=_AnyMemory)
    except msgspec.DecodeError:
        raise Unreadable("This is no virtual card, or one of another version of this program.") from None
    if isinstance(kept, ntag424.Ntag424Memory):
        return Ntag424(kept, random_bytes)
    if isinstance(kept, desfire.DesfireMemory):
        return Desfire(kept, random_bytes)
    return GlobalPlatformCard(kept, random_bytes)


def put_away(card: AnyCard, path: Path) -> None:
    """Write the card's memory to a private file (it holds keys), in place of the one before, all or
    nothing.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(saved(card))
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def take_out(path: Path, random_bytes: RandomBytes) -> AnyCard:
    """The card of a file that `put_away` wrote; `Unreadable` names the file."""
    try:
        return restored(path.read_bytes(), random_bytes)
    except Unreadable as wrong:
        raise Unreadable(f"{path}: {wrong}") from None
