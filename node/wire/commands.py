"""What travels between the gateway and a shard: many commands as one message, many answers as another.

A request is read once. A till's changes are read by the gateway, which must look into them anyway, and travel
as what was read; what staff and the node itself ask travels as its own bytes and is read by the shard. An
answer carries the response's own bytes as they will go. The message itself is msgpack, one object for Ray to
carry however many commands are in it.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec
from msgspec import Struct

from node.ledger.refusals import Refused


class Op(IntEnum):
    """What a shard is asked to do. The numbers go into quarantine evidence; never reuse one."""

    ACCRUE = 1
    RECORD_ACTIVITY = 2
    AUTHORIZE = 3
    CAPTURE = 4
    VOID = 5
    REDEEM = 6
    RETURN = 7
    REVERSE = 8
    CLAIM_PURCHASE = 9

    IDENTIFY = 20
    QUOTE = 21
    GET_TRANSACTION = 22
    GET_BALANCE = 23
    LIST_STATEMENT = 24
    REQUEST_PROOF = 25
    BEGIN_CARD_PROOF = 26
    CONTINUE_CARD_PROOF = 27

    ENROL = 40
    GET_MEMBER = 41
    UPDATE_PERSON = 42
    LINK_IDENTIFIER = 43
    UNLINK_IDENTIFIER = 44
    SET_BLOCK = 45
    CLOSE_ACCOUNT = 46
    ERASE_PERSON = 47
    ADJUST = 48
    DECIDE_ADJUSTMENT = 49
    TRANSFER = 50
    CREATE_POOL = 51
    JOIN_POOL = 52
    LEAVE_POOL = 53
    RELEASE_QUARANTINED = 54
    RECORD_CARD = 55
    SET_PIN = 57
    RESET_PIN = 58

    # Steps of work that spans partitions; only the node itself sends these.
    RESOLVE = 70
    CLAIM_IDENTIFIER = 71
    CONFIRM_IDENTIFIER = 72
    END_IDENTIFIER = 73
    CLAIM_RECEIPT = 74
    RELEASE_RECEIPT = 75
    TAKE_SALE = 76
    RECEIVE_TRANSFER = 77
    CLOSE_TRANSFER = 78
    SET_HOLDER = 79
    SWEEP = 80
    PROBE_ACCOUNT = 81
    LIST_CLAIMS = 82
    DROP_OUTBOX = 83
    RELEASE_SALE = 84
    PLACE_REQUEST = 85

    LOOK_SALE = 86
    """An anonymous sale and what came back of it; the body is its sequence."""
    LOOK_RECEIPT = 87
    """Who has a receipt; the body is its digest, the answer its claim as it is stored, or nothing."""
    LOOK_REQUEST = 88
    """Whether a request was reversed, as the account's own partition knows; the body is a RequestLook."""

    # What only the outbox names: work of the gateway's between several partitions.
    AGREE_LINKS = 90
    AGREE_HOLDER = 91

    # The coalition; bodies and answers are in `wire.coalition_records`.
    HOME_MESSAGE = 100
    """A Carried of an acquirer's; on the member's account, or where nobody carries the identifier on none."""
    HOME_HELLO = 101
    """Opens this partition's lane with each of the partners: what it says is HELLO."""
    HOME_TICK = 102
    """Cut markers that are due."""
    LEASE_LOOK = 103
    """A partition's leases of caps; bodies of these three are in `wire.lease_wishes`."""
    LEASE_GIVE = 104
    """Makes a partition's share of a cap smaller, for another one."""
    LEASE_HEAR = 105
    """Tells a partition what another's lease is: what it was given becomes its own."""
    ACQUIRER_BEGIN = 110
    ACQUIRER_CAPTURE = 111
    ACQUIRER_CANCEL = 112
    ACQUIRER_MESSAGE = 113
    """A Carried of a home node's."""
    ACQUIRER_DUE = 114
    """Sends again, or gives up, whatever is due."""
    ACQUIRER_LOOK = 115
    ACQUIRER_HELLO = 116
    """Says HELLO_REQUEST to each of the partners: this node has started."""
    ACQUIRER_SHUT = 117
    """A window's close is about to be signed: its lanes take none of its records any more."""
    LANE_DISPUTE = 118
    """Why a lane was set aside; the answer is a DisputeAnswer."""
    LANE_STATES = 119
    """How lanes with partners stand, and what counts against caps; the answer is a LaneStates."""
    LANE_RECORDS = 120
    LANE_LIST = 121
    """For settlement; bodies of these three and their answers are in `wire.settlement_wishes`."""
    LANE_TALLY = 122
    LANE_ENTRIES = 123
    LANE_ACKED = 124
    """How far the acquirer has signed, for a close by the home node alone; the answer is an AckRecord."""
    HOME_SETTLED = 125
    """Records of a lane were settled and paid: they count against caps no more; bodies in
    `wire.settlement_wishes`."""
    ACQUIRER_SETTLED = 126
    LANE_MEND = 127
    """Puts a record back that this node has lost; body in `wire.settlement_wishes`, the answer is a bool."""
    HOME_SHUT = 128
    """A window is about to be closed by this node as home node: no record of it is posted any more."""


class Command(Struct, frozen=True, array_like=True, gc=False):
    """One thing to do on one partition.

    `account_id` is empty for an anonymous sale and for steps that concern no account. `digest` is the
    identifier that led to the account, which the account checks against its own links; empty where it was
    named by its id. `scope` is the terminal as store/terminal, within which request ids are unique;
    `author` is the caller for the journal. `body` is the request as it came, or for the node's own steps the
    msgpack of one of the structs below. `extra` is msgpack of what the gateway adds. `read` is what the
    gateway has read of the request (`requests.pack`); then there is no `body`, but for a partner's message
    (`coalition_read.pack`). `known_only`: the request was reversed, and is told what it was told or that.
    """

    op: Op
    partition: int
    account_id: bytes
    digest: bytes
    scope: str
    store_id: str
    author: str
    trace_id: str
    body: bytes
    extra: bytes = b""
    read: bytes = b""
    known_only: bool = False


class AnswerKind(IntEnum):
    """What an answer is."""

    DONE = 0
    """`body` is the response's bytes, or the msgpack of a step's result."""
    REFUSED = 1
    """`refusal` says why."""
    MOVED = 2
    """The identifier does not stand for this account; resolve it once more."""
    POOLED = 3
    """The account belongs to the pool whose id is `body`; ask that one."""
    ELSEWHERE = 4
    """What the request is about was done in the partition whose number is the byte `body`; ask there."""


class Answer(Struct, frozen=True, array_like=True, gc=False):
    """What became of one command."""

    kind: AnswerKind
    body: bytes = b""
    refusal: Refused | None = None


MOVED = Answer(AnswerKind.MOVED)


def done(body: bytes) -> Answer:
    """An answer with its bytes."""
    return Answer(AnswerKind.DONE, body)


def refused(refusal: Refused) -> Answer:
    """An answer that says why not."""
    return Answer(AnswerKind.REFUSED, b"", refusal)


class LinkWish(Struct, frozen=True, array_like=True):
    """An identifier to claim, confirm, link or end: its digest, kind and what staff may recognise it by."""

    digest: bytes
    kind: int
    hint: str = ""
    account_id: bytes = b""
    since_ms: int = 0
    at_ms: int = 0


class Placing(Struct, frozen=True, array_like=True):
    """That a request without a member will be done in `partition`, for whoever asks where its id leads."""

    scope: str
    request_id: str
    occurred_ms: int
    partition: int


class ReceiptWish(Struct, frozen=True, array_like=True):
    """A receipt to claim for a request, or to release; `for_good` where the request was reversed. `body_hash`
    is of the request's body, keyed; `placed` is the partition that the request goes to.
    """

    digest: bytes
    scope: str
    request_id: str
    at_ms: int = 0
    for_good: bool = False
    body_hash: bytes = b""
    placed: int = -1


class RequestLook(Struct, frozen=True, array_like=True):
    """A request of a terminal's, to be looked for in one partition."""

    scope: str
    request_id: str


encode = msgspec.msgpack.Encoder().encode
decode_commands = msgspec.msgpack.Decoder(list[Command]).decode
decode_answers = msgspec.msgpack.Decoder(list[Answer]).decode
