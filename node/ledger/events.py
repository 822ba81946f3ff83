"""What can happen to an account. Events are the journal: replaying them gives every balance again.

Each is a frozen struct with a number of its own (its tag). Stored events are never reinterpreted: a tag is
never reused, and fields are only appended, with defaults.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from node.ledger.account import AccountKind, Counter, Entitlement, Hold, Link, Proposal, Status, Taken
from node.ledger.awards import Award
from node.ledger.lots import Lots
from node.ledger.purchase import Activity, Purchase


class Event(Struct, frozen=True, array_like=True, gc=False):
    """The root of all events. `name` is the public name in the feed."""

    name: ClassVar[str] = "event"


class Opened(Event, frozen=True, array_like=True, tag=1):
    """The account was opened."""

    name: ClassVar[str] = "opened"
    kind: AccountKind
    holders: tuple[bytes, ...] = ()
    referrer: bytes = b""
    source: str = ""


class LinkSet(Event, frozen=True, array_like=True, tag=2):
    """An identifier was linked, or with an end time unlinked."""

    name: ClassVar[str] = "identifier_linked"
    link: Link


class StatusSet(Event, frozen=True, array_like=True, tag=3):
    """The account was blocked, unblocked or closed, with a reason of staff's."""

    name: ClassVar[str] = "status_set"
    status: Status
    reason: str = ""
    author: str = ""


class Earned(Event, frozen=True, array_like=True, tag=4):
    """A purchase was recorded and earned. `claimed_from` names the anonymous sale that was claimed."""

    name: ClassVar[str] = "earned"
    purchase: Purchase
    awards: tuple[Award, ...] = ()
    claimed_from: str = ""


class ActivityEarned(Event, frozen=True, array_like=True, tag=5):
    """An activity was recorded and earned."""

    name: ClassVar[str] = "activity_earned"
    activity: Activity
    awards: tuple[Award, ...] = ()


class Sold(Event, frozen=True, array_like=True, tag=6):
    """A purchase without a member was recorded."""

    name: ClassVar[str] = "sold"
    purchase: Purchase


class Spent(Event, frozen=True, array_like=True, tag=7):
    """Units were spent in one step; `taken` has one part for each purse. `book` names the book that they
    went to where it is not the node's own for redemptions: `payable:` and the partner, abroad."""

    name: ClassVar[str] = "spent"
    taken: tuple[Taken, ...]
    store_id: str = ""
    receipt_number: str = ""
    book: str = ""


class HoldPlaced(Event, frozen=True, array_like=True, tag=8):
    """Units were reserved."""

    name: ClassVar[str] = "hold_placed"
    hold: Hold


class HoldClosed(Event, frozen=True, array_like=True, tag=9):
    """A reservation ended: `spent` of it was captured, `restored` went back. Both empty lists are fine.

    `book` as in `Spent`.
    """

    name: ClassVar[str] = "hold_closed"
    hold_id: int
    spent: tuple[Taken, ...] = ()
    restored: tuple[Taken, ...] = ()
    receipt_number: str = ""
    book: str = ""


class Matured(Event, frozen=True, array_like=True, tag=10):
    """Pending lots became spendable."""

    name: ClassVar[str] = "matured"
    purse: str
    lots: Lots


class Expired(Event, frozen=True, array_like=True, tag=11):
    """Spendable lots expired to the merchant as breakage."""

    name: ClassVar[str] = "expired"
    purse: str
    lots: Lots


class Credited(Event, frozen=True, array_like=True, tag=12):
    """Units came in from a book of the node's: lots, and `debt` units that had gone below zero before."""

    name: ClassVar[str] = "credited"
    purse: str
    lots: Lots
    book: str
    debt: int = 0


class Debited(Event, frozen=True, array_like=True, tag=13):
    """Units went out to a book of the node's: spendable lots, pending lots, and below zero."""

    name: ClassVar[str] = "debited"
    purse: str
    book: str
    lots: Lots = ()
    pending_lots: Lots = ()
    debt: int = 0


class Returned(Event, frozen=True, array_like=True, tag=14):
    """Goods of an earlier entry came back. Quantities in thousandths, by line; see `Amendment`."""

    name: ClassVar[str] = "returned"
    original: int
    lines: tuple[tuple[int, int], ...] = ()
    minor: int = 0
    award_units: tuple[int, ...] = ()
    shortfall: tuple[tuple[str, int], ...] = ()


class ReturnUndone(Event, frozen=True, array_like=True, tag=15):
    """A return was itself reversed: what it had counted as returned no longer is."""

    name: ClassVar[str] = "return_undone"
    original: int
    lines: tuple[tuple[int, int], ...] = ()
    minor: int = 0
    award_units: tuple[int, ...] = ()


class Reversed(Event, frozen=True, array_like=True, tag=16):
    """An earlier entry was undone. `freed` is what it had counted towards daily caps and no longer does."""

    name: ClassVar[str] = "reversed"
    original: int
    freed: tuple[Counter, ...] = ()


class Tombstoned(Event, frozen=True, array_like=True, tag=17):
    """A request that had not arrived was reversed; it is refused if it still arrives."""

    name: ClassVar[str] = "tombstoned"
    terminal: str
    request_id: str


class Claimed(Event, frozen=True, array_like=True, tag=18):
    """An anonymous sale was given to an account; the sale travels with it to where it earns."""

    name: ClassVar[str] = "claimed"
    original: int
    claimed_by: bytes
    purchase: Purchase | None = None
    sold_ms: int = 0


class EntitlementSet(Event, frozen=True, array_like=True, tag=19):
    """A right was granted, or with an end time withdrawn."""

    name: ClassVar[str] = "entitlement_set"
    entitlement: Entitlement


class Proposed(Event, frozen=True, array_like=True, tag=20):
    """An adjustment waits for a second person."""

    name: ClassVar[str] = "adjustment_proposed"
    proposal: Proposal


class ProposalClosed(Event, frozen=True, array_like=True, tag=21):
    """A proposal was approved or rejected."""

    name: ClassVar[str] = "adjustment_decided"
    proposal_id: int
    approved: bool
    approver: str


class Adjusted(Event, frozen=True, array_like=True, tag=22):
    """Who changed a balance by hand and why; the Credited or Debited beside it says what."""

    name: ClassVar[str] = "adjusted"
    author: str
    reason: str
    approver: str = ""


class PersonNoted(Event, frozen=True, array_like=True, tag=23):
    """The person's data was set, changed or erased; the data itself is never in the journal.

    But for the language that receipts speak to the person: it is needed at every sale, and says of nobody
    who they are.
    """

    name: ClassVar[str] = "person_noted"
    what: str
    person_id: bytes
    language: str = ""


class PoolSet(Event, frozen=True, array_like=True, tag=24):
    """The account joined a pool, or with an empty id left it."""

    name: ClassVar[str] = "pool_set"
    pool_id: bytes


class HolderSet(Event, frozen=True, array_like=True, tag=25):
    """An account joined this pool, or left it."""

    name: ClassVar[str] = "holder_set"
    holder: bytes
    joined: bool


class TransferSent(Event, frozen=True, array_like=True, tag=26):
    """Units left for another account; the Debited beside it says which lots.

    `day` is the local day on whose limit they count; 0 where they count on none.
    """

    name: ClassVar[str] = "transfer_sent"
    transfer_id: str
    to_account: bytes
    purse: str
    units: int
    day: int = 0


class TransferReceived(Event, frozen=True, array_like=True, tag=27):
    """Units arrived from another account; the Credited beside it says which lots."""

    name: ClassVar[str] = "transfer_received"
    transfer_id: str
    from_account: bytes
    purse: str
    units: int


class TransferClosed(Event, frozen=True, array_like=True, tag=28):
    """The other account took the units (`accepted`), or they came back."""

    name: ClassVar[str] = "transfer_closed"
    transfer_id: str
    accepted: bool


class PositionMoved(Event, frozen=True, array_like=True, tag=29):
    """At this node's till a partner's member earned, spent or brought goods back: who owes whom has moved.

    No account of this node's is touched. `units` are added to `book` (`payable:` or `receivable:` and the
    partner; what this node owes is positive) and come from the book of what happened abroad. `exchange_id`,
    `lane` and `number` name the record that both sides have signed.
    """

    name: ClassVar[str] = "position_moved"
    book: str
    purse: str
    units: int
    exchange_id: bytes
    lane: int
    number: int


AnyEvent = (
    Opened | LinkSet | StatusSet | Earned | ActivityEarned | Sold | Spent | HoldPlaced | HoldClosed
    | Matured | Expired | Credited | Debited | Returned | ReturnUndone | Reversed | Tombstoned | Claimed
    | EntitlementSet | Proposed | ProposalClosed | Adjusted | PersonNoted | PoolSet | HolderSet
    | TransferSent | TransferReceived | TransferClosed | PositionMoved
)  # fmt: skip
"""Every event, as the journal's codec needs them."""
