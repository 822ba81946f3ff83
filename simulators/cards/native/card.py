"""An NXP card's frame: native commands wrapped in ISO APDUs (CLA 90), passes and frames, sessions and their
end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from cards.apdu import Command
from cards.crypto import decrypt_cbc, encrypt_cbc, equal_in_constant_time
from simulators.cards.card import Answer, Memory, VirtualCard
from simulators.cards.native.channel import BLOCK, CommMode, Session, session_keys
from simulators.cards.native.keys import FailureLimits, KeySlot, admit, count_failure, count_success
from simulators.cards.status import (
    ADDITIONAL_FRAME,
    AUTHENTICATION_ERROR,
    COMMAND_ABORTED,
    CONDITIONS_NOT_SATISFIED,
    ILLEGAL_COMMAND,
    LENGTH_ERROR,
    NATIVE_OK,
    PARAMETER_ERROR,
    PERMISSION_DENIED,
    UNKNOWN_CLASS,
    Status,
)

_NATIVE, _INTERINDUSTRY = 0x90, 0x00
_FIRST, _NON_FIRST, _MORE = 0x71, 0x77, 0xAF
_PD_CAPABILITIES = bytes(6)
_MAX_CAPABILITIES = 6
_ZERO_IV = bytes(BLOCK)
MAX_FRAME_BYTES = 256
"""What one response APDU carries with a short Le."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A native command: its header, how its data travels, and what it does.

    `mode` is asked with the header and may refuse. `run` gets header and data and answers data, or the
    frames of an answer that always comes in several.
    """

    header_bytes: int
    mode: Callable[[bytes], CommMode]
    run: Callable[[bytes, bytes], bytes | Sequence[bytes]]
    needs_session: bool = False


def always(mode: CommMode) -> Callable[[bytes], CommMode]:
    """A command whose data travels the same way whatever it names."""
    return lambda _header: mode


def no_data(data: bytes) -> None:
    """Refuse a command that brought more than it may."""
    if data:
        raise Status(LENGTH_ERROR)


class NativeCard(VirtualCard[Memory], Generic[Memory]):
    """What NTAG 424 DNA and DESFire share. A subclass gives its operations, its keys, and the ISO
    commands."""

    atr = bytes.fromhex("3B8180018080")
    """An ISO 14443-4 card whose historical byte is 80, which these two are (PC/SC part 3, 3.1.3.2.3.1)."""
    chains_long_answers = False
    """Whether an answer that fits no frame comes in several (91AF), or is refused."""
    session: Session | None
    _pending: Callable[[bytes], Answer] | None

    def _powered(self) -> None:
        self.session = None
        self._pending = None

    @abstractmethod
    def _operations(self) -> Mapping[int, Operation]:
        """The native commands by instruction."""

    @abstractmethod
    def _slot(self, number: int) -> KeySlot:
        """The key of that number where one may authenticate now; NO_SUCH_KEY otherwise."""

    @abstractmethod
    def _limits(self) -> FailureLimits: ...

    @abstractmethod
    def _interindustry(self, command: Command) -> Answer:
        """Carry out a command of class 00."""

    def _process(self, command: Command) -> Answer:
        pending, self._pending = self._pending, None
        if command.cla == _INTERINDUSTRY:
            if pending:
                raise Status(CONDITIONS_NOT_SATISFIED)
            return self._interindustry(command)
        if command.cla != _NATIVE:
            raise Status(UNKNOWN_CLASS)
        if command.p1 or command.p2:
            raise Status(PARAMETER_ERROR)
        if command.ins == _MORE:
            if pending is None:
                raise Status(ILLEGAL_COMMAND)
            return pending(command.data)
        if pending:
            raise Status(COMMAND_ABORTED)
        if command.ins in (_FIRST, _NON_FIRST):
            return self._challenged(command)
        if (operation := self._operations().get(command.ins)) is None:
            raise Status(ILLEGAL_COMMAND)
        return self._carried_out(command.ins, operation, command.data)

    def _refused(self, command: Command, status: Status) -> Answer:
        # An error ends the authenticated state, whatever it was (NT4H2421Gx 9.1.10, MF3DHx3 8.6).
        self._powered()
        return super()._refused(command, status)

    # Commands

    def _carried_out(self, instruction: int, operation: Operation, payload: bytes) -> Answer:
        if len(payload) < operation.header_bytes:
            raise Status(LENGTH_ERROR)
        header, body = payload[: operation.header_bytes], payload[operation.header_bytes :]
        if operation.needs_session and self.session is None:
            raise Status(AUTHENTICATION_ERROR)
        mode = operation.mode(header)
        if self.session is not None:
            body = self.session.open(instruction, header, body, mode)
        return self._finished(instruction, operation, header, body, mode)

    def _finished(
        self, instruction: int, operation: Operation, header: bytes, body: bytes, mode: CommMode
    ) -> Answer:
        result = operation.run(header, body)
        frames = [result] if isinstance(result, bytes) else list(result)
        # Asked anew: a command may have ended the session, and then nothing is left to seal with.
        if self.session is not None:
            whole = b"".join(frames)
            if mode is CommMode.FULL:
                frames = [self.session.seal(NATIVE_OK & 0xFF, whole, mode)]
            else:
                frames[-1] += self.session.seal(NATIVE_OK & 0xFF, whole, mode)[len(whole) :]
        return self._sent(self._cut(frames, self._frame_bytes(instruction)))

    def _frame_bytes(self, _instruction: int) -> int:
        """How much one answer to this command carries."""
        return MAX_FRAME_BYTES

    def _cut(self, frames: list[bytes], limit: int) -> list[bytes]:
        if all(len(frame) <= limit for frame in frames):
            return frames
        if not self.chains_long_answers:
            raise Status(LENGTH_ERROR)
        return [
            frame[start : start + limit] for frame in frames for start in range(0, max(len(frame), 1), limit)
        ]

    def _sent(self, frames: list[bytes]) -> Answer:
        if len(frames) == 1:
            return Answer(frames[0], NATIVE_OK)

        def more(data: bytes) -> Answer:
            no_data(data)
            return self._sent(frames[1:])

        self._pending = more
        return Answer(frames[0], ADDITIONAL_FRAME)

    # Authentication (NT4H2421Gx 9.1.5 and 9.1.6)

    def _challenged(self, command: Command) -> Answer:
        first = command.ins == _FIRST
        capabilities = _capabilities(command.data) if first else b""
        if not first and len(command.data) != 1:
            raise Status(LENGTH_ERROR)
        if not first and self.session is None:
            raise Status(PERMISSION_DENIED)
        number = command.data[0]
        slot = self._slot(number)
        admit(slot, self._limits())
        rnd_b = self.random_bytes(BLOCK)
        continued = None if first else self.session
        self._pending = lambda data: self._proven(number, slot, rnd_b, data, capabilities, continued)
        return Answer(encrypt_cbc(slot.key, _ZERO_IV, rnd_b), ADDITIONAL_FRAME)

    def _proven(
        self,
        number: int,
        slot: KeySlot,
        rnd_b: bytes,
        data: bytes,
        capabilities: bytes,
        continued: Session | None,
    ) -> Answer:
        if len(data) != 2 * BLOCK:
            raise Status(LENGTH_ERROR)
        plain = decrypt_cbc(slot.key, _ZERO_IV, data)
        rnd_a, answered = plain[:BLOCK], plain[BLOCK:]
        if not equal_in_constant_time(answered, rnd_b[1:] + rnd_b[:1]):
            count_failure(slot)
            raise Status(AUTHENTICATION_ERROR)
        count_success(slot, self._limits())
        rotated = rnd_a[1:] + rnd_a[:1]
        encryption_key, mac_key = session_keys(slot.key, rnd_a, rnd_b)
        if continued is not None:
            self.session = Session(
                number, encryption_key, mac_key, continued.transaction, continued.command_counter
            )
            return Answer(encrypt_cbc(slot.key, _ZERO_IV, rotated), NATIVE_OK)
        self.session = Session(number, encryption_key, mac_key, self.random_bytes(4))
        proof = self.session.transaction + rotated + _PD_CAPABILITIES + capabilities
        return Answer(encrypt_cbc(slot.key, _ZERO_IV, proof), NATIVE_OK)


def _capabilities(data: bytes) -> bytes:
    """PCDcap2 as it is sent back: six bytes, what was not sent being zero."""
    if len(data) < 2:
        raise Status(LENGTH_ERROR)
    if data[1] > _MAX_CAPABILITIES:
        raise Status(PARAMETER_ERROR)
    if len(data) != 2 + data[1]:
        raise Status(LENGTH_ERROR)
    return data[2:].ljust(_MAX_CAPABILITIES, b"\0")
