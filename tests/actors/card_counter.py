"""A till at a card's own merchant or at a partner's, with a card that the tests put on its reader."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from cards.verification import AppletEvidence, Sale, pack_evidence, parse_answer, parse_sale
from node.actors.card_spec import CardsSpec
from node.ledger.refusals import Reason
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.pos.v1 import card_pb2, earning_pb2, spending_pb2
from node.wire.commands import Answer, Op
from tests.actors.abroad_merchants import SAFFRON
from tests.actors.abroad_tills import MEMBER, Tills
from tests.actors.card_tills import verification_key
from tests.actors.harness import body_of
from tests.actors.test_card_proofs_abroad import a_members_card
from tests.cards.bureau import JAVACARD, KINDS, MERCHANT, NTAG, Bureau, Kind
from tests.cards.bureau import a_members_card as of_somebody_else
from tests.cards.tills import cryptogram_of

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
