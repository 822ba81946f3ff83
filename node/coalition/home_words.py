"""What a home node says about an exchange: its last word again, its end, and why a message is not taken."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from node.coalition import caps
from node.coalition.envelopes import Draft, Envelope, Message
from node.coalition.exchange import ExchangeKind, HomeEvent, HomeState, home_row
from node.coalition.home_facts import HomeExchange, HomeFacts, HomeStep, Say
from node.coalition.messages import (
    LANE_UNKNOWN,
    Body,
    Capture,
    ExchangeReason,
    MessageType,
    Posted,
    PostedCore,
    RecordKind,
    Refusal,
    Voided,
)
from node.ledger import spending
from node.ledger.decision import Accepted


def refuse(message: Message, facts: HomeFacts, reason: ExchangeReason, retry_after_ms: int = 0) -> HomeStep:
    """A step that changes nothing and says why."""
    draft = refusal(message, reason, facts.lane.epoch, retry_after_ms)
    return HomeStep(says=(Say(draft),), refused=reason)


def refusal(message: Message, reason: ExchangeReason, epoch: int, retry_after_ms: int) -> Draft:
    """Why a message is not taken. On no lane, so that it can be said before HELLO."""
    body = Refusal(message.hash, reason, epoch, retry_after_ms)
    return Draft(MessageType.REFUSAL, LANE_UNKNOWN, 0, message.header.exchange_id, body)


def say_again(known: HomeExchange, facts: HomeFacts) -> HomeStep:
    """The exchange's last word: its own bytes, or after a new epoch the same body signed anew."""
    if known.reply is None or known.said is None:  # it was let go while the lane was opened; nothing was said
        body: Body = Voided(known.body_hash, known.reason)
        kept = replace(known, said=MessageType.VOIDED)
        return HomeStep(exchange=kept, says=(said(MessageType.VOIDED, body, known.exchange_id, facts),))
    if known.state is HomeState.POSTED:
        return HomeStep(says=(record_again(known.number, facts),))
    if known.reply_epoch == facts.lane.epoch:
        return HomeStep(says=(Say(envelope=known.reply),))
    body = facts.encoder.read(known.said, known.reply.body)
    draft = Draft(known.said, facts.lane.lane, facts.lane.epoch, known.exchange_id, body, known.reply.body)
    return HomeStep(exchange=known, says=(Say(draft, keeps=True),))


def record_again(number: int, facts: HomeFacts) -> Say:
    """The POSTED of a record once more, beside it the record: signed anew where the epoch is another now.

    And the CANCEL of what the acquirer has let go before it heard of the record, by the exchange's own name
    or by that of a capture which it had lost: it may have lost that since.
    """
    record = facts.record(number)
    assert record is not None, "what is posted has its record"
    posted, request = record
    evidence: tuple[Envelope, ...] = (posted,) if request is None else (posted, request)
    epoch, lane = facts.lane.epoch, facts.lane.lane
    body = facts.encoder.read(MessageType.POSTED, posted.body)
    assert isinstance(body, Posted)
    kept = (facts.cancelled(name) for name in _names(body.core, request, facts))
    evidence += tuple(cancel for cancel in kept if cancel is not None)
    if facts.encoder.epoch(posted) == epoch:
        return Say(envelope=posted, evidence=evidence)
    draft = Draft(MessageType.POSTED, lane, epoch, body.core.exchange_id, body, posted.body)
    return Say(draft, evidence=evidence)


def _names(core: PostedCore, request: Envelope | None, facts: HomeFacts) -> Iterator[bytes]:
    """The ids by which an acquirer may let go what a record posted."""
    if request is None or core.kind not in (RecordKind.ACCRUAL, RecordKind.REDEMPTION):
        return
    yield core.exchange_id
    asked = facts.encoder.message(request).body
    if isinstance(asked, Capture) and asked.reference:
        yield asked.reference


def void(
    known: HomeExchange | None,
    message: Message,
    facts: HomeFacts,
    event: HomeEvent,
    reason: ExchangeReason,
    body_hash: bytes,
) -> HomeStep:
    """VOIDED, with the hold given back where there is one."""
    row = home_row(known.state if known else HomeState.NONE, event)
    exchange = known or replace(new(message, facts, HomeState.NONE, None), body_hash=body_hash)
    exchange = replace(
        exchange, state=HomeState(row.then), changed_ms=facts.now_ms, reason=reason, said=MessageType.VOIDED
    )
    answer = Voided(body_hash, reason)
    word = said(MessageType.VOIDED, answer, message.header.exchange_id, facts)
    if known is None:
        return HomeStep(exchange=exchange, says=(word,))
    usage, booking = let_hold_go(known, facts)
    return HomeStep(exchange=exchange, usage=usage, booking=booking, says=(word,))


def let_hold_go(known: HomeExchange, facts: HomeFacts) -> tuple[caps.Usage, Accepted | None]:
    """The lease without the hold, and the entry that gives it back, where the sweep has not done so
    before.
    """
    usage = caps.reserve(facts.usage, -known.units)
    if facts.account is None or facts.account.hold(known.hold_id) is None:
        return usage, None
    voided = spending.void(facts.account, known.hold_id, facts.ledger)
    assert isinstance(voided, Accepted), "an open hold can be let go"
    return usage, voided


def hold_over(known: HomeExchange, facts: HomeFacts) -> bool:
    """Whether a reservation's time is over by our clock, or the sweep has given it back."""
    return (
        facts.now_ms >= known.expires_ms or facts.account is None or facts.account.hold(known.hold_id) is None
    )


def end_hold(known: HomeExchange, facts: HomeFacts) -> HomeStep:
    """Voids an exchange whose hold is over and of which nobody asks any more: a partner that was restored may
    have forgotten it. Nothing is said; whoever asks later hears VOIDED.
    """
    row = home_row(known.state, HomeEvent.HOLD_OVER)
    assert hold_over(known, facts), "the caller has looked at the clock"
    usage, booking = let_hold_go(known, facts)
    exchange = replace(
        known, state=HomeState(row.then), changed_ms=facts.now_ms, reason=ExchangeReason.HOLD_EXPIRED,
        said=None, reply=None,
    )  # fmt: skip
    return HomeStep(exchange=exchange, usage=usage, booking=booking)


def new(
    message: Message, facts: HomeFacts, state: HomeState, kind: ExchangeKind | None, **more: object
) -> HomeExchange:
    """An exchange as a message begins it."""
    exchange = HomeExchange(
        facts.partner_id,
        message.header.exchange_id,
        state,
        facts.now_ms,
        kind,
        facts.account_id,
        message.header.body_hash,
        prover_id=facts.prover_id,
    )
    return replace(exchange, **more)


def said(type_: MessageType, body: Body, exchange_id: bytes, facts: HomeFacts) -> Say:
    """A word on the lane, kept as the exchange's last."""
    return Say(Draft(type_, facts.lane.lane, facts.lane.epoch, exchange_id, body), keeps=True)


def signed(exchange: HomeExchange, message: Message) -> HomeExchange:
    """The exchange with its last word, now that it is signed: kept in the same batch, said again as it is."""
    return replace(
        exchange, said=message.header.type, reply=message.envelope, reply_epoch=message.header.epoch
    )
