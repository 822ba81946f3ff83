"""How a statement's payment stands, by what its two sides say that their banks booked."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from node.settlement.documents import Payment


class PaymentState(IntEnum):
    """Where a payment is; the numbers are the protos'."""

    DUE = 1
    SAID = 2
    """The payer says that it paid; alone that counts for nothing."""
    PAID = 3
    DIFFERENT = 4
    """The receiver says that another amount came."""
    REPLACED = 5
    """A partner of it is in default, and others have come in its place."""


class Booked(Struct, frozen=True, array_like=True):
    """What a bank booked under a payment's reference, in the smallest amount that is paid."""

    reference: str
    amount: int
    bank_reference: str = ""


class PaymentNow(Struct, frozen=True):
    """A payment as it stands. `booked` is what was said to have come, or to have gone; 0 for nothing said."""

    payment: Payment
    state: PaymentState
    booked: int = 0
    bank_reference: str = ""


def judged(payment: Payment, booked: int, *, by_receiver: bool, replaced: bool) -> PaymentState:
    """How a payment stands that nobody who may say so has called paid.

    `booked` is the newest amount that was said, 0 for none, and by whom. A payer's wrong amount is a payer's
    word like any other: the receiver will say what came.
    """
    if replaced:
        return PaymentState.REPLACED
    if not booked:
        return PaymentState.DUE
    if by_receiver:
        return PaymentState.DIFFERENT if booked != payment.amount else PaymentState.PAID
    return PaymentState.SAID


def unpaid(one: PaymentNow) -> int:
    """What of a payment is still to be made, in the smallest amount that is paid; 0 for nothing.

    The part that its receiver says has come is off. Where more came than was due, it is not called paid, and
    the whole of it stands until the receiver or the operator says what that was.
    """
    if one.state is PaymentState.DIFFERENT and one.booked < one.payment.amount:
        return one.payment.amount - one.booked
    due = one.state in (PaymentState.DUE, PaymentState.SAID, PaymentState.DIFFERENT)
    return one.payment.amount if due else 0
