"""A chip card at another merchant's till, over whole nodes: the till pipes, and asks nobody whose it is."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from cards.jobs import RECIPES
from cards.jobs.manifest import KeysWanted, Manifest
from cards.keys import CardIdentity
from node.actors.card_spec import CardsSpec
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.member.v1 import chip_card_pb2, member_service_pb2
from node.proto.vafa.pos.v1 import card_pb2
from simulators.purchases import card_identifier
from tests.actors.card_tills import Pipe, verification_key
from tests.cards.bureau import ADDRESS_BASE, KINDS, MERCHANT, NTAG, Bureau, Kind, a_bureau
from tests.cards.jobs.batch import issuer_keys
from tests.cards.tills import flipped
from tests.e2e.union import PURSE, Merchant, union
from tests.rpc.shop import refused, spend

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
Two = tuple[Merchant, Merchant]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    async with union(tmp_path_factory.mktemp("union"), "nile", MERCHANT) as made:
        nile, saffron = made.merchants
        for shard in saffron.node.shards:
            shard.host.shard.take_cards(CardsSpec(MERCHANT, ((1, verification_key().key.raw),), 20, 30))
        yield nile, saffron


async def a_member(home: Merchant, kind: Kind, points: int = 100) -> tuple[Identifier, Bureau]:
    """A member of saffron's with a finished card of that kind."""
    shown = card_identifier(home.prefix + uuid.uuid4().hex[: 16 - len(home.prefix)].upper())
    enrol = member_service_pb2.EnrolRequest(
        request_id=uuid.uuid4().hex, occurred_time=home.write.now(), identifiers=[shown]
    )
    await home.admin.members.Enrol(enrol)
    note = member_service_pb2.RecordCardRequest(
        request_id=uuid.uuid4().hex, occurred_time=home.write.now(), identifier=shown
    )
    note.card.profile = chip_card_pb2.ChipProfile.ValueType(kind.profile.value)
    note.card.chip_uid, note.card.key_version = kind.uid, 1
    await home.admin.members.RecordCard(note)
    await home.accrue(shown, points)
    bureau, recipe = a_bureau(kind), RECIPES[kind.profile]
    base = ADDRESS_BASE if kind is NTAG else ""
    manifest = Manifest("j", kind.name, MERCHANT, 1, shown.value, KeysWanted(1), address_base=base)
    plan = recipe.plan(manifest, issuer_keys(), CardIdentity(kind.profile, kind.uid, shown.value))
    bureau.run(recipe.steps(manifest, plan))
    return shown, bureau


async def converse(
    till: Merchant, shown: Identifier, bureau: Bureau, units: int, pipe: Pipe | None = None
) -> Any:
    """What a till does with a card on its reader; the proof."""
    wanted = spend(units, PURSE)
    begun = await till.till.pos.BeginCardProof(card_pb2.BeginCardProofRequest(identifier=shown, spend=wanted))
    bureau.card.tap()
    send, apdu = pipe or bureau.card.transmit, begun.command_apdu
    while True:
        answer = await till.till.pos.ContinueCardProof(
            card_pb2.ContinueCardProofRequest(
                identifier=shown, spend=wanted, session_id=begun.session_id, response_apdu=send(apdu)
            )
        )
        if answer.WhichOneof("next") == "proof":
            return answer.proof
        apdu = answer.command_apdu


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_card_at_a_partners_reader_pays_once_and_for_its_amount(two: Two, kind: Kind) -> None:
    nile, saffron = two
    shown, bureau = await a_member(saffron, kind)
    proof = await converse(nile, shown, bureau, 40)
    answer = await nile.redeem(shown, 40, proof)
    assert [(one.purse, one.units) for one in answer.spent] == [(PURSE, 40)]
    assert await saffron.points(shown) == 60
    with refused("PROOF_REFUSED"):
        await nile.redeem(shown, 40, proof)
    less = await converse(nile, shown, bureau, 10)
    with refused("PROOF_REFUSED"):
        await nile.redeem(shown, 20, less)
    assert await saffron.points(shown) == 60


async def test_a_partners_till_is_told_the_name_of_a_refusal(two: Two) -> None:
    nile, saffron = two
    shown, bureau = await a_member(saffron, NTAG)
    with refused("PROOF_REFUSED") as caught:
        await converse(nile, shown, bureau, 10, lambda apdu: flipped(17)(bureau.card.transmit(apdu)))
    assert "false" in caught[0].message
    plain = await saffron.member(100)
    with refused("PROOF_REFUSED"):
        await converse(nile, plain, bureau, 10)


async def test_a_card_works_at_home_as_well(two: Two) -> None:
    _, saffron = two
    shown, bureau = await a_member(saffron, NTAG)
    proof = await converse(saffron, shown, bureau, 25)
    answer = await saffron.redeem(shown, 25, proof)
    assert [one.units for one in answer.spent] == [25]
