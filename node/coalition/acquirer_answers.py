"""What the home node's answers mean to the acquirer, all but POSTED (see `acquirer_posted.py`).

An answer counts only where it answers what was sent, under the home node's signature in the lane's present
epoch.
"""

from __future__ import annotations

from msgspec.structs import replace

from node.coalition.acquirer import let_go, start_capture
from node.coalition.acquirer_exchange import ended, is_from_backup, may_give_up, retry_ms, row_of, uncounted
from node.coalition.acquirer_facts import (
    HOLD_SLACK_MS,
    RETRY_MAX_MS,
    AcquirerExchange,
    AcquirerFacts,
    AcquirerStep,
)
from node.coalition.envelopes import Message
from node.coalition.exchange import HOPELESS, AcquirerEvent, AcquirerState, ExchangeKind, acquirer_row
from node.coalition.messages import (
    LANE_UNKNOWN,
    Authorized,
    Declined,
    ExchangeReason,
    Refusal,
    Voided,
)


def on_answer(known: AcquirerExchange | None, message: Message, facts: AcquirerFacts) -> AcquirerStep:
    """AUTHORIZED, DECLINED, VOIDED or REFUSAL, verified. POSTED is `acquirer_posted.on_posted`'s.

    What does not answer what was sent, or was signed in another epoch than the lane's, changes nothing.
    """
    if known is None:
        return AcquirerStep(refused=ExchangeReason.UNKNOWN_EXCHANGE)
    body = message.body
    if isinstance(body, Refusal):
        return _refused(known, message, body, facts)
    lane, header = facts.lane, message.header
    if header.lane == LANE_UNKNOWN:
        return AcquirerStep()
    if not facts.heard or lane is None:
        return AcquirerStep(refused=ExchangeReason.LANE_NOT_READY)
    if lane.disputed or header.lane != lane.lane:
        return AcquirerStep()
    if header.epoch != lane.epoch:
        # Our HEAD_ACK tells a home node that has forgotten its epoch which one it is.
        return AcquirerStep(asks=header.epoch < lane.epoch, refused=ExchangeReason.WRONG_EPOCH)
    if known.lane not in (LANE_UNKNOWN, lane.lane):
        return AcquirerStep()
    known = replace(known, lane=lane.lane)
    if isinstance(body, Authorized):
        return _authorized(known, message, body, facts)
    if isinstance(body, Declined) and _answers(known, body.request_hash):
        known = replace(known, void_epoch=header.epoch, detail=body.detail)
        return _failed(known, AcquirerEvent.DECLINED, body.reason, facts)
    if isinstance(body, Voided) and _answers(known, body.request_body_hash):
        known = replace(known, void_epoch=header.epoch)
        return _failed(known, AcquirerEvent.VOIDED, known.reason or body.reason, facts)
    return AcquirerStep()


def _answers(known: AcquirerExchange, asked_hash: bytes) -> bool:
    """Whether an end is that of what was asked. A tombstone has no hash; neither has a restored acquirer that
    cancels what it has forgotten.
    """
    return not asked_hash or known.body_hash in (b"", asked_hash)


def _authorized(
    known: AcquirerExchange, message: Message, body: Authorized, facts: AcquirerFacts
) -> AcquirerStep:
    if body.request_hash != known.body_hash or body.units != known.units:
        return AcquirerStep()
    row = row_of(known.state, AcquirerEvent.AUTHORIZED)
    if row.then == known.state:
        return AcquirerStep()
    exchange = replace(
        known,
        state=AcquirerState(row.then),
        changed_ms=facts.now_ms,
        authorized_hash=message.header.body_hash,
        expires_ms=body.expire_time_ms,
        balance_units=body.balance_units,
        pseudonym=body.pseudonym,
        sent=None,
        sent_type=None,
        attempts=0,
        due_ms=body.expire_time_ms + HOLD_SLACK_MS,
    )
    if exchange.one_step and is_from_backup(exchange, facts):
        return let_go(exchange, AcquirerEvent.GIVE_UP, facts)  # a till may have let it go since the backup
    if not exchange.one_step:
        return AcquirerStep(exchange=exchange)
    return start_capture(exchange, exchange.units, row_of(exchange.state, AcquirerEvent.CAPTURE), facts)


def _failed(
    known: AcquirerExchange, event: AcquirerEvent, reason: ExchangeReason, facts: AcquirerFacts
) -> AcquirerStep:
    row = row_of(known.state, event)
    if row.then == known.state:
        return AcquirerStep()
    original = facts.original
    if known.kind is ExchangeKind.RETURN and original is not None:
        original = replace(original, returned=original.returned - known.units)
    return AcquirerStep(
        exchange=ended(known, row, facts, reason), usage=uncounted(facts.usage, known), original=original
    )


def _refused(known: AcquirerExchange, message: Message, body: Refusal, facts: AcquirerFacts) -> AcquirerStep:
    """A message of ours was not taken. Most often time mends it; else the exchange is let go."""
    if known.sent is None or body.request_hash != known.sent.hash or known.ended:
        return AcquirerStep()
    if body.reason is ExchangeReason.CONFLICT:
        row = acquirer_row(known.state, AcquirerEvent.CONFLICT)
        if row is not None and row.then == AcquirerState.FAILED:
            return _failed(known, AcquirerEvent.CONFLICT, body.reason, facts)
        return let_go(replace(known, reason=body.reason), AcquirerEvent.CONFLICT, facts)
    asks = known.state is AcquirerState.INTENT
    may_end = not asks or may_give_up(known, facts)
    hopeless = body.reason in HOPELESS and not body.retry_after_ms
    if hopeless and known.state is not AcquirerState.CANCELLING and may_end:
        return let_go(replace(known, reason=body.reason), AcquirerEvent.REFUSED, facts)
    if body.reason is ExchangeReason.STALE and asks and may_end:
        return let_go(replace(known, reason=body.reason), AcquirerEvent.GIVE_UP, facts)
    # Only our own patience counts: a partner cannot make us wait longer than we would, nor ask without a
    # pause that grows.
    pause_ms = min(max(body.retry_after_ms, retry_ms(known.attempts, facts.jitter)), RETRY_MAX_MS)
    return AcquirerStep(exchange=replace(known, due_ms=facts.now_ms + pause_ms, reason=body.reason))
