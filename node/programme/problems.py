"""A problem of a programme, and the checks that many of its fields share.

A message names the field's value only where it is a short code: what is wrong must be readable in a terminal
that does not write from right to left.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date

from msgspec import Struct

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
FIRST_YEAR, LAST_YEAR = 1900, 2199
"""The years of dates in a programme: those whose local days `ledger.days` knows."""


class Problem(Struct, frozen=True):
    """What is wrong and where: a path such as "rules[3].condition", and a sentence."""

    path: str
    message: str


def bounded(path: str, value: int, least: int, most: int) -> Iterator[Problem]:
    """A number from `least` to `most`."""
    if not least <= value <= most:
        yield Problem(path, f"This must be a number from {least} to {most}.")


def text(path: str, value: str, most: int, *, empty: bool = False) -> Iterator[Problem]:
    """A text of at most `most` characters on one line."""
    if not value.strip() and (value or not empty):
        yield Problem(path, "This must not be empty.")
    if len(value) > most:
        yield Problem(path, f"This may have at most {most} characters; here are {len(value)}.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        yield Problem(path, "This must be one line of text, without control characters.")


def listed(path: str, values: Sequence[str], most: int, most_characters: int) -> Iterator[Problem]:
    """A list of at most `most` texts, none twice."""
    if len(values) > most:
        yield Problem(path, f"There may be at most {most}; here are {len(values)}.")
        return
    for at, value in enumerate(values):
        yield from text(f"{path}[{at}]", value, most_characters)
    for at in _repeated(values):
        yield Problem(f"{path}[{at}]", "This is there already.")


def unique(path: str, codes: Sequence[str]) -> Iterator[Problem]:
    """Codes of a list's entries, none twice."""
    for at in _repeated(codes):
        yield Problem(f"{path}[{at}].code", f"The code {codes[at][:40]!r} is there already.")


def date_of(path: str, value: str) -> Iterator[Problem]:
    """A date that exists, as YYYY-MM-DD with Latin digits."""
    if parsed_date(value) is None:
        yield Problem(path, f"This must be a date as YYYY-MM-DD, of the years {FIRST_YEAR} to {LAST_YEAR}.")


def parsed_date(value: str) -> date | None:
    """The date, or None where it is not written as YYYY-MM-DD or does not exist."""
    if not _DATE.match(value):
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return None
    return day if FIRST_YEAR <= day.year <= LAST_YEAR else None


def _repeated(values: Sequence[str]) -> Iterator[int]:
    seen: set[str] = set()
    for at, value in enumerate(values):
        if value in seen:
            yield at
        seen.add(value)
