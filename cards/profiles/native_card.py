"""A visit to a card with native commands: what NTAG 424 DNA and DESFire share (NT4H2421Gx 10, AN12196,
AN12343).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cards.apdu import CardRefused, Command, Processor, StatusWord
from cards.ev2 import CommMode, Ev2Channel, authenticate_first, native, whole_answer
from cards.profiles.steps import (
    MAX_WRONG_KEYS,
    CardNotOurs,
    CardUnexpected,
    KeyChange,
    NotAccepted,
    Step,
    VersionedKey,
)

RandomBytes = Callable[[int], bytes]
"""So many bytes of chance: `os.urandom` at a bureau, a seeded source in a test."""

MASTER = 0
FREE, NEVER = 0xE, 0xF
"""Access for everybody, and for nobody."""
_CHUNK_BYTES = 128
_UID_BYTES = 7
_INS_VERSION, _INS_UID, _INS_KEY_VERSION = 0x60, 0x51, 0x64
_INS_READ, _INS_WRITE = 0xAD, 0x8D
_INS_FILE_SETTINGS, _INS_CHANGE_FILE_SETTINGS = 0xF5, 0x5F
_MODES = {0: CommMode.PLAIN, 1: CommMode.MAC, 2: CommMode.PLAIN, 3: CommMode.FULL}


@dataclass(frozen=True, slots=True)
class Level:
    """A place on the card with keys of its own: how to get there, and its key 0, old and new."""

    name: str
    select: Command
    master: KeyChange
    master_number_on_card: int = MASTER
    """The number of key 0 in ChangeKey; DESFire's own level wants the kind of key in it."""


@dataclass(frozen=True, slots=True)
class Chip:
    """What GetVersion tells: the maker's product type, and the UID, which is None while it is random."""

    product: int
    uid: bytes | None


class NativeVisit:
    """One card on the reader. Holds what is selected and the open session; both end with the first
    refusal.
    """

    def __init__(self, card: Processor, random_bytes: RandomBytes) -> None:
        self.card = card
        self.wrong_keys = 0
        self._random = random_bytes
        self._level: Level | None = None
        self._channel: Ev2Channel | None = None
        self._held: VersionedKey | None = None

    def select(self, command: Command) -> None:
        """Select, which ends any session."""
        self._level = self._channel = self._held = None
        self.card.send(command).expect(command.title)

    def chip(self) -> Chip:
        """Which product this is. Only outside of a session."""
        command = native(_INS_VERSION, name="get version")
        data = whole_answer(self.card, command).expect(command.title)
        if len(data) < 2 * _UID_BYTES + _UID_BYTES:
            raise CardUnexpected("The card's version is too short to be that of a native card.")
        uid = data[2 * _UID_BYTES : 3 * _UID_BYTES]
        return Chip(data[1], uid if any(uid) else None)

    def enter(self, level: Level) -> Ev2Channel:
        """Be at `level`, authenticated with its key 0: the new one, or else the old one.

        `CardNotOurs` if neither opens it, or if this visit has tried too many wrong keys: no card is ever
        driven towards its limit of failures.
        """
        if self._level is level and self._channel is not None and self._channel.is_open:
            return self._channel
        self.select(level.select)
        version = self.key_version(MASTER)
        candidates = [level.master.new, level.master.old]
        # The version is a hint, and saves the card a failure; the keys decide.
        candidates.sort(key=lambda candidate: candidate.version != version)
        for candidate in candidates:
            if (channel := self.try_key(MASTER, candidate)) is not None:
                self._level, self._channel, self._held = level, channel, candidate
                return channel
        raise CardNotOurs(
            f"{level.name}: neither key version {level.master.new.version} nor {level.master.old.version} "
            f"opens the card, which says that it holds version {version}. It was left as it is."
        )

    def try_key(self, number: int, candidate: VersionedKey) -> Ev2Channel | None:
        """A session under `candidate`, or None if the card holds another key. Counts towards the visit's
        cap.
        """
        if self.wrong_keys >= MAX_WRONG_KEYS:
            raise CardNotOurs(f"{MAX_WRONG_KEYS} wrong keys were tried on this card. It was left as it is.")
        self._channel = None
        try:
            return authenticate_first(self.card, candidate.key, number, self._random(16))
        except CardRefused as refusal:
            if refusal.status != StatusWord.DF_AUTHENTICATION_ERROR:
                raise
            self.wrong_keys += 1
            return None

    def holds_new_master(self, level: Level) -> bool:
        """Whether the level's key 0 is the new one already."""
        self.enter(level)
        return self._held is not None and self._held == level.master.new

    def key_version(self, number: int) -> int:
        """The version of a key, in the session if there is one."""
        data = self.call(_INS_KEY_VERSION, bytes((number,)), name=f"version of key {number}")
        if len(data) != 1:
            raise CardUnexpected(f"The card gives key {number} no version.")
        return data[0]

    def real_uid(self) -> bytes:
        """The UID also of a card that shows a random one. Only in a session."""
        return self.call(_INS_UID, mode=CommMode.FULL, name="get the card's UID")

    def call(
        self, ins: int, header: bytes = b"", data: bytes = b"", mode: CommMode = CommMode.MAC, *, name: str
    ) -> bytes:
        """One command, protected by `mode` if a session is open and plain otherwise."""
        command = native(ins, header, data, name=name)
        if self._channel is not None:
            return self._channel.call(command, len(header), mode)
        return self.card.send(command).expect(name)

    # Files

    def file_settings(self, number: int) -> bytes:
        """Type, option, rights, size, and what more the kind of file has."""
        data = self.call(_INS_FILE_SETTINGS, bytes((number,)), name=f"settings of file {number}")
        if len(data) < 7:
            raise CardUnexpected(f"The settings of file {number} are too short.")
        return data

    def change_file_settings(self, number: int, settings: bytes) -> None:
        """Set option, rights and what more there is, as key 0."""
        mode = CommMode.PLAIN if self._rights(number)[3] == FREE else CommMode.FULL
        self.call(
            _INS_CHANGE_FILE_SETTINGS,
            bytes((number,)),
            settings,
            mode,
            name=f"change settings of file {number}",
        )

    def read(self, number: int, length: int) -> bytes:
        """The first `length` bytes of a file, as key 0 in the session."""
        mode, found = self._mode(number, 0), b""
        while len(found) < length:
            size = min(_CHUNK_BYTES, length - len(found))
            header = _span(number, len(found), size)
            part = self.call(_INS_READ, header, mode=mode, name=f"read file {number}")
            if len(part) != size:
                raise CardUnexpected(f"File {number} gave {len(part)} bytes instead of {size}.")
            found += part
        return found

    def write(self, number: int, content: bytes) -> None:
        """Write `content` to the beginning of a file, as key 0 in the session."""
        mode = self._mode(number, 1)
        for at in range(0, len(content), _CHUNK_BYTES):
            part = content[at : at + _CHUNK_BYTES]
            self.call(_INS_WRITE, _span(number, at, len(part)), part, mode, name=f"write file {number}")

    def _rights(self, number: int) -> tuple[int, int, int, int]:
        raw = int.from_bytes(self.file_settings(number)[2:4], "little")
        return raw >> 12, raw >> 8 & 0xF, raw >> 4 & 0xF, raw & 0xF

    def _mode(self, number: int, right: int) -> CommMode:
        # Whoever has a right by its key uses the file's mode; by everybody's right, everything is plain
        # (8.2.3.5).
        settings, rights = self.file_settings(number), self._rights(number)
        if MASTER in (rights[right], rights[2]):
            return _MODES[settings[1] & 0x03]
        if FREE in (rights[right], rights[2]):
            return CommMode.PLAIN
        raise CardUnexpected(f"Key 0 has no access to file {number}: it was set up by somebody else.")


def _span(number: int, offset: int, length: int) -> bytes:
    return bytes((number,)) + offset.to_bytes(3, "little") + length.to_bytes(3, "little")


def key_step(level: Level, change: KeyChange, what: str) -> Step[NativeVisit]:
    """Change a key of `level` other than its key 0."""

    def is_done(visit: NativeVisit) -> bool:
        visit.enter(level)
        return visit.key_version(change.number) == change.new.version

    def perform(visit: NativeVisit) -> None:
        channel = visit.enter(level)
        if (version := visit.key_version(change.number)) != change.old.version:
            raise CardUnexpected(
                f"{level.name}: key {change.number} has version {version}, which is neither the new one "
                "nor the old one. It was left as it is."
            )
        channel.change_key(change.number, change.old.key, change.new.key, change.new.version)

    return Step(
        name=f"{level.name}: key {change.number}",
        intent=f"Put in {what}, version {change.new.version}",
        is_done=is_done,
        perform=perform,
        key=change.new,
    )


def master_key_step(level: Level, what: str) -> Step[NativeVisit]:
    """Change key 0 of `level`: always the last step there, as it is what lets one back in."""

    def perform(visit: NativeVisit) -> None:
        new = level.master.new
        visit.enter(level).change_own_key(new.key, new.version, number_on_card=level.master_number_on_card)

    return Step(
        name=f"{level.name}: key 0",
        intent=f"Put in {what}, version {level.master.new.version}",
        is_done=lambda visit: visit.holds_new_master(level),
        perform=perform,
        key=level.master.new,
    )


def prove_keys(visit: NativeVisit, keys: Sequence[VersionedKey], where: str) -> None:
    """Use each of `keys` once, where they are selected; `NotAccepted` if one does not open.

    A version on the card says nothing of the key beside it.
    """
    for number, key in enumerate(keys):
        if visit.try_key(number, key) is None:
            raise NotAccepted(f"Key {number} of {where} is not the one that its version says.")
