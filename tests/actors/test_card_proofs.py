"""A chip card at a home till: the node asks, the till pipes, and what is no proof is refused by name."""

import pytest

from cards.verification import AppletEvidence, SunEvidence, pack_evidence, parse_answer, parse_sale
from node.ledger.refusals import Reason
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.pos.v1 import card_pb2
from node.storage.keyspace import Kind as Stored
from node.wire.commands import Answer, AnswerKind, Op
from tests.actors.card_tills import (
    CARD,
    a_sale,
    a_shop_with,
    card_reason,
    converse,
    give_keys,
    go_on,
    record,
    spend,
)
from tests.actors.harness import Actors, reason_of
from tests.cards.bureau import DESFIRE, JAVACARD, KINDS, NTAG, Bureau, Kind, a_members_card
from tests.cards.tills import cryptogram_of, nth, tap_of
from tests.cards.tills import flipped as flipped_at

by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def flipped(apdu: bytes) -> bytes:
    return apdu[:-3] + bytes((apdu[-3] ^ 1,)) + apdu[-2:] if len(apdu) > 18 else apdu


@by_kind
@pytest.mark.parametrize("op", [Op.REDEEM, Op.AUTHORIZE])
async def test_a_card_on_the_reader_proves_a_spend_once(kind: Kind, op: Op) -> None:
    actors, bureau = await a_shop_with(kind)
    proof = await converse(actors, bureau)
    assert isinstance(proof, envelope_pb2.MemberProof), proof

    assert (await spend(actors, proof, op=op)).kind == AnswerKind.DONE
    assert await actors.points(CARD) == 60
    again = await spend(actors, proof, op=op)
    assert (reason_of(again), card_reason(again)) == (Reason.PROOF_REFUSED, "replayed")
    assert await actors.points(CARD) == 60


@by_kind
async def test_a_proof_is_for_its_amount_alone(kind: Kind) -> None:
    actors, bureau = await a_shop_with(kind)
    proof = await converse(actors, bureau, units=10)
    assert card_reason(await spend(actors, proof, units=40)) == "wrong_sale"
    assert await actors.points(CARD) == 100


async def test_a_retried_spend_gets_the_same_answer_though_its_proof_is_used_up() -> None:
    from node.proto.vafa.pos.v1 import spending_pb2

    actors, bureau = await a_shop_with(NTAG)
    proof = await converse(actors, bureau)
    request = actors.stamped(spending_pb2.RedeemRequest(identifier=CARD, proof=proof))  # type: ignore[arg-type]  # a double
    request.spends.add(purse="points", units=40)
    first = await actors.at_till(Op.REDEEM, request)
    assert first.kind == AnswerKind.DONE
    assert await actors.at_till(Op.REDEEM, request) == first


@by_kind
async def test_a_cloned_card_is_refused_by_name(kind: Kind) -> None:
    actors, _ = await a_shop_with(kind)
    clone = a_members_card(kind)
    if kind is JAVACARD:
        for instance in clone.card.memory.instances.values():
            instance.memory.key = b"a key made up..!"
    else:
        memory = clone.card.memory
        keys = memory.keys if kind is NTAG else next(iter(memory.applications.values())).keys
        keys[1].value = b"a key made up..!"
    assert card_reason(await converse(actors, clone)) == "cloned_card"


@by_kind
async def test_a_till_that_changes_what_it_carries_is_found_out(kind: Kind) -> None:
    actors, bureau = await a_shop_with(kind)
    said = await converse(actors, bureau, pipe=lambda apdu: flipped(bureau.card.transmit(apdu)))
    assert card_reason(said), "what is changed all the time proves nothing, whatever it looks like"
    last = nth(2, flipped_at(10)) if kind is JAVACARD else nth(5, flipped_at(3))
    said = await converse(actors, bureau, pipe=lambda apdu: last(bureau.card.transmit(apdu)))
    assert card_reason(said) == "tampered"


@by_kind
async def test_a_blocked_and_a_retired_card_are_refused_by_name(kind: Kind) -> None:
    actors, bureau = await a_shop_with(kind)
    proof = await converse(actors, bureau)
    await record(actors, kind, chip_card_pb2.CHIP_STATE_BLOCKED)
    assert card_reason(await spend(actors, proof)) == "blocked_card"
    assert card_reason(await converse(actors, bureau)) == "blocked_card"
    await record(actors, kind, chip_card_pb2.CHIP_STATE_ACTIVE)
    assert isinstance(await converse(actors, bureau), envelope_pb2.MemberProof)
    await record(actors, kind, chip_card_pb2.CHIP_STATE_RETIRED)
    assert reason_of(await record(actors, kind)) is Reason.INVALID_ARGUMENT, "retired is for good"
    assert card_reason(await converse(actors, bureau)) == "blocked_card"


async def test_a_card_of_another_kind_is_foreign() -> None:
    actors, _ = await a_shop_with(NTAG)
    assert card_reason(await converse(actors, a_members_card(DESFIRE))) == "foreign_card"


async def test_a_conversation_ends_with_its_time_and_takes_each_answer_once() -> None:
    actors, bureau = await a_shop_with(NTAG)
    assert card_reason(await converse(actors, bureau, pause_ms=6_000)) == "expired_session"
    begun = card_pb2.BeginCardProofRequest(identifier=CARD)
    begun.spend.purse, begun.spend.units = "points", 40
    first = card_pb2.BeginCardProofResponse.FromString(
        (await actors.at_till(Op.BEGIN_CARD_PROOF, begun)).body
    )
    bureau.card.tap()
    said = bureau.card.transmit(first.command_apdu)
    assert card_reason(await go_on(actors, first.session_id, said, units=41)) == "wrong_sale"
    assert (await go_on(actors, first.session_id, said)).kind == AnswerKind.DONE
    await go_on(actors, first.session_id, said)
    assert card_reason(await go_on(actors, first.session_id, said)) == "session_over"


async def test_a_restarted_node_has_forgotten_conversations_and_kept_counters() -> None:
    actors, bureau = await a_shop_with(NTAG)
    proof = await converse(actors, bureau)
    address = tap_of(bureau)
    assert (await spend(actors, tap(address), units=5)).kind == AnswerKind.DONE
    actors.restart()
    give_keys(actors)
    assert card_reason(await spend(actors, proof)) == "session_over"
    assert card_reason(await spend(actors, tap(address), units=5)) == "replayed"


def tap(address: str) -> bytes:
    return pack_evidence(SunEvidence(address))


async def test_taps_spend_little_once_each_and_up_to_a_cap_a_day() -> None:
    actors, bureau = await a_shop_with(NTAG, tap_transaction=20, tap_day=30)
    earlier, address = tap_of(bureau), tap_of(bureau)
    over = await spend(actors, tap(address), units=21)
    assert reason_of(over) is Reason.PROOF_LIMIT_EXCEEDED
    assert (await spend(actors, tap(address), units=20)).kind == AnswerKind.DONE
    assert card_reason(await spend(actors, tap(address), units=1)) == "replayed"
    assert card_reason(await spend(actors, tap(earlier), units=1)) == "replayed"
    assert reason_of(await spend(actors, tap(tap_of(bureau)), units=11)) is Reason.PROOF_LIMIT_EXCEEDED
    actors.now_ms += 86_400_000
    assert (await spend(actors, tap(tap_of(bureau)), units=11)).kind == AnswerKind.DONE
    assert await actors.points(CARD) == 100 - 31


async def test_a_refused_spend_leaves_the_counter_as_it_was() -> None:
    actors, bureau = await a_shop_with(NTAG, tap_transaction=1_000, tap_day=1_000)
    address = tap_of(bureau)
    assert reason_of(await spend(actors, tap(address), units=500)) is Reason.INSUFFICIENT_BALANCE
    assert (await spend(actors, tap(address), units=50)).kind == AnswerKind.DONE


def offline(bureau: Bureau, units: int = 40, terminal: str = "north/till-1") -> bytes:
    sale = a_sale(units, terminal).encode()
    answer = parse_answer(cryptogram_of(bureau, sale))
    assert answer is not None
    return pack_evidence(AppletEvidence(parse_sale(sale), answer))


async def test_an_applets_cryptogram_made_offline_is_taken_once_for_its_sale() -> None:
    actors, bureau = await a_shop_with(JAVACARD)
    first, second = offline(bureau, 10), offline(bureau, 20)
    assert (await spend(actors, second, units=20)).kind == AnswerKind.DONE, "tills come online in any order"
    assert card_reason(await spend(actors, first, units=11)) == "wrong_sale"
    assert (await spend(actors, first, units=10)).kind == AnswerKind.DONE
    assert card_reason(await spend(actors, first, units=10)) == "replayed"
    elsewhere = offline(bureau, 10, terminal="north/till-2")
    assert card_reason(await spend(actors, elsewhere, units=10)) == "wrong_sale"
    assert card_reason(await spend(actors, b"\x09nonsense", units=10)) == "malformed"


async def test_a_number_without_a_chip_and_a_node_without_keys_say_so() -> None:
    actors = Actors()
    await actors.enrol(CARD)
    await actors.buys(CARD, 100)
    bureau = a_members_card(NTAG)
    refused = await converse(actors, bureau)
    assert isinstance(refused, Answer)
    assert refused.refusal is not None
    assert "key_store" in refused.refusal.message
    give_keys(actors)
    assert card_reason(await converse(actors, bureau)) == "unknown_card"


async def test_an_erased_persons_card_is_forgotten() -> None:
    actors, _ = await a_shop_with(NTAG)
    assert list(actors.stored(Stored.CARD))
    request = actors.stamped(pb.ErasePersonRequest(identifier=CARD))
    assert (await actors.tell(Op.ERASE_PERSON, request)).kind == AnswerKind.DONE
    assert not list(actors.stored(Stored.CARD))


async def test_what_is_noted_of_a_chip_never_goes_back() -> None:
    actors, _ = await a_shop_with(NTAG)
    assert (await record(actors, NTAG, version=2)).kind == AnswerKind.DONE
    assert reason_of(await record(actors, NTAG, version=1)) is Reason.INVALID_ARGUMENT
    other = bytes.fromhex("04FFFFFFFFFFFF")
    assert reason_of(await record(actors, NTAG, uid=other)) is Reason.IDENTIFIER_TAKEN
    await record(actors, NTAG, chip_card_pb2.CHIP_STATE_BLOCKED, version=2)
    assert (await record(actors, NTAG, uid=other)).kind == AnswerKind.DONE, "a lost card's number, anew"
