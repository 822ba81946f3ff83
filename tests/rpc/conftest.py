"""The shops in which the tests of the API happen: a node in this process, one for each module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.rpc.shop import Shop, open_shop


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[1, 3], ids=["1shard", "3shards"])
async def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    """A shop whose books lie in one store, and again in three. What it promises must not depend on that."""
    async with open_shop(tmp_path_factory.mktemp("shop"), shards=request.param) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A shop with one store, where the number of stores cannot matter."""
    async with open_shop(tmp_path_factory.mktemp("shop")) as opened:
        yield opened
