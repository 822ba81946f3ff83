"""A chip card at another merchant's till, over whole nodes: the till pipes, and asks nobody whose it is."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from node.actors.card_spec import CardsSpec
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.member.v1 import chip_card_pb2, member_service_pb2
from node.proto.vafa.pos.v1 import card_pb2, inquiry_pb2
from simulators.cards.card import seeded
from simulators.cards.shelf import Profile
from simulators.cards.wallet import Tamper, Wallet, note
from simulators.purchases import card_identifier
from tests.actors.card_tills import verification_key
from tests.cards.bureau import MERCHANT
from tests.cards.jobs.batch import issuer_keys
from tests.cards.tills import flipped, nth
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


WALLET = Wallet(issuer_keys(), seeded(7))


async def a_member(home: Merchant, profile: Profile, points: int = 100) -> Identifier:
    """A member of saffron's with a finished card of that kind."""
    shown = card_identifier(home.prefix + uuid.uuid4().hex[: 16 - len(home.prefix)].upper())
    enrol = member_service_pb2.EnrolRequest(
        request_id=uuid.uuid4().hex, occurred_time=home.write.now(), identifiers=[shown]
    )
    await home.admin.members.Enrol(enrol)
    await note(home.admin.members, shown, WALLET.make(profile, shown.value), home.node.now_ms())
    await home.accrue(shown, points)
    return shown


async def converse(till: Merchant, shown: Identifier, units: int, tamper: Tamper = lambda apdu: apdu) -> Any:
    """What a till does with the member's card on its reader; the proof."""
    return await WALLET.prove(till.till.pos, shown, spend(units, PURSE), tamper)


@pytest.mark.parametrize("profile", Profile)
async def test_a_card_at_a_partners_reader_pays_once_and_for_its_amount(two: Two, profile: Profile) -> None:
    nile, saffron = two
    shown = await a_member(saffron, profile)
    proof = await converse(nile, shown, 40)
    answer = await nile.redeem(shown, 40, proof)
    assert [(one.purse, one.units) for one in answer.spent] == [(PURSE, 40)]
    assert await saffron.points(shown) == 60
    with refused("PROOF_REFUSED"):
        await nile.redeem(shown, 40, proof)
    less = await converse(nile, shown, 10)
    with refused("PROOF_REFUSED"):
        await nile.redeem(shown, 20, less)
    assert await saffron.points(shown) == 60


async def test_a_partners_till_is_told_the_name_of_a_refusal(two: Two) -> None:
    nile, saffron = two
    shown = await a_member(saffron, Profile.NTAG424)
    with refused("PROOF_REFUSED") as caught:
        await converse(nile, shown, 10, nth(5, flipped(3)))
    assert caught[0].metadata["card"] == "tampered"
    assert "changed on its way" in caught[0].message
    plain = await saffron.member(100)
    begin = card_pb2.BeginCardProofRequest(identifier=plain, spend=spend(10, PURSE))
    with refused("PROOF_REFUSED"):
        await nile.till.pos.BeginCardProof(begin)


async def test_a_card_works_at_home_as_well(two: Two) -> None:
    _, saffron = two
    shown = await a_member(saffron, Profile.NTAG424)
    proof = await converse(saffron, shown, 25)
    answer = await saffron.redeem(shown, 25, proof)
    assert [one.units for one in answer.spent] == [25]


async def test_a_tap_at_a_partners_till_says_who_it_is_and_earns_once(two: Two) -> None:
    nile, saffron = two
    number = await a_member(saffron, Profile.NTAG424)
    tap = WALLET.shown(number.value)
    await nile.till.pos.Identify(inquiry_pb2.IdentifyRequest(identifier=tap))
    await nile.accrue(tap, 30)
    assert await saffron.points(number) == 130
    for shop in (nile, saffron):
        with refused("PROOF_REFUSED") as caught:
            await shop.accrue(tap, 30)
        assert caught[0].metadata["card"] == "replayed"
    assert await saffron.points(number) == 130


async def test_a_tap_spends_a_little_by_itself_at_both_tills_and_no_more(two: Two) -> None:
    nile, saffron = two
    number, nothing = await a_member(saffron, Profile.NTAG424), envelope_pb2.MemberProof()
    for shop, units in ((nile, 15), (saffron, 10)):
        await shop.redeem(WALLET.shown(number.value), units, nothing)
        with refused("PROOF_LIMIT_EXCEEDED") as caught:
            await shop.redeem(WALLET.shown(number.value), 21, nothing)
        assert caught[0].metadata["card"] == "tap_limit"
    assert await saffron.points(number) == 75


async def test_a_card_that_was_blocked_at_home_is_refused_by_name_at_a_partners_till(two: Two) -> None:
    nile, saffron = two
    shown = await a_member(saffron, Profile.DESFIRE)
    proof = await converse(nile, shown, 10)
    found = await saffron.admin.members.GetMember(member_service_pb2.GetMemberRequest(identifier=shown))
    (recorded,) = found.cards
    recorded.card.state = chip_card_pb2.CHIP_STATE_BLOCKED
    await note(saffron.admin.members, shown, recorded.card, saffron.node.now_ms())
    with refused("PROOF_REFUSED") as caught:
        await nile.redeem(shown, 10, proof)
    assert caught[0].metadata["card"] == "blocked_card"
    assert await saffron.points(shown) == 100
