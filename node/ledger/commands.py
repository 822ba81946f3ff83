"""What is asked of an account, as plain data: the parsed form of a request.

`programme/` and the decisions read these; `wire/` makes them from messages.
"""

from __future__ import annotations

from msgspec import Struct

from node.ledger.account import AccountKind
from node.ledger.purchase import Activity, Purchase
from node.ledger.returns import LineBack
from node.ledger.spending import Place, SpendRequest


class TransactionRef(Struct, frozen=True):
    """Where an entry lies: its partition and its sequence there."""

    partition: int
    sequence: int


class Accrue(Struct, frozen=True):
    """Record a purchase."""

    purchase: Purchase


class RecordActivity(Struct, frozen=True):
    """Record an activity."""

    activity: Activity


class ClaimPurchase(Struct, frozen=True):
    """Give an anonymous sale to the member."""

    sale: TransactionRef


class Authorize(Struct, frozen=True):
    """Reserve units. The repr shows neither proof."""

    spends: tuple[SpendRequest, ...]
    place: Place
    hold_seconds: int
    card_proof: bytes = b""
    """What a chip card proved, as it was handed in; empty where no card was asked."""
    pin: str = ""
    """The member's PIN as it was typed; empty where none was asked for."""

    def __repr__(self) -> str:
        return f"Authorize({self.spends!r}, {self.place!r}, {self.hold_seconds!r})"


class Capture(Struct, frozen=True):
    """Spend a hold, or a part of it."""

    authorization: TransactionRef
    spends: tuple[SpendRequest, ...]
    receipt_number: str


class Void(Struct, frozen=True):
    """Let a hold go."""

    authorization: TransactionRef


class Redeem(Struct, frozen=True):
    """Spend in one step. `card_proof` and `pin` as in `Authorize`."""

    spends: tuple[SpendRequest, ...]
    place: Place
    receipt_number: str
    card_proof: bytes = b""
    pin: str = ""

    def __repr__(self) -> str:
        return f"Redeem({self.spends!r}, {self.place!r}, {self.receipt_number!r})"


class Return(Struct, frozen=True):
    """Take goods back."""

    original: TransactionRef
    lines: tuple[LineBack, ...]
    minor: int


class Reverse(Struct, frozen=True):
    """Undo a request of the same terminal."""

    original_request_id: str


class Enrol(Struct, frozen=True):
    """Open an account. The person travels as a record of `people`, opaque here."""

    kind: AccountKind
    referrer: bytes
    source: str
    person: object | None


class UpdatePerson(Struct, frozen=True):
    """Change what is known of the person. The changes are a record of `people`, opaque here."""

    changes: object


class SetBlock(Struct, frozen=True):
    """Block or unblock."""

    blocked: bool
    reason: str


class Close(Struct, frozen=True):
    """Close the account."""

    forfeit: bool
    reason: str


class Adjust(Struct, frozen=True):
    """Change a balance by hand."""

    purse: str
    units: int
    reason: str


class DecideAdjustment(Struct, frozen=True):
    """Approve or reject a proposal."""

    proposal: TransactionRef
    approve: bool


class Transfer(Struct, frozen=True):
    """Move units to another account."""

    purse: str
    units: int
