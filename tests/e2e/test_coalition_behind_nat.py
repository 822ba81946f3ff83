"""Merchants behind carrier NAT: whoever can only dial takes part, and two of them through a third."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.proto.vafa.pos.v1 import earning_pb2
from tests.e2e.union import union

pytestmark = pytest.mark.slow


async def test_a_merchant_that_only_dials_earns_and_spends_both_ways(tmp_path: Path) -> None:
    async with union(tmp_path, "nile", "saffron", only_dialling=["saffron"]) as town:
        nile, saffron = town.merchants
        for home, abroad in ((nile, saffron), (saffron, nile)):
            card = await home.member(50)
            answer = await abroad.accrue(card, 7)
            assert answer.state == earning_pb2.ACCRUAL_STATE_POSTED
            await abroad.redeem(card, 20, await abroad.proof(card, 20, home))
            assert await home.points(card) == 37


async def test_two_that_only_dial_trade_through_a_relay_that_the_directory_names(tmp_path: Path) -> None:
    async with union(
        tmp_path, "nile", "saffron", "zagros", only_dialling=["nile", "saffron"], relays={"saffron": "zagros"}
    ) as town:
        nile, saffron, zagros = town.merchants
        card = await saffron.member(50)
        answer = await nile.accrue(card, 7)
        assert answer.state == earning_pb2.ACCRUAL_STATE_POSTED
        await nile.redeem(card, 20, await nile.proof(card, 20, saffron))
        assert await saffron.points(card) == 37
        links = nile.node.node.coalition.partners.links
        assert links.waiting()["saffron"][0] is False  # there is no direct connection
        assert await zagros.points(card) == 37  # and the relay trades for itself as well
