"""What is wrong with a card has its name, at its own merchant's till and at a partner's."""

from __future__ import annotations

from cards.verification import SunEvidence, pack_evidence
from node.actors.card_desk import card_refused_by_name
from node.ledger.refusals import Reason
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.pos.v1 import spending_pb2
from node.wire.commands import Answer, Op
from tests.actors.abroad_tills import MEMBER
from tests.actors.card_counter import PARTNER, anothers, clone, counter, every_kind, every_place, named
from tests.actors.harness import body_of, card, reason_of
from tests.cards.bureau import DESFIRE, JAVACARD, NTAG, Kind
from tests.cards.tills import flipped, nth, tap_of


@every_place
@every_kind
async def test_a_card_on_the_reader_is_refused_by_the_name_of_what_is_wrong(place: str, kind: Kind) -> None:
    till, bureau = await counter(place, kind)
    last = nth(2, flipped(10)) if kind is JAVACARD else nth(5, flipped(3))
    tampered = await till.converse(bureau, pipe=last)
    used = await till.converse(bureau)
    body_of(await till.spends(used))
    found = {
        "cloned_card": await till.converse(clone(kind)),
        "foreign_card": await till.converse(anothers(kind)),
        "tampered": tampered,
        "replayed": await till.spends(used),
    }
    await till.note(chip_card_pb2.CHIP_STATE_BLOCKED)
    found["blocked_card"] = await till.converse(bureau)
    for name, answer in found.items():
        assert isinstance(answer, Answer), name
        assert named(answer) == name
    assert await till.nile.points(MEMBER) == 985


@every_place
async def test_a_taps_address_is_refused_by_the_name_of_what_is_wrong(place: str) -> None:
    till, bureau = await counter(place, NTAG)

    def tap(address: str) -> bytes:
        return pack_evidence(SunEvidence(address))

    good = tap_of(bureau)
    other = tap_of(anothers(NTAG))
    changed = good[:-1] + ("0" if good[-1] != "0" else "1")
    assert named(await till.spends(tap(other))) == "foreign_card"
    assert named(await till.spends(tap(changed))) == "tampered"
    assert named(await till.spends(tap(tap_of(clone(NTAG))))) == "foreign_card", "it lacks the issuer's key"
    body_of(await till.spends(tap(good)))
    assert named(await till.spends(tap(good))) == "replayed", "a copy of an address is a tap that was"
    limited = await till.spends(tap(tap_of(bureau)), units=21)
    assert reason_of(limited) is Reason.PROOF_LIMIT_EXCEEDED
    assert limited.refusal is not None
    assert dict(limited.refusal.details)["card"] == "tap_limit"
    await till.note(chip_card_pb2.CHIP_STATE_RETIRED)
    assert named(await till.spends(tap(tap_of(bureau)))) == "blocked_card"
    assert await till.nile.points(MEMBER) == 985


@every_place
async def test_an_offline_cryptogram_is_refused_by_the_name_of_what_is_wrong(place: str) -> None:
    till, bureau = await counter(place, JAVACARD)
    good = till.offline(bureau)
    assert named(await till.spends(good[:-1] + bytes((good[-1] ^ 1,)))) == "bad_cryptogram"
    assert named(await till.spends(till.offline(clone(JAVACARD)))) == "bad_cryptogram"
    assert named(await till.spends(till.offline(anothers(JAVACARD)))) == "bad_cryptogram"
    assert named(await till.spends(till.offline(bureau, 14))) == "wrong_sale"
    body_of(await till.spends(good))
    assert named(await till.spends(good)) == "replayed"
    await till.note(chip_card_pb2.CHIP_STATE_BLOCKED)
    assert named(await till.spends(till.offline(bureau))) == "blocked_card"
    assert await till.nile.points(MEMBER) == 985


@every_place
async def test_what_is_no_evidence_and_a_number_without_a_chip_have_names_too(place: str) -> None:
    till, _ = await counter(place, DESFIRE)
    assert named(await till.spends(b"\x09nonsense")) == "malformed"
    await till.nile.enrol(card(2))
    request = (till.saffron if place == PARTNER else till.nile).stamped(
        spending_pb2.RedeemRequest(identifier=card(2))
    )
    request.spends.add(purse="points", units=1)
    request.proof.card_cryptogram = b"\x03https://x/?a=1"
    assert named(await till.ask(Op.REDEEM, request)) == "unknown_card"


async def test_a_partner_that_tells_nonsense_for_a_name_does_not_reach_the_tills_screen() -> None:
    for name in ("<b>", "x" * 41, "a b", "CLONED"):
        refusal = card_refused_by_name(name)
        assert dict(refusal.details)["card"] == "card_error"
    assert dict(card_refused_by_name("worn_out").details)["card"] == "worn_out"
