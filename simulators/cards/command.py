"""`vafa cards simulate`: a virtual card on a virtual reader, which PC/SC takes for a real one."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from simulators.cards.shelf import (
    UID_BYTES,
    AnyCard,
    Profile,
    Unreadable,
    new_card,
    put_away,
    saved,
    take_out,
)
from simulators.cards.stack import READER_NAME, PcscStack, StackAbsent
from simulators.cards.vpcd import DEFAULT_PORT, ReaderAbsent, Seat

_FAILED = 1


def simulate(
    profile: Annotated[Profile, typer.Argument(help="The kind of card.")],
    state: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="The card's memory: read if there, kept after each change."),
    ] = None,
    uid: Annotated[str | None, typer.Option(help="14 hexadecimal digits, for a new card.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where vpcd listens.")] = DEFAULT_PORT,
    pcscd: Annotated[
        bool, typer.Option("--pcscd", help="Start a pcscd for it; as root, where none runs.")
    ] = False,
    tear_at: Annotated[
        int | None, typer.Option(min=1, help="Tear the card off at this command, counted from 1.")
    ] = None,
    takes_effect: Annotated[
        bool, typer.Option("--takes-effect", help="Tear it only after the command has taken effect.")
    ] = False,
) -> None:
    """Put a virtual card on a virtual reader until Ctrl-C takes it off.

    Needs Debian's pcscd and vsmartcard-vpcd. Without --state the card is a new one and is forgotten. The file
    of --state holds the card's keys in clear, as only a simulated card's may be.
    """
    try:
        card = _card(profile, state, uid)
        if tear_at is not None:
            card.tear_at(tear_at, takes_effect=takes_effect)
        with _stack(pcscd, port) as (reader, at):
            _lay_on(card, Seat(at), state, reader)
    except (StackAbsent, ReaderAbsent, Unreadable) as wrong:
        typer.echo(f"vafa: {wrong}", err=True)
        raise typer.Exit(_FAILED) from None


def _card(profile: Profile, state: Path | None, uid: str | None) -> AnyCard:
    if state is not None and state.exists():
        if uid is not None:
            raise typer.BadParameter(f"the card of {state} has a UID already", param_hint="--uid")
        card = take_out(state, os.urandom)
        if type(card) is not type(new_card(profile, os.urandom)):
            raise Unreadable(f"{state} holds a card of another kind. Say that kind, or another file.")
        return card
    card = new_card(profile, os.urandom, _parsed(uid))
    if state is not None:
        put_away(card, state)
    return card


def _parsed(uid: str | None) -> bytes | None:
    if uid is None:
        return None
    try:
        parsed = bytes.fromhex(uid)
    except ValueError:
        parsed = b""
    if len(parsed) != UID_BYTES:
        raise typer.BadParameter(f"a UID is {2 * UID_BYTES} hexadecimal digits", param_hint="--uid")
    return parsed


@contextlib.contextmanager
def _stack(wanted: bool, port: int) -> Iterator[tuple[str, int]]:
    """The reader's name and port: of a pcscd of our own, or of the one that runs."""
    if not wanted:
        yield "Virtual PCD 00 00", port
        return
    with PcscStack() as stack:
        yield f"{READER_NAME} 00 00", stack.port


def _lay_on(card: AnyCard, seat: Seat, state: Path | None, reader: str) -> None:
    last = saved(card)

    def keep() -> None:
        nonlocal last
        if state is not None and (now := saved(card)) != last:
            put_away(card, state)
            last = now

    # By name: a script that starts it in the background hands down a SIGINT that is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    seat.put(card, keep)
    typer.echo(
        f"A blank card lies on the reader {reader}." if state is None else f"{state} lies on {reader}."
    )
    typer.echo("Ctrl-C takes it off.")
    try:
        seat.wait()
    except KeyboardInterrupt:
        seat.take_off()
        return
    typer.echo("The card was torn off, or the reader has gone.", err=True)
    raise typer.Exit(_FAILED)
