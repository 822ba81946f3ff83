"""Files of settlement as commands are given them: statements, directories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.coalition.directory import Directory
from node.wire.coalition_directory import (
    DIRECTORY_LABEL,
    SignedDirectory,
    Unreadable,
    read_directory,
    unarmoured,
)
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_lines import ReadStatement, read_signed_statement

DirectoryOption = Annotated[
    Path, typer.Option("--directory", help="The signed directory's file, as the operator handed it out.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class SettlementRefused(Exception):
    """What was asked for is not done; the text says why, and what to do."""


def read_file(file: Path) -> bytes:
    """A file's bytes; raises SettlementRefused."""
    try:
        return file.read_bytes()
    except OSError as wrong:
        raise SettlementRefused(f"{file}: {wrong.strerror}.") from None


def statement_in(file: Path) -> ReadStatement:
    """The statement in a file; raises SettlementRefused."""
    try:
        return read_signed_statement(read_file(file))
    except DocumentUnreadable as wrong:
        raise SettlementRefused(f"{file}: {wrong}. It is no statement.") from None


def directory_in(file: Path) -> SignedDirectory:
    """The directory in a file, armoured or not; raises SettlementRefused."""
    data = read_file(file)
    try:
        if data.startswith(b"-----BEGIN"):
            data = unarmoured(DIRECTORY_LABEL, data.decode("utf-8-sig"))
        return read_directory(data)
    except (Unreadable, UnicodeDecodeError) as wrong:
        raise SettlementRefused(f"{file}: {wrong}") from None


def names_in(directory: Directory) -> dict[str, str]:
    """What partners are called, by id."""
    return {one.partner_id: one.name for one in directory.partners}
