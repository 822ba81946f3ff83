"""Serves a virtual card to a real pcscd through vpcd, the driver of a virtual reader (vsmartcard).

The driver listens on TCP, and whoever connects is the card that was put on the reader. Both sides send
messages with a length of two bytes before them. A message of one byte is for the card's power: 00 off, 01 on,
02 reset, 04 asks for the ATR; any other is a command APDU, and its answer goes back. Closing the connection
takes the card off.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from cards.apdu import CardLost

DEFAULT_PORT = 0x8C7B
"""35963, where Debian's configuration of vpcd listens."""
LOOPBACK = "127.0.0.1"

_LENGTH_BYTES = 2
_CONNECT_SECONDS = 5.0
ABSENCE_SECONDS = 1.0
"""How long a hand stays away. pcscd looks every 400 ms, and believes in a card that was back before it
looked.
"""


class _Control(IntEnum):
    OFF = 0
    ON = 1
    RESET = 2
    ATR = 4


class ReaderAbsent(Exception):
    """Nobody listens where vpcd should: pcscd does not run, or has no virtual reader."""


class Card(Protocol):
    """What is put on the reader: any virtual card."""

    atr: bytes

    def tap(self) -> bytes:
        """Power, or a reset."""
        ...

    def power_off(self) -> None:
        """No power."""
        ...

    def transmit(self, apdu: bytes) -> bytes:
        """Answer a command; `CardLost` when it is torn away."""
        ...


def serve(connection: socket.socket, card: Card, after_command: Callable[[], None] | None = None) -> None:
    """Answer the reader until it hangs up, or the card is torn; `after_command` runs before each answer goes
    out.

    Returns in both cases, with the card without power. The connection is closed by whoever opened it.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while (message := _received(connection)) is not None:
            if len(message) == 1:
                _power(connection, card, message[0])
                continue
            answer = card.transmit(message)
            if after_command is not None:
                after_command()
            _send(connection, answer)
    except (CardLost, ConnectionError):
        # A torn card and a reader that has gone look the same from here: nobody is told any more.
        if after_command is not None:
            after_command()
    finally:
        card.power_off()


def _power(connection: socket.socket, card: Card, control: int) -> None:
    match control:
        case _Control.OFF:
            card.power_off()
        case _Control.ON | _Control.RESET:
            card.tap()
        case _Control.ATR:
            _send(connection, card.atr)


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(len(message).to_bytes(_LENGTH_BYTES, "big") + message)


def _received(connection: socket.socket) -> bytes | None:
    """The next message, or None when the other side has closed."""
    if (head := _exactly(connection, _LENGTH_BYTES)) is None:
        return None
    return _exactly(connection, int.from_bytes(head, "big"))


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    read = b""
    while len(read) < size:
        # The driver sends length and body apart and waits with Nagle for our acknowledgement, which the
        # kernel would put off for 40 ms. The option lasts for one read only.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if not (piece := connection.recv(size - len(read))):
            return None
        read += piece
    return read


class Seat:
    """A place on the virtual reader, on which a thread of its own serves one card at a time.

    `put` lays a card on and `take_off` takes it away, as a hand would, also in the middle of a command.
    """

    def __init__(self, port: int = DEFAULT_PORT, host: str = LOOPBACK) -> None:
        self._address = (host, port)
        self._connection: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._empty_since = -ABSENCE_SECONDS

    def put(self, card: Card, after_command: Callable[[], None] | None = None) -> None:
        """Lay the card on the reader; the one before is taken off. `ReaderAbsent` when there is no reader."""
        self.take_off()
        time.sleep(max(0.0, self._empty_since + ABSENCE_SECONDS - time.monotonic()))
        try:
            connection = socket.create_connection(self._address, timeout=_CONNECT_SECONDS)
        except OSError:
            host, port = self._address
            raise ReaderAbsent(
                f"No virtual reader listens on {host}:{port}. Install pcscd and vsmartcard-vpcd, start pcscd"
                " (as root: pcscd --foreground), then try again."
            ) from None
        connection.settimeout(None)
        self._connection = connection
        self._thread = threading.Thread(
            target=_serve_and_close, args=(connection, card, after_command), name="vpcd card", daemon=True
        )
        self._thread.start()

    def take_off(self) -> None:
        """Take the card away, whatever it is doing."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
        self.wait()

    def wait(self) -> None:
        """Wait until the card has left: taken off, torn, or the reader is gone."""
        if self._thread is not None:
            self._thread.join()
            self._empty_since = time.monotonic()
        self._connection = self._thread = None


def _serve_and_close(connection: socket.socket, card: Card, after_command: Callable[[], None] | None) -> None:
    with connection:
        serve(connection, card, after_command)
