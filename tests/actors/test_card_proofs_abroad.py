"""A chip card at a partner's till: its home node speaks with it through two pipes, and refuses by name."""

from __future__ import annotations

from itertools import count

import pytest

from cards.jobs import RECIPES
from cards.jobs.manifest import KeysWanted, Manifest
from cards.keys import CardIdentity
from cards.verification import AppletEvidence, Sale, SunEvidence, pack_evidence, parse_answer, parse_sale
from node.actors.card_desk import proof_of
from node.actors.card_spec import CardsSpec
from node.actors.restored import RestoredMarks
from node.coalition.acquirer_facts import Secretly
from node.coalition.card_messages import CardStep, CardStepped
from node.coalition.envelopes import MemberProof
from node.coalition.exchange import AcquirerState
from node.coalition.messages import ExchangeReason, MessageType, Reserve, SaleTerms, sha256
from node.identity.coalition_secrets import CoalitionSecrets
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.pos.v1 import card_pb2, spending_pb2
from node.wire.coalition import carried_bytes, identifier_commitment, proof_commitment, reopen
from node.wire.coalition_bodies import proof_bytes
from node.wire.commands import Op
from tests.actors.abroad_merchants import CARD, MASTER, SAFFRON, Bazaar
from tests.actors.card_tills import Pipe, verification_key
from tests.actors.harness import body_of, card
from tests.cards.bureau import ADDRESS_BASE, JAVACARD, KINDS, MERCHANT, NTAG, Bureau, Kind, a_bureau
from tests.cards.jobs.batch import issuer_keys
from tests.cards.tills import cryptogram_of, flipped, nth, tap_of

TERMINAL = "shop/till"
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
_steps = count(1)


def a_members_card(kind: Kind) -> Bureau:
    """A finished card of the member who shops abroad."""
    bureau, number = a_bureau(kind), card(1).value
    base = ADDRESS_BASE if kind is NTAG else ""
    manifest = Manifest("j", kind.name, MERCHANT, 1, number, KeysWanted(1), address_base=base)
    recipe = RECIPES[kind.profile]
    plan = recipe.plan(manifest, issuer_keys(), CardIdentity(kind.profile, kind.uid, number))
    bureau.run(recipe.steps(manifest, plan))
    return bureau


async def a_bazaar(kind: Kind) -> tuple[Bazaar, Bureau]:
    bazaar = Bazaar()
    for shard in bazaar.nile.shards:
        shard.take_cards(CardsSpec(MERCHANT, ((1, verification_key().key.raw),), 20, 30))
    await bazaar.nile.enrol(card(1))
    await bazaar.nile.buys(card(1), 1_000)
    await note(bazaar, kind)
    await bazaar.open()
    return bazaar, a_members_card(kind)


async def note(
    bazaar: Bazaar, kind: Kind, state: chip_card_pb2.ChipState.ValueType = chip_card_pb2.CHIP_STATE_ACTIVE
) -> None:
    """What the home merchant's staff note of the card."""
    request = pb.RecordCardRequest(identifier=card(1))
    request.card.profile = chip_card_pb2.ChipProfile.ValueType(kind.profile.value)
    request.card.chip_uid, request.card.key_version, request.card.state = kind.uid, 1, state
    body_of(await bazaar.nile.tell(Op.RECORD_CARD, bazaar.nile.stamped(request)))


async def step(
    bazaar: Bazaar, units: int, session_id: bytes = b"", answer: bytes = b"", terminal: str = TERMINAL
) -> CardStepped:
    """One CARD_STEP of saffron's, as its till brings it, and what nile answers."""
    salt, value = b"s" * 16, card(1).value
    body = CardStep(units, identifier_commitment(salt, CARD, value), terminal, session_id, answer)
    exchange_id = sha256(f"step {next(_steps)}".encode())[:16]
    message = bazaar.saffron.exchanging.seal(MessageType.CARD_STEP, exchange_id, body, "nile")
    assert message is not None
    carried = carried_bytes(message, identifier_kind=CARD, identifier=value, salt=salt)
    (said,) = await bazaar.nile.exchanging.answered(SAFFRON, carried)
    stepped = reopen(said).message.body
    assert isinstance(stepped, CardStepped)
    return stepped


async def converse(bazaar: Bazaar, bureau: Bureau, units: int = 300, pipe: Pipe | None = None) -> bytes | str:
    """The whole conversation; the evidence, or the name of the refusal."""
    stepped = await step(bazaar, units)
    bureau.card.tap()
    send = pipe or bureau.card.transmit
    while stepped.command_apdu:
        stepped = await step(bazaar, units, stepped.session_id, send(stepped.command_apdu))
    return stepped.refusal or proof_of(stepped.session_id)


async def spends(bazaar: Bazaar, request_id: str, units: int, evidence: bytes | str) -> AcquirerState:
    """A spend at saffron's till with a card's proof."""
    assert isinstance(evidence, bytes), evidence
    value = card(1).value
    salt = CoalitionSecrets(MASTER).salt("shop/till", request_id)
    proof = MemberProof(card_cryptogram=evidence)
    body = Reserve(
        units, SaleTerms("shop", "till", bazaar.saffron.now_ms, b""), 900, b"",
        identifier_commitment(salt, CARD, value), proof_commitment(salt, proof),
    )  # fmt: skip
    secretly = Secretly(CARD, value, proof_bytes(proof), salt)
    await bazaar.saffron.begins(request_id, body, secretly=secretly, one_step=True)
    await bazaar.pump()
    found = await bazaar.saffron.looks(request_id)
    if found.state is AcquirerState.FAILED:
        assert found.reason in (ExchangeReason.PROOF_REFUSED, ExchangeReason.PROOF_LIMIT)
    return found.state


@by_kind
async def test_a_card_on_a_partners_reader_proves_a_spend_once(kind: Kind) -> None:
    bazaar, bureau = await a_bazaar(kind)
    evidence = await converse(bazaar, bureau)
    assert await spends(bazaar, "r1", 300, evidence) is AcquirerState.DONE
    assert await bazaar.nile.points(card(1)) == 700
    assert await spends(bazaar, "r2", 300, evidence) is AcquirerState.FAILED
    assert await bazaar.nile.points(card(1)) == 700
    bazaar.assert_agreed()


@by_kind
async def test_a_request_that_could_not_be_taken_yet_finds_its_proof_still_good(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    bazaar, bureau = await a_bazaar(kind)
    evidence = await converse(bazaar, bureau)
    with monkeypatch.context() as restored:  # its partners have yet to show what it lacks
        restored.setattr(RestoredMarks, "spending_waits", lambda *_: True)
        assert await spends(bazaar, "r1", 300, evidence) is AcquirerState.INTENT
    bazaar.saffron.now_ms += 60_000
    bazaar.nile.now_ms += 60_000
    await bazaar.saffron.sends_what_is_due()
    await bazaar.pump()
    assert (await bazaar.saffron.looks("r1")).state is AcquirerState.DONE
    assert await bazaar.nile.points(card(1)) == 700
    assert await spends(bazaar, "r2", 300, evidence) is AcquirerState.FAILED
    assert await bazaar.nile.points(card(1)) == 700


@by_kind
async def test_a_proof_is_for_its_amount_and_used_up_by_a_wrong_one(kind: Kind) -> None:
    bazaar, bureau = await a_bazaar(kind)
    evidence = await converse(bazaar, bureau, units=100)
    assert await spends(bazaar, "r1", 300, evidence) is AcquirerState.FAILED
    assert await spends(bazaar, "r2", 100, evidence) is AcquirerState.FAILED
    assert await bazaar.nile.points(card(1)) == 1_000


@by_kind
async def test_clones_changed_answers_and_blocked_cards_are_refused_by_name(kind: Kind) -> None:
    bazaar, bureau = await a_bazaar(kind)
    last = nth(2, flipped(10)) if kind is JAVACARD else nth(5, flipped(3))
    changed = await converse(bazaar, bureau, pipe=lambda apdu: last(bureau.card.transmit(apdu)))
    assert changed == "tampered"
    clone = a_members_card(kind)
    memory = clone.card.memory
    if kind is JAVACARD:
        for instance in memory.instances.values():
            instance.memory.key = b"a key made up..!"
    else:
        keys = memory.keys if kind is NTAG else next(iter(memory.applications.values())).keys
        keys[1].value = b"a key made up..!"
    assert await converse(bazaar, clone) == "cloned_card"
    evidence = await converse(bazaar, bureau)
    await note(bazaar, kind, chip_card_pb2.CHIP_STATE_BLOCKED)
    assert await spends(bazaar, "r1", 300, evidence) is AcquirerState.FAILED
    assert await converse(bazaar, bureau) == "blocked_card"


async def test_a_conversation_is_one_partners_alone() -> None:
    bazaar, bureau = await a_bazaar(NTAG)
    first = await step(bazaar, 300)
    bureau.card.tap()
    answer = bureau.card.transmit(first.command_apdu)
    assert (await step(bazaar, 301, first.session_id, answer)).refusal == "wrong_sale"
    assert (await step(bazaar, 300, b"x" * 16, answer)).refusal == "session_over"


async def test_a_conversation_begun_at_home_is_not_a_partners_to_go_on_with() -> None:
    bazaar, bureau = await a_bazaar(NTAG)
    begin = card_pb2.BeginCardProofRequest(identifier=card(1))
    begin.spend.purse, begin.spend.units = "points", 300
    body = body_of(await bazaar.nile.at_till(Op.BEGIN_CARD_PROOF, begin))
    first = card_pb2.BeginCardProofResponse.FromString(body)
    bureau.card.tap()
    answer = bureau.card.transmit(first.command_apdu)
    stolen = await step(bazaar, 300, first.session_id, answer, terminal="north/till-1")
    assert stolen.refusal == "wrong_sale"


async def test_a_tap_from_before_a_counted_one_is_worth_nothing_anywhere() -> None:
    bazaar, bureau = await a_bazaar(NTAG)
    earlier, later = tap_of(bureau), tap_of(bureau)
    assert await spends(bazaar, "r1", 10, pack_evidence(SunEvidence(later))) is AcquirerState.DONE
    assert await spends(bazaar, "r2", 10, pack_evidence(SunEvidence(earlier))) is AcquirerState.FAILED
    request = bazaar.nile.stamped(spending_pb2.RedeemRequest(identifier=card(1)))
    request.spends.add(purse="points", units=5)
    request.proof.card_cryptogram = pack_evidence(SunEvidence(earlier))
    refused = (await bazaar.nile.at_till(Op.REDEEM, request)).refusal
    assert refused is not None
    assert dict(refused.details)["card"] == "replayed"


async def test_a_number_without_a_chip_is_told_so() -> None:
    bazaar = Bazaar()
    await bazaar.nile.enrol(card(1))
    await bazaar.open()
    assert (await step(bazaar, 300)).refusal == "unknown_card"


async def test_an_offline_cryptogram_spends_abroad_once() -> None:
    bazaar, bureau = await a_bazaar(JAVACARD)
    sale = Sale(SAFFRON, TERMINAL, 300, "points", b"nonce-01").encode()
    answer = parse_answer(cryptogram_of(bureau, sale))
    assert answer is not None
    evidence = pack_evidence(AppletEvidence(parse_sale(sale), answer))
    assert await spends(bazaar, "r1", 300, evidence) is AcquirerState.DONE
    assert await spends(bazaar, "r2", 300, evidence) is AcquirerState.FAILED
    elsewhere = Sale("pistachio", TERMINAL, 300, "points", b"nonce-01").encode()
    answer = parse_answer(cryptogram_of(bureau, elsewhere))
    assert answer is not None
    stolen = pack_evidence(AppletEvidence(parse_sale(elsewhere), answer))
    assert await spends(bazaar, "r3", 300, stolen) is AcquirerState.FAILED
    assert await bazaar.nile.points(card(1)) == 700
    bazaar.assert_agreed()


async def test_a_tap_spends_little_abroad_and_is_used_up_by_being_shown() -> None:
    bazaar, bureau = await a_bazaar(NTAG)
    address = tap_of(bureau)
    assert await spends(bazaar, "r1", 10, pack_evidence(SunEvidence(address))) is AcquirerState.DONE
    assert await spends(bazaar, "r2", 10, pack_evidence(SunEvidence(address))) is AcquirerState.FAILED
    assert await spends(bazaar, "r3", 21, pack_evidence(SunEvidence(tap_of(bureau)))) is AcquirerState.FAILED
    assert await bazaar.nile.points(card(1)) == 990
