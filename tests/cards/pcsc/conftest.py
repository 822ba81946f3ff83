"""One real pcscd with a virtual reader for all tests here. In CI its absence is a failure, elsewhere a
skip.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import pytest

from simulators.cards.stack import PcscStack, StackAbsent
from simulators.cards.vpcd import Seat


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """There is one pcscd on a machine: all that uses it runs in one process of `pytest -n`."""
    for item in items:
        if {"stack", "seat"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("pcscd"))


def _absent(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"CI must have the PC/SC stack: {reason}")
    pytest.skip(f"no PC/SC stack here: {reason}")


@pytest.fixture(scope="session")
def stack() -> Iterator[PcscStack]:
    """A running pcscd with one empty virtual reader."""
    if importlib.util.find_spec("smartcard") is None:
        _absent("pyscard is not installed (the extra `cards`)")
    stack = PcscStack()
    try:
        stack.start()
    except StackAbsent as wrong:
        _absent(str(wrong))
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def only_seat(stack: PcscStack) -> Seat:
    """The one place on the reader, which remembers when it was left."""
    return Seat(stack.port)


@pytest.fixture
def seat(only_seat: Seat) -> Iterator[Seat]:
    """The place on the reader, empty; whatever lies there at the end of a test is taken off."""
    yield only_seat
    only_seat.take_off()
