"""What an acquirer's decision on an exchange is made from, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from node.coalition.caps import Usage
from node.coalition.directory import Directory
from node.coalition.envelopes import Draft, Encoder, Envelope
from node.coalition.exchange import AcquirerState, ExchangeKind
from node.coalition.lanes import AcquirerLane
from node.coalition.messages import LANE_UNKNOWN, ExchangeReason, MessageType, RecordKind, SaleTerms, sha256
from node.ledger.decision import Accepted

RETRY_FIRST_MS = 500
RETRY_MAX_MS = 60_000
EXCHANGE_ID_BYTES = 16
_GIVE_BACK_TAG = b"vafa return of the whole\x00"
HOLD_SLACK_MS = 60_000
"""How long after a hold's end by the home node's clock the acquirer lets an authorization go by itself."""


class Secretly(Struct, frozen=True, array_like=True):
    """What travels beside the messages of an exchange under way, and is dropped when it ends.

    `sealed` is all of the others, as they lie in a store.
    """

    identifier_kind: int = 0
    identifier: str = ""
    proof: bytes = b""
    salt: bytes = b""
    sealed: bytes = b""

    def __repr__(self) -> str:
        return "Secretly(...)"


NOTHING_SECRET = Secretly()


class AcquirerExchange(Struct, frozen=True, array_like=True):
    """An exchange as the acquirer keeps it, all in the one partition that a partner has.

    `scope` and `request_id` are the till's request that began it; `asked` is the body that asks, and
    `body_hash` its hash (RESERVE, ACCRUE or RETURN), `request` that message as it was signed last,
    `capture` the CAPTURE. `sent` is what is sent until it is answered (of type `sent_type`, signed in
    `sent_epoch` at `sent_ms`), `due_ms` when next. `units` are asked for, `posted_units` what the record
    says; `returned` what returns have asked back. `one_step`: capture at once; else `capture_reference` is
    the exchange id that the till's request to capture would have. `generation`: of the store in which a till
    began or captured it.
    """

    partner_id: str
    exchange_id: bytes
    kind: ExchangeKind | None
    state: AcquirerState
    created_ms: int
    changed_ms: int
    scope: str = ""
    request_id: str = ""
    units: int = 0
    capture_units: int = 0
    one_step: bool = False
    terms: SaleTerms = SaleTerms()
    body_hash: bytes = b""
    lane: int = LANE_UNKNOWN
    request: Envelope | None = None
    capture: Envelope | None = None
    sent: Envelope | None = None
    sent_type: MessageType | None = None
    sent_epoch: int = 0
    sent_ms: int = 0
    due_ms: int = 0
    attempts: int = 0
    secretly: Secretly = NOTHING_SECRET
    authorized_hash: bytes = b""
    expires_ms: int = 0
    record_kind: RecordKind | None = None
    posted_units: int = 0
    number: int = 0
    rate_version: int = 0
    balance_units: int = 0
    pseudonym: bytes = b""
    reason: ExchangeReason = ExchangeReason.UNSPECIFIED
    original_exchange_id: bytes = b""
    returned: int = 0
    asked: bytes = b""
    void_epoch: int = 0
    capture_reference: bytes = b""
    detail: str = ""
    generation: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more is sent about it."""
        return self.state in (AcquirerState.DONE, AcquirerState.FAILED)


class AcquirerFacts(Struct, frozen=True):
    """The circumstances of one decision. `lane` is None where the partner's lane is not known here (yet).

    `heard`: HELLO came on the lane in this life of the process; before, no answer is believed. `ready`: and
    nothing is missing on it. `caught_up`: all lanes of the home node's are ready, so whatever it has ever
    posted for this node is known here, whatever disk this node came back on.
    `closed_window` is the last window whose close, which covers the lane, this node has signed with the
    partner. `jitter` is in [0, 1). `recorded` gives the epoch in which a record that is kept here was signed,
    and its hash, by its number; None where there is none. `is_known` says whether there is an exchange of
    an id. `generation` is of the store: a larger one after every restore, 0 where there never was one.
    """

    now_ms: int
    own_id: str
    partner_id: str
    directory: Directory
    usage: Usage
    encoder: Encoder
    lane: AcquirerLane | None = None
    ready: bool = False
    heard: bool = False
    caught_up: bool = False
    closed_window: int = 0
    jitter: float = 0.5
    original: AcquirerExchange | None = None
    recorded: Callable[[int], tuple[int, bytes] | None] = lambda number: None
    is_known: Callable[[bytes], bool] = lambda exchange_id: False
    generation: int = 0


class Dispute(StrEnum):
    """Why an acquirer stops following a lane."""

    BROKEN_CHAIN = "broken_chain"
    CONTRADICTION = "contradiction"
    """The home node had said that the exchange came to nothing."""
    NOT_ASKED = "not_asked"
    """The record says something else than the request."""
    WRONG_WINDOW = "wrong_window"
    FORKED = "forked"


class Record(Struct, frozen=True):
    """A record to keep under its number: both envelopes, the request absent of a cut."""

    number: int
    request: Envelope | None
    posted: Envelope


class Utter(Struct, frozen=True):
    """A draft to sign, or an envelope to send as it is, with what travels beside it.

    `keeps`: once signed it is the exchange's `sent`, and `request` or `capture` where it is one.
    """

    draft: Draft | None = None
    envelope: Envelope | None = None
    secretly: Secretly = NOTHING_SECRET
    keeps: bool = False


class Unknown(Struct, frozen=True):
    """An exchange that a till takes back and that is not known here: the home node may know it."""

    exchange_id: bytes
    secretly: Secretly
    scope: str = ""
    request_id: str = ""
    lane: int = LANE_UNKNOWN


def give_back_id(exchange_id: bytes) -> bytes:
    """The exchange by which the acquirer itself gives an exchange back: at most one, always the same."""
    return sha256(_GIVE_BACK_TAG + exchange_id)[:EXCHANGE_ID_BYTES]


class AcquirerStep(Struct, frozen=True):
    """What a decision changes; None means that it stays. All of it goes into one batch, and then `says` is
    sent.

    `acks`: tell the home node how far the lane has come, once for the whole batch. `asks`: repeat that, for
    records are missing. `give_back`: begin a return of so many units. `dispute`: set the lane aside and
    keep what was received.
    """

    exchange: AcquirerExchange | None = None
    original: AcquirerExchange | None = None
    lane: AcquirerLane | None = None
    usage: Usage | None = None
    booking: Accepted | None = None
    record: Record | None = None
    says: tuple[Utter, ...] = ()
    acks: bool = False
    asks: bool = False
    give_back: int = 0
    dispute: Dispute | None = None
    refused: ExchangeReason | None = None
