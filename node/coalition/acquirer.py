"""The acquirer's decisions: what tills begin, what is sent until it is answered, and what the answers mean.

Every function gives a step by the rows of `exchange.ACQUIRER`. What the acquirer sends it has made durable
before; what it is told it believes only under the home node's signature in the lane's present epoch; and it
hands goods over in DONE, on a record that follows on its own chain.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from node.coalition import caps
from node.coalition.acquirer_facts import (
    HOLD_SLACK_MS,
    RETRY_FIRST_MS,
    RETRY_MAX_MS,
    AcquirerExchange,
    AcquirerFacts,
    AcquirerStep,
    Secretly,
    Unknown,
    Utter,
)
from node.coalition.directory import ExchangeBounds, may_begin
from node.coalition.envelopes import Draft, Message
from node.coalition.exchange import (
    AcquirerEvent,
    AcquirerState,
    Effect,
    ExchangeKind,
    Row,
    acquirer_row,
)
from node.coalition.messages import (
    LANE_UNKNOWN,
    Accrue,
    Body,
    Cancel,
    Capture,
    ExchangeReason,
    MessageType,
    RecordKind,
    Reserve,
    ReturnAbroad,
    sha256,
)

_NO_REASON = ExchangeReason.UNSPECIFIED


class Wish(Struct, frozen=True):
    """What a till asks for: an exchange to begin. Its id and body follow from the till's request alone.

    So a till's retry is the same exchange with the same body, even after this node has lost its disk.
    """

    exchange_id: bytes
    body: Reserve | Accrue | ReturnAbroad
    secretly: Secretly
    scope: str = ""
    request_id: str = ""
    one_step: bool = False
    lane: int = LANE_UNKNOWN


def begin(known: AcquirerExchange | None, wish: Wish, facts: AcquirerFacts) -> AcquirerStep:
    """Begins an exchange; known already, it goes on as it stands, or is CONFLICT by another body."""
    kind, event, type_ = _BEGINNINGS[type(wish.body)]
    asked = facts.encoder.body(wish.body)
    body_hash = sha256(asked)
    if known is not None:
        if known.body_hash and known.body_hash != body_hash:
            return AcquirerStep(refused=ExchangeReason.CONFLICT)
        return AcquirerStep()
    refused = _may_begin(wish.body, facts)
    original = facts.original
    if isinstance(wish.body, ReturnAbroad):
        refused = refused or _may_return(wish.body, original)
        original = original and replace(original, returned=original.returned + wish.body.units)
    if refused is not None:
        return AcquirerStep(refused=refused)
    row = row_of(AcquirerState.NONE, event)
    exchange = AcquirerExchange(
        facts.partner_id, wish.exchange_id, kind, AcquirerState(row.then), facts.now_ms, facts.now_ms,
        wish.scope, wish.request_id, wish.body.units, one_step=wish.one_step, terms=wish.body.terms,
        body_hash=body_hash, asked=asked, lane=wish.lane, secretly=wish.secretly,
        original_exchange_id=wish.body.original_exchange_id if isinstance(wish.body, ReturnAbroad) else b"",
    )  # fmt: skip
    usage = _count(facts.usage, exchange, 1)
    exchange = _waited(replace(exchange, sent_type=type_), facts)
    says = _utter(exchange, type_, wish.body, facts)
    return AcquirerStep(exchange=exchange, usage=usage, original=original, says=says)


_BEGINNINGS = {
    Reserve: (ExchangeKind.REDEMPTION, AcquirerEvent.SPEND, MessageType.RESERVE),
    Accrue: (ExchangeKind.ACCRUAL, AcquirerEvent.EARN, MessageType.ACCRUE),
    ReturnAbroad: (ExchangeKind.RETURN, AcquirerEvent.GIVE_BACK, MessageType.RETURN),
}


def _may_begin(body: Reserve | Accrue | ReturnAbroad, facts: AcquirerFacts) -> ExchangeReason | None:
    """Refuses here what the home node should refuse too: from our own records, whatever it says."""
    if body.units <= 0:
        return ExchangeReason.MALFORMED
    if isinstance(body, ReturnAbroad):
        return None
    spending = isinstance(body, Reserve)
    if not may_begin(facts.directory, facts.partner_id, spending=spending):
        return ExchangeReason.NOT_A_PARTNER
    if spending:
        cap = facts.directory.cap(facts.partner_id, facts.own_id)
        within = caps.may_reserve(facts.usage, cap, body.units)
    else:
        cap = facts.directory.cap(facts.own_id, facts.partner_id)
        within = caps.may_accrue(facts.usage, cap, body.units)
    return None if within else ExchangeReason.CAP_EXCEEDED


def _may_return(body: ReturnAbroad, original: AcquirerExchange | None) -> ExchangeReason | None:
    """Returns of a posting never pass it; only what was earned or spent can come back."""
    if original is None or original.record_kind not in (RecordKind.ACCRUAL, RecordKind.REDEMPTION):
        return ExchangeReason.UNKNOWN_EXCHANGE
    if original.returned + body.units > original.posted_units:
        return ExchangeReason.RETURN_EXCEEDS_POSTED
    return None


def capture(known: AcquirerExchange, units: int, facts: AcquirerFacts) -> AcquirerStep:
    """A till captures `units`. Refused: ABOVE_AUTHORIZED, CONFLICT (another amount before)."""
    if known.kind is not ExchangeKind.REDEMPTION or known.state is AcquirerState.INTENT:
        return AcquirerStep(refused=ExchangeReason.UNKNOWN_EXCHANGE)
    if not 0 < units <= known.units:
        return AcquirerStep(refused=ExchangeReason.ABOVE_AUTHORIZED)
    if known.capture_units and known.capture_units != units:
        return AcquirerStep(refused=ExchangeReason.CONFLICT)
    row = row_of(known.state, AcquirerEvent.CAPTURE)
    if row.then == known.state:
        return AcquirerStep()
    return start_capture(known, units, row, facts)


def start_capture(known: AcquirerExchange, units: int, row: Row, facts: AcquirerFacts) -> AcquirerStep:
    """CAPTURING: durable before it is sent, and sent until it is answered."""
    exchange = replace(
        _waited(replace(known, attempts=0), facts),
        state=AcquirerState(row.then),
        changed_ms=facts.now_ms,
        capture_units=units,
        sent_type=MessageType.CAPTURE,
        sent=None,
    )
    body = Capture(known.authorized_hash, units)
    return AcquirerStep(exchange=exchange, says=_utter(exchange, MessageType.CAPTURE, body, facts))


def cancel(
    known: AcquirerExchange | None, facts: AcquirerFacts, wish: Wish | Unknown | None = None
) -> AcquirerStep:
    """A till voids or reverses. An exchange that is not known here may be known to the home node: `wish`
    names it.
    """
    if known is not None:
        return let_go(known, AcquirerEvent.CANCEL, facts)
    assert wish is not None, "an exchange that nobody knows is named by its id and its member"
    row = row_of(AcquirerState.NONE, AcquirerEvent.CANCEL)
    exchange = AcquirerExchange(
        facts.partner_id, wish.exchange_id, None, AcquirerState(row.then), facts.now_ms, facts.now_ms,
        wish.scope, wish.request_id, secretly=wish.secretly, lane=wish.lane, sent_type=MessageType.CANCEL,
        reason=ExchangeReason.CANCELLED,
    )  # fmt: skip
    exchange = _waited(exchange, facts)
    return AcquirerStep(exchange=exchange, says=_utter(exchange, MessageType.CANCEL, Cancel(b""), facts))


def let_go(known: AcquirerExchange, event: AcquirerEvent, facts: AcquirerFacts) -> AcquirerStep:
    """CANCEL, GIVE_UP, REFUSED or CONFLICT: CANCELLING where the row says so.

    What is done already is given back, as far as it has not been.
    """
    row = acquirer_row(known.state, event)
    if known.state is AcquirerState.DONE and event is AcquirerEvent.CANCEL:
        return AcquirerStep(give_back=known.posted_units - known.returned)
    if row is None or row.then == known.state:
        return AcquirerStep()
    exchange = replace(
        _waited(replace(known, attempts=0), facts),
        state=AcquirerState(row.then),
        changed_ms=facts.now_ms,
        sent_type=MessageType.CANCEL,
        sent=None,
        reason=known.reason or ExchangeReason.CANCELLED,
    )
    body = Cancel(known.body_hash)
    return AcquirerStep(exchange=exchange, says=_utter(exchange, MessageType.CANCEL, body, facts))


# --- time --------------------------------------------------------------------------------------------------


def on_time(known: AcquirerExchange, facts: AcquirerFacts) -> AcquirerStep:
    """The exchange's due time has come: something is given up, or what was not answered is sent again.

    Stored bytes are sent as they are, or where the lane has another epoch by now, or a request has no lane
    and grows too old to be taken, the same body is signed anew. Nothing is signed on a lane that is not
    ready.
    """
    if known.ended:
        return AcquirerStep()
    bounds = facts.directory.bounds
    if known.state is AcquirerState.INTENT and facts.now_ms - known.created_ms >= bounds.freshness_ms:
        return let_go(known, AcquirerEvent.GIVE_UP, facts)
    if known.state is AcquirerState.AUTHORIZED:
        if facts.now_ms < known.expires_ms + HOLD_SLACK_MS:
            return AcquirerStep(exchange=replace(known, due_ms=known.expires_ms + HOLD_SLACK_MS))
        if not facts.ready:  # on a restored disk it may have been captured since: HELLO shows that first
            return AcquirerStep(exchange=_waited(known, facts))
        return let_go(known, AcquirerEvent.GIVE_UP, facts)
    return resend(known, facts)


def resend(known: AcquirerExchange, facts: AcquirerFacts) -> AcquirerStep:
    """Sends what the state sends, once more."""
    if known.sent_type is None:
        return AcquirerStep()
    exchange = _waited(known, facts)
    on_lane = known.lane != LANE_UNKNOWN and known.sent_type in _ON_LANE
    if on_lane and (facts.lane is None or facts.lane.disputed or not facts.ready):
        return AcquirerStep(exchange=replace(exchange, attempts=known.attempts))
    if known.sent is not None and not _outdated(known, on_lane, facts):
        return AcquirerStep(exchange=exchange, says=(Utter(envelope=known.sent, secretly=known.secretly),))
    body = _body_of(known, facts)
    return AcquirerStep(exchange=exchange, says=_utter(exchange, known.sent_type, body, facts))


_ON_LANE = frozenset({MessageType.CAPTURE, MessageType.RETURN, MessageType.CANCEL})
"""What is signed on the lane once that is known; RESERVE and ACCRUE never are."""


def _outdated(known: AcquirerExchange, on_lane: bool, facts: AcquirerFacts) -> bool:
    if on_lane and facts.lane is not None and known.sent_epoch != facts.lane.epoch:
        return True
    fresh_ms = facts.directory.bounds.freshness_ms // 2
    return known.state is AcquirerState.QUEUED and facts.now_ms - known.sent_ms >= fresh_ms


def _body_of(known: AcquirerExchange, facts: AcquirerFacts) -> Body:
    """The body that an exchange's state sends: the same bytes each time."""
    if known.sent_type is MessageType.CAPTURE:
        return Capture(known.authorized_hash, known.capture_units)
    if known.sent_type is MessageType.CANCEL:
        return Cancel(known.body_hash)
    assert known.sent_type is not None, "the caller has looked"
    return facts.encoder.read(known.sent_type, known.asked)


def retry_ms(attempts: int, jitter: float) -> int:
    """How long to wait after so many unanswered sendings: doubling, up to a minute, half of it by chance."""
    pause_ms = min(RETRY_FIRST_MS << min(attempts, 16), RETRY_MAX_MS)
    return pause_ms // 2 + int(pause_ms * jitter / 2)


# --- shared ------------------------------------------------------------------------------------------------


def ended(
    known: AcquirerExchange,
    row: Row,
    facts: AcquirerFacts,
    reason: ExchangeReason = _NO_REASON,
) -> AcquirerExchange:
    """The exchange in its last state: nothing more is sent, and identifier, proof and salt are dropped."""
    assert Effect.FORGET in row.effects
    return replace(
        known,
        state=AcquirerState(row.then),
        changed_ms=facts.now_ms,
        secretly=Secretly(),
        sent=None,
        sent_type=None,
        due_ms=0,
        attempts=0,
        reason=reason,
    )


def stays_void(known: AcquirerExchange, now_ms: int, bounds: ExchangeBounds) -> bool:
    """Whether a HELLO_REPLY must list an exchange as void: it came to nothing, or is being cancelled, and
    something that was signed about it could still be taken by a home node that has forgotten it.

    A message is taken while its issue time lies within the freshness bound of the home node's clock, which
    may differ from ours by as much again.
    """
    over = known.state in (AcquirerState.FAILED, AcquirerState.CANCELLING)
    return over and now_ms - known.sent_ms <= 2 * bounds.freshness_ms


def uncounted(usage: caps.Usage, known: AcquirerExchange) -> caps.Usage:
    """The caps without what was under way."""
    return _count(usage, known, -1)


def _count(usage: caps.Usage, exchange: AcquirerExchange, sign: int) -> caps.Usage:
    if exchange.kind is ExchangeKind.REDEMPTION:
        return caps.reserve(usage, sign * exchange.units)
    if exchange.kind is ExchangeKind.ACCRUAL:
        return caps.queue(usage, sign * exchange.units)
    return usage


def _waited(known: AcquirerExchange, facts: AcquirerFacts) -> AcquirerExchange:
    pause_ms = retry_ms(known.attempts, facts.jitter)
    return replace(known, attempts=known.attempts + 1, due_ms=facts.now_ms + pause_ms)


def _utter(
    exchange: AcquirerExchange, type_: MessageType, body: Body, facts: AcquirerFacts
) -> tuple[Utter, ...]:
    """The draft of what an exchange sends; none while its lane is not ready, and then `on_time` makes it."""
    lane = facts.lane
    if exchange.lane == LANE_UNKNOWN or type_ not in _ON_LANE:
        draft = Draft(type_, LANE_UNKNOWN, 0, exchange.exchange_id, body)
    elif lane is None or lane.disputed or not facts.ready:
        return ()
    else:
        draft = Draft(type_, lane.lane, lane.epoch, exchange.exchange_id, body)
    return (Utter(draft, secretly=exchange.secretly, keeps=True),)


def signed(exchange: AcquirerExchange, message: Message) -> AcquirerExchange:
    """The exchange with what it sends, now that it is signed: kept in the same batch, sent again as it is."""
    type_, envelope = message.header.type, message.envelope
    exchange = replace(
        exchange,
        sent=envelope,
        sent_type=type_,
        sent_epoch=message.header.epoch,
        sent_ms=message.header.issue_time_ms,
    )
    if type_ is MessageType.CAPTURE:
        return replace(exchange, capture=envelope)
    return exchange if type_ is MessageType.CANCEL else replace(exchange, request=envelope)


def row_of(state: AcquirerState, event: AcquirerEvent) -> Row:
    """The transition; for what this node itself causes there always is one."""
    row = acquirer_row(state, event)
    assert row is not None, "the table knows the event"
    return row
