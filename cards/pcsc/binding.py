"""pyscard's thin layer over PC/SC: called, its result codes turned into errors that say what to do."""

from __future__ import annotations

from typing import Any

from cards.pcsc.errors import (
    CardPulled,
    NoCardOnReader,
    PcscError,
    PcscMissing,
    PcscServiceAbsent,
    ReaderAbsent,
    ReaderInUse,
)

# PC/SC result codes (pcsclite.h), here so that this module can be read and tested without pyscard.
NO_READERS_AVAILABLE = 0x8010002E
SHARING_VIOLATION = 0x8010000B
TIMEOUT = 0x8010000A
INVALID_HANDLE = 0x80100003
NO_SMARTCARD = 0x8010000C
NOT_TRANSACTED = 0x80100016
SECURITY_VIOLATION = 0x8010006A

_SERVICE = (
    "The PC/SC service does not run. Start it (systemctl start pcscd.socket, or as root: pcscd), then again."
)
_STOPPED = "The PC/SC service stopped. Start it again (systemctl start pcscd.socket), then go on."
_NOT_ALLOWED = (
    "The PC/SC service does not let this user at the readers. Ask for it (polkit: org.debian.pcsc-lite),"
    " or run as a user that may."
)
_NO_READER = "No such card reader is plugged in. Plug it in, and see what is there: vafa cards readers."
_IN_USE = "Another program uses the card. Close it (a mail program, a browser, gpg), then try again."
_NO_CARD = "There is no card on the reader. Put one on."
_SILENT = "The card does not answer. Turn it over, or put another one on; some cards are dead when they come."
PULLED = "The card left the reader. Put the same card back: what was begun is finished or undone then."
_RESET = "Another program reset the card. Close that program, then go on with the same card."
_READER_GONE = "The reader was unplugged. Plug it in, put the same card back, then go on."

_ERRORS: dict[int, tuple[type[PcscError], str]] = {
    0x8010001D: (PcscServiceAbsent, _SERVICE),
    0x8010001E: (PcscServiceAbsent, _STOPPED),
    INVALID_HANDLE: (PcscServiceAbsent, _STOPPED),
    SECURITY_VIOLATION: (PcscServiceAbsent, _NOT_ALLOWED),
    NO_READERS_AVAILABLE: (ReaderAbsent, _NO_READER),
    0x80100009: (ReaderAbsent, _NO_READER),
    0x80100017: (ReaderAbsent, _READER_GONE),
    SHARING_VIOLATION: (ReaderInUse, _IN_USE),
    NO_SMARTCARD: (NoCardOnReader, _NO_CARD),
    0x80100069: (NoCardOnReader, _NO_CARD),
    0x80100066: (NoCardOnReader, _SILENT),
    0x80100067: (NoCardOnReader, _SILENT),
}

_WHILE_IN_USE: dict[int, str] = {
    0x80100069: PULLED,
    NO_SMARTCARD: PULLED,
    NOT_TRANSACTED: PULLED,
    0x80100013: PULLED,
    0x8010002F: PULLED,
    0x80100066: PULLED,
    0x80100067: PULLED,
    0x80100068: _RESET,
    0x80100017: _READER_GONE,
    0x80100009: _READER_GONE,
    0x8010001D: _STOPPED,
    0x8010001E: _STOPPED,
    INVALID_HANDLE: _STOPPED,
}
"""Once a card is in use, all of these leave it unknown what the card did last."""


def scard() -> Any:
    """pyscard's module of functions; `PcscMissing` where it is not installed."""
    try:
        from smartcard import scard as module
    except ImportError:
        raise PcscMissing from None
    return module


def code(result: int) -> int:
    """A result as the documentation writes it: some builds give it negative."""
    return result & 0xFFFFFFFF


def check(result: int, what: str) -> None:
    """Raise what a result code of opening or waiting means; nothing for success."""
    if (number := code(result)) == 0:
        return
    kind, words = _ERRORS.get(number, (PcscError, f"The PC/SC service refused it ({number:08X})."))
    raise kind(f"{what}: {words}")


def check_in_use(result: int, what: str) -> None:
    """The same for a card that is in use: whatever makes its state unknown is `CardPulled`."""
    number = code(result)
    if words := _WHILE_IN_USE.get(number):
        raise CardPulled(f"{what}: {words}")
    check(number, what)
