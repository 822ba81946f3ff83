"""What a home node's decision on an exchange is made from, and what it gives."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from node.coalition.caps import Slice, Usage
from node.coalition.directory import Directory
from node.coalition.envelopes import Draft, Encoder, Envelope, MemberProof
from node.coalition.exchange import ExchangeKind, HomeState
from node.coalition.lanes import HomeLane
from node.coalition.messages import ExchangeReason, MessageType, RecordKind
from node.coalition.proofs import ProofRules, ProofState, Secrets
from node.ledger.account import Account
from node.ledger.decision import Accepted, Context
from node.ledger.transactions import Amendment, Entry


class HomeExchange(Struct, frozen=True, array_like=True):
    """An exchange as the home node keeps it, beside the account in its partition.

    `body_hash` is of the request's body, empty for a tombstone of what never arrived. `units` are those
    held, and once it is posted those posted; `asked` of a return what was asked for. `sequence` is the
    journal entry that moved them. `reply` is what was said last, to be said again, signed in `reply_epoch`.
    `prover_id` is the member's own account, where `account_id` is a pool's. `cancel` is the CANCEL of what
    is posted, or of what never arrived and may name a capture: it goes beside the record.
    """

    partner_id: str
    exchange_id: bytes
    state: HomeState
    changed_ms: int
    kind: ExchangeKind | None = None
    account_id: bytes = b""
    body_hash: bytes = b""
    units: int = 0
    hold_id: int = 0
    expires_ms: int = 0
    authorized_hash: bytes = b""
    capture_hash: bytes = b""
    record_kind: RecordKind | None = None
    number: int = 0
    rate_version: int = 0
    sequence: int = 0
    returned: int = 0
    reason: ExchangeReason = ExchangeReason.UNSPECIFIED
    said: MessageType | None = None
    reply: Envelope | None = None
    reply_epoch: int = 0
    prover_id: bytes = b""
    cancel: Envelope | None = None


class Original(Struct, frozen=True):
    """What a return is about: the exchange, its journal entry and what became of that."""

    exchange: HomeExchange
    entry: Entry
    amended: Amendment


class HomeFacts(Struct, frozen=True):
    """The circumstances of one decision. `account` is None where nobody carries the
    identifier; while lost records are imported, `account_id` may then still be known.

    `spending_open` is false from `vafa restore` until every partner's HELLO: what was spent abroad may be
    missing. `prover_id` is the account whose proofs count: the member's own where a pool pays. `slices` is
    what this partition may let come to be owed. `record` gives the signed POSTED and the request of a record
    of this lane by its number; `cancelled` the CANCEL that is kept of an id.
    """

    now_ms: int
    home_id: str
    partner_id: str
    directory: Directory
    lane: HomeLane
    ready: bool
    usage: Usage
    slices: Slice
    encoder: Encoder
    ledger: Context
    record: Callable[[int], tuple[Envelope, Envelope | None] | None]
    account: Account | None = None
    account_id: bytes = b""
    prover_id: bytes = b""
    pseudonym: bytes = b""
    spending_open: bool = True
    proof: MemberProof | None = None
    proofs: ProofState = ProofState()
    secrets: Secrets = Secrets(b"")
    rules: ProofRules = ProofRules()
    day: int = 0
    original: Original | None = None
    cancelled: Callable[[bytes], Envelope | None] = lambda exchange_id: None


class Say(Struct, frozen=True):
    """Something to send: a draft to sign, or an envelope as it is.

    `keeps`: once signed, it is the exchange's `reply`. `number`: once signed, it is the POSTED of that
    record.
    """

    draft: Draft | None = None
    envelope: Envelope | None = None
    evidence: tuple[Envelope, ...] = ()
    keeps: bool = False
    number: int = 0


class HomeStep(Struct, frozen=True):
    """What a decision changes; None means that it stays. All of it goes into one batch, and then `says` is
    sent.

    `request` is the acquirer's envelope of the record that is appended, None where none is or it is a cut.
    `original` is the exchange that a return is about, with what has now come back. `alert` is the
    percentage of the cap that was reached. `refused` is the name by which a message counts as refused, also
    one that is declined for good.
    """

    exchange: HomeExchange | None = None
    lane: HomeLane | None = None
    usage: Usage | None = None
    proofs: ProofState | None = None
    booking: Accepted | None = None
    request: Envelope | None = None
    original: HomeExchange | None = None
    says: tuple[Say, ...] = ()
    refused: ExchangeReason | None = None
    alert: int | None = None
