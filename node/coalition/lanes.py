"""Lanes: the chain of records between a home node, an acquirer and one of the home node's partitions.

Both sides hold the same chain. The home node appends; the acquirer follows without gaps, and only then
counts a record as done. A lane has an epoch, raised by a HELLO at each start of the home node: what was
signed in an older epoch opens, moves and proves nothing any more, except beside a signature of the present
epoch over the same body.

Hashes (SHA-256), lengths as 8 bytes, big-endian:
    h_0 = 32 zero bytes
    h_n = H(tag, h_{n-1}, len(request header), request header, len(core), core)
The request header is the exact bytes that the acquirer signed, empty for a cut; the core the exact bytes in
POSTED.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, StrEnum

from msgspec import Struct
from msgspec.structs import replace

from node.coalition.envelopes import Draft, Envelope, Message
from node.coalition.messages import (
    HASH_BYTES,
    ExchangeReason,
    HeadAck,
    Hello,
    HelloReply,
    LaneHead,
    MessageType,
    Posted,
    sha256,
)

CHAIN_TAG = b"vafa lane record v1\x00"
GENESIS = bytes(HASH_BYTES)
NONCE_BYTES = 16
MAX_LISTED_IDS = 10_000
"""Exchanges that one HELLO_REPLY lists of each sort; an acquirer with more begins nothing new on the lane."""
MAX_RESENT = 100
"""Records that the home node sends again for one repeated HEAD_ACK."""
MAX_EPOCH = 1 << 62


def chain(previous: bytes, request_header: bytes, core: bytes) -> bytes:
    """The hash of the record that follows `previous`."""
    lengths = (len(request_header).to_bytes(8, "big"), len(core).to_bytes(8, "big"))
    return sha256(CHAIN_TAG + previous + lengths[0] + request_header + lengths[1] + core)


class Phase(IntEnum):
    """Where a lane stands in this life of the process; never stored."""

    SHUT = 0
    """No HELLO yet in this life."""
    PROPOSED = 1
    """Home: HELLO is durable and sent, until it is answered."""
    IMPORTING = 2
    """Home: the acquirer has records that were lost here. Acquirer: the home node has some that are missing
    here.
    """
    READY = 3
    DISPUTED = 4
    """The two sides' signed words contradict each other; nothing more until people have looked."""


class HomeLane(Struct, frozen=True, array_like=True):
    """The home node's side of a lane, durable. `acked` is how far the acquirer said it has come."""

    partner_id: str
    lane: int
    number: int = 0
    hash: bytes = GENESIS
    epoch: int = 0
    window: int = 0
    acked: int = 0
    nonce: bytes = b""
    disputed: bool = False

    @property
    def head(self) -> LaneHead:
        """The head as it is said."""
        return LaneHead(self.lane, self.number, self.hash, self.epoch)


class AcquirerLane(Struct, frozen=True, array_like=True):
    """The acquirer's side of a lane, durable.

    `epoch` is the highest that the home node signed and that was adopted; `prior_epoch` the one before it,
    said again when the same HELLO (`nonce`) comes again. `home_number` and `home_hash` are what that HELLO
    said the home node has; `hello` is the HELLO itself, the proof of the epoch.
    """

    partner_id: str
    lane: int
    number: int = 0
    hash: bytes = GENESIS
    epoch: int = 0
    window: int = 0
    prior_epoch: int = 0
    nonce: bytes = b""
    home_number: int = 0
    home_hash: bytes = GENESIS
    disputed: bool = False
    hello: Envelope | None = None

    @property
    def head(self) -> LaneHead:
        """The head as it is said."""
        return LaneHead(self.lane, self.number, self.hash, self.epoch)

    @property
    def behind(self) -> bool:
        """Whether the home node has said that it holds records which are missing here."""
        return self.number < self.home_number


# --- the home node -----------------------------------------------------------------------------------------


def propose(
    lane: HomeLane, nonce: bytes, above: int = 0, request_nonce: bytes = b""
) -> tuple[HomeLane, Draft]:
    """Opens a lane anew: the next epoch, above `above` too, and the HELLO to send once it is durable.

    `request_nonce` is of the last HELLO_REQUEST that came in this life.
    """
    epoch = max(lane.epoch, above) + 1
    lane = replace(lane, epoch=epoch, nonce=nonce)
    return lane, Draft(MessageType.HELLO, lane.lane, epoch, b"", Hello(lane.head, nonce, request_nonce))


def is_ahead(lane: HomeLane, epoch: int) -> bool:
    """Whether the acquirer speaks in an epoch that we have not reached: a HELLO of ours that we forgot came
    late.

    Then the lane is opened anew above it, or neither side would ever take the other's word again. An
    acquirer that makes an epoch up shuts but its own lane for a moment.
    """
    return lane.epoch < epoch < MAX_EPOCH


class Opening(StrEnum):
    """What a HELLO_REPLY makes of a lane."""

    READY = "ready"
    IMPORT = "import"
    """Records up to the acquirer's head must be imported first."""
    AGAIN = "again"
    """The acquirer knows of a higher epoch: propose above it."""
    FORKED = "forked"
    """Both hold a record of that number, and they differ."""
    IGNORED = "ignored"
    """An answer to another HELLO."""


def on_hello_reply(lane: HomeLane, reply: HelloReply, epoch: int) -> Opening:
    """What to do with a HELLO_REPLY whose header says `epoch`. The caller keeps what it lists as void.

    The acquirer's number may be above ours (we lost records), below (they are sent again), or the same.
    """
    if reply.head.lane != lane.lane or max(epoch, reply.head.epoch) >= MAX_EPOCH:
        return Opening.IGNORED
    if is_ahead(lane, epoch):
        return Opening.AGAIN
    if not lane.nonce or reply.nonce != lane.nonce:
        return Opening.IGNORED
    if reply.head.epoch >= lane.epoch:
        return Opening.AGAIN
    if epoch != lane.epoch:
        return Opening.IGNORED
    if reply.head.number > lane.number:
        return Opening.IMPORT
    if reply.head.number == lane.number and reply.head.hash != lane.hash:
        return Opening.FORKED
    return Opening.READY


def append(lane: HomeLane, request_header: bytes, core: bytes, window: int) -> HomeLane:
    """The lane with one more record."""
    return replace(
        lane,
        number=lane.number + 1,
        hash=chain(lane.hash, request_header, core),
        window=max(window, lane.window),
    )


def on_head_ack(
    lane: HomeLane, ack: HeadAck, hash_at: bytes | None
) -> tuple[HomeLane, range] | ExchangeReason:
    """Takes an acknowledgement; `hash_at` is our hash of the record of its number, None where we have none.

    Gives the lane and the numbers to send again: those after an acknowledgement that repeats the last one.
    """
    number = ack.head.number
    if number > lane.number or hash_at is None:
        return ExchangeReason.BROKEN_CHAIN
    if hash_at != ack.head.hash:
        return ExchangeReason.BROKEN_CHAIN
    if number > lane.acked:
        return replace(lane, acked=number), range(0)
    if number < lane.acked:
        return lane, range(0)  # an old one that was delayed
    return lane, range(number + 1, min(lane.number, number + MAX_RESENT) + 1)


# --- the acquirer ------------------------------------------------------------------------------------------


def on_hello(lane: AcquirerLane, message: Message) -> tuple[AcquirerLane, int] | ExchangeReason:
    """Takes a HELLO, verified: the lane to make durable, and the epoch for the reply to present.

    Adopted is only an epoch above all that the home node ever signed here. The same HELLO again is answered
    as before. An older epoch is not adopted, and the presented one makes the home node propose above it.
    """
    hello, epoch = message.body, message.header.epoch
    assert isinstance(hello, Hello), "the caller sends only HELLO here"
    sound = epoch == hello.head.epoch and 0 < epoch < MAX_EPOCH and len(hello.nonce) == NONCE_BYTES
    if not sound or not hello.head.lane == message.header.lane == lane.lane:
        return ExchangeReason.MALFORMED
    if epoch == lane.epoch and hello.nonce == lane.nonce:
        return lane, lane.prior_epoch
    if epoch <= lane.epoch:
        return lane, lane.epoch
    adopted = replace(
        lane,
        epoch=epoch,
        prior_epoch=lane.epoch,
        nonce=hello.nonce,
        home_number=hello.head.number,
        home_hash=hello.head.hash,
        hello=message.envelope,
    )
    if hello.head.number == lane.number and hello.head.hash != lane.hash:
        return replace(adopted, disputed=True), lane.epoch
    return adopted, lane.epoch


def is_of_this_life(hello: Hello, heard: bool, own_nonce: bytes) -> bool:
    """Whether an acquirer may take a HELLO: it has heard one in this life, or this one answers its own
    request.

    An acquirer that comes back from an old backup would else take a HELLO that was on its way, and with it
    whatever was said in that epoch.
    """
    return heard or (bool(own_nonce) and hello.request_nonce == own_nonce)


def hello_reply(
    lane: AcquirerLane, prior_epoch: int, nonce: bytes, voided: Sequence[bytes], open_: Sequence[bytes]
) -> Draft:
    """The answer to a HELLO, for when the lane is durable; `lane.hello` goes beside it as evidence.

    `voided` are the exchanges that came to nothing here or are being cancelled, and of which a message
    could still be taken by the home node's clock; `open_` those that wait for it. Each at most
    MAX_LISTED_IDS.
    """
    head = LaneHead(lane.lane, lane.number, lane.hash, prior_epoch)
    body = HelloReply(head, nonce, tuple(voided)[:MAX_LISTED_IDS], tuple(open_)[:MAX_LISTED_IDS])
    return Draft(MessageType.HELLO_REPLY, lane.lane, lane.epoch, b"", body)


class Arrival(StrEnum):
    """What a POSTED is to the acquirer's lane."""

    NEXT = "next"
    KNOWN = "known"
    """At or below the head."""
    GAP = "gap"
    """Records before it are missing; repeat HEAD_ACK."""
    OLD_EPOCH = "old_epoch"
    """Signed before the lane was opened anew, and nobody signed it again."""
    BROKEN = "broken"
    """Its hash does not follow from the chain: the lane is disputed."""


def arrival(lane: AcquirerLane, posted: Posted, epoch: int, request_header: bytes) -> Arrival:
    """Where a POSTED stands that the home node signed in `epoch`; `request_header` is the request it answers.

    A record keeps the signature under which it was posted; one of an older epoch comes beside the same body
    signed in the present epoch, and it is that signature whose epoch is asked here.
    """
    if epoch != lane.epoch or posted.core.lane != lane.lane:
        return Arrival.OLD_EPOCH
    if posted.core.number <= lane.number:
        return Arrival.KNOWN
    if posted.core.number > lane.number + 1:
        return Arrival.GAP
    expected = chain(lane.hash, request_header, posted.core_bytes)
    return Arrival.NEXT if posted.hash == expected else Arrival.BROKEN


def follow(lane: AcquirerLane, posted: Posted) -> AcquirerLane:
    """The lane after the record that `arrival` called NEXT.

    Where it reaches what HELLO said the home node had, and the hash differs, the lane is disputed: the home
    node signed two histories.
    """
    core = posted.core
    forked = core.number == lane.home_number and posted.hash != lane.home_hash
    return replace(
        lane,
        number=core.number,
        hash=posted.hash,
        window=max(core.window, lane.window),
        disputed=lane.disputed or forked,
    )


def head_ack(lane: AcquirerLane) -> Draft:
    """Says how far the acquirer has come."""
    return Draft(MessageType.HEAD_ACK, lane.lane, lane.epoch, b"", HeadAck(lane.head))


def is_epoch_proof(message: Message, home_id: str, acquirer_id: str, lane: int, epoch: int) -> bool:
    """Whether a verified message proves that the home node has signed that epoch of that lane before."""
    header = message.header
    said = (header.sender_id, header.receiver_id, header.lane, header.epoch)
    return said == (home_id, acquirer_id, lane, epoch)


# --- proof -------------------------------------------------------------------------------------------------


def heads_said(message: Message) -> tuple[int, int, bytes] | None:
    """The (epoch, number, hash) that a home node's message commits it to; None where it commits to none."""
    if isinstance(message.body, Posted):
        return message.header.epoch, message.body.core.number, message.body.hash
    if isinstance(message.body, Hello):
        return message.header.epoch, message.body.head.number, message.body.head.hash
    return None


def is_fork_proof(first: Message, second: Message) -> bool:
    """Whether two messages, each verified, prove that one home node told two histories of one lane.

    Both are of the same coalition, sender, receiver, lane and epoch, say the same number, and differ in its
    hash.
    """
    said = heads_said(first), heads_said(second)
    if said[0] is None or said[1] is None:
        return False
    one, other = first.header, second.header
    same_lane = (one.coalition_id, one.sender_id, one.receiver_id, one.lane) == (
        other.coalition_id, other.sender_id, other.receiver_id, other.lane,
    )  # fmt: skip
    return same_lane and said[0][:2] == said[1][:2] and said[0][2] != said[1][2]
