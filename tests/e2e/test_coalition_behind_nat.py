"""Merchants behind carrier NAT: whoever can only dial takes part, and two of them through a third."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from node.proto.vafa.pos.v1 import earning_pb2
from tests.e2e.union import Merchant, union, until

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
        seen = _seen_by(zagros, "saffron")
        answer = await nile.accrue(card, 7)
        assert answer.state == earning_pb2.ACCRUAL_STATE_POSTED
        proof = await nile.proof(card, 20, saffron)
        await nile.redeem(card, 20, proof)
        assert await saffron.points(card) == 37
        shown = (card.value.encode(), proof.confirmation_code.encode())
        assert seen
        assert not any(secret in carried for secret in shown for carried in seen)
        links = nile.node.node.coalition.partners.links
        assert links.waiting()["saffron"][0] is False  # there is no direct connection
        assert await zagros.points(card) == 37  # and the relay trades for itself as well


def _seen_by(relay: Merchant, receiver_id: str) -> list[bytes]:
    """Every message that the relay hands on to the receiver from now on."""
    link: Any = relay.node.node.coalition.partners.links.link(receiver_id)
    seen: list[bytes] = []
    send = link.send

    def watched(carried: bytes) -> bool:
        seen.append(carried)
        return bool(send(carried))

    link.send = watched
    return seen


async def test_who_has_no_key_to_seal_for_is_not_named_to_a_relay(tmp_path: Path) -> None:
    async with union(
        tmp_path, "nile", "saffron", "zagros", only_dialling=["nile", "saffron"], relays={"saffron": "zagros"}
    ) as town:
        nile, saffron, zagros = town.merchants
        card = await saffron.member(50)
        assert town.directory is not None
        partners = tuple(replace(one, sealing_key="") for one in town.directory.partners)
        town.publish(partners=partners)
        links = nile.node.node.coalition.partners.links
        await until(lambda: not links.peers.partners["saffron"].sealing_key)
        seen = _seen_by(zagros, "saffron")
        answer = await nile.accrue(card, 7)
        assert answer.state == earning_pb2.ACCRUAL_STATE_PENDING  # it waits for a key, or a direct connection
        assert not any(card.value.encode() in carried for carried in seen)
