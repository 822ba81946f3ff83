"""Chip cards on the wire and in the store: what tills and bureaux say of them, and what is kept."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from node.ledger.refusals import Refused
from node.ledger.spending import SpendRequest
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.pos.v1 import card_pb2
from node.wire.balances import stamp
from node.wire.commands import Op
from node.wire.parse import Parsed, decode, invalid
from node.wire.records import Codec
from node.wire.requests import spends_from

MAX_APDU_BYTES = 300
SESSION_ID_BYTES = 16
MAX_KEY_VERSION = 127
MAX_USES = 16
"""Requests of a card that are remembered: more than one member has under way, by far."""
_NUMBER = re.compile(r"[0-9A-Z]{4,16}")
_UID_BYTES = {1: 7, 2: 7, 3: 10}


class ChipState(IntEnum):
    """Whether a card may prove anything; the numbers are those of the protos."""

    ACTIVE = 1
    BLOCKED = 2
    RETIRED = 3


class Chip(Struct, frozen=True):
    """What a bureau or staff say of a card."""

    profile: int
    uid: bytes
    number: str
    key_version: int
    state: ChipState


class CardEntry(Struct, frozen=True, array_like=True):
    """A card as it is kept beside its account: the chip, and the counters of what it proved.

    `counter` and `seen` are the window of the applet's transaction counter, `tap` the last tap's counter;
    `tap_units` were spent by taps on the local `tap_day`. `uses` are the last requests that it proved for
    somebody who does them in another partition or at another node: asked again, they are no replay.
    """

    chip: Chip
    counter: int = 0
    seen: int = 0
    tap: int = 0
    tap_day: int = 0
    tap_units: int = 0
    uses: tuple[bytes, ...] = ()

    def used_for(self, use: bytes) -> CardEntry:
        """The card's record with one more use, of which the oldest are forgotten."""
        return self if use in self.uses else replace(self, uses=(*self.uses, use)[-MAX_USES:])


CARD = Codec(CardEntry)


class CardAsk(Struct, frozen=True):
    """What a till asks about a spend that a card is to prove. `number` is the card's, as it was shown."""

    number: str
    spend: SpendRequest
    session_id: bytes = b""
    answer: bytes = b""


def parse_card_proof(op: Op, body: bytes, store_id: str, currency: str) -> Parsed[Any] | Refused:
    """BeginCardProof or ContinueCardProof, or why it is none."""
    begins = op is Op.BEGIN_CARD_PROOF
    message: Any = card_pb2.BeginCardProofRequest() if begins else card_pb2.ContinueCardProofRequest()
    problem = decode(message, body)
    if problem:
        return problem
    if message.identifier.kind != identifier_pb2.IDENTIFIER_KIND_CARD:
        return invalid("identifier", "A card is named by the number that it shows.")
    spends = spends_from((message.spend,), currency)
    if isinstance(spends, Refused):
        return spends
    if begins:
        return Parsed("", 0, b"", CardAsk(message.identifier.value, spends[0]))
    if problem := answer_problem(message):
        return problem
    ask = CardAsk(message.identifier.value, spends[0], message.session_id, message.response_apdu)
    return Parsed("", 0, b"", ask)


def answer_problem(message: card_pb2.ContinueCardProofRequest) -> Refused | None:
    """The refusal of a conversation or an answer that cannot be one."""
    if len(message.session_id) == SESSION_ID_BYTES and len(message.response_apdu) <= MAX_APDU_BYTES:
        return None
    return invalid("session_id", "Bring the session that BeginCardProof gave, and the card's own answer.")


def begun(session_id: bytes, apdu: bytes, expires_ms: int) -> bytes:
    """The answer to BeginCardProof."""
    return card_pb2.BeginCardProofResponse(
        session_id=session_id, command_apdu=apdu, expire_time=stamp(expires_ms)
    ).SerializeToString()


def next_command(apdu: bytes, expires_ms: int) -> bytes:
    """The answer to ContinueCardProof where the card is asked once more."""
    return card_pb2.ContinueCardProofResponse(
        command_apdu=apdu, expire_time=stamp(expires_ms)
    ).SerializeToString()


def proof_given(evidence: bytes, expires_ms: int) -> bytes:
    """The answer to ContinueCardProof where the card has proved the spend."""
    return card_pb2.ContinueCardProofResponse(
        proof=envelope_pb2.MemberProof(card_cryptogram=evidence), expire_time=stamp(expires_ms)
    ).SerializeToString()


def chip_of(message: pb.RecordCardRequest, occurred_ms: int) -> Chip | Refused:
    """What RecordCard says of a chip."""
    card, number = message.card, message.identifier.value
    if message.identifier.kind != identifier_pb2.IDENTIFIER_KIND_CARD or not _NUMBER.fullmatch(number):
        return invalid("identifier", "A chip card is named by its number: 4 to 16 digits or capital letters.")
    if len(card.chip_uid) != _UID_BYTES.get(card.profile):
        return invalid("card.chip_uid", "A chip's UID has 7 bytes, a JavaCard's diversification data 10.")
    if not 1 <= card.key_version <= MAX_KEY_VERSION:
        return invalid("card.key_version", f"Key versions run from 1 to {MAX_KEY_VERSION}.")
    state = ChipState(card.state or chip_card_pb2.CHIP_STATE_ACTIVE)
    return Chip(card.profile, card.chip_uid, number, card.key_version, state)


def recorded(entry: CardEntry) -> chip_card_pb2.RecordedCard:
    """A card as staff see it."""
    chip = entry.chip
    return chip_card_pb2.RecordedCard(
        number=chip.number,
        card=chip_card_pb2.ChipCard(
            profile=chip_card_pb2.ChipProfile.ValueType(chip.profile),
            chip_uid=chip.uid,
            key_version=chip.key_version,
            state=chip_card_pb2.ChipState.ValueType(chip.state),
        ),
    )
