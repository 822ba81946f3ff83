"""The home node's decisions: what becomes of each message that an acquirer sends about an exchange.

`decide` is total: whatever a verified message says, in whatever state, there is a step. It judges first, in
an order that tells a stranger as little as may be, and then obeys the row of `exchange.HOME`. A refusal
changes nothing; a DECLINED or VOIDED stands for good.
"""

from __future__ import annotations

from msgspec.structs import replace

from node.coalition import caps, proofs
from node.coalition.directory import may_begin
from node.coalition.envelopes import Message
from node.coalition.exchange import ExchangeKind, HomeEvent, HomeState, home_row
from node.coalition.home_facts import HomeExchange, HomeFacts, HomeStep
from node.coalition.home_posting import UNITS_MAX, Move, balance_after, earned, posted, reason_of, taken_back
from node.coalition.home_words import hold_over, new, refuse, said, say_again, void
from node.coalition.messages import (
    LANE_UNKNOWN,
    Accrue,
    Authorized,
    Cancel,
    Capture,
    Declined,
    ExchangeReason,
    MessageType,
    Query,
    RecordKind,
    Reserve,
    ReturnAbroad,
    sha256,
)
from node.ledger import abroad
from node.ledger.decision import Accepted
from node.ledger.refusals import Refused

RETRY_SOON_MS = 500
RETRY_LATER_MS = 60_000
"""After what only time, the operator or a settlement mends."""
SHARE_WAIT_MS = 4_000
"""How long a RESERVE waits for other partitions' shares of the cap; its till waits a little longer."""
HOLD_SECONDS_MIN = 30

_EVENTS = {
    MessageType.RESERVE: HomeEvent.RESERVE,
    MessageType.ACCRUE: HomeEvent.ACCRUE,
    MessageType.RETURN: HomeEvent.RETURN,
    MessageType.CAPTURE: HomeEvent.CAPTURE,
    MessageType.CANCEL: HomeEvent.CANCEL,
    MessageType.QUERY: HomeEvent.QUERY,
}
DECIDES = frozenset(_EVENTS)
"""The messages that `decide` takes."""
_KNOWS_LANE = frozenset({MessageType.CAPTURE, MessageType.RETURN})
"""Sent only by who has heard from the lane before."""


def decide(known: HomeExchange | None, message: Message, facts: HomeFacts) -> HomeStep:
    """What becomes of a message about an exchange; `known` is the exchange as it stands, None where there
    is none.
    """
    fenced = _fence(message, facts)
    if fenced is not None:
        return fenced
    body = message.body
    if isinstance(body, Reserve | Accrue | ReturnAbroad):
        return _request(known, message, facts)
    if isinstance(body, Capture):
        return _capture(known, message, body, facts)
    assert isinstance(body, Cancel | Query), "the caller sends only DECIDES here"
    return _let_go(known, message, body, facts)


def _fence(message: Message, facts: HomeFacts) -> HomeStep | None:
    """Refuses what was signed for another lane, in another epoch, or before HELLO."""
    header = message.header
    if header.lane == LANE_UNKNOWN:
        if header.type in _KNOWS_LANE:
            return refuse(message, facts, ExchangeReason.MALFORMED)
    elif header.lane != facts.lane.lane:
        return refuse(message, facts, ExchangeReason.MISROUTED)
    if facts.lane.disputed:
        return refuse(message, facts, ExchangeReason.BROKEN_CHAIN, RETRY_LATER_MS)
    if not facts.ready:
        return refuse(message, facts, ExchangeReason.LANE_NOT_READY, RETRY_SOON_MS)
    if header.lane != LANE_UNKNOWN and header.epoch != facts.lane.epoch:
        return refuse(message, facts, ExchangeReason.WRONG_EPOCH, RETRY_SOON_MS)
    return None


# --- RESERVE, ACCRUE, RETURN -------------------------------------------------------------------------------


def _request(known: HomeExchange | None, message: Message, facts: HomeFacts) -> HomeStep:
    """A request that may be new, or come again, or come too late."""
    if known is not None:
        if known.body_hash and known.body_hash != message.header.body_hash:
            return refuse(message, facts, ExchangeReason.CONFLICT)
        return _again(known, message, facts)
    body = message.body
    age_ms = facts.now_ms - message.header.issue_time_ms
    stale = abs(age_ms) > facts.directory.bounds.freshness_ms
    if isinstance(body, Reserve):
        if not facts.spending_open:
            return refuse(message, facts, ExchangeReason.LANE_NOT_READY, RETRY_LATER_MS)
        return _decline(message, facts, ExchangeReason.STALE) if stale else _reserve(message, body, facts)
    if stale:  # it is signed anew until it is answered, so nothing is lost
        return refuse(message, facts, ExchangeReason.STALE, RETRY_SOON_MS)
    if isinstance(body, Accrue):
        return _accrue(message, body, facts)
    assert isinstance(body, ReturnAbroad)
    return _return(message, body, facts)


def _reserve(message: Message, body: Reserve, facts: HomeFacts) -> HomeStep:
    if not may_begin(facts.directory, facts.partner_id, spending=True):
        return _decline(message, facts, ExchangeReason.NOT_A_PARTNER)
    if not 0 < body.units <= UNITS_MAX or body.hold_seconds < 0:
        return refuse(message, facts, ExchangeReason.MALFORMED)
    if facts.account is None:
        return _decline(message, facts, ExchangeReason.MEMBER_NOT_FOUND)
    sale = proofs.Sale(facts.partner_id, body.units, facts.now_ms)
    verdict, state = proofs.check(facts.proofs, facts.proof, sale, facts.secrets)
    if verdict is not proofs.Verdict.GOOD:
        return _unproved(message, facts, verdict, state)
    kind = proofs.kind_of(facts.proof)
    assert kind is not None, "a good proof is of some kind"
    if not proofs.within_limits(state, kind, body.units, facts.day, facts.rules):
        return _decline(message, facts, ExchangeReason.PROOF_LIMIT, state)
    if not caps.may_reserve(facts.usage, facts.slices.home_units, body.units):
        whole = facts.directory.cap(facts.home_id, facts.partner_id)
        waited_ms = facts.now_ms - message.header.issue_time_ms
        if waited_ms < SHARE_WAIT_MS and caps.may_reserve(facts.usage, whole, body.units):
            return refuse(message, facts, ExchangeReason.CAP_EXCEEDED, RETRY_SOON_MS)  # the proof stays good
        return _decline(message, facts, ExchangeReason.CAP_EXCEEDED, state)
    bounds = facts.directory.bounds
    seconds = min(max(body.hold_seconds, HOLD_SECONDS_MIN), bounds.hold_seconds_max)
    purse = facts.directory.purse.code
    held = abroad.hold(facts.account, purse, body.units, body.terms.store_id, seconds, facts.ledger)
    if isinstance(held, Refused):
        return _decline(message, facts, reason_of(held.reason), state)
    state = proofs.count(state, kind, body.units, facts.day)
    return _held(message, body, facts, held, seconds, state)


def _unproved(
    message: Message, facts: HomeFacts, verdict: proofs.Verdict, state: proofs.ProofState
) -> HomeStep:
    """A chip card's refusal has its name; of other proofs nothing more is said: somebody may be guessing."""
    detail = ""
    if proofs.kind_of(facts.proof) is proofs.ProofKind.CARD_CRYPTOGRAM:
        detail = proofs.REPLAYED if verdict is proofs.Verdict.USED else facts.secrets.refusal
    limited = detail == proofs.TAP_LIMIT
    reason = ExchangeReason.PROOF_LIMIT if limited else ExchangeReason.PROOF_REFUSED
    return _decline(message, facts, reason, state, detail)


def _held(
    message: Message, body: Reserve, facts: HomeFacts, held: Accepted, seconds: int, state: proofs.ProofState
) -> HomeStep:
    """RESERVED, and AUTHORIZED is said."""
    row = home_row(HomeState.NONE, HomeEvent.RESERVE)
    assert facts.account is not None
    expires_ms = facts.now_ms + seconds * 1000
    balance = balance_after(facts.account, held, facts)
    answer = Authorized(message.header.body_hash, expires_ms, body.units, facts.pseudonym, balance)
    usage = caps.reserve(facts.usage, body.units)
    exchange = new(
        message, facts, HomeState(row.then), ExchangeKind.REDEMPTION,
        units=body.units, hold_id=facts.ledger.sequence, expires_ms=expires_ms,
        sequence=facts.ledger.sequence, authorized_hash=sha256(facts.encoder.body(answer)),
        said=MessageType.AUTHORIZED,
    )  # fmt: skip
    cap = facts.slices.home_units
    return HomeStep(
        exchange=exchange,
        usage=usage,
        proofs=state,
        booking=held,
        says=(said(MessageType.AUTHORIZED, answer, message.header.exchange_id, facts),),
        alert=caps.alert(facts.usage.home_owes, usage.home_owes, cap),
    )


def _accrue(message: Message, body: Accrue, facts: HomeFacts) -> HomeStep:
    if not may_begin(facts.directory, facts.partner_id, spending=False):
        return _decline(message, facts, ExchangeReason.NOT_A_PARTNER)
    if not 0 < body.units <= UNITS_MAX or body.available_time_ms < 0 or body.expire_time_ms < 0:
        return refuse(message, facts, ExchangeReason.MALFORMED)
    if facts.account is None:
        return _decline(message, facts, ExchangeReason.MEMBER_NOT_FOUND)
    bounds = facts.directory.bounds
    late_ms = facts.now_ms - body.terms.occurred_time_ms
    if not -bounds.freshness_ms <= late_ms <= bounds.accrual_lateness_days * 86_400_000:
        return _decline(message, facts, ExchangeReason.STALE)
    if not caps.may_accrue(facts.usage, facts.slices.acquirer_units, body.units):
        # The member has earned it: it waits for others' shares or a settlement, rather than be lost.
        whole = facts.directory.cap(facts.partner_id, facts.home_id)
        retry_ms = RETRY_SOON_MS if caps.may_accrue(facts.usage, whole, body.units) else RETRY_LATER_MS
        return refuse(message, facts, ExchangeReason.CAP_EXCEEDED, retry_ms)
    credited = earned(facts, body, facts.account)
    if isinstance(credited, Refused):
        return _decline(message, facts, reason_of(credited.reason))
    move = Move(RecordKind.ACCRUAL, body.units, credited)
    return _post(None, message, facts, HomeEvent.ACCRUE, ExchangeKind.ACCRUAL, move)


def _return(message: Message, body: ReturnAbroad, facts: HomeFacts) -> HomeStep:
    original = facts.original
    if original is None or original.exchange.state is not HomeState.POSTED or facts.account is None:
        return _decline(message, facts, ExchangeReason.UNKNOWN_EXCHANGE)
    exchange = original.exchange
    if exchange.number != body.original_number or exchange.partner_id != facts.partner_id:
        return _decline(message, facts, ExchangeReason.UNKNOWN_EXCHANGE)
    if body.units <= 0:
        return refuse(message, facts, ExchangeReason.MALFORMED)
    if exchange.returned + body.units > exchange.units:
        return _decline(message, facts, ExchangeReason.RETURN_EXCEEDS_POSTED)
    move = taken_back(facts, facts.account, original, body.units)
    if isinstance(move, ExchangeReason):
        return _decline(message, facts, move)
    step = _post(None, message, facts, HomeEvent.RETURN, ExchangeKind.RETURN, move)
    if step.refused is not None:
        return step
    return replace(step, original=replace(exchange, returned=exchange.returned + body.units))


def _decline(
    message: Message,
    facts: HomeFacts,
    reason: ExchangeReason,
    state: proofs.ProofState | None = None,
    detail: str = "",
) -> HomeStep:
    """VOIDED for good, and DECLINED is said; a proof that was tried is used up all the same."""
    row = home_row(HomeState.NONE, HomeEvent.DECLINE)
    exchange = new(message, facts, HomeState(row.then), None, reason=reason, said=MessageType.DECLINED)
    answer = Declined(message.header.body_hash, reason, detail)
    word = said(MessageType.DECLINED, answer, message.header.exchange_id, facts)
    return HomeStep(exchange=exchange, proofs=state, says=(word,), refused=reason)


# --- CAPTURE -----------------------------------------------------------------------------------------------


def _capture(known: HomeExchange | None, message: Message, body: Capture, facts: HomeFacts) -> HomeStep:
    if known is None:
        return void(None, message, facts, HomeEvent.CAPTURE, ExchangeReason.UNKNOWN_EXCHANGE, b"")
    if known.state is HomeState.POSTED:
        if known.capture_hash and known.capture_hash != message.header.body_hash:
            return refuse(message, facts, ExchangeReason.CONFLICT)
        return _again(known, message, facts)
    if known.state is not HomeState.RESERVED or hold_over(known, facts):
        return _again(known, message, facts)
    if body.authorized_hash != known.authorized_hash:
        return refuse(message, facts, ExchangeReason.CONFLICT)
    if body.units <= 0:
        return refuse(message, facts, ExchangeReason.MALFORMED)
    if body.units > known.units:
        return refuse(message, facts, ExchangeReason.ABOVE_AUTHORIZED)
    assert facts.account is not None, "an exchange that holds units has an account"
    spent = abroad.spend(
        facts.account, known.hold_id, facts.directory.purse.code, body.units, facts.partner_id, facts.ledger
    )
    if isinstance(spent, Refused):
        raise AssertionError(f"an open hold cannot be captured: {spent.reason.name}")
    move = Move(RecordKind.REDEMPTION, body.units, spent)
    return _post(known, message, facts, HomeEvent.CAPTURE, ExchangeKind.REDEMPTION, move)


def _post(
    known: HomeExchange | None,
    message: Message,
    facts: HomeFacts,
    event: HomeEvent,
    kind: ExchangeKind,
    move: Move,
) -> HomeStep:
    """POSTED: the movement, the record and the position in one batch; outside the calendar nothing is
    posted.
    """
    row = home_row(known.state if known else HomeState.NONE, event)
    found = posted(message, facts, move)
    if found is None:
        return refuse(message, facts, ExchangeReason.WRONG_WINDOW, RETRY_LATER_MS)
    lane, answer = found
    usage = caps.post(facts.usage, move.kind, move.units)
    if known is None:
        exchange = new(message, facts, HomeState(row.then), kind)
    else:
        usage = caps.reserve(usage, -known.units)
        exchange = replace(
            known, state=HomeState(row.then), changed_ms=facts.now_ms, capture_hash=message.header.body_hash
        )
    exchange = replace(
        exchange, units=move.units, record_kind=move.kind, number=lane.number, said=MessageType.POSTED,
        rate_version=answer.core.rate_version, sequence=facts.ledger.sequence, returned=0,
    )  # fmt: skip
    word = said(MessageType.POSTED, answer, message.header.exchange_id, facts)
    return HomeStep(
        exchange=exchange,
        lane=lane,
        usage=usage,
        booking=move.booking,
        request=message.envelope,
        says=(replace(word, number=lane.number),),
    )


# --- CANCEL, QUERY, and what is said again -----------------------------------------------------------------


def _let_go(known: HomeExchange | None, message: Message, body: Cancel | Query, facts: HomeFacts) -> HomeStep:
    """CANCEL ends what is not posted; QUERY asks, and makes an unknown id void so that it stays unknown."""
    cancels = isinstance(body, Cancel)
    if known is None:
        event = HomeEvent.CANCEL if cancels else HomeEvent.QUERY
        reason = ExchangeReason.CANCELLED if cancels else ExchangeReason.UNKNOWN_EXCHANGE
        step = void(None, message, facts, event, reason, body.request_body_hash)
        assert step.exchange is not None, "a tombstone"
        kept = replace(step.exchange, cancel=message.envelope if cancels else None)
        return replace(step, exchange=kept)
    if body.request_body_hash and known.body_hash and body.request_body_hash != known.body_hash:
        return refuse(message, facts, ExchangeReason.CONFLICT)
    if known.state is HomeState.RESERVED and cancels and not hold_over(known, facts):
        return void(known, message, facts, HomeEvent.CANCEL, ExchangeReason.CANCELLED, known.body_hash)
    step = _again(known, message, facts)
    if cancels and known.state is HomeState.POSTED and known.cancel is None:
        # The acquirer will give it back, unless a restore takes that from it first.
        return replace(step, exchange=replace(known, cancel=message.envelope))
    return step


def _again(known: HomeExchange, message: Message, facts: HomeFacts) -> HomeStep:
    """Says again what was said last; a hold whose time is over by our clock ends first."""
    if known.state is HomeState.RESERVED and hold_over(known, facts):
        reason = ExchangeReason.HOLD_EXPIRED
        return void(known, message, facts, HomeEvent.HOLD_OVER, reason, known.body_hash)
    row = home_row(known.state, _EVENTS[message.header.type])
    assert row.then == known.state, "what comes again moves nothing"
    return say_again(known, facts)
