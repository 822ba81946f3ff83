"""A household's members at another merchant's till: each proves for themselves, and the pool pays."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from node.coalition import proofs
from node.coalition.proofs import ProofRule, ProofRules
from node.identity.coalition_secrets import CoalitionSecrets
from node.ledger.refusals import Reason
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.wire.coalition_records import SpendNotice
from node.wire.commands import AnswerKind, Op
from tests.actors.abroad_merchants import MASTER, SAFFRON
from tests.actors.abroad_tills import Tills
from tests.actors.harness import body_of, card, reason_of
from tests.actors.test_pools import POOL, joins, leaves

MOTHER, SON = card(1), card(2)
NONCE = b"8 random"


class Household(Tills):
    """Nile's pool of 1,000 points, with two members in it."""

    mother = son = pool = b""

    async def gather(self) -> None:
        self.mother = bytes.fromhex(await self.nile.enrol(MOTHER))
        self.son = bytes.fromhex(await self.nile.enrol(SON))
        self.pool = bytes.fromhex(await self.nile.pool(POOL))
        await self.nile.buys(MOTHER, 1_000)
        for who in (MOTHER, SON):
            body_of(await joins(self.nile, who))
        await self.nile.deliver()
        for node in (self.nile, self.saffron):
            node.now_ms += 1_000
        await self.open()

    def answer(self, account_id: bytes, ceiling: int) -> envelope_pb2.AppAnswer:
        """What the app on the phone of an account's member shows for saffron's till."""
        step = self.nile.now_ms // proofs.STEP_MS
        secret = CoalitionSecrets(MASTER).app(account_id)
        code = proofs.app_answer(secret, SAFFRON, ceiling, NONCE, step)
        return envelope_pb2.AppAnswer(code=code, nonce=NONCE, ceiling_units=ceiling, time_step=step)


@pytest.fixture
async def household() -> Household:
    made = Household()
    await made.gather()
    return made


async def test_a_members_code_goes_to_that_member_and_the_pool_pays(household: Household) -> None:
    code = await household.code(300, SON)
    assert household.nile.codes[-1].account_id == household.son
    spent = await household.asks(Op.REDEEM, household.spend(300, SON, confirmation_code=code))
    assert spent.kind == AnswerKind.DONE
    assert await household.nile.points(POOL) == 700
    told = [notice for outcome in household.nile.outcomes for notice in outcome.notices]
    assert told == [SpendNotice(household.son, SAFFRON, 300)]
    household.assert_agreed()


async def test_one_members_code_proves_nothing_for_another_of_the_household(household: Household) -> None:
    code = await household.code(300, SON)
    refused = await household.asks(Op.REDEEM, household.spend(300, MOTHER, confirmation_code=code))
    assert reason_of(refused) is Reason.PROOF_REFUSED
    assert await household.nile.points(POOL) == 1_000


async def test_a_members_app_answers_with_its_own_secret_and_only_once(household: Household) -> None:
    answer = household.answer(household.mother, 250)
    request = household.spend(250, MOTHER)
    request.proof.app_answer.CopyFrom(answer)
    body_of(await household.asks(Op.REDEEM, request))
    assert await household.nile.points(POOL) == 750
    again = household.spend(250, MOTHER)
    again.proof.app_answer.CopyFrom(answer)
    assert reason_of(await household.asks(Op.REDEEM, again)) is Reason.PROOF_REFUSED
    assert await household.nile.points(POOL) == 750
    household.assert_agreed()


async def test_an_answer_that_a_pool_paid_for_is_good_for_nothing_after_leaving_it(
    household: Household,
) -> None:
    answer = household.answer(household.mother, 250)
    request = household.spend(250, MOTHER)
    request.proof.app_answer.CopyFrom(answer)
    body_of(await household.asks(Op.REDEEM, request))
    body_of(await leaves(household.nile, household.mother.hex()))
    await household.nile.buys(MOTHER, 400)
    for node in (household.nile, household.saffron):
        node.now_ms += 1_000
    again = household.spend(250, MOTHER)
    again.proof.app_answer.CopyFrom(answer)
    assert reason_of(await household.asks(Op.REDEEM, again)) is Reason.PROOF_REFUSED
    new = household.spend(250, MOTHER)
    new.proof.app_answer.CopyFrom(household.answer(household.mother, 251))
    body_of(await household.asks(Op.REDEEM, new))
    assert await household.nile.points(MOTHER) == 150


async def test_an_answer_that_was_used_before_joining_does_not_make_the_pool_pay(
    household: Household,
) -> None:
    body_of(await leaves(household.nile, household.mother.hex()))
    await household.nile.buys(MOTHER, 400)
    for node in (household.nile, household.saffron):
        node.now_ms += 1_000
    answer = household.answer(household.mother, 250)
    request = household.spend(250, MOTHER)
    request.proof.app_answer.CopyFrom(answer)
    body_of(await household.asks(Op.REDEEM, request))
    body_of(await joins(household.nile, MOTHER))
    await household.nile.deliver()
    for node in (household.nile, household.saffron):
        node.now_ms += 1_000
    in_the_pool = await household.nile.points(POOL)
    again = household.spend(250, MOTHER)
    again.proof.app_answer.CopyFrom(answer)
    assert reason_of(await household.asks(Op.REDEEM, again)) is Reason.PROOF_REFUSED
    assert await household.nile.points(POOL) == in_the_pool > 1_000


async def test_the_pools_own_secret_and_another_members_prove_nothing(household: Household) -> None:
    for account_id in (household.pool, household.son):
        request = household.spend(100, MOTHER)
        request.proof.app_answer.CopyFrom(household.answer(account_id, 100))
        assert reason_of(await household.asks(Op.REDEEM, request)) is Reason.PROOF_REFUSED
    assert await household.nile.points(POOL) == 1_000


async def test_what_a_member_spends_of_a_pool_counts_against_the_members_own_limit(
    household: Household,
) -> None:
    for shard in household.nile.shards:
        abroad: Any = shard._abroad
        abroad.spec = replace(abroad.spec, rules=ProofRules(ProofRule(200, 300)))
    for units in (200, 100):
        code = await household.code(units, SON)
        body_of(await household.asks(Op.REDEEM, household.spend(units, SON, confirmation_code=code)))
    code = await household.code(1, SON)
    refused = await household.asks(Op.REDEEM, household.spend(1, SON, confirmation_code=code))
    assert reason_of(refused) is Reason.PROOF_LIMIT_EXCEEDED
    code = await household.code(1, MOTHER)
    body_of(await household.asks(Op.REDEEM, household.spend(1, MOTHER, confirmation_code=code)))
