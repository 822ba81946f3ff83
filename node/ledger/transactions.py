"""What the journal says of one request: the entry, and what later entries made of it."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from node.ledger.events import AnyEvent


class TransactionKind(IntEnum):
    """What an entry did; the numbers are those of the protos."""

    ACCRUAL = 1
    ACTIVITY = 2
    AUTHORIZATION = 3
    CAPTURE = 4
    VOID = 5
    REDEMPTION = 6
    RETURN = 7
    REVERSAL = 8
    ADJUSTMENT = 9
    TRANSFER = 10
    EXPIRY = 11
    ACCOUNT = 12


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One journal entry: everything needed to replay it, and who asked for it.

    `sequence` counts within the partition from 1. `account_id` is empty for an anonymous sale. `previous`
    is the sequence of the account's entry before this one, 0 for its first. `terminal` and `request_id`
    are empty where the node acted by itself. `version` is the programme version that decided.
    """

    sequence: int
    kind: TransactionKind
    account_id: bytes
    at_ms: int
    occurred_ms: int
    terminal: str
    request_id: str
    version: int
    previous: int
    events: tuple[AnyEvent, ...]
    trace_id: str = ""


class Amendment(Struct, frozen=True, array_like=True):
    """What became of an entry later. Kept beside the journal, rebuilt from it by replay.

    `lines` maps a receipt line to the quantity (thousandths) that came back; a line without quantity maps
    to 0 once it is back. `minor` is the money, or for a spend the units, that came back in all.
    `award_units` are the units taken back of each award, in the order of the entry's awards.
    """

    sequence: int
    lines: dict[int, int] = {}
    minor: int = 0
    award_units: tuple[int, ...] = ()
    reversed_ms: int = 0
    claimed_by: bytes = b""
