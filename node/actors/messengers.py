"""How a message reaches a member: an interface, and the two ways that need nobody else.

A provider of text messages is one more class with `send`; what is said, and to whom, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Protocol, TextIO

from msgspec import Struct

SENT_AT_ONCE = 64
"""Messages that are on their way at a time. Beyond it a code is not sent, and the member asks again; a notice
waits.
"""


class MemberMessage(Struct, frozen=True):
    """Words for one member. `address` is a phone number in E.164, or an e-mail address; its repr shows
    neither it nor the words.
    """

    account_id: bytes
    address: str
    text: str
    about: str

    def __repr__(self) -> str:
        return f"MemberMessage({self.about!r})"


class Messenger(Protocol):
    """Sends messages to members."""

    async def send(self, message: MemberMessage) -> None:
        """Hands a message over; raises OSError where that failed."""
        ...


class _Lines:
    """Lines that are written together, and what kept them from it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.failed: OSError | None = None


class FileMessenger:
    """Appends each message to a private file (0600), a JSON object a line, for a program that sends them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        self._waiting = _Lines()

    async def send(self, message: MemberMessage) -> None:
        """Appends, whole. What comes while others are being written is written together, after them."""
        said = {
            "account_id": message.account_id.hex(),
            "to": message.address,
            "text": message.text,
            "about": message.about,
        }
        mine = self._waiting
        mine.lines.append((json.dumps(said, ensure_ascii=False) + "\n").encode())
        async with self._turn:
            if mine is self._waiting:  # else whoever came before has written it
                self._waiting = _Lines()
                try:
                    await asyncio.to_thread(self._append, b"".join(mine.lines))
                except OSError as failed:
                    mine.failed = failed
        if mine.failed is not None:
            raise mine.failed

    def _append(self, lines: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            while lines:
                lines = lines[os.write(descriptor, lines) :]
        finally:
            os.close(descriptor)


class ConsoleMessenger:
    """Prints each message to the node's standard output, apart from its log: for a demonstration."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    async def send(self, message: MemberMessage) -> None:
        """Prints."""
        print(f"to {message.address}: {message.text}", file=self._out, flush=True)


class NoMessenger:
    """Nobody sends anything: a code can then not be asked for, and the log says so, without the code."""

    async def send(self, message: MemberMessage) -> None:
        """Raises OSError: nothing is set up."""
        raise OSError("no message gateway is set up (message_gateway in vafa.toml)")


def messenger(kind: str, file: Path) -> Messenger:
    """The messenger that the configuration names."""
    if kind == "file":
        return FileMessenger(file)
    return ConsoleMessenger() if kind == "console" else NoMessenger()
