"""What the tests of the actors share."""

from __future__ import annotations

import pytest

from tests.actors.harness import Actors


@pytest.fixture(params=[1, 3], ids=["1shard", "3shards"])
async def actors(request: pytest.FixtureRequest) -> Actors:
    """A node's actors over one store, and again over three. What they promise must not depend on that."""
    return Actors(shards=request.param)
