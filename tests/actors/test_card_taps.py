"""A tap instead of a card's number: at its merchant's till it says who it is, earns, and spends a little."""

from __future__ import annotations

import pytest

from node.actors.asks import ask_of
from node.ledger.refusals import Reason, Refused
from node.proto.vafa.common.v1.identifier_pb2 import (
    IDENTIFIER_KIND_CARD_TAP,
    IDENTIFIER_KIND_PHONE,
    Identifier,
)
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2, spending_pb2, undo_pb2
from node.wire.commands import Answer, AnswerKind, Op
from tests.actors.card_tills import CARD, a_shop_with, card_reason, converse, give_keys, record, spend
from tests.actors.harness import TILL, Actors, Dead, body_of, by_id, card, phone, reason_of
from tests.cards.bureau import JAVACARD, KINDS, NTAG, Bureau, Kind
from tests.cards.tills import tap_of

POOL = card(9)


def shown(address: str) -> Identifier:
    """A tap's address as a till hands it in."""
    return Identifier(kind=IDENTIFIER_KIND_CARD_TAP, value=address)


def a_sale(actors: Actors, who: Identifier, points: int = 10) -> earning_pb2.AccrueRequest:
    request = actors.stamped(earning_pb2.AccrueRequest(identifier=who))
    request.purchase.total.currency, request.purchase.total.minor = "USD", points * 100
    return request


async def identified(actors: Actors, who: Identifier) -> Answer:
    return await actors.at_till(Op.IDENTIFY, inquiry_pb2.IdentifyRequest(identifier=who))


async def test_a_tap_says_who_it_is_and_then_earns_once() -> None:
    actors, bureau = await a_shop_with(NTAG)
    address = shown(tap_of(bureau))
    for _ in range(2):
        found = inquiry_pb2.IdentifyResponse.FromString(body_of(await identified(actors, address)))
        assert found.account_id == (await actors.member(CARD)).account_id
    quote = inquiry_pb2.QuoteRequest(identifier=address)
    quote.purchase.total.currency, quote.purchase.total.minor = "USD", 1_000
    body_of(await actors.at_till(Op.QUOTE, quote))
    body_of(await actors.at_till(Op.ACCRUE, a_sale(actors, address)))
    assert await actors.points(CARD) == 110
    for answer in (
        await actors.at_till(Op.ACCRUE, a_sale(actors, address)),
        await identified(actors, address),
        await actors.at_till(Op.QUOTE, quote),
    ):
        assert (reason_of(answer), card_reason(answer)) == (Reason.PROOF_REFUSED, "replayed")
    assert await actors.points(CARD) == 110


async def test_the_same_sale_sent_again_gets_its_answer_though_the_tap_was_counted() -> None:
    actors, bureau = await a_shop_with(NTAG)
    request = a_sale(actors, shown(tap_of(bureau)))
    first = await actors.at_till(Op.ACCRUE, request)
    assert first.kind == AnswerKind.DONE
    actors.restart()
    give_keys(actors)
    assert await actors.at_till(Op.ACCRUE, request) == first
    other = earning_pb2.AccrueRequest()
    other.CopyFrom(request)
    other.identifier.value = tap_of(bureau)
    assert reason_of(await actors.at_till(Op.ACCRUE, other)) is Reason.REQUEST_ID_REUSED
    assert await actors.points(CARD) == 110


async def test_of_two_tills_that_race_with_one_tap_one_is_refused_by_name() -> None:
    actors, bureau = await a_shop_with(NTAG)
    address = shown(tap_of(bureau))
    asked = [
        ask_of(Op.ACCRUE, request, b"") for request in (a_sale(actors, address), a_sale(actors, address))
    ]
    answers = await actors.counter.ask_many(TILL, asked, "t" * 32)  # type: ignore[arg-type]  # each was taken
    assert [answer.kind == AnswerKind.DONE for answer in answers] == [True, False]
    assert card_reason(answers[1]) == "replayed"


async def test_a_tap_before_one_that_earned_is_worth_nothing() -> None:
    actors, bureau = await a_shop_with(NTAG)
    harvested, later = shown(tap_of(bureau)), shown(tap_of(bureau))
    body_of(await actors.at_till(Op.ACCRUE, a_sale(actors, later)))
    assert card_reason(await actors.at_till(Op.ACCRUE, a_sale(actors, harvested))) == "replayed"
    assert card_reason(await spend(actors, b"\x03" + harvested.value.encode(), units=5)) == "replayed"


@pytest.mark.parametrize("op", [Op.REDEEM, Op.AUTHORIZE])
async def test_a_tap_as_the_identifier_spends_small_amounts(op: Op) -> None:
    actors, bureau = await a_shop_with(NTAG, tap_transaction=20, tap_day=30)

    def asks(units: int) -> spending_pb2.RedeemRequest | spending_pb2.AuthorizeRequest:
        kind = spending_pb2.RedeemRequest if op is Op.REDEEM else spending_pb2.AuthorizeRequest
        request = actors.stamped(kind(identifier=shown(tap_of(bureau))))
        request.spends.add(purse="points", units=units)
        return request

    over = await actors.at_till(op, asks(21))
    assert (reason_of(over), card_reason(over)) == (Reason.PROOF_LIMIT_EXCEEDED, "tap_limit")
    body_of(await actors.at_till(op, asks(20)))
    assert reason_of(await actors.at_till(op, asks(11))) is Reason.PROOF_LIMIT_EXCEEDED
    assert await actors.points(CARD) == 80


async def test_what_follows_a_tapped_sale_may_name_the_card_by_the_same_tap() -> None:
    actors, bureau = await a_shop_with(NTAG)
    sale = a_sale(actors, shown(tap_of(bureau)))
    earned = earning_pb2.AccrueResponse.FromString(body_of(await actors.at_till(Op.ACCRUE, sale)))
    look = inquiry_pb2.GetTransactionRequest(identifier=sale.identifier, request_id=sale.request_id)
    look.occurred_time.CopyFrom(sale.occurred_time)
    body_of(await actors.at_till(Op.GET_TRANSACTION, look))
    undo = undo_pb2.ReverseRequest(identifier=sale.identifier, original_request_id=sale.request_id)
    undo.occurred_time.CopyFrom(sale.occurred_time)
    body_of(await actors.at_till(Op.REVERSE, actors.stamped(undo)))
    assert earned.transaction_id
    assert await actors.points(CARD) == 100


async def test_a_tap_that_was_changed_or_is_a_blocked_cards_or_anothers_is_refused_by_name() -> None:
    actors, bureau = await a_shop_with(NTAG)
    good = tap_of(bureau)
    wrongs = {
        good[:-1] + ("0" if good[-1] != "0" else "1"): "tampered",
        good.replace("i=saffron", "i=pistachio"): "foreign_card",
        good.replace("&p=", "&p=00")[: len(good)]: "malformed",
    }
    for address, name in wrongs.items():
        for answer in (
            await identified(actors, shown(address)),
            await actors.at_till(Op.ACCRUE, a_sale(actors, shown(address))),
        ):
            assert card_reason(answer) == name
    await record(actors, NTAG, chip_card_pb2.CHIP_STATE_BLOCKED)
    assert card_reason(await actors.at_till(Op.ACCRUE, a_sale(actors, shown(good)))) == "blocked_card"
    assert await actors.points(CARD) == 100


@pytest.mark.parametrize(
    "value", ["", "https://card.example/t", "https://x/?a=1234&a=5678", "6104000000017", "x" * 301, "?a=کارت"]
)
def test_what_is_no_taps_address_is_an_invalid_identifier(value: str) -> None:
    ask = ask_of(Op.IDENTIFY, inquiry_pb2.IdentifyRequest(identifier=shown(value)), b"")
    assert isinstance(ask, Refused)
    assert ask.reason is Reason.INVALID_IDENTIFIER


async def test_a_card_without_taps_and_a_node_without_keys_take_none() -> None:
    actors, _ = await a_shop_with(JAVACARD)
    address = "https://card.saffron.example/t?i=saffron&a=6104000000017&p=" + "00" * 16 + "&m=" + "00" * 8
    assert card_reason(await identified(actors, shown(address))) == "foreign_card"
    bare = Actors()
    await bare.enrol(CARD)
    answer = await identified(bare, shown(address))
    assert answer.refusal is not None
    assert "key_store" in answer.refusal.message
    nobody = shown(address.replace("6104000000017", "6104000000099"))
    assert reason_of(await identified(actors, nobody)) is Reason.MEMBER_NOT_FOUND


async def test_staff_name_nobody_by_a_tap() -> None:
    actors, bureau = await a_shop_with(NTAG)
    asked = pb.LinkIdentifierRequest(identifier=shown(tap_of(bureau)))
    asked.new_identifier.kind, asked.new_identifier.value = IDENTIFIER_KIND_PHONE, phone(1).value
    assert (
        reason_of(await actors.tell(Op.LINK_IDENTIFIER, actors.stamped(asked))) is Reason.INVALID_IDENTIFIER
    )


@pytest.mark.parametrize("state", [chip_card_pb2.CHIP_STATE_BLOCKED, chip_card_pb2.CHIP_STATE_RETIRED])
async def test_the_bare_number_of_a_lost_card_spends_nothing_and_still_earns(
    state: chip_card_pb2.ChipState.ValueType,
) -> None:
    actors, _ = await a_shop_with(NTAG)
    await actors.tell(
        Op.LINK_IDENTIFIER,
        actors.stamped(pb.LinkIdentifierRequest(identifier=CARD, new_identifier=phone(1))),
    )
    await record(actors, NTAG, state)
    for op in (Op.REDEEM, Op.AUTHORIZE):
        answer = await spend(actors, b"", units=5, op=op)
        assert (reason_of(answer), card_reason(answer)) == (Reason.PROOF_REFUSED, "blocked_card")
    body_of(await actors.at_till(Op.ACCRUE, a_sale(actors, CARD)))
    body_of(await actors.redeems(phone(1), 5))
    assert await actors.points(CARD) == 105


# --- a household's card ------------------------------------------------------------------------------------


async def a_household_with(kind: Kind) -> tuple[Actors, Bureau]:
    """A member with a card whose 100 points went to the pool that they joined."""
    actors, bureau = await a_shop_with(kind, tap_transaction=20, tap_day=30)
    await actors.pool(POOL)
    asked = pb.JoinPoolRequest(identifier=CARD, pool_identifier=POOL)
    body_of(await actors.tell(Op.JOIN_POOL, actors.stamped(asked)))
    await actors.deliver()
    actors.now_ms += 1_000
    assert await actors.points(POOL) == 100
    return actors, bureau


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("op", [Op.REDEEM, Op.AUTHORIZE])
async def test_a_household_members_card_proves_what_the_pool_pays_once(kind: Kind, op: Op) -> None:
    actors, bureau = await a_household_with(kind)
    proof = await converse(actors, bureau)
    assert not isinstance(proof, Answer), proof
    body_of(await spend(actors, proof, op=op))
    assert await actors.points(POOL) == 60
    again = await spend(actors, proof, op=op)
    assert (reason_of(again), card_reason(again)) == (Reason.PROOF_REFUSED, "replayed")
    assert await actors.points(POOL) == 60
    actors.assert_whole()


async def test_a_households_spend_sent_again_gets_its_answer_also_after_a_crash_between_the_two() -> None:
    for moment in range(1, 4):
        for when in ("before", "after"):
            actors, bureau = await a_household_with(NTAG)
            request = actors.stamped(spending_pb2.RedeemRequest(identifier=shown(tap_of(bureau))))
            request.spends.add(purse="points", units=20)
            setattr(actors, f"dies_{when}", actors.messages + moment)
            try:
                await actors.until_death(actors.at_till(Op.REDEEM, request))
                actors.dies_before = actors.dies_after = 0
            except Dead:
                actors.restart()
                give_keys(actors)
            first = await actors.at_till(Op.REDEEM, request)
            body_of(first)
            assert await actors.at_till(Op.REDEEM, request) == first
            assert await actors.points(POOL) == 80, (when, moment)
            actors.assert_whole()


async def test_a_households_false_card_is_refused_by_name_and_nothing_is_taken() -> None:
    actors, bureau = await a_household_with(NTAG)
    address = tap_of(bureau)
    request = actors.stamped(spending_pb2.RedeemRequest(identifier=shown(address[:-1] + "?")))
    request.spends.add(purse="points", units=5)
    assert card_reason(await actors.at_till(Op.REDEEM, request)) == "malformed"
    proof = await converse(actors, bureau)
    await record(actors, NTAG, chip_card_pb2.CHIP_STATE_BLOCKED)
    assert card_reason(await spend(actors, proof)) == "blocked_card"
    assert await actors.points(POOL) == 100


async def test_a_household_members_tap_says_whose_points_it_spends_and_earns_for_all() -> None:
    actors, bureau = await a_household_with(NTAG)
    address = shown(tap_of(bureau))
    found = inquiry_pb2.IdentifyResponse.FromString(body_of(await identified(actors, address)))
    assert found.balances[0].spendable == 100
    body_of(await actors.at_till(Op.ACCRUE, a_sale(actors, address)))
    assert await actors.points(POOL) == 110
    assert card_reason(await actors.at_till(Op.ACCRUE, a_sale(actors, address))) == "replayed"
    assert card_reason(await identified(actors, address)) == "replayed"


async def test_the_bare_number_of_a_households_lost_card_spends_nothing_either() -> None:
    actors, _ = await a_household_with(NTAG)
    await record(actors, NTAG, chip_card_pb2.CHIP_STATE_BLOCKED)
    assert card_reason(await actors.redeems(CARD, 5)) == "blocked_card"
    body_of(await actors.redeems(POOL, 5))
    assert await actors.points(POOL) == 95


async def test_a_pool_takes_no_word_from_a_till() -> None:
    actors, bureau = await a_household_with(NTAG)
    request = actors.stamped(spending_pb2.RedeemRequest(identifier=POOL))
    request.spends.add(purse="points", units=5)
    request.proof.card_cryptogram = b"\x03" + tap_of(bureau).encode()
    assert card_reason(await actors.at_till(Op.REDEEM, request)) == "unknown_card"
    body_of(await actors.at_till(Op.IDENTIFY, inquiry_pb2.IdentifyRequest(identifier=POOL)))
    assert (await actors.member(by_id((await actors.member(POOL)).account_id))).balances[0].spendable == 100
