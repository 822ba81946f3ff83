"""`vafa doctor`."""

from __future__ import annotations


def doctor() -> None:
    """Say what is wrong with this installation, in plain words."""
