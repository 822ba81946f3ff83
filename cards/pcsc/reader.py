"""A reader, and the card on it held by one program alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from cards.pcsc import binding
from cards.pcsc.binding import check, check_in_use, scard
from cards.pcsc.errors import CardPulled, NoCardOnReader, PcscServiceAbsent, ReaderAbsent, ReaderInUse

MAX_CONNECT_TRIES = 20
"""Desktop services look at every card that is put on; they let go within two seconds."""
CONNECT_PAUSE_SECONDS = 0.1
_STATUS_BYTES = 2
_READERS = "Readers"


def reader_names() -> list[str]:
    """The readers that are plugged in, by the names that PC/SC gives them; an empty list when there are none.

    `PcscServiceAbsent` when pcscd does not run, `PcscMissing` without pyscard.
    """
    context = _established()
    try:
        return _listed(context)
    finally:
        scard().SCardReleaseContext(context)


def _established() -> Any:
    result, context = scard().SCardEstablishContext(scard().SCARD_SCOPE_SYSTEM)
    check(result, _READERS)
    return context


def _listed(context: Any) -> list[str]:
    result, names = scard().SCardListReaders(context, [])
    if binding.code(result) == binding.NO_READERS_AVAILABLE:
        return []
    check(result, _READERS)
    return list(names)


def _chosen(names: list[str], wanted: str) -> str:
    """The one reader whose name contains `wanted`; `ReaderAbsent` names what is there instead."""
    found = [name for name in names if name == wanted] or [name for name in names if wanted in name]
    if len(found) == 1:
        return found[0]
    there = "; ".join(names) if names else "none"
    problem = f"More than one reader is called {wanted}." if found else f"No reader is called {wanted}."
    raise ReaderAbsent(f"{problem} There are: {there}. Say one of these names.")


class Reader:
    """One reader, chosen by its name or a part of it that no other has. A context manager.

    It outlives pulled cards, an unplugged reader and a restart of pcscd: `card` opens anew what has gone.
    """

    def __init__(self, name: str) -> None:
        self._wanted = name
        self._context: Any = None
        self.name = ""

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the service."""
        if self._context is not None:
            scard().SCardReleaseContext(self._context)
            self._context = None

    def _open(self) -> None:
        self.close()
        self._context = _established()
        self.name = _chosen(_listed(self._context), self._wanted)

    def wait_for_card(self, timeout_seconds: float) -> bool:
        """Whether a card lies on the reader, at the latest after the timeout."""
        return self._wait(scard().SCARD_STATE_PRESENT, timeout_seconds)

    def wait_for_removal(self, timeout_seconds: float) -> bool:
        """Whether the reader is empty, at the latest after the timeout."""
        return self._wait(scard().SCARD_STATE_EMPTY, timeout_seconds)

    def _wait(self, wanted: int, timeout_seconds: float) -> bool:
        self._reopen_if_gone()
        until = time.monotonic() + timeout_seconds
        known = scard().SCARD_STATE_UNAWARE
        while True:
            left_ms = max(0, round((until - time.monotonic()) * 1000))
            result, states = scard().SCardGetStatusChange(self._context, left_ms, [(self.name, known)])
            if binding.code(result) == binding.TIMEOUT:
                return False
            check(result, self.name)
            known = states[0][1] & ~scard().SCARD_STATE_CHANGED
            if known & scard().SCARD_STATE_UNAVAILABLE:
                raise ReaderAbsent(f"{self.name}: The reader was unplugged. Plug it in, then go on.")
            if known & wanted:
                return True
            if left_ms == 0:
                return False

    def _reopen_if_gone(self) -> None:
        """pcscd forgets us when it restarts; whoever comes back after that introduces himself again."""
        if self._context is None or binding.code(scard().SCardIsValidContext(self._context)):
            self._open()
            return
        try:
            if self.name not in _listed(self._context):
                self._open()
        except PcscServiceAbsent:
            self._open()

    @contextmanager
    def card(self) -> Iterator[CardInReader]:
        """The card on the reader, powered anew and held exclusively until the block ends.

        `NoCardOnReader` when there is none, `ReaderInUse` when another program does not let go of it.
        """
        self._reopen_if_gone()
        held = CardInReader(self._context, self.name)
        try:
            yield held
        finally:
            held.close()


class CardInReader:
    """A card held by this program alone: a `Transport`. Made by `Reader.card`."""

    def __init__(self, context: Any, reader_name: str) -> None:
        self._reader_name = reader_name
        self._handle, self._protocol = _connected(context, reader_name)
        try:
            # Exclusive already; the transaction besides keeps the service's own power saving away.
            check_in_use(scard().SCardBeginTransaction(self._handle), reader_name)
            self.atr = self._status()
        except BaseException:
            self.close()
            raise

    def _status(self) -> bytes:
        result, _reader, _state, _protocol, atr = scard().SCardStatus(self._handle)
        check_in_use(result, self._reader_name)
        return bytes(atr)

    def transmit(self, apdu: bytes) -> bytes:
        """Send one command, give the answer's bytes. `CardPulled` when the card or reader went away."""
        result, answer = scard().SCardTransmit(self._handle, self._protocol, list(apdu))
        check_in_use(result, self._reader_name)
        if len(answer) < _STATUS_BYTES:
            # Some drivers call it success when a card goes in the middle of a command.
            raise CardPulled(f"{self._reader_name}: {binding.PULLED}")
        return bytes(value & 0xFF for value in answer)

    def reset(self) -> bytes:
        """Reset the card: its session is over, its memory stays. Gives the ATR."""
        module = scard()
        result, self._protocol = module.SCardReconnect(
            self._handle, module.SCARD_SHARE_EXCLUSIVE, module.SCARD_PROTOCOL_ANY, module.SCARD_RESET_CARD
        )
        check_in_use(result, self._reader_name)
        self.atr = self._status()
        return self.atr

    def close(self) -> None:
        """Let go of the card and take its power, so that nobody finds our session open."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            scard().SCardEndTransaction(handle, scard().SCARD_LEAVE_CARD)
            scard().SCardDisconnect(handle, scard().SCARD_UNPOWER_CARD)


def _connected(context: Any, reader_name: str) -> tuple[Any, int]:
    module = scard()
    for tries_left in reversed(range(MAX_CONNECT_TRIES)):
        result, handle, protocol = module.SCardConnect(
            context, reader_name, module.SCARD_SHARE_EXCLUSIVE, module.SCARD_PROTOCOL_ANY
        )
        try:
            check(result, reader_name)
        except (ReaderInUse, NoCardOnReader) as wrong:
            # A card just put on is seen by everybody at once, and a contactless one wobbles into the field.
            if isinstance(wrong, NoCardOnReader) and binding.code(result) == binding.NO_SMARTCARD:
                raise
            if not tries_left:
                raise
            time.sleep(CONNECT_PAUSE_SECONDS)
            continue
        return handle, protocol
    raise AssertionError("the last try raises or returns")
