"""Where cards are put: a reader through PC/SC, or virtual cards, which other packages add by entry point."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from cards.apdu import CardError, Transport
from cards.jobs import JobRefused, Place
from cards.pcsc import PcscServiceAbsent, Reader, ReaderAbsent, reader_names

READER_PAUSE_SECONDS = 1.0
MAX_READER_PAUSES = 600
"""How long a reader may be unplugged before the command gives up: ten minutes."""
_POLL_SECONDS = 1.0

ReaderOption = Annotated[
    str, typer.Option("--reader", help="The reader, by its name or a part of it; see: vafa cards readers.")
]
VirtualCardOption = Annotated[
    Path | None,
    typer.Option(
        "--virtual", exists=True, dir_okay=False, help="A virtual card's file, instead of a reader."
    ),
]

Say = Callable[[str], None]


class ReaderPlace:
    """A real reader. Ctrl-C ends the waiting, and a reader that was unplugged is waited for."""

    def __init__(self, reader: Reader, say: Say) -> None:
        self._reader, self._say = reader, say

    def wait_for_card(self) -> bool:
        """Wait for the next card; it ends only by Ctrl-C or when the reader stays away."""
        self._patiently(lambda: self._reader.wait_for_card(_POLL_SECONDS))
        return True

    def powered(self) -> AbstractContextManager[Transport]:
        """The card that lies there."""
        return self._reader.card()

    def wait_for_removal(self) -> None:
        """Wait until it is taken away."""
        self._patiently(lambda: self._reader.wait_for_removal(_POLL_SECONDS))

    def _patiently(self, seen: Callable[[], bool]) -> None:
        pauses = 0
        while True:
            try:
                if seen():
                    return
                pauses = 0
            except (ReaderAbsent, PcscServiceAbsent) as gone:
                if not pauses:
                    self._say(str(gone))
                pauses += 1
                if pauses > MAX_READER_PAUSES:
                    raise
                time.sleep(READER_PAUSE_SECONDS)


@contextmanager
def reader_place(name: str, say: Say) -> Iterator[Place]:
    """The reader of that name, or the only one there is where the name is empty."""
    names = reader_names() if not name else [name]
    if len(names) != 1:
        there = "; ".join(names) or "none"
        raise ReaderAbsent(f"Say which reader (--reader NAME). There are: {there}.")
    with Reader(names[0]) as reader:
        yield ReaderPlace(reader, say)


def virtual_place(profile: str, count: int, directory: Path) -> AbstractContextManager[Place]:
    """`count` new virtual cards, one after another, kept in a directory."""
    place: Any = _virtual("batch")(profile, count, directory)
    return nullcontext(place)


@contextmanager
def one_card(reader: str, virtual: Path | None, say: Say) -> Iterator[Transport]:
    """The card on the reader, or the virtual card of a file, powered."""
    if virtual is not None:
        with _virtual("card")(virtual) as card:
            yield card
        return
    with reader_place(reader, say) as place:
        say("Put the card on the reader.")
        if not place.wait_for_card():
            raise CardError("No card came.")
        with place.powered() as transport:
            yield transport


def _virtual(name: str) -> Callable[..., AbstractContextManager[Transport]]:
    for point in entry_points(group="vafa.cards.virtual"):
        if point.name == name:
            loaded: Callable[..., AbstractContextManager[Transport]] = point.load()
            return loaded
    raise JobRefused("Virtual cards are not part of this installation.")
