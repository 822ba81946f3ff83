"""A real pcscd with a virtual reader for each test. In CI its absence is a failure, elsewhere a skip."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.cards.stack import PcscStack, StackAbsent
from simulators.cards.vpcd import Seat

_LOCK = Path(tempfile.gettempdir()) / "vafa-pcscd.lock"
"""There is one pcscd on a machine, and several processes of `pytest -n` may want it."""


def _absent(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"CI must have the PC/SC stack: {reason}")
    pytest.skip(f"no PC/SC stack here: {reason}")


@pytest.fixture
def stack() -> Iterator[PcscStack]:
    """A running pcscd with one empty virtual reader."""
    if importlib.util.find_spec("smartcard") is None:
        _absent("pyscard is not installed (the extra `cards`)")
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stack = PcscStack()
        try:
            stack.start()
        except StackAbsent as wrong:
            _absent(str(wrong))
        yield stack
        stack.stop()


@pytest.fixture
def seat(stack: PcscStack) -> Iterator[Seat]:
    """The place on the reader, empty; whatever lies there at the end of a test is taken off."""
    seat = Seat(stack.port)
    yield seat
    seat.take_off()
