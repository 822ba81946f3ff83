"""A member's PIN: what staff ask about it, and how it is stored."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from node.ledger.refusals import Refused
from node.ledger.spending import SpendRequest
from node.people.pins import PIN_MAX_DIGITS, PIN_MIN_DIGITS, Pin, normal_pin
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.pos.v1 import spending_pb2
from node.wire.commands import Op
from node.wire.parse import Parsed, decode, invalid
from node.wire.records import Codec
from node.wire.requests import spends_from

PIN = Codec(Pin)


class SetPin(Struct, frozen=True):
    """Set a PIN, in its normal form. The repr does not show it."""

    pin: str

    def __repr__(self) -> str:
        return "SetPin(...)"


class ResetPin(Struct, frozen=True):
    """Give a PIN its tries back, or take it away."""

    remove: bool


class ProofWish(Struct, frozen=True):
    """Must these spends be proved?"""

    spends: tuple[SpendRequest, ...]


def parse_proof_wish(op: Op, body: bytes, store_id: str, currency: str) -> Parsed[Any] | Refused:
    """RequestProof about a member of this merchant's, or why it is none."""
    message = spending_pb2.RequestProofRequest()
    problem = decode(message, body)
    if problem:
        return problem
    spends = spends_from(message.spends, currency)
    return spends if isinstance(spends, Refused) else Parsed("", 0, b"", ProofWish(spends))


def set_pin_of(message: pb.SetPinRequest, occurred_ms: int) -> SetPin | Refused:
    """What SetPin asks; refused where the digits are too few or too many, or are none."""
    pin = normal_pin(message.pin)
    if pin is None:
        return invalid("pin", f"A PIN is {PIN_MIN_DIGITS} to {PIN_MAX_DIGITS} digits.")
    return SetPin(pin)


def reset_pin_of(message: pb.ResetPinRequest, occurred_ms: int) -> ResetPin:
    """What ResetPin asks."""
    return ResetPin(message.remove)
