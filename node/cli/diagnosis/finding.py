"""What a check found."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """How bad it is: OK needs nothing, WARN will bite some day, WRONG stops or endangers the node now."""

    OK = "OK"
    WARN = "WARN"
    WRONG = "WRONG"


class Finding(Struct, frozen=True):
    """One line of the doctor's answer: the check's name, what is so, and what to do about it."""

    level: Level
    check: str
    text: str
    todo: str = ""


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, check, text)


def warn(check: str, text: str, todo: str) -> Finding:
    """It works, and will not for ever."""
    return Finding(Level.WARN, check, text, todo)


def wrong(check: str, text: str, todo: str = "") -> Finding:
    """It does not work, or not safely. `todo` may be empty where `text` already ends with it."""
    return Finding(Level.WRONG, check, text, todo)
