"""The documents of a settlement as plain data: one struct for each message of `vafa.settlement.v1`.

Names and field names are the protos'; times are `<name>_ms`, amounts are whole numbers of any size here and
16 bytes on the wire. What is signed is kept as its exact bytes beside what was read from them.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from node.coalition.directory import OPERATOR_ID as OPERATOR_ID
from node.coalition.messages import RecordKind

WIDE_MIN, WIDE_MAX = -(1 << 127), (1 << 127) - 1
"""What 16 bytes of two's complement hold."""


class CloseBasis(IntEnum):
    """On what a close rests; the numbers are the protos'."""

    AGREED = 1
    HOME_ALONE = 2
    ACQUIRER_ALONE = 3


class MismatchClass(IntEnum):
    """Why records do not agree; the numbers are the protos'."""

    MISSING_AT_ACQUIRER = 1
    MISSING_AT_HOME = 2
    FORK = 3
    UNSIGNED = 4


class MissingReason(IntEnum):
    """Why a pair has no close; the numbers are the protos'."""

    NOBODY_SENT = 1
    NO_EVIDENCE = 2
    NOT_CONTINUOUS = 3


class Signature(Struct, frozen=True, array_like=True):
    """Who says it: the partner or OPERATOR_ID, the Ed25519 public key, and 64 bytes."""

    signer_id: str
    public_key: bytes
    signature: bytes


class LaneClose(Struct, frozen=True, array_like=True):
    """One lane's part of a close. `to_number` is `from_number` - 1 where nothing of it is settled."""

    lane: int
    from_number: int
    to_number: int
    epoch: int
    start_hash: bytes
    end_hash: bytes
    record_root: bytes

    @property
    def record_count(self) -> int:
        """How many records it settles."""
        return self.to_number - self.from_number + 1


class CloseSum(Struct, frozen=True, array_like=True):
    """What the records of one kind and rate came to."""

    kind: RecordKind
    purse: str
    rate_version: int
    record_count: int
    units: int


class DisputedLane(Struct, frozen=True, array_like=True):
    """A lane of which only the records up to `agreed_number` are settled."""

    lane: int
    agreed_number: int
    home_number: int
    acquirer_number: int
    mismatch: MismatchClass


class PairClose(Struct, frozen=True, array_like=True):
    """What one ordered pair did in a window; without lanes it is a zero close."""

    coalition_id: str
    window: int
    home_id: str
    acquirer_id: str
    basis: CloseBasis
    lanes: tuple[LaneClose, ...]
    sums: tuple[CloseSum, ...]
    record_count: int
    record_root: bytes
    disputed: tuple[DisputedLane, ...] = ()

    @property
    def pair(self) -> tuple[str, str]:
        """(home, acquirer)."""
        return self.home_id, self.acquirer_id


class LaneEvidence(Struct, frozen=True, array_like=True):
    """What a silent side had signed of a lane: a serialised envelope of the exchange."""

    lane: int
    envelope: bytes


class SignedClose(Struct, frozen=True, array_like=True):
    """A close that was read: its exact bytes and who signed them."""

    close: PairClose
    close_bytes: bytes
    signatures: tuple[Signature, ...]
    evidence: tuple[LaneEvidence, ...] = ()


class MissingClose(Struct, frozen=True, array_like=True):
    """A pair of which nothing is settled in this window."""

    home_id: str
    acquirer_id: str
    reason: MissingReason


class Correction(Struct, frozen=True, array_like=True):
    """Something of an earlier window that operator and both sides agreed to put right."""

    of_window: int
    debtor_id: str
    creditor_id: str
    micro: int
    note: str = ""


class FeeLine(Struct, frozen=True, array_like=True):
    """What the operator takes of a partner."""

    partner_id: str
    code: str
    micro: int


class Obligation(Struct, frozen=True, array_like=True):
    """What two owe each other; positive: the first owes the second. `payable` is in the smallest amount
    paid.
    """

    first_id: str
    second_id: str
    traded_micro: int
    carried_micro: int
    payable: int
    residual_micro: int


class Net(Struct, frozen=True, array_like=True):
    """What a party gets, or pays where it is negative."""

    party_id: str
    payable: int


class PrepaidLine(Struct, frozen=True, array_like=True):
    """A prepaid partner's balance over a window."""

    partner_id: str
    opening: int
    topped_up: int
    used: int
    closing: int


class Payment(Struct, frozen=True, array_like=True):
    """Who pays whom, and how the payment is called at the bank."""

    debtor_id: str
    creditor_id: str
    amount: int
    reference: str


Line = SignedClose | MissingClose | Correction | FeeLine | Obligation | Net | PrepaidLine | Payment
"""One line of a statement, in the order in which they stand."""


class StatementFacts(Struct, frozen=True, array_like=True):
    """A statement's own fields, beside its lines."""

    coalition_id: str
    window: int
    directory_version: int
    directory_hash: bytes
    publish_time_ms: int
    currency: str
    currency_exponent: int
    previous_head_hash: bytes = b""


class StatementHead(Struct, frozen=True, array_like=True):
    """What the operator signs of a statement."""

    coalition_id: str
    window: int
    statement_hash: bytes
    line_root: bytes
    line_count: int
    previous_head_hash: bytes
    publish_time_ms: int


class SignedHead(Struct, frozen=True, array_like=True):
    """A head that was read, with its exact bytes and the operator's signature."""

    head: StatementHead
    head_bytes: bytes
    signature: Signature


class Mismatch(Struct, frozen=True, array_like=True):
    """What was found where two sides' records part; the records are serialised LaneRecords, empty where
    none.
    """

    coalition_id: str
    window: int
    home_id: str
    acquirer_id: str
    lane: int
    agreed_number: int
    agreed_hash: bytes
    home_number: int
    acquirer_number: int
    mismatch: MismatchClass
    home_record: bytes = b""
    acquirer_record: bytes = b""
