"""A trace of what went to a card and came back, in which nothing that a command declared secret can be
read.
"""

from collections.abc import Callable

from cards.apdu.command import Command, Hides
from cards.apdu.processors import Processor
from cards.apdu.response import Response


class Trace:
    """Writes every exchange that passes as two lines of text to `sink`, and changes nothing.

    Headers, lengths and status words are shown; data is shown in hex, or as `<16 bytes hidden>` where the
    command's `hides` says so. A command that met a fault leaves its line and the name of the fault.
    """

    def __init__(self, inner: Processor, sink: Callable[[str], None]) -> None:
        self._inner = inner
        self._sink = sink

    def send(self, command: Command) -> Response:
        self._sink(f"> {command_text(command)}")
        try:
            response = self._inner.send(command)
        except Exception as fault:
            # The name only: a fault from outside may quote the bytes.
            self._sink(f"! {type(fault).__name__}")
            raise
        self._sink(f"< {response_text(response, command.hides)}")
        return response


def command_text(command: Command) -> str:
    """A command for the eye, masked as it declares."""
    parts = [command.header.hex(" ").upper()]
    if command.data:
        parts.append(_data(command.data, hidden=Hides.COMMAND in command.hides))
    if command.le is not None:
        parts.append(f"Le {command.le}")
    return f"{' | '.join(parts)}  {command.title}"


def response_text(response: Response, hides: Hides) -> str:
    """An answer for the eye, masked as its command declared."""
    shown = [_data(response.data, hidden=Hides.RESPONSE in hides)] if response.data else []
    return " | ".join([*shown, f"{response.status:04X} {response.words}"])


def _data(data: bytes, *, hidden: bool) -> str:
    return f"<{len(data)} bytes hidden>" if hidden else data.hex(" ").upper()
