"""What travels between the gateway and the shards for the coalition: bodies of commands and their answers.

A message from a partner goes to its shard as the very bytes that came (a Carried), once the gateway has
verified it, and beside them as what the gateway has read (`wire.coalition_read`). What a shard wants said
comes back as bytes, signed and already durable, and is sent as it is.

Where a command goes:
    from an acquirer   the partition of the member's account, or of the header's lane where it names one
    from a home node   `keyspace.partner_partition` of the home node: everything about it lies there
    from a till        the same
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from node.coalition.acquirer_facts import AcquirerExchange, Secretly
from node.coalition.caps import Slice
from node.coalition.forks import Link
from node.coalition.leases import LeaseView
from node.coalition.messages import LANE_UNKNOWN
from node.ledger.purchase import Purchase
from node.ledger.transactions import Amendment


class Said(Struct, frozen=True, array_like=True):
    """A Carried's bytes for a partner, to be sent now."""

    partner_id: str
    carried: bytes


class CodeToSend(Struct, frozen=True, array_like=True):
    """A confirmation code for a member, to be sent in words that name the acquirer and the amount.

    The identifier is the one that the till showed; where it is no phone number, whoever sends looks the
    member up. Its repr shows neither the code nor the member.
    """

    account_id: bytes
    identifier_kind: int
    identifier: str
    acquirer_id: str
    ceiling_units: int
    code: str
    expires_ms: int

    def __repr__(self) -> str:
        return "CodeToSend(...)"


class SpendNotice(Struct, frozen=True, array_like=True):
    """A member's points were spent at an acquirer's till: to be told to the member."""

    account_id: bytes
    acquirer_id: str
    units: int


class Outcome(Struct, frozen=True, array_like=True):
    """The answer to every command of the coalition.

    `refused` is an ExchangeReason: nothing was changed. `exchange` is the acquirer's exchange as it now
    stands, without what travels beside it. `due_ms` is when the partition next has something to send, 0 for
    nothing. `ready` are the partners whose lane in this partition is open. `records` are LaneRecords.
    `alerts` are (partner, percent) of caps that came that near. `leases` are answers to LEASE_*; `short` says
    how many units more of the caps with a partner the partition should have. `unsure`: the exchange that was
    asked for is not known here, but this node was restored, and the home node has yet to show what it posted.
    """

    says: tuple[Said, ...] = ()
    refused: int = 0
    exchange: AcquirerExchange | None = None
    due_ms: int = 0
    ready: tuple[str, ...] = ()
    records: tuple[bytes, ...] = ()
    dispute: str = ""
    codes: tuple[CodeToSend, ...] = ()
    notices: tuple[SpendNotice, ...] = ()
    alerts: tuple[tuple[str, int], ...] = ()
    leases: tuple[LeaseView, ...] = ()
    short: tuple[tuple[str, Slice], ...] = ()
    unsure: bool = False


class WishRecord(Struct, frozen=True, array_like=True):
    """ACQUIRER_BEGIN: an exchange that a till begins; `body` are the bytes of the RESERVE, ACCRUE or RETURN
    of `type`. With ACQUIRER_CANCEL it names an exchange that may be known to the home node alone.
    """

    partner_id: str
    exchange_id: bytes
    type: int
    body: bytes
    secretly: Secretly
    scope: str = ""
    request_id: str = ""
    one_step: bool = False
    lane: int = LANE_UNKNOWN


class ExchangeWish(Struct, frozen=True, array_like=True):
    """ACQUIRER_CAPTURE (`units`), ACQUIRER_CANCEL (`unknown`: what it is where nothing is known here), and
    ACQUIRER_LOOK.

    `capture_id` is the exchange id that the capture's own request would have: by it the till may reverse the
    capture, and the other two find the exchange by it too. `occurred_ms` is when the till asked to capture.
    """

    partner_id: str
    exchange_id: bytes
    units: int = 0
    unknown: WishRecord | None = None
    capture_id: bytes = b""
    occurred_ms: int = 0


class LaneWish(Struct, frozen=True, array_like=True):
    """HOME_HELLO, HOME_TICK and ACQUIRER_HELLO: with which partners; ACQUIRER_DUE and LANE_RECORDS: what.

    `home` of LANE_RECORDS: whether this node is the lane's home node. `nonce`: of the partner's
    HELLO_REQUEST; a new one says that it has started anew, and opens even a lane that is open.
    """

    partner_ids: tuple[str, ...] = ()
    home: bool = False
    lane: int = 0
    from_number: int = 1
    most: int = 100
    nonce: bytes = b""


class PoolHolder(Struct, frozen=True, array_like=True):
    """HOME_MESSAGE that is sent on to a pool, in `extra`: the member's own account, which has checked the
    identifier, and the identifier's digest there. The pool pays; the proof is the member's. `found` is what
    became there of a chip card's proof or of an app's answer: a ProofFound.
    """

    account_id: bytes
    digest: bytes
    found: bytes = b""


class DisputeAnswer(Struct, frozen=True, array_like=True):
    """LANE_DISPUTE: why a lane was set aside, when and at which number; `why` is empty where it was not.

    `fork_proof` are two Envelopes as bytes that prove two histories, empty where nothing does; `links` and
    `before` are what leads from the second's number to the first's where those differ (`coalition.forks`).
    """

    why: str = ""
    at_ms: int = 0
    number: int = 0
    fork_proof: tuple[bytes, ...] = ()
    links: tuple[Link, ...] = ()
    before: bytes = b""


class SaleFound(Struct, frozen=True, array_like=True):
    """LOOK_SALE: an anonymous sale of this node's, what of it came back since, and whose request it was."""

    purchase: Purchase
    occurred_ms: int
    amended: Amendment
    scope: str
    request_id: str


OUTCOME = msgspec.msgpack.Decoder(Outcome)
WISH = msgspec.msgpack.Decoder(WishRecord)
EXCHANGE_WISH = msgspec.msgpack.Decoder(ExchangeWish)
SALE_FOUND = msgspec.msgpack.Decoder(SaleFound)
DISPUTE_ANSWER = msgspec.msgpack.Decoder(DisputeAnswer)
POOL_HOLDER = msgspec.msgpack.Decoder(PoolHolder)
LANE_WISH = msgspec.msgpack.Decoder(LaneWish)
