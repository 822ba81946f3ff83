"""A visit to a GlobalPlatform card, and the commands of its issuer security domain (Card Specification 2.3.1,
11).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from cards.apdu import Command, Hides, Processor, StatusWord
from cards.keys import CardKey
from cards.profiles.label import take_tlv, tlv
from cards.profiles.native_card import RandomBytes
from cards.profiles.steps import CardNotOurs, CardUnexpected
from cards.scp03 import (
    Greeting,
    SecureChannel,
    SecurityLevel,
    StaticKeys,
    holds,
    initialize,
    open_channel,
    parse_put_key_answer,
    put_key,
)

ISSUER_DOMAIN = bytes.fromhex("A000000151000000")
FACTORY_VERSION = 0xFF
"""The version of the keys that a card is delivered with; PUT KEY of the first own set takes their place
(11.8).
"""

_CLA = 0x80
_AID, _STATE, _ENTRY = 0x4F, 0x9F70, 0xE3
_KEY_INFORMATION, _ONE_KEY = 0xE0, 0xC0
_HOST_CHALLENGE_BYTES = 8
_MAX_PAGES = 16


class LifeCycle(IntEnum):
    """Of the card (11.1.1, table 11-6)."""

    OP_READY = 0x01
    INITIALIZED = 0x07
    SECURED = 0x0F
    CARD_LOCKED = 0x7F
    TERMINATED = 0xFF


class Scope(IntEnum):
    """What GET STATUS and SET STATUS are about."""

    CARD = 0x80
    APPLICATIONS = 0x40
    LOAD_FILES = 0x20


@dataclass(frozen=True, slots=True)
class ChannelKeys:
    """A key set of the issuer security domain, and its version."""

    keys: StaticKeys
    version: int


class GlobalPlatformVisit:
    """One card on the reader. Every command to the domain travels at the highest level of SCP03."""

    def __init__(self, card: Processor, random_bytes: RandomBytes) -> None:
        self.card = card
        self._random = random_bytes
        self._channel: SecureChannel | None = None
        self._held: ChannelKeys | None = None

    def select(self, command: Command) -> bytes:
        """SELECT by name, which closes any channel."""
        self._channel = self._held = None
        # A locked card warns (6283) and still lets its domain be selected.
        return self.card.send(command).expect(command.title, StatusWord.OK, StatusWord.FILE_INVALIDATED)

    def greet(self) -> Greeting:
        """What the card says of itself, and its challenge. No key is needed and none is tried."""
        self.select(
            Command(0x00, 0xA4, 0x04, 0x00, ISSUER_DOMAIN, le=256, name="select the issuer security domain")
        )
        return initialize(self.card, self._random(_HOST_CHALLENGE_BYTES))

    def enter(self, candidates: Sequence[ChannelKeys]) -> SecureChannel:
        """A channel under the first of `candidates` that the card holds; `CardNotOurs` if it holds none.

        All are tried against the one cryptogram that the card gave, so that no try of the card is used up.
        """
        if self._channel is not None and self._channel.is_open:
            return self._channel
        greeting = self.greet()
        for candidate in candidates:
            if holds(greeting, candidate.keys):
                self._channel = open_channel(self.card, greeting, candidate.keys, SecurityLevel.ALL)
                self._held = candidate
                return self._channel
        versions = " nor ".join(str(candidate.version) for candidate in candidates)
        raise CardNotOurs(
            f"The card holds key version {greeting.key_version}, and neither {versions} as planned. "
            "No try of it was used up."
        )

    @property
    def held(self) -> ChannelKeys:
        """The key set of the open channel."""
        if self._held is None:
            raise CardUnexpected("No channel to the card is open.")
        return self._held

    def call(
        self,
        ins: int,
        p1: int,
        p2: int,
        data: bytes = b"",
        *,
        name: str,
        allowed: Sequence[int] = (),
        secret: bool = False,
    ) -> bytes:
        """One command to the domain, in the channel."""
        if self._channel is None:
            raise CardUnexpected(f"{name}: no channel to the card is open. Nothing was sent.")
        hides = Hides.COMMAND if secret else Hides.NOTHING
        command = Command(_CLA, ins, p1, p2, data, le=256, hides=hides, name=name)
        return self._channel.send(command).expect(name, *(allowed or (StatusWord.OK,)))

    def put_keys(self, new: ChannelKeys) -> None:
        """PUT KEY in place of the set of the open channel, with check values both ways."""
        held = self.held
        replaces = 0 if held.version == FACTORY_VERSION else held.version
        command = put_key(new.keys, new.version, held.keys.dek, replaces_version=replaces)
        if self._channel is None:
            raise CardUnexpected("No channel to the card is open.")
        parse_put_key_answer(new.keys, new.version, self._channel.send(command).expect(command.title))

    def dek(self) -> CardKey:
        """The key under which other keys travel into the card in the open channel."""
        return self.held.keys.dek

    def status(self, scope: Scope, aid: bytes = b"") -> dict[bytes, int]:
        """GET STATUS: the life cycle state by AID, of what begins with `aid`; empty if there is none."""
        found, search = b"", tlv(_AID, aid)
        for page in range(_MAX_PAGES):
            command = Command(_CLA, 0xF2, scope, 0x03 if page else 0x02, search, le=256, name="get status")
            if self._channel is None:
                raise CardUnexpected("get status: no channel to the card is open. Nothing was sent.")
            answer = self._channel.send(command)
            if answer.status == StatusWord.DATA_NOT_FOUND:
                return {}
            found += answer.expect(command.title, StatusWord.OK, StatusWord.MORE_DATA_AVAILABLE)
            if answer.status == StatusWord.OK:
                return _states(found)
        raise CardUnexpected("The card's list of what is on it does not end.")

    def life_cycle(self) -> int:
        """The card's own state."""
        states = list(self.status(Scope.CARD).values())
        if len(states) != 1:
            raise CardUnexpected("The card does not tell its life cycle state.")
        return states[0]

    def set_life_cycle(self, state: LifeCycle) -> None:
        """SET STATUS of the card: forward, and never back."""
        self.call(0xF0, Scope.CARD, state, name=f"set the card to {state.name}")

    def install(self, package: bytes, module: bytes, instance: bytes) -> None:
        """INSTALL [for install and make selectable], without privileges or parameters (11.5.2.3)."""
        fields = (package, module, instance, b"\0", b"\xc9\0", b"")
        self.call(0xE6, 0x0C, 0x00, _length_value(*fields), name="install the applet")

    def store(self, instance: bytes, data: bytes) -> None:
        """INSTALL [for personalization], then STORE DATA in one block, tagged and partly encrypted
        (11.11).
        """
        fields = (b"", b"", instance, b"", b"", b"")
        self.call(0xE6, 0x20, 0x00, _length_value(*fields), name="prepare the applet for its data")
        self.call(0xE2, 0xB0, 0x00, data, name="store the applet's data", secret=True)

    def delete(self, aid: bytes) -> None:
        """DELETE an instance with all that it holds."""
        self.call(0xE4, 0x00, 0x00, tlv(_AID, aid), name="delete the applet")

    def key_versions(self) -> set[int]:
        """The versions of all key sets on the card, by GET DATA, in the channel if one is open."""
        name = "get key information"
        raw = self.call(0xCA, 0x00, _KEY_INFORMATION, name=name)
        tag, template, _ = take_tlv(raw)
        if tag != _KEY_INFORMATION:
            raise CardUnexpected("The card does not tell which keys it holds.")
        found = set()
        while template:
            tag, value, template = take_tlv(template)
            if tag == _ONE_KEY and len(value) >= 2:
                found.add(value[1])
        return found


def _length_value(*fields: bytes) -> bytes:
    return b"".join(bytes((len(field),)) + field for field in fields)


def _states(raw: bytes) -> dict[bytes, int]:
    found = {}
    while raw:
        tag, entry, raw = take_tlv(raw)
        if tag != _ENTRY:
            raise CardUnexpected("The card's list of what is on it is not in the form that was asked for.")
        fields: dict[int, bytes] = {}
        while entry:
            field, value, entry = take_tlv(entry)
            fields.setdefault(field, value)
        found[fields.get(_AID, b"")] = int.from_bytes(fields.get(_STATE, b"")[:1], "big")
    return found
