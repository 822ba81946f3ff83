"""Small processors, one concern each, that stand between whoever commands a card and the wire.

Each takes a `Command` and gives a `Response`, and hands down to the next. A secure channel is one as well,
and stands above these: it sees whole answers, and what it protected is split below it.
"""

from dataclasses import replace
from typing import Protocol

from cards.apdu.command import MAX_EXTENDED_LE, MAX_SHORT_LC, Command
from cards.apdu.errors import ApduMalformed
from cards.apdu.response import Response, parse_response
from cards.apdu.status import StatusWord

MAX_GET_RESPONSES = 512
"""How often one answer may say that more bytes wait: twice what the longest answer needs in full blocks."""

_INS_GET_RESPONSE = 0xC0
_CHAINED = 0x10
_SECURE_MESSAGING = 0x0C
_PROPRIETARY = 0x80
_CHANNEL = 0x03


class Transport(Protocol):
    """What carries bytes to a card: a reader, a till, a simulated card."""

    def transmit(self, apdu: bytes) -> bytes:
        """Send one command's bytes, give the answer's bytes. `CardLost` when no answer can be had."""
        ...


class Processor(Protocol):
    """Whatever sends a command and gives its answer."""

    def send(self, command: Command) -> Response:
        """The card's answer to `command`, whatever its status word; faults are `CardError`."""
        ...


class Wire:
    """The end of every chain: puts a command into bytes for the transport, reads its answer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, command: Command) -> Response:
        return parse_response(self._transport.transmit(command.encode()))


class GetResponse:
    """Fetches what waits behind 61xx, and joins it (ISO/IEC 7816-4, 11.5.1)."""

    def __init__(self, inner: Processor) -> None:
        self._inner = inner

    def send(self, command: Command) -> Response:
        response = self._inner.send(command)
        data = bytearray(response.data)
        for _ in range(MAX_GET_RESPONSES):
            if response.status >> 8 != 0x61 or len(data) > MAX_EXTENDED_LE:
                break
            response = self._inner.send(_get_response(command, response.status & 0xFF or 256))
            data += response.data
        if response.status >> 8 == 0x61 or len(data) > MAX_EXTENDED_LE:
            raise ApduMalformed(f"{command.title}: the card's answer does not end. Take the card off.")
        return Response(bytes(data), response.status)


def _get_response(command: Command, le: int) -> Command:
    # It belongs to the same logical channel, and is itself never protected.
    return Command(
        command.cla & _CHANNEL,
        _INS_GET_RESPONSE,
        0,
        0,
        le=le,
        hides=command.hides,
        name=f"{command.title}, the rest of the answer",
    )


class CorrectLength:
    """Repeats a command with the length that 6Cxx names, once.

    Not under secure messaging: there a repetition would carry a MAC that the card has used up, and end the
    session.
    """

    def __init__(self, inner: Processor) -> None:
        self._inner = inner

    def send(self, command: Command) -> Response:
        response = self._inner.send(command)
        if response.status >> 8 != 0x6C or _is_protected(command):
            return response
        return self._inner.send(replace(command, le=response.status & 0xFF or 256))


def _is_protected(command: Command) -> bool:
    # GlobalPlatform marks secure messaging with 04 (11.1.4), ISO with 04, 08 or 0C.
    return command.cla & _SECURE_MESSAGING != 0


class CommandChaining:
    """Splits data that no short command can carry into a chain (ISO/IEC 7816-4, 5.3.3).

    A command that asks for extended length by itself is left alone. A class without a bit for chaining (the
    native cards' 90) is refused: its commands have a chunking of their own.
    """

    def __init__(self, inner: Processor, block_bytes: int = MAX_SHORT_LC) -> None:
        if not 1 <= block_bytes <= MAX_SHORT_LC:
            raise ValueError(f"a block of a chain has 1 to {MAX_SHORT_LC} bytes")
        self._inner = inner
        self._block_bytes = block_bytes

    def send(self, command: Command) -> Response:
        if len(command.data) <= self._block_bytes or command.extended:
            return self._inner.send(command)
        if command.cla & ~(_PROPRIETARY | _SECURE_MESSAGING | _CHANNEL):
            raise ApduMalformed(
                f"{command.title}: {len(command.data)} bytes are too many for one command, "
                f"and class {command.cla:02X} cannot be chained. Nothing was sent."
            )
        blocks = [
            command.data[at : at + self._block_bytes] for at in range(0, len(command.data), self._block_bytes)
        ]
        for block in blocks[:-1]:
            link = replace(command, cla=command.cla | _CHAINED, data=block, le=None)
            response = self._inner.send(link)
            if response.status != StatusWord.OK:
                return response
        return self._inner.send(replace(command, data=blocks[-1]))


def card_chain(transport: Transport) -> Processor:
    """The usual chain over a transport: chaining, 6Cxx, 61xx, wire."""
    return CommandChaining(CorrectLength(GetResponse(Wire(transport))))
