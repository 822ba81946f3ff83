"""What the acquirer does by itself as time goes by: it sends again what was not answered, and gives up.

It gives up only what it would know of if it had been done: a node that came back from an old disk has
forgotten what the home node answered since, and hears of it as the lanes are opened.
"""

from __future__ import annotations

from msgspec.structs import replace

from node.coalition.acquirer import let_go
from node.coalition.acquirer_exchange import ON_LANE, is_from_backup, may_give_up, utter, waited
from node.coalition.acquirer_facts import (
    HOLD_SLACK_MS,
    AcquirerExchange,
    AcquirerFacts,
    AcquirerStep,
    Utter,
)
from node.coalition.exchange import AcquirerEvent, AcquirerState
from node.coalition.messages import LANE_UNKNOWN, Body, Cancel, Capture, MessageType


def on_time(known: AcquirerExchange, facts: AcquirerFacts) -> AcquirerStep:
    """The exchange's due time has come: something is given up, or what was not answered is sent again.

    Stored bytes are sent as they are, or where the lane has another epoch by now, or a request has no lane
    and grows too old to be taken, the same body is signed anew. Nothing is signed on a lane that is not
    ready.
    """
    if known.ended:
        return AcquirerStep()
    bounds = facts.directory.bounds
    too_old = facts.now_ms - known.created_ms >= bounds.freshness_ms
    is_old = too_old or is_from_backup(known, facts)
    if known.state is AcquirerState.INTENT and is_old and may_give_up(known, facts):
        return let_go(known, AcquirerEvent.GIVE_UP, facts)
    if known.state is AcquirerState.AUTHORIZED:
        if facts.now_ms < known.expires_ms + HOLD_SLACK_MS:
            return AcquirerStep(exchange=replace(known, due_ms=known.expires_ms + HOLD_SLACK_MS))
        if not may_give_up(known, facts):
            return AcquirerStep(exchange=waited(known, facts))
        return let_go(known, AcquirerEvent.GIVE_UP, facts)
    return resend(known, facts)


def resend(known: AcquirerExchange, facts: AcquirerFacts) -> AcquirerStep:
    """Sends what the state sends, once more."""
    if known.sent_type is None:
        return AcquirerStep()
    if known.state is AcquirerState.CAPTURING and is_from_backup(known, facts) and facts.ready:
        return let_go(known, AcquirerEvent.CANCEL, facts)  # not posted, and a till may have let it go since
    exchange = waited(known, facts)
    on_lane = known.lane != LANE_UNKNOWN and known.sent_type in ON_LANE
    if on_lane and (facts.lane is None or facts.lane.disputed or not facts.ready):
        return AcquirerStep(exchange=replace(exchange, attempts=known.attempts))
    if known.sent is not None and not _outdated(known, on_lane, facts):
        return AcquirerStep(exchange=exchange, says=(Utter(envelope=known.sent, secretly=known.secretly),))
    body = _body_of(known, facts)
    return AcquirerStep(exchange=exchange, says=utter(exchange, known.sent_type, body, facts))


def _outdated(known: AcquirerExchange, on_lane: bool, facts: AcquirerFacts) -> bool:
    if on_lane and facts.lane is not None and known.sent_epoch != facts.lane.epoch:
        return True
    fresh_ms = facts.directory.bounds.freshness_ms // 2
    return known.state is AcquirerState.QUEUED and facts.now_ms - known.sent_ms >= fresh_ms


def _body_of(known: AcquirerExchange, facts: AcquirerFacts) -> Body:
    """The body that an exchange's state sends: the same bytes each time."""
    if known.sent_type is MessageType.CAPTURE:
        return Capture(known.authorized_hash, known.capture_units, known.capture_reference)
    if known.sent_type is MessageType.CANCEL:
        return Cancel(known.body_hash)
    assert known.sent_type is not None, "the caller has looked"
    return facts.encoder.read(known.sent_type, known.asked)
