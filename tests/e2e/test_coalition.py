"""Members of one merchant at another's till, over whole nodes: the till need not know whose member it is."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from node.coalition.proofs import STEP_MS, app_answer
from node.proto.vafa.coalition.v1 import coalition_service_pb2, envelope_pb2
from node.proto.vafa.common.v1 import purchase_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2, undo_pb2
from tests.cli.cli_shop import run_vafa
from tests.e2e.union import PURSE, Merchant, Union, union, until
from tests.rpc.shop import refused, sale, spend

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
Two = tuple[Merchant, Merchant]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Union]:
    async with union(tmp_path_factory.mktemp("union"), "nile", "saffron") as made:
        yield made


@pytest.fixture
def two(town: Union) -> Two:
    nile, saffron = town.merchants
    return nile, saffron


async def test_a_purchase_abroad_earns_and_the_answer_says_that_it_stands(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member()
    answer = await nile.accrue(card, 30)
    assert answer.state == earning_pb2.ACCRUAL_STATE_POSTED
    assert [effect.points.units for effect in answer.effects] == [30]
    assert [one.spendable for one in answer.balances] == [30]
    assert await saffron.points(card) == 30
    assert await nile.points(card) == 30


async def test_a_repeated_purchase_abroad_earns_once(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member()
    operation = nile.write.accrual(card, _sale(20))
    answers = [await nile.till.send(operation) for _ in range(3)]
    assert len({answer.transaction_id for answer in answers}) == 1
    assert await saffron.points(card) == 20


async def test_a_spend_abroad_takes_a_code_that_names_the_acquirer_and_the_amount(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member(100)
    proof = await nile.proof(card, 40, saffron)
    words = saffron.sent()[-1]["text"]
    assert "Nile" in words
    assert "40" in words
    answer = await nile.redeem(card, 40, proof)
    assert [(one.purse, one.units) for one in answer.spent] == [(PURSE, 40)]
    assert await saffron.points(card) == 60
    await until(lambda: "40 union points of yours were spent at Nile" in saffron.sent()[-1]["text"])


async def test_without_a_good_proof_nothing_is_spent_abroad(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member(100)
    with refused("PROOF_REQUIRED"):
        await nile.till.send(nile.write.redemption(card, [spend(10, PURSE)]))
    with refused("PROOF_REFUSED"):
        await nile.redeem(card, 10, envelope_pb2.MemberProof(pin="1234"))
    with refused("PROOF_REFUSED"):
        await nile.redeem(card, 10, envelope_pb2.MemberProof(confirmation_code="000000"))
    proof = await nile.proof(card, 10, saffron)
    with refused("PROOF_REFUSED"):
        await nile.redeem(card, 11, proof)  # more than the words said
    assert await saffron.points(card) == 100


async def test_the_members_app_answers_the_tills_nonce_for_this_merchant_and_a_ceiling_once(
    two: Two,
) -> None:
    nile, saffron = two
    card = await saffron.member(100)
    known = await saffron.coalition.GetAppSecret(coalition_service_pb2.GetAppSecretRequest(identifier=card))
    nonce, step = os.urandom(8), saffron.node.now_ms() // STEP_MS

    def answer(acquirer: str, ceiling: int) -> envelope_pb2.MemberProof:
        code = app_answer(known.secret, acquirer, ceiling, nonce, step)[:8]
        said = envelope_pb2.AppAnswer(code=code, nonce=nonce, ceiling_units=ceiling, time_step=step)
        return envelope_pb2.MemberProof(app_answer=said)

    with refused("PROOF_REFUSED"):
        await nile.redeem(card, 10, answer("zagros", 20))  # meant for another merchant
    await nile.redeem(card, 20, answer("nile", 20))
    with refused("PROOF_REFUSED"):
        await nile.redeem(card, 20, answer("nile", 20))  # used before
    with refused("PROOF_REFUSED"):
        await nile.redeem(card, 31, answer("nile", 30))
    assert await saffron.points(card) == 80


async def test_the_home_programme_bounds_what_a_code_may_spend_at_a_time_and_in_a_day(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member(1_000)
    await saffron.limit_codes(transaction=100, day=150)
    try:
        with refused("PROOF_LIMIT_EXCEEDED"):
            await nile.redeem(card, 101, await nile.proof(card, 101, saffron))
        await nile.redeem(card, 90, await nile.proof(card, 90, saffron, again=True))
        with refused("PROOF_LIMIT_EXCEEDED"):
            await nile.redeem(card, 61, await nile.proof(card, 61, saffron, again=True))
    finally:
        await saffron.limit_codes(transaction=10**6, day=10**9)
    assert await saffron.points(card) == 910


async def test_authorize_capture_and_void_work_as_at_home(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member(100)
    operation = nile.write.authorization(card, [spend(50, PURSE)])
    operation.authorize.proof.CopyFrom(await nile.proof(card, 50, saffron))
    held = await nile.till.send(operation)
    assert await saffron.points(card) == 50
    again = await nile.till.send(operation)
    assert again.transaction_id == held.transaction_id
    captured = await nile.till.send(nile.write.capture_of(card, held.transaction_id, [spend(30, PURSE)]))
    assert captured.spent[0].units == 30
    assert await saffron.points(card) == 70
    with refused("AUTHORIZATION_NOT_OPEN"):
        await nile.till.send(nile.write.void_of(card, held.transaction_id))


async def test_a_void_gives_the_whole_hold_back(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member(100)
    operation = nile.write.authorization(card, [spend(50, PURSE)])
    operation.authorize.proof.CopyFrom(await nile.proof(card, 50, saffron))
    held = await nile.till.send(operation)
    await nile.till.send(nile.write.void_of(card, held.transaction_id))
    for _ in range(100):
        if await saffron.points(card) == 100:
            break
    assert await saffron.points(card) == 100


async def test_goods_that_come_back_take_what_they_earned_abroad(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member()
    sold = await nile.accrue(card, 100, lines=[(4_000, 1_000), (6_000, 2_000)])
    assert await saffron.points(card) == 100
    request = undo_pb2.ReturnRequest(
        request_id=uuid.uuid4().hex,
        identifier=card,
        occurred_time=nile.write.now(),
        transaction_id=sold.transaction_id,
        lines=[undo_pb2.ReturnedLine(number=2, quantity_milli=1_000)],
    )
    back = await nile.till.pos.Return(request)
    assert [effect.points.units for effect in back.effects] == [-30]
    assert await saffron.points(card) == 70
    repeated = await nile.till.pos.Return(request)
    assert repeated.transaction_id == back.transaction_id
    request.request_id = uuid.uuid4().hex
    request.ClearField("lines")
    await nile.till.pos.Return(request)
    await until_points(saffron, card, 0)


async def test_a_spend_that_is_given_back_returns_to_the_member(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member(100)
    spent = await nile.redeem(card, 80, await nile.proof(card, 80, saffron))
    request = undo_pb2.ReturnRequest(
        request_id=uuid.uuid4().hex,
        identifier=card,
        occurred_time=nile.write.now(),
        transaction_id=spent.transaction_id,
        amount_minor=30,
    )
    await nile.till.pos.Return(request)
    await until_points(saffron, card, 50)


async def test_a_reversal_undoes_a_purchase_abroad_and_keeps_an_unknown_one_out(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member()
    operation = nile.write.accrual(card, _sale(70))
    await nile.till.send(operation)
    undo = nile.write.reversal_of(operation)
    answer = await nile.till.send(undo)
    assert answer.undone
    await until_points(saffron, card, 0)
    never = nile.write.accrual(card, _sale(70))
    assert not (await nile.till.send(nile.write.reversal_of(never))).undone
    with refused("REQUEST_REVERSED"):
        await nile.till.send(never)
    assert await saffron.points(card) == 0


async def test_a_till_may_ask_about_a_member_of_another_merchant(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member(25)
    shown = await nile.till.pos.Identify(inquiry_pb2.IdentifyRequest(identifier=card))
    assert shown.display_name == ""
    assert shown.account_id.endswith("@saffron")
    assert shown.balances[0].spendable == 25
    operation = nile.write.accrual(card, _sale(5))
    await nile.till.send(operation)
    accrue = operation.accrue
    found = await nile.till.pos.GetTransaction(
        inquiry_pb2.GetTransactionRequest(
            identifier=card, occurred_time=accrue.occurred_time, request_id=accrue.request_id
        )
    )
    assert found.transaction.effects[0].points.units == 5
    with refused("NOT_ABROAD"):
        await nile.till.send(nile.write.activity(card, "welcome"))


async def test_a_card_that_nobody_carries_is_nobodys_abroad_either(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member()
    card.value = card.value[:-1] + ("0" if card.value[-1] != "0" else "1")
    with refused("MEMBER_NOT_FOUND"):
        await nile.points(card)
    sold = await nile.accrue(card, 10)  # the sale stands; the points find nobody
    assert [effect.WhichOneof("kind") for effect in sold.effects] == ["text"]


async def test_both_sides_hold_the_same_signed_records_and_people_can_read_them(two: Two) -> None:
    nile, saffron = two
    card = await saffron.member()
    for points in (1, 2, 3):
        await nile.accrue(card, points)
    for lane in range(saffron.node.config.storage.partitions):
        async with asyncio.timeout(60):
            while (held := [await records(*side, lane) for side in sides(two)])[0] != held[1]:  # noqa: ASYNC110 - two nodes' state
                await asyncio.sleep(0.05)
    shown = await asyncio.to_thread(
        run_vafa, "lane", "show", "nile", "--config", saffron.node.directory / "vafa.toml",
        "--address", saffron.node.addresses.address,
    )  # fmt: skip
    assert shown.status == 0, shown.err
    assert shown.out.count("both signatures hold") >= 3
    compared = await asyncio.to_thread(
        run_vafa, "lane", "compare", "nile", "--config", saffron.node.directory / "vafa.toml",
        "--address", saffron.node.addresses.address, "--json",
    )  # fmt: skip
    assert compared.status == 0, compared.err
    lanes = [json.loads(line) for line in compared.out.splitlines()]
    assert sum(lane["same"] for lane in lanes if lane["home_id"] == "saffron") >= 3
    assert {lane["home_id"] for lane in lanes} == {"saffron", "nile"}
    assert all(
        lane["own"] == lane["partner"] == lane["same"] for lane in lanes if lane["home_id"] == "saffron"
    )


async def test_a_batch_mixes_members_of_all_merchants(two: Two) -> None:
    nile, saffron = two
    own, other = await nile.member(), await saffron.member()
    results = await nile.till.submit(
        *[nile.write.accrual(card, _sale(10)) for card in (own, other, own, other)]
    )
    assert [result.WhichOneof("result") for result in results] == ["accrue"] * 4
    assert await nile.points(own) == 20
    await until_points(saffron, other, 20)


async def test_what_is_earned_while_the_home_node_is_away_arrives_and_nothing_is_spent_meanwhile(
    town: Union,
) -> None:
    nile, saffron = town.merchants
    card = await saffron.member(50)
    await saffron.stop()
    await until(lambda: not nile.node.node.coalition.partners.links.connected("saffron"))
    answer = await nile.accrue(card, 15)
    assert answer.state == earning_pb2.ACCRUAL_STATE_PENDING
    spending = nile.write.redemption(card, [spend(10, PURSE)])
    spending.redeem.proof.confirmation_code = "123456"
    with refused("HOME_UNREACHABLE"):
        await nile.till.send(spending)
    assert await nile.begun(saffron, spending.redeem.request_id) is None  # so the till may ask again
    with refused("HOME_UNREACHABLE"):
        await nile.points(card)
    await saffron.start()
    town.publish()
    await until_points(saffron, card, 65)


def sides(two: Two) -> list[tuple[Merchant, Merchant, bool]]:
    """Both sides of the lanes on which saffron is at home."""
    nile, saffron = two
    return [(saffron, nile, True), (nile, saffron, False)]


async def records(one: Merchant, other: Merchant, home: bool, lane: int) -> list[bytes]:
    """A lane as one side holds it."""
    request = coalition_service_pb2.ListRecordsRequest(partner_id=other.name, home=home, lane=lane)
    answer = await one.coalition.ListRecords(request)
    return [record.SerializeToString() for record in answer.records]


async def until_points(home: Merchant, card: Identifier, points: int) -> None:
    """Returns once the member has so many points at home."""
    async with asyncio.timeout(60):
        while await home.points(card) != points:  # noqa: ASYNC110 - another node's state
            await asyncio.sleep(0.05)


def _sale(points: int) -> purchase_pb2.Purchase:
    return sale(points * 100)
