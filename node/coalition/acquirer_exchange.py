"""What every step of the acquirer's has in common: how an exchange waits, speaks, counts and ends."""

from __future__ import annotations

from msgspec.structs import replace

from node.coalition import caps
from node.coalition.acquirer_facts import (
    RETRY_FIRST_MS,
    RETRY_MAX_MS,
    AcquirerExchange,
    AcquirerFacts,
    Secretly,
    Utter,
)
from node.coalition.directory import ExchangeBounds
from node.coalition.envelopes import Draft, Message
from node.coalition.exchange import AcquirerEvent, AcquirerState, Effect, ExchangeKind, Row, acquirer_row
from node.coalition.messages import LANE_UNKNOWN, Body, ExchangeReason, MessageType

_NO_REASON = ExchangeReason.UNSPECIFIED

ON_LANE = frozenset({MessageType.CAPTURE, MessageType.RETURN, MessageType.CANCEL})
"""What is signed on the lane once that is known; RESERVE and ACCRUE never are."""


def retry_ms(attempts: int, jitter: float) -> int:
    """How long to wait after so many unanswered sendings: doubling, up to a minute, half of it by chance."""
    pause_ms = min(RETRY_FIRST_MS << min(attempts, 16), RETRY_MAX_MS)
    return pause_ms // 2 + int(pause_ms * jitter / 2)


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


def is_from_backup(known: AcquirerExchange, facts: AcquirerFacts) -> bool:
    """Whether an exchange is as an old backup had it: a till may have let it go since, and nobody knows."""
    return known.generation < facts.generation


def may_give_up(known: AcquirerExchange, facts: AcquirerFacts) -> bool:
    """Whether this node may let an exchange go by itself: it would know if that had been posted.

    On a disk that was put back it has forgotten what the home node answered since, and goods may have been
    handed over on it. HELLO shows what was posted: on its lane, or while that is not known, on any.
    """
    return facts.caught_up if known.lane == LANE_UNKNOWN else facts.ready


def uncounted(usage: caps.Usage, known: AcquirerExchange) -> caps.Usage:
    """The caps without what was under way."""
    return counted(usage, known, -1)


def counted(usage: caps.Usage, exchange: AcquirerExchange, sign: int) -> caps.Usage:
    """The caps with an exchange under way counted once more (`sign` 1), or no longer (-1)."""
    if exchange.kind is ExchangeKind.REDEMPTION:
        return caps.reserve(usage, sign * exchange.units)
    if exchange.kind is ExchangeKind.ACCRUAL:
        return caps.queue(usage, sign * exchange.units)
    return usage


def waited(known: AcquirerExchange, facts: AcquirerFacts) -> AcquirerExchange:
    """The exchange with one more attempt counted, due again after the pause that follows it."""
    pause_ms = retry_ms(known.attempts, facts.jitter)
    return replace(known, attempts=known.attempts + 1, due_ms=facts.now_ms + pause_ms)


def utter(
    exchange: AcquirerExchange, type_: MessageType, body: Body, facts: AcquirerFacts
) -> tuple[Utter, ...]:
    """The draft of what an exchange sends; none while its lane is not ready, and then `on_time` makes it."""
    lane = facts.lane
    if exchange.lane == LANE_UNKNOWN or type_ not in ON_LANE:
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
