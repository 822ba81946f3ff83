"""What is wrong with a card has its name, at its own merchant's till and at a partner's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from cards.verification import AppletEvidence, Sale, SunEvidence, pack_evidence, parse_answer, parse_sale
from node.actors.card_desk import card_refused_by_name
from node.actors.card_spec import CardsSpec
from node.ledger.refusals import Reason, refuse
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_CARD_TAP, Identifier
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.pos.v1 import card_pb2, earning_pb2, inquiry_pb2, spending_pb2
from node.wire.commands import Answer, AnswerKind, Command, Op, refused
from tests.actors.abroad_merchants import SAFFRON
from tests.actors.abroad_tills import MEMBER, Tills
from tests.actors.card_tills import verification_key
from tests.actors.harness import body_of, card, reason_of
from tests.actors.test_card_proofs_abroad import a_members_card
from tests.actors.test_pools import POOL, joins
from tests.cards.bureau import DESFIRE, JAVACARD, KINDS, MERCHANT, NTAG, Bureau, Kind
from tests.cards.bureau import a_members_card as of_somebody_else
from tests.cards.tills import cryptogram_of, flipped, nth, tap_of

HOME, PARTNER = "home", "partner"
MAX_ROUNDS = 12
Pipe = Callable[[bytes], bytes]
every_place = pytest.mark.parametrize("place", [HOME, PARTNER])
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


class Counter(Tills):
    """A till, at the card's own merchant or at saffron's, with a member who has 1,000 points and a card."""

    def __init__(self, place: str, kind: Kind) -> None:
        super().__init__()
        self.place, self.kind = place, kind
        self.acquirer, self.terminal = (SAFFRON if place == PARTNER else "shop-1"), "north/till-1"
        self._nonces = count(1)

    async def open_with_card(self) -> Bureau:
        for shard in self.nile.shards:
            shard.take_cards(CardsSpec(MERCHANT, ((1, verification_key().key.raw),), 20, 40))
        await self.nile.enrol(MEMBER)
        await self.nile.buys(MEMBER, 1_000)
        await self.note()
        await self.open()
        return a_members_card(self.kind)

    async def note(self, state: chip_card_pb2.ChipState.ValueType = chip_card_pb2.CHIP_STATE_ACTIVE) -> None:
        request = pb.RecordCardRequest(identifier=MEMBER)
        request.card.profile = chip_card_pb2.ChipProfile.ValueType(self.kind.profile.value)
        request.card.chip_uid, request.card.key_version, request.card.state = self.kind.uid, 1, state
        body_of(await self.nile.tell(Op.RECORD_CARD, self.nile.stamped(request)))

    async def ask(self, op: Op, message: Any) -> Answer:
        node = self.saffron if self.place == PARTNER else self.nile
        return await self.pumped(node.at_till(op, message))

    async def converse(
        self, bureau: Bureau, units: int = 15, pipe: Pipe = lambda apdu: apdu
    ) -> Answer | bytes:
        """The card on the reader; its evidence, or the answer that refused."""
        begin = card_pb2.BeginCardProofRequest(identifier=MEMBER)
        begin.spend.purse, begin.spend.units = "points", units
        answer = await self.ask(Op.BEGIN_CARD_PROOF, begin)
        if answer.refusal is not None:
            return answer
        first = card_pb2.BeginCardProofResponse.FromString(answer.body)
        apdu = first.command_apdu
        bureau.card.tap()
        for _ in range(MAX_ROUNDS):
            step = card_pb2.ContinueCardProofRequest(
                identifier=MEMBER, spend=begin.spend, session_id=first.session_id,
                response_apdu=pipe(bureau.card.transmit(apdu)),
            )  # fmt: skip
            answer = await self.ask(Op.CONTINUE_CARD_PROOF, step)
            if answer.refusal is not None:
                return answer
            following = card_pb2.ContinueCardProofResponse.FromString(answer.body)
            if following.WhichOneof("next") == "proof":
                return following.proof.card_cryptogram
            apdu = following.command_apdu
        raise AssertionError("the conversation does not end")

    def offline(self, bureau: Bureau, units: int = 15) -> bytes:
        """An applet's cryptogram, made without the node."""
        nonce = next(self._nonces).to_bytes(8, "big")
        sale = Sale(self.acquirer, self.terminal, units, "points", nonce).encode()
        answer = parse_answer(cryptogram_of(bureau, sale))
        assert answer is not None
        return pack_evidence(AppletEvidence(parse_sale(sale), answer))

    async def spends(self, evidence: bytes | Answer, units: int = 15, who: Identifier = MEMBER) -> Answer:
        if isinstance(evidence, Answer):
            return evidence
        node = self.saffron if self.place == PARTNER else self.nile
        request = node.stamped(spending_pb2.RedeemRequest(identifier=who))
        request.spends.add(purse="points", units=units)
        if evidence:
            request.proof.CopyFrom(envelope_pb2.MemberProof(card_cryptogram=evidence))
        return await self.ask(Op.REDEEM, request)

    async def earns(self, who: Identifier) -> Answer:
        node = self.saffron if self.place == PARTNER else self.nile
        request = node.stamped(earning_pb2.AccrueRequest(identifier=who))
        request.purchase.total.currency, request.purchase.total.minor = "USD", 1_000
        return await self.ask(Op.ACCRUE, request)


async def counter(place: str, kind: Kind) -> tuple[Counter, Bureau]:
    made = Counter(place, kind)
    return made, await made.open_with_card()


def named(answer: Answer) -> str:
    """The name in the refusal, as it leaves the node."""
    assert answer.refusal is not None, "it was done"
    assert answer.refusal.reason is Reason.PROOF_REFUSED, answer.refusal
    assert len(answer.refusal.message) > 30, "a person reads what happened and what to do"
    return str(dict(answer.refusal.details)["card"])


def clone(kind: Kind) -> Bureau:
    """All that can be read of the member's card, on a card with other keys."""
    bureau = a_members_card(kind)
    memory = bureau.card.memory
    if kind is JAVACARD:
        for instance in memory.instances.values():
            instance.memory.key = b"a key made up..!"
        return bureau
    for slot in memory.keys if kind is NTAG else next(iter(memory.applications.values())).keys:
        slot.value = b"a key made up..!"
    return bureau


def anothers(kind: Kind) -> Bureau:
    """A finished card of the same merchant's, with another number."""
    return of_somebody_else(kind)


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


# --- a tap as the identifier, at a partner's till ----------------------------------------------------------


def shown(address: str) -> Identifier:
    return Identifier(kind=IDENTIFIER_KIND_CARD_TAP, value=address)


async def test_a_tap_earns_at_a_partners_till_once_and_is_refused_by_name_then() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    address = shown(tap_of(bureau))
    identify = inquiry_pb2.IdentifyRequest(identifier=address)
    body_of(await till.ask(Op.IDENTIFY, identify))
    body_of(await till.ask(Op.IDENTIFY, identify))
    earned = earning_pb2.AccrueResponse.FromString(body_of(await till.earns(address)))
    assert earned.state == earning_pb2.ACCRUAL_STATE_POSTED
    assert await till.nile.points(MEMBER) == 1_010
    assert named(await till.earns(address)) == "replayed"
    assert named(await till.ask(Op.IDENTIFY, identify)) == "replayed"
    assert await till.nile.points(MEMBER) == 1_010
    till.assert_agreed()


async def test_a_sale_by_a_tap_that_is_sent_again_is_answered_and_counted_once() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    request = till.saffron.stamped(earning_pb2.AccrueRequest(identifier=shown(tap_of(bureau))))
    request.purchase.total.currency, request.purchase.total.minor = "USD", 1_000
    first = await till.ask(Op.ACCRUE, request)
    again = await till.ask(Op.ACCRUE, request)
    one, other = (earning_pb2.AccrueResponse.FromString(body_of(answer)) for answer in (first, again))
    assert one.transaction_id == other.transaction_id
    assert await till.nile.points(MEMBER) == 1_010
    till.assert_agreed()


async def test_a_tap_spends_a_little_at_a_partners_till_by_itself() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    address = tap_of(bureau)
    body_of(await till.spends(b"", units=20, who=shown(address)))
    assert named(await till.spends(b"", units=10, who=shown(address))) == "replayed"
    over = await till.spends(b"", units=21, who=shown(tap_of(bureau)))
    assert reason_of(over) is Reason.PROOF_LIMIT_EXCEEDED
    assert await till.nile.points(MEMBER) == 980
    till.assert_agreed()


def entries(till: Counter) -> int:
    """What saffron's journal holds."""
    return sum(part.sequence for shard in till.saffron.shards for part in shard.partitions.values())


async def test_a_false_tap_records_no_sale_at_a_partners_till() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    address = tap_of(bureau)
    changed = shown(address[:-1] + ("0" if address[-1] != "0" else "1"))
    before = entries(till)
    assert named(await till.earns(changed)) == "tampered"
    assert entries(till) == before
    assert await till.nile.points(MEMBER) == 1_000


async def test_without_the_home_node_a_tap_earns_nothing_and_the_cards_number_does() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    links: Any = till.saffron.exchanging.links
    links.connected = lambda partner_id: False
    answer = await till.earns(shown(tap_of(bureau)))
    assert reason_of(answer) is Reason.HOME_UNREACHABLE
    assert answer.refusal is not None
    assert "number" in answer.refusal.message
    assert (await till.earns(MEMBER)).kind == AnswerKind.DONE


# --- a household's card at a partner's till ----------------------------------------------------------------


@every_kind
async def test_a_household_members_card_proves_at_a_partners_till_what_the_pool_pays(kind: Kind) -> None:
    till, bureau = await counter(PARTNER, kind)
    await till.nile.pool(POOL)
    body_of(await joins(till.nile, MEMBER))
    await till.nile.deliver()
    for node in (till.nile, till.saffron):
        node.now_ms += 1_000
    evidence = await till.converse(bureau)
    assert isinstance(evidence, bytes), evidence
    body_of(await till.spends(evidence))
    assert await till.nile.points(POOL) == 985
    assert named(await till.spends(evidence)) == "replayed"
    false = await till.converse(clone(kind))
    assert isinstance(false, Answer)
    assert named(false) == "cloned_card"
    await till.note(chip_card_pb2.CHIP_STATE_BLOCKED)
    blocked = await till.converse(bureau)
    assert isinstance(blocked, Answer)
    assert named(blocked) == "blocked_card"
    assert await till.nile.points(POOL) == 985
    till.assert_agreed()


async def test_a_household_members_tap_earns_and_spends_for_the_pool_at_a_partners_till() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    await till.nile.pool(POOL)
    body_of(await joins(till.nile, MEMBER))
    await till.nile.deliver()
    for node in (till.nile, till.saffron):
        node.now_ms += 1_000
    body_of(await till.earns(shown(tap_of(bureau))))
    body_of(await till.spends(b"", units=20, who=shown(tap_of(bureau))))
    assert await till.nile.points(POOL) == 990
    till.assert_agreed()


async def test_a_pool_that_could_not_be_asked_yet_is_no_second_use_of_the_card() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    await till.nile.pool(POOL)
    body_of(await joins(till.nile, MEMBER))
    await till.nile.deliver()
    for node in (till.nile, till.saffron):
        node.now_ms += 1_000
    evidence = await till.converse(bureau)
    assert isinstance(evidence, bytes)
    router, busy = till.nile.router, iter([True, True])
    original = router.ask

    async def ask(command: Command) -> Answer:
        if command.op is Op.HOME_MESSAGE and command.extra and next(busy, False):
            return refused(refuse(Reason.OVERLOADED, "The pool's shard has a full queue."))
        return await original(command)

    router.ask = ask  # type: ignore[method-assign]  # a double
    task = asyncio.ensure_future(till.saffron.at_till(Op.REDEEM, _redeem(till, evidence)))
    while not task.done():
        await asyncio.sleep(0)
        await till.pump()
        if not till.network:
            await till.time_passes(1_000)
    body_of(task.result())
    assert next(busy, None) is None
    assert await till.nile.points(POOL) == 985
    till.assert_agreed()


def _redeem(till: Counter, evidence: bytes) -> spending_pb2.RedeemRequest:
    request = till.saffron.stamped(spending_pb2.RedeemRequest(identifier=MEMBER))
    request.spends.add(purse="points", units=15)
    request.proof.card_cryptogram = evidence
    return request
