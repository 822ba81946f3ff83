"""Chip cards at a node of the tests: a member with a card, a till that pipes, and what it asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cards.keys import Domain, IssuerKey, issuer_key
from cards.verification import Sale
from node.actors.card_spec import CardsSpec
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_CARD, Identifier
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.pos.v1 import card_pb2, spending_pb2
from node.wire.commands import Answer, Op
from tests.actors.harness import Actors, body_of
from tests.cards.bureau import ALIAS, MASTER, Bureau, Kind, a_members_card

CARD = Identifier(kind=IDENTIFIER_KIND_CARD, value=ALIAS)
MERCHANT = "saffron"
"""The issuer of the tests' cards; the harness's own merchant is the acquirer's name in a sale at home."""
POINTS = 100
MAX_ROUNDS = 8

Pipe = Callable[[bytes], bytes]


def verification_key(version: int = 1) -> IssuerKey:
    """The key that a node holds."""
    return issuer_key(MASTER, MERCHANT, Domain.VERIFICATION, version)


async def a_shop_with(kind: Kind, *, tap_transaction: int = 20, tap_day: int = 30) -> tuple[Actors, Bureau]:
    """A node with a member of 100 points, whose card is a finished one of that kind."""
    actors = Actors()
    give_keys(actors, tap_transaction, tap_day)
    bureau = a_members_card(kind)
    await actors.enrol(CARD)
    await actors.buys(CARD, POINTS)
    body_of(await record(actors, kind))
    return actors, bureau


def give_keys(actors: Actors, tap_transaction: int = 20, tap_day: int = 30) -> None:
    """The shards get the merchant's verification key."""
    spec = CardsSpec(MERCHANT, ((1, verification_key().key.raw),), tap_transaction, tap_day)
    for shard in actors.shards:
        shard.take_cards(spec)


async def record(
    actors: Actors,
    kind: Kind,
    state: chip_card_pb2.ChipState.ValueType = chip_card_pb2.CHIP_STATE_ACTIVE,
    uid: bytes = b"",
    version: int = 1,
) -> Answer:
    """What staff note of the card."""
    request = pb.RecordCardRequest(identifier=CARD)
    request.card.profile = chip_card_pb2.ChipProfile.ValueType(kind.profile.value)
    request.card.chip_uid = uid or kind.uid
    request.card.key_version = version
    request.card.state = state
    return await actors.tell(Op.RECORD_CARD, actors.stamped(request))


async def converse(
    actors: Actors, bureau: Bureau, units: int = 40, pipe: Pipe | None = None, pause_ms: int = 0
) -> Answer | envelope_pb2.MemberProof:
    """The whole conversation through the till; the proof, or the answer that refused."""
    begun = card_pb2.BeginCardProofRequest(identifier=CARD)
    begun.spend.purse, begun.spend.units = "points", units
    answer = await actors.at_till(Op.BEGIN_CARD_PROOF, begun)
    if answer.refusal is not None:
        return answer
    first = card_pb2.BeginCardProofResponse.FromString(answer.body)
    apdu, send = first.command_apdu, pipe or bureau.card.transmit
    bureau.card.tap()
    for _ in range(MAX_ROUNDS):
        actors.now_ms += pause_ms
        answer = await go_on(actors, first.session_id, send(apdu), units)
        if answer.refusal is not None:
            return answer
        following = card_pb2.ContinueCardProofResponse.FromString(answer.body)
        if following.WhichOneof("next") == "proof":
            return following.proof
        apdu = following.command_apdu
    raise AssertionError("the conversation does not end")


async def go_on(actors: Actors, session_id: bytes, card_said: bytes, units: int = 40) -> Answer:
    """One answer of the card's."""
    request = card_pb2.ContinueCardProofRequest(
        identifier=CARD, session_id=session_id, response_apdu=card_said
    )
    request.spend.purse, request.spend.units = "points", units
    return await actors.at_till(Op.CONTINUE_CARD_PROOF, request)


async def spend(actors: Actors, proof: Any, units: int = 40, op: Op = Op.REDEEM) -> Answer:
    """A spend with a member proof, or with a card's evidence as bytes."""
    request: Any = spending_pb2.RedeemRequest() if op is Op.REDEEM else spending_pb2.AuthorizeRequest()
    request.identifier.CopyFrom(CARD)
    request.spends.add(purse="points", units=units)
    if isinstance(proof, bytes):
        request.proof.card_cryptogram = proof
    else:
        request.proof.CopyFrom(proof)
    return await actors.at_till(op, actors.stamped(request))


def card_reason(answer: Answer | envelope_pb2.MemberProof) -> str:
    """The name by which a card was refused; empty where it was not."""
    assert isinstance(answer, Answer), "the card proved it"
    return (
        "" if answer.refusal is None else dict(answer.refusal.details).get("card", answer.refusal.reason.name)
    )


def a_sale(units: int = 40, terminal: str = "north/till-1", acquirer: str = "shop-1") -> Sale:
    """The sale at the harness's till."""
    return Sale(acquirer, terminal, units, "points", b"nonce-01")
