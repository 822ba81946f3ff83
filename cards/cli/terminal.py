"""What these commands share at the terminal: faults said in a sentence, secrets asked for, times shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

from cards.apdu import CardError
from cards.ceremony import CeremonyRefused
from cards.jobs import JobRefused, JournalBroken, JournalInUse
from cards.keystore import STORE_WORDS, KeyStore, KeyStoreError, StoreUnusable, open_store
from cards.printing import PrintRefused
from node.identity.keys import KeyUnusable, read_secret

MENDABLE = (
    CardError, CeremonyRefused, JobRefused, JournalBroken, JournalInUse, KeyStoreError, KeyUnusable,
    PrintRefused,
)  # fmt: skip
"""What the person at the terminal can mend; the text of each says how."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

StoreOption = Annotated[
    str, typer.Option("--store", envvar="VAFA_KEY_STORE", help=f"Where the keys are kept. {STORE_WORDS}")
]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Read the passphrase or PIN from this private file, do not ask."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def spoken(command: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """A command that says what went wrong in a sentence on standard error, and ends with status 1."""

    @functools.wraps(command)
    def said(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return command(*args, **kwargs)
        except MENDABLE as wrong:
            typer.echo(f"vafa: {wrong}", err=True)
            raise typer.Exit(1) from None

    return said


@contextmanager
def opened(place: str, passphrase_file: Path | None) -> Iterator[KeyStore]:
    """The store at `place`, its passphrase from a file or asked for without showing it."""
    with closing(open_store(place, functools.partial(secret, passphrase_file))) as store:
        yield store


def secret(passphrase_file: Path | None, words: str) -> str:
    """A passphrase or PIN. Of a file the first line counts."""
    if passphrase_file is None:
        return str(typer.prompt(words, hide_input=True, err=True))
    try:
        return read_secret(passphrase_file).decode("utf-8").splitlines()[0]
    except (UnicodeDecodeError, IndexError):
        raise StoreUnusable(f"{passphrase_file} holds no passphrase: one line of text in UTF-8.") from None


def day(moment_ms: int) -> str:
    """A time for a list."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
