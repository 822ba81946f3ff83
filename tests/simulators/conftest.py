"""What the simulators' tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from simulators.scripted_node import ScriptedNode, serve_scripted_node


@pytest.fixture
async def scripted_node() -> AsyncIterator[ScriptedNode]:
    """A node in miniature on loopback, one for each test."""
    async with serve_scripted_node() as node:
        yield node
