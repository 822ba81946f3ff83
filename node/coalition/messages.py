"""What merchants say to each other, as plain data: one struct for each message of `vafa.coalition.v1`.

Names and field names are those of the protos; times are `<name>_ms`, epoch milliseconds, 0 where absent.
`wire/` turns them into bytes and back. What counts are always the exact bytes that were signed: a `Message`
carries them beside what was read from them, and they are hashed and stored, never serialised anew.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

from msgspec import Struct

from node.coalition.card_messages import CardStep, CardStepped

VERSION = 1
"""Of the envelope."""

LANE_UNKNOWN = -1
"""The lane in a header whose sender does not know yet where the member's account lies."""

ID_BYTES = 16
"""An exchange's id."""

HASH_BYTES = 32


class MessageType(IntEnum):
    """What a body is; the numbers are the protos'."""

    RESERVE = 1
    AUTHORIZED = 2
    DECLINED = 3
    CAPTURE = 4
    CANCEL = 5
    POSTED = 6
    VOIDED = 7
    ACCRUE = 8
    RETURN = 9
    QUERY = 10
    HEAD_ACK = 11
    HELLO = 12
    HELLO_REPLY = 13
    HELLO_REQUEST = 14
    CHALLENGE = 15
    CHALLENGED = 16
    REFUSAL = 17
    INQUIRE = 18
    INQUIRED = 19
    SETTLEMENT = 20
    CARD_STEP = 21
    CARD_STEPPED = 22


class RecordKind(IntEnum):
    """What a posting moved; the numbers are the protos'."""

    ACCRUAL = 1
    REDEMPTION = 2
    ACCRUAL_RETURN = 3
    REDEMPTION_RETURN = 4
    CUT = 5


class ExchangeReason(IntEnum):
    """Why a home node declines, refuses or voids; the numbers are the protos'."""

    UNSPECIFIED = 0
    MEMBER_NOT_FOUND = 1
    ACCOUNT_UNUSABLE = 2
    INSUFFICIENT_BALANCE = 3
    PROOF_REFUSED = 4
    PROOF_LIMIT = 5
    CAP_EXCEEDED = 6
    STALE = 7
    CONFLICT = 8
    HOLD_EXPIRED = 9
    CANCELLED = 10
    UNKNOWN_EXCHANGE = 11
    ABOVE_AUTHORIZED = 12
    BAD_SIGNATURE = 13
    MISROUTED = 14
    WRONG_EPOCH = 15
    LANE_NOT_READY = 16
    NOT_A_PARTNER = 17
    MALFORMED = 18
    OVERLOADED = 19
    RETURN_EXCEEDS_POSTED = 20
    WRONG_WINDOW = 21
    BROKEN_CHAIN = 22
    NOT_IN_RANGE = 23
    RECORD_MISSING = 24


class SaleTerms(Struct, frozen=True, array_like=True):
    """Where and when a sale happened, without anything about its member."""

    store_id: str = ""
    terminal_id: str = ""
    occurred_time_ms: int = 0
    sale_hash: bytes = b""


class Reserve(Struct, frozen=True, array_like=True):
    """Asks the home node to hold units."""

    units: int
    terms: SaleTerms
    hold_seconds: int
    pseudonym: bytes
    identifier_commitment: bytes
    proof_commitment: bytes


class Authorized(Struct, frozen=True, array_like=True):
    """The units are held until `expire_time_ms` of the home node's clock."""

    request_hash: bytes
    expire_time_ms: int
    units: int
    pseudonym: bytes
    balance_units: int


class Declined(Struct, frozen=True, array_like=True):
    """The home node will never do it. `detail` names what is wrong with a chip card's proof."""

    request_hash: bytes
    reason: ExchangeReason
    detail: str = ""


class Capture(Struct, frozen=True, array_like=True):
    """Spends a hold; at most what was authorised. `reference` is the acquirer's name for its request."""

    authorized_hash: bytes
    units: int
    reference: bytes = b""


class Cancel(Struct, frozen=True, array_like=True):
    """Lets an exchange go, whether or not the home node has heard of it."""

    request_body_hash: bytes


class Query(Struct, frozen=True, array_like=True):
    """Asks what was said last about an exchange."""

    request_body_hash: bytes


class Accrue(Struct, frozen=True, array_like=True):
    """Credits what the acquirer's programme granted. `expire_time_ms` 0: never expires."""

    units: int
    terms: SaleTerms
    available_time_ms: int
    expire_time_ms: int
    pseudonym: bytes
    identifier_commitment: bytes


class ReturnAbroad(Struct, frozen=True, array_like=True):
    """Takes back some of what was posted."""

    original_exchange_id: bytes
    original_number: int
    units: int
    terms: SaleTerms


class PostedCore(Struct, frozen=True, array_like=True):
    """What the home node posted. Its serialised bytes go into the chain as they are."""

    exchange_id: bytes
    kind: RecordKind
    purse: str
    units: int
    lane: int
    number: int
    window: int
    rate_version: int
    post_time_ms: int
    request_hash: bytes
    original_number: int = 0


class Posted(Struct, frozen=True, array_like=True):
    """The home node's word that it owes, or is owed. `core_bytes` is the proto's `core`; `core` is read
    from it.
    """

    core_bytes: bytes
    core: PostedCore
    hash: bytes
    balance_units: int
    pseudonym: bytes


class Voided(Struct, frozen=True, array_like=True):
    """The exchange came to nothing, for good."""

    request_body_hash: bytes
    reason: ExchangeReason


class Challenge(Struct, frozen=True, array_like=True):
    """Asks for a code to be sent to the member, in words that name acquirer and amount."""

    ceiling_units: int
    identifier_commitment: bytes
    terms: SaleTerms


class Challenged(Struct, frozen=True, array_like=True):
    """Until when a code would be good; the same whether or not the member exists."""

    expire_time_ms: int


class Inquire(Struct, frozen=True, array_like=True):
    """Asks what a member may spend."""

    identifier_commitment: bytes


class ProofLimit(Struct, frozen=True, array_like=True):
    """What one kind of proof may spend in one transaction."""

    proof: str
    transaction_units: int


class Inquired(Struct, frozen=True, array_like=True):
    """What a member may spend abroad, and how it must be proved."""

    spendable_units: int
    pseudonym: bytes
    limits: tuple[ProofLimit, ...]
    reason: ExchangeReason


class Refusal(Struct, frozen=True, array_like=True):
    """Why a message was not taken; nothing changed. `retry_after_ms` 0: never with this message."""

    request_hash: bytes
    reason: ExchangeReason
    epoch: int = 0
    retry_after_ms: int = 0


class LaneHead(Struct, frozen=True, array_like=True):
    """What one side knows of a lane: newest record's number and chain hash, and the epoch."""

    lane: int
    number: int
    hash: bytes
    epoch: int


class HeadAck(Struct, frozen=True, array_like=True):
    """The acquirer has all records up to a head, durably. Repeated unchanged, it asks for those that
    follow.
    """

    head: LaneHead


class Hello(Struct, frozen=True, array_like=True):
    """Opens a lane after a start of the home node. The head's epoch is a proposal."""

    head: LaneHead
    nonce: bytes
    request_nonce: bytes = b""


class HelloRequest(Struct, frozen=True, array_like=True):
    """Asks the home node for a Hello on these lanes; the nonce is that of the acquirer's present life."""

    heads: tuple[LaneHead, ...]
    nonce: bytes = b""


class HelloReply(Struct, frozen=True, array_like=True):
    """What the acquirer has, made durable before this was signed.

    `head.epoch` is the highest epoch that the home node had signed to it before this Hello; where that is not
    below the proposal, the lane stays shut and the home node proposes again, above it.
    """

    head: LaneHead
    nonce: bytes
    voided_exchange_ids: tuple[bytes, ...] = ()
    open_exchange_ids: tuple[bytes, ...] = ()


class Settlement(Struct, frozen=True, array_like=True):
    """About a settlement window: the bytes of what `settlement` says; see `wire.settlement_peer`."""

    payload: bytes


Body = (
    Reserve | Authorized | Declined | Capture | Cancel | Posted | Voided | Accrue | ReturnAbroad | Query |
    HeadAck
    | Hello | HelloReply | HelloRequest | Challenge | Challenged | Refusal | Inquire | Inquired | Settlement
    | CardStep | CardStepped
)  # fmt: skip
"""Any message's body."""

BODIES: dict[MessageType, type[Struct]] = {
    MessageType.RESERVE: Reserve,
    MessageType.AUTHORIZED: Authorized,
    MessageType.DECLINED: Declined,
    MessageType.CAPTURE: Capture,
    MessageType.CANCEL: Cancel,
    MessageType.POSTED: Posted,
    MessageType.VOIDED: Voided,
    MessageType.ACCRUE: Accrue,
    MessageType.RETURN: ReturnAbroad,
    MessageType.QUERY: Query,
    MessageType.HEAD_ACK: HeadAck,
    MessageType.HELLO: Hello,
    MessageType.HELLO_REPLY: HelloReply,
    MessageType.HELLO_REQUEST: HelloRequest,
    MessageType.CHALLENGE: Challenge,
    MessageType.CHALLENGED: Challenged,
    MessageType.REFUSAL: Refusal,
    MessageType.INQUIRE: Inquire,
    MessageType.INQUIRED: Inquired,
    MessageType.SETTLEMENT: Settlement,
    MessageType.CARD_STEP: CardStep,
    MessageType.CARD_STEPPED: CardStepped,
}
"""The struct of each type."""


def sha256(data: bytes) -> bytes:
    """SHA-256, the one hash of the protocol."""
    return hashlib.sha256(data).digest()


def commitment(salt: bytes, data: bytes) -> bytes:
    """SHA-256 over a salt's length, the salt and the data: says nothing of the data without the salt."""
    return hashlib.sha256(len(salt).to_bytes(8, "big") + salt + data).digest()
