"""What every virtual card is made of: power, non-volatile memory, and a reader that may let go of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from cards.apdu import ApduMalformed, CardLost, Command, parse_command
from simulators.cards.status import FUNCTION_NOT_SUPPORTED, WRONG_LENGTH, Status

RandomBytes = Callable[[int], bytes]
"""The card's source of chance: so many random bytes. A seeded one makes every run the same."""

Memory = TypeVar("Memory", bound=msgspec.Struct)

_READER_CLASS = 0xFF
_READER_GET_DATA = 0xCA


class CardTorn(CardLost):
    """The card lost its power while a command was under way; whether that took effect the reader cannot
    know."""


class CardAbsent(CardLost):
    """No powered card: it was not put on the reader, or it was torn away. `tap` puts it there again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a card answers to one command: data, and the two status bytes."""

    data: bytes = b""
    status: int = 0x9000

    def encode(self) -> bytes:
        """The bytes that leave the card."""
        return self.data + self.status.to_bytes(2, "big")


@dataclass(slots=True)
class _Tear:
    commands_left: int
    takes_effect: bool


class VirtualCard(ABC, Generic[Memory]):
    """A card with memory that survives the loss of power, and a session that does not.

    `memory` is everything a real card keeps; what a subclass holds besides is volatile and is set anew by
    `_powered`. `transmit` is the same call that a reader offers, so a card can stand where a reader does.
    """

    atr: bytes
    """What the reader reports of the card when it is powered (ISO 7816-3; PC/SC part 3 for contactless
    cards)."""
    contactless_uid: bytes | None = None
    """What a contactless reader saw in the anticollision, or None for a card with contacts."""

    def __init__(self, memory: Memory, random_bytes: RandomBytes) -> None:
        self.memory = memory
        self.random_bytes = random_bytes
        self.commands_seen = 0
        """Commands answered since this object was made, the reader's own not counted."""
        self._on = False
        self._tear: _Tear | None = None

    @property
    def powered(self) -> bool:
        """Whether the card is on a reader and has power."""
        return self._on

    def tap(self) -> bytes:
        """Put the card on the reader: power, a fresh session, its ATR. Putting it there twice is a reset."""
        self._on = True
        self._powered()
        return self.atr

    def power_off(self) -> None:
        """Take the card off the reader between two commands: the memory stays, the session is gone."""
        self._on = False
        self._powered()

    def tear_at(self, command: int, *, takes_effect: bool) -> None:
        """Tear the card off at the so-manieth command from now (1 is the next one), once.

        With `takes_effect` the memory keeps what the command did and only the answer is lost; without, the
        command never happened. Either way `transmit` raises `CardTorn` and the card is without power.
        """
        if command < 1:
            raise ValueError("the next command is number 1")
        self._tear = _Tear(command, takes_effect)

    def keep_whole(self) -> None:
        """Forget a tear that has not happened yet."""
        self._tear = None

    def transmit(self, apdu: bytes) -> bytes:
        """Answer one command APDU with data and status bytes; `CardAbsent` without power, `CardTorn` when
        torn."""
        if not self._on:
            raise CardAbsent("There is no card on the reader.")
        try:
            command = parse_command(apdu)
        except ApduMalformed:
            return Answer(status=WRONG_LENGTH).encode()
        if command.cla == _READER_CLASS:
            return self._reader(command).encode()
        self.commands_seen += 1
        if (tear := self._torn_now()) and not tear.takes_effect:
            self._lose_power()
        answer = self._answered(command)
        if tear:
            self._lose_power()
        return answer.encode()

    def _answered(self, command: Command) -> Answer:
        try:
            return self._process(command)
        except Status as status:
            return self._refused(command, status)

    def _torn_now(self) -> _Tear | None:
        if (tear := self._tear) is None:
            return None
        tear.commands_left -= 1
        if tear.commands_left:
            return None
        self._tear = None
        return tear

    def _lose_power(self) -> None:
        self.power_off()
        raise CardTorn("The card left the reader before it had answered.")

    def _reader(self, command: Command) -> Answer:
        """PC/SC part 3, 3.2.2.1.3: a contactless reader itself answers FF CA 00 00 with the UID it saw."""
        if command.ins != _READER_GET_DATA or command.p1 or command.p2 or self.contactless_uid is None:
            return Answer(status=FUNCTION_NOT_SUPPORTED)
        return Answer(self.contactless_uid)

    @abstractmethod
    def _powered(self) -> None:
        """Set all that is volatile to what it is after a reset."""

    @abstractmethod
    def _process(self, command: Command) -> Answer:
        """Carry out one command. A `Status` raised is the card's refusal, and the session is for
        `_refused`."""

    def _refused(self, command: Command, status: Status) -> Answer:
        """The answer to a refused command; subclasses end sessions here."""
        return Answer(status=status.word)


def seeded(seed: int) -> RandomBytes:
    """Chance that is the same for the same seed. For tests and demonstrations, never for a key that
    protects."""
    import random

    return random.Random(seed).randbytes
