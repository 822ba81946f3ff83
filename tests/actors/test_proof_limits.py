"""What each kind of proof spends abroad, at a time and in a day, is what the home programme lists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from node.coalition import proofs
from node.coalition.exchange import AcquirerState
from node.identity.coalition_secrets import CoalitionSecrets
from node.ledger.refusals import Reason
from node.programme.model import ProofKind, ProofLimit
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.wire.commands import Answer, Op
from tests.actors import test_card_proofs_abroad as cards
from tests.actors.abroad_merchants import MASTER, SAFFRON, Bazaar
from tests.actors.abroad_tills import MEMBER, Tills
from tests.actors.harness import PROGRAMME, body_of, reason_of
from tests.cards.bureau import JAVACARD

NONCE = b"nonce678"
DAY_MS = 86_400_000
Spend = Callable[[Tills, int], Awaitable[Answer]]


async def a_town(*limits: ProofLimit) -> Tills:
    """Nile's programme lists these proofs."""
    tills = Tills()
    list_in(tills, *limits)
    await tills.nile.enrol(MEMBER)
    await tills.nile.buys(MEMBER, 1_000)
    await tills.open()
    return tills


def list_in(bazaar: Bazaar, *limits: ProofLimit) -> None:
    bazaar.nile.programmes = (replace(PROGRAMME, proofs=limits),)
    bazaar.nile._build()
    if isinstance(bazaar, Tills):
        bazaar.attach()


async def by_code(tills: Tills, units: int) -> Answer:
    return await tills.asks(Op.REDEEM, tills.spend(units, confirmation_code=await tills.code(units)))


async def by_app(tills: Tills, units: int) -> Answer:
    tills.nile.now_ms += proofs.STEP_MS
    tills.saffron.now_ms += proofs.STEP_MS
    account_id = bytes.fromhex((await tills.nile.member(MEMBER)).account_id)
    step, secret = tills.nile.now_ms // proofs.STEP_MS, CoalitionSecrets(MASTER).app(account_id)
    code = proofs.app_answer(secret, SAFFRON, units, NONCE, step)
    request = tills.spend(units)
    request.proof.app_answer.CopyFrom(
        envelope_pb2.AppAnswer(code=code, nonce=NONCE, ceiling_units=units, time_step=step)
    )
    return await tills.asks(Op.REDEEM, request)


@pytest.mark.parametrize(
    ("kind", "spend"), [(ProofKind.CONFIRMATION_CODE, by_code), (ProofKind.APP_ANSWER, by_app)]
)
async def test_a_code_and_an_app_spend_what_the_programme_lists_and_no_more(
    kind: ProofKind, spend: Spend
) -> None:
    tills = await a_town(ProofLimit(kind, 200, 300))
    assert reason_of(await spend(tills, 201)) is Reason.PROOF_LIMIT_EXCEEDED
    body_of(await spend(tills, 200))
    assert reason_of(await spend(tills, 101)) is Reason.PROOF_LIMIT_EXCEEDED
    body_of(await spend(tills, 100))
    for node in (tills.nile, tills.saffron):
        node.now_ms += DAY_MS
    body_of(await spend(tills, 200))
    tills.assert_agreed()


@pytest.mark.parametrize(
    ("listed", "spend"), [(ProofKind.APP_ANSWER, by_code), (ProofKind.CONFIRMATION_CODE, by_app)]
)
async def test_what_the_programme_does_not_list_spends_nothing(listed: ProofKind, spend: Spend) -> None:
    tills = await a_town(ProofLimit(listed, 200, 300))
    assert reason_of(await spend(tills, 1)) is Reason.PROOF_LIMIT_EXCEEDED
    assert await tills.nile.points(MEMBER) == 1_000


async def test_a_programme_that_lists_a_pin_alone_leaves_what_is_spent_abroad_as_it_was() -> None:
    tills = await a_town(ProofLimit(ProofKind.PIN, 1, 1))
    body_of(await by_code(tills, 500))


async def test_a_card_spends_abroad_what_the_programme_lists_and_no_more() -> None:
    bazaar, bureau = await cards.a_bazaar(JAVACARD)
    for shard in bazaar.nile.shards:
        programme = replace(PROGRAMME, proofs=(ProofLimit(ProofKind.CARD_CRYPTOGRAM, 200, 300),))
        shard.publish((programme,))
    evidence = await cards.converse(bazaar, bureau, 300)
    assert await cards.spends(bazaar, "r1", 300, evidence) is AcquirerState.FAILED
    evidence = await cards.converse(bazaar, bureau, 200)
    assert await cards.spends(bazaar, "r2", 200, evidence) is AcquirerState.DONE
