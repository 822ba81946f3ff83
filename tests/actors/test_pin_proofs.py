"""A member's PIN at the member's own merchant's tills: what it may spend, and that it is not guessed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.ledger.refusals import Reason
from node.programme.model import ProofKind, ProofLimit
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.pos.v1 import spending_pb2
from node.storage.keyspace import Kind
from node.wire.commands import Answer, AnswerKind, Op
from tests.actors.abroad_tills import MEMBER, opened
from tests.actors.harness import PROGRAMME, Actors, body_of, card, reason_of
from tests.actors.test_pools import POOL, joins

PIN = "481516"


class Shop(Actors):
    """A merchant whose programme takes PINs: 300 at a time, 500 in a day, required from 100 on."""

    def __init__(self, limit: ProofLimit | None = None, shards: int = 3) -> None:
        super().__init__(shards)
        limit = limit or ProofLimit(ProofKind.PIN, 300, 500, required_from_units=100)
        self.programmes = (replace(PROGRAMME, proofs=(limit,)),)
        self._build()

    async def sets(self, pin: str = PIN, who: Identifier = MEMBER) -> Answer:
        return await self.tell(Op.SET_PIN, self.stamped(pb.SetPinRequest(identifier=who, pin=pin)))

    async def resets(self, *, remove: bool = False, who: Identifier = MEMBER) -> Answer:
        return await self.tell(Op.RESET_PIN, self.stamped(pb.ResetPinRequest(identifier=who, remove=remove)))

    def request(self, units: int, pin: str, who: Identifier = MEMBER) -> spending_pb2.RedeemRequest:
        request = self.stamped(spending_pb2.RedeemRequest(identifier=who))
        request.spends.add(purse="points", units=units)
        if pin:
            request.proof.CopyFrom(envelope_pb2.MemberProof(pin=pin))
        return request

    async def asks_whether(self, units: int, who: Identifier = MEMBER) -> spending_pb2.RequestProofResponse:
        request = self.stamped(spending_pb2.RequestProofRequest(identifier=who))
        request.spends.add(purse="points", units=units)
        answer = body_of(await self.at_till(Op.REQUEST_PROOF, request))
        return spending_pb2.RequestProofResponse.FromString(answer)

    async def spends(self, units: int, pin: str = "", who: Identifier = MEMBER) -> Answer:
        return await self.at_till(Op.REDEEM, self.request(units, pin, who))


@pytest.fixture
async def shop() -> Shop:
    made = Shop()
    await made.enrol(MEMBER)
    await made.buys(MEMBER, 1_000)
    body_of(await made.sets())
    return made


def told(answer: Answer) -> str:
    """What the PIN's refusal is called."""
    assert answer.refusal is not None
    return dict(answer.refusal.details).get("pin", "")


async def test_a_right_pin_spends_and_a_wrong_one_takes_nothing(shop: Shop) -> None:
    assert told(await shop.spends(200, "0000")) == "wrong_pin"
    assert await shop.points(MEMBER) == 1_000
    body_of(await shop.spends(200, PIN))
    assert await shop.points(MEMBER) == 800
    shop.assert_whole()


async def test_wrong_tries_outlive_restarts_and_lock_the_pin_until_staff_reset_it(shop: Shop) -> None:
    for _ in range(3):
        assert told(await shop.spends(10, "0000")) == "wrong_pin"
        shop.restart()
    assert told(await shop.spends(10, PIN)) == "locked"
    assert (await shop.member(MEMBER)).pin_state == "locked"
    body_of(await shop.resets())
    assert (await shop.member(MEMBER)).pin_state == "set"
    body_of(await shop.spends(10, PIN))


async def test_a_till_that_repeats_a_refused_request_does_not_use_up_the_members_tries(shop: Shop) -> None:
    request = shop.request(10, "0000")
    for _ in range(6):
        assert told(await shop.at_till(Op.REDEEM, request)) == "wrong_pin"
    body_of(await shop.spends(10, PIN))


async def test_the_programme_says_what_a_pin_spends_at_a_time_and_in_a_day(shop: Shop) -> None:
    assert reason_of(await shop.spends(301, PIN)) is Reason.PROOF_LIMIT_EXCEEDED
    body_of(await shop.spends(300, PIN))
    assert reason_of(await shop.spends(201, PIN)) is Reason.PROOF_LIMIT_EXCEEDED
    body_of(await shop.spends(200, PIN))
    shop.now_ms += 86_400_000
    body_of(await shop.spends(300, PIN))


async def test_what_was_refused_for_another_reason_does_not_count_against_the_day(shop: Shop) -> None:
    other = Shop(ProofLimit(ProofKind.PIN, 5_000, 5_000))
    await other.enrol(MEMBER)
    await other.buys(MEMBER, 1_000)
    await other.sets()
    assert reason_of(await other.spends(4_500, PIN)) is Reason.INSUFFICIENT_BALANCE
    body_of(await other.spends(1_000, PIN))


async def test_a_member_who_has_a_pin_spends_much_only_with_it(shop: Shop) -> None:
    answer = await shop.spends(100)
    assert reason_of(answer) is Reason.PROOF_REQUIRED
    body_of(await shop.spends(99))
    await shop.enrol(card(2))
    await shop.buys(card(2), 500)
    body_of(await shop.spends(500, who=card(2)))  # nobody who has set none is asked for one


async def test_a_till_learns_beforehand_whether_a_spend_must_be_proved(shop: Shop) -> None:
    for units, required in ((99, False), (100, True)):
        assert (await shop.asks_whether(units)).required is required
        assert list((await shop.asks_whether(units)).proofs) == ["pin"]
    await shop.enrol(card(2))
    without = await shop.asks_whether(5_000, card(2))
    assert not without.required
    assert not without.proofs


async def test_where_the_programme_lists_no_pin_none_is_taken() -> None:
    actors = Shop(ProofLimit(ProofKind.APP_ANSWER, 1, 1))
    await actors.enrol(MEMBER)
    await actors.buys(MEMBER, 500)
    await actors.sets()
    assert told(await actors.spends(10, PIN)) == "not_taken"
    body_of(await actors.spends(10))


async def test_a_hold_is_proved_by_pin_like_a_spend(shop: Shop) -> None:
    request = shop.stamped(spending_pb2.AuthorizeRequest(identifier=MEMBER))
    request.spends.add(purse="points", units=150)
    assert reason_of(await shop.at_till(Op.AUTHORIZE, request)) is Reason.PROOF_REQUIRED
    request.request_id, request.proof.pin = "with-pin", PIN
    assert (await shop.at_till(Op.AUTHORIZE, request)).kind == AnswerKind.DONE


async def test_staff_take_a_pin_away_and_erasing_a_person_destroys_it(shop: Shop) -> None:
    body_of(await shop.resets(remove=True))
    assert (await shop.member(MEMBER)).pin_state == ""
    assert told(await shop.spends(10, PIN)) == "not_set"
    await shop.sets()
    assert list(shop.stored(Kind.MEMBER_PIN))
    await shop.tell(Op.ERASE_PERSON, shop.stamped(pb.ErasePersonRequest(identifier=MEMBER)))
    assert not list(shop.stored(Kind.MEMBER_PIN))


async def test_what_is_no_pin_is_not_set(shop: Shop) -> None:
    assert reason_of(await shop.sets("12")) is Reason.INVALID_ARGUMENT
    body_of(await shop.spends(150, PIN))


async def test_no_store_holds_a_pin_and_no_answer_shows_one(shop: Shop) -> None:
    answers = [await shop.spends(10, "7777"), await shop.spends(10, PIN)]
    stored = [value for store in shop.stores for _, value in store.scan(b"\x00", b"\xff" * 9)]
    assert not any(PIN.encode() in value or b"7777" in value for value in stored)
    assert not any(PIN in repr(answer) or "7777" in repr(answer) for answer in answers)


# --- a pool -------------------------------------------------------------------------------------------------


async def test_a_member_of_a_pool_proves_with_their_own_pin_and_the_pool_pays(shop: Shop) -> None:
    await shop.enrol(card(2))
    await shop.pool(POOL)
    for who in (MEMBER, card(2)):
        body_of(await joins(shop, who))
    await shop.deliver()
    shop.now_ms += 1_000
    assert reason_of(await shop.spends(100)) is Reason.PROOF_REQUIRED
    assert told(await shop.spends(100, "0000")) == "wrong_pin"
    request = shop.request(100, PIN)
    body_of(await shop.at_till(Op.REDEEM, request))
    body_of(await shop.at_till(Op.REDEEM, request))
    assert await shop.points(POOL) == 900
    assert told(await shop.spends(100, PIN, who=card(2))) == "not_set"
    for _ in range(3):
        await shop.spends(10, "0000")
    assert told(await shop.spends(10, PIN)) == "locked"
    shop.assert_whole()


# --- abroad -------------------------------------------------------------------------------------------------


async def test_a_pin_alone_never_spends_abroad_and_is_refused_by_name() -> None:
    tills = await opened()
    request = tills.nile.stamped(pb.SetPinRequest(identifier=MEMBER, pin=PIN))
    body_of(await tills.nile.tell(Op.SET_PIN, request))
    answer = await tills.asks(Op.REDEEM, tills.spend(100, pin=PIN))
    assert reason_of(answer) is Reason.PROOF_REFUSED
    assert answer.refusal is not None
    assert "PIN alone" in answer.refusal.message
    assert await tills.nile.points(MEMBER) == 1_000
