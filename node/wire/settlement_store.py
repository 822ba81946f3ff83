"""What is kept of settlements, as stored records. Signed documents are kept as their exact bytes."""

from __future__ import annotations

from msgspec import Struct

from node.settlement.closes import LaneStart
from node.settlement.documents import Correction, Payment, SignedClose
from node.settlement.prepaid import Balance
from node.settlement.windows import WindowState
from node.wire.records import Codec


class WindowRecord(Struct, frozen=True, array_like=True):
    """A window as it stands at the operator. `silent` counts each partner's windows in a row without a
    signature.
    """

    number: int
    state: WindowState = WindowState.OPEN
    payments: tuple[str, ...] = ()
    """The references of the statement's payments."""
    silent: tuple[tuple[str, int], ...] = ()


class PairStarts(Struct, frozen=True, array_like=True):
    """Where each lane of a pair goes on, and by which window's close."""

    window: int
    lanes: tuple[LaneStart, ...]


class BalanceRecord(Struct, frozen=True, array_like=True):
    """A prepaid partner's balance, and what was topped up since the last statement."""

    balance: Balance = Balance()
    topped_up: int = 0


class RequestDone(Struct, frozen=True, array_like=True):
    """That a request was done, and a hash of what it asked for."""

    asked: bytes


class PaidRecord(Struct, frozen=True, array_like=True):
    """That a payment was made: when it was marked, and what the bank calls it."""

    at_ms: int
    bank_reference: str


class SaidRecord(Struct, frozen=True, array_like=True):
    """What one side says that its bank booked for a payment: an amount that is not the payment's, or the
    payer's word alone.
    """

    amount: int
    bank_reference: str
    by_receiver: bool


class PartRecord(Struct, frozen=True, array_like=True):
    """A part of a payment that came: who says so, and how much, in the smallest amount that is paid."""

    caller: str
    amount: int


class DefaultRecord(Struct, frozen=True, array_like=True):
    """That a partner was declared in default, why, and when."""

    partner_id: str
    reason: str
    at_ms: int


class ReplacementRecord(Struct, frozen=True, array_like=True):
    """The payments beside those of a statement, and the references of those that are not awaited any more."""

    payments: tuple[Payment, ...] = ()
    replaced: tuple[str, ...] = ()


class RelievedRecord(Struct, frozen=True, array_like=True):
    """The newest window whose payments were taken off this merchant's caps."""

    window: int = 0


WINDOW = Codec(WindowRecord)
CLOSE = Codec(SignedClose)
STARTS = Codec(PairStarts)
BALANCE = Codec(BalanceRecord)
REQUEST_DONE = Codec(RequestDone)
CORRECTION = Codec(Correction)
PAID = Codec(PaidRecord)
SAID = Codec(SaidRecord)
PART = Codec(PartRecord)
DEFAULT = Codec(DefaultRecord)
REPLACEMENT = Codec(ReplacementRecord)
RELIEVED = Codec(RelievedRecord)
