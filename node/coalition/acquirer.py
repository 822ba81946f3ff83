"""The acquirer's decisions for its tills: what they begin, capture and let go.

Every function gives a step by the rows of `exchange.ACQUIRER`. What the acquirer sends it has made durable
before; what it is told it believes only under the home node's signature in the lane's present epoch; and it
hands goods over in DONE, on a record that follows on its own chain. What is sent again and given up by time
is `acquirer_time.py`'s, what the home node answers `acquirer_answers.py`'s and `acquirer_posted.py`'s.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from node.coalition import caps
from node.coalition.acquirer_exchange import counted, row_of, utter, waited
from node.coalition.acquirer_facts import AcquirerExchange, AcquirerFacts, AcquirerStep, Secretly, Unknown
from node.coalition.directory import may_begin
from node.coalition.exchange import AcquirerEvent, AcquirerState, ExchangeKind, Row, acquirer_row
from node.coalition.messages import (
    LANE_UNKNOWN,
    Accrue,
    Cancel,
    Capture,
    ExchangeReason,
    MessageType,
    RecordKind,
    Reserve,
    ReturnAbroad,
    sha256,
)


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
        generation=facts.generation,
    )  # fmt: skip
    usage = counted(facts.usage, exchange, 1)
    exchange = waited(replace(exchange, sent_type=type_), facts)
    says = utter(exchange, type_, wish.body, facts)
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


def capture(
    known: AcquirerExchange, units: int, facts: AcquirerFacts, reference: bytes = b""
) -> AcquirerStep:
    """A till captures `units`, by a request of that name.

    Refused: ABOVE_AUTHORIZED, CONFLICT (another amount before).
    """
    if known.kind is not ExchangeKind.REDEMPTION or known.state is AcquirerState.INTENT:
        return AcquirerStep(refused=ExchangeReason.UNKNOWN_EXCHANGE)
    if not 0 < units <= known.units:
        return AcquirerStep(refused=ExchangeReason.ABOVE_AUTHORIZED)
    if known.capture_units and known.capture_units != units:
        return AcquirerStep(refused=ExchangeReason.CONFLICT)
    row = row_of(known.state, AcquirerEvent.CAPTURE)
    if row.then == known.state:
        return AcquirerStep()
    return start_capture(replace(known, capture_reference=reference), units, row, facts)


def start_capture(known: AcquirerExchange, units: int, row: Row, facts: AcquirerFacts) -> AcquirerStep:
    """CAPTURING: durable before it is sent, and sent until it is answered."""
    exchange = replace(
        waited(replace(known, attempts=0), facts),
        state=AcquirerState(row.then),
        changed_ms=facts.now_ms,
        capture_units=units,
        sent_type=MessageType.CAPTURE,
        sent=None,
        generation=facts.generation,
    )
    body = Capture(known.authorized_hash, units, known.capture_reference)
    return AcquirerStep(exchange=exchange, says=utter(exchange, MessageType.CAPTURE, body, facts))


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
    exchange = waited(exchange, facts)
    return AcquirerStep(exchange=exchange, says=utter(exchange, MessageType.CANCEL, Cancel(b""), facts))


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
        waited(replace(known, attempts=0), facts),
        state=AcquirerState(row.then),
        changed_ms=facts.now_ms,
        sent_type=MessageType.CANCEL,
        sent=None,
        reason=known.reason or ExchangeReason.CANCELLED,
    )
    body = Cancel(known.body_hash)
    return AcquirerStep(exchange=exchange, says=utter(exchange, MessageType.CANCEL, body, facts))
