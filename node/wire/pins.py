"""A member's PIN: what staff ask about it, and how it is stored."""

from __future__ import annotations

from msgspec import Struct

from node.ledger.refusals import Refused
from node.people.pins import PIN_MAX_DIGITS, PIN_MIN_DIGITS, Pin, normal_pin
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.wire.parse import invalid
from node.wire.records import Codec

PIN = Codec(Pin)


class SetPin(Struct, frozen=True):
    """Set a PIN, in its normal form. The repr does not show it."""

    pin: str

    def __repr__(self) -> str:
        return "SetPin(...)"


class ResetPin(Struct, frozen=True):
    """Give a PIN its tries back, or take it away."""

    remove: bool


def set_pin_of(message: pb.SetPinRequest, occurred_ms: int) -> SetPin | Refused:
    """What SetPin asks; refused where the digits are too few or too many, or are none."""
    pin = normal_pin(message.pin)
    if pin is None:
        return invalid("pin", f"A PIN is {PIN_MIN_DIGITS} to {PIN_MAX_DIGITS} digits.")
    return SetPin(pin)


def reset_pin_of(message: pb.ResetPinRequest, occurred_ms: int) -> ResetPin:
    """What ResetPin asks."""
    return ResetPin(message.remove)
