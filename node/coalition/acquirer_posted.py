"""POSTED at the acquirer: the record that follows on its chain, and what it makes of an exchange.

It counts where it follows on the acquirer's own chain and says what was asked for. One that does not,
signed as it is, is a dispute: the lane is set aside, with what was received.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from node.coalition import caps
from node.coalition.acquirer_exchange import ended, row_of, uncounted
from node.coalition.acquirer_facts import AcquirerExchange, AcquirerFacts, AcquirerStep, Dispute, Record
from node.coalition.envelopes import Message
from node.coalition.exchange import AcquirerEvent, AcquirerState, Effect, ExchangeKind
from node.coalition.lanes import AcquirerLane, Arrival, arrival, follow
from node.coalition.messages import (
    Accrue,
    Capture,
    ExchangeReason,
    MessageType,
    Posted,
    PostedCore,
    RecordKind,
    ReturnAbroad,
)
from node.ledger.decision import Accepted
from node.ledger.events import PositionMoved
from node.ledger.postings import payable, receivable
from node.ledger.transactions import TransactionKind


def on_posted(
    known: AcquirerExchange | None, message: Message, evidence: Sequence[Message], facts: AcquirerFacts
) -> AcquirerStep:
    """A POSTED, verified, with what came beside it: the POSTED of the record, if another, and the request.

    NEXT on the chain it becomes a record, the exchange is DONE, and the position moves, in one batch.
    `acks` answers what is known already; `asks` where something is missing in between.
    """
    body, lane = message.body, facts.lane
    assert isinstance(body, Posted)
    if not facts.heard or lane is None:
        return AcquirerStep(refused=ExchangeReason.LANE_NOT_READY)
    if lane.disputed:
        return AcquirerStep(refused=ExchangeReason.BROKEN_CHAIN)
    if _is_another_history(message, body, lane, facts):
        return _disputed(lane, Dispute.FORKED)
    request = _request_of(known, body.core, evidence, facts)
    signed = request.header_bytes if request else b""
    at = arrival(lane, body, message.header.epoch, signed)
    if at is Arrival.OLD_EPOCH or message.header.lane != lane.lane:
        return AcquirerStep(refused=ExchangeReason.WRONG_EPOCH, asks=message.header.epoch < lane.epoch)
    if at is Arrival.KNOWN:
        return AcquirerStep(acks=True)
    if at is Arrival.GAP:
        return AcquirerStep(asks=True, refused=ExchangeReason.RECORD_MISSING)
    if request is None and body.core.kind is not RecordKind.CUT:
        return AcquirerStep(asks=True, refused=ExchangeReason.UNKNOWN_EXCHANGE)
    if at is Arrival.BROKEN:
        return _disputed(lane, Dispute.BROKEN_CHAIN)
    directory = facts.directory
    if directory.window(body.core.window) is None or directory.rate(body.core.rate_version) is None:
        return AcquirerStep(
            refused=ExchangeReason.WRONG_WINDOW
        )  # our directory is the older one; it comes again
    after = follow(lane, body)
    first = _first_signed(message, evidence)
    problem = Dispute.FORKED if after.disputed else _problem(known, body.core, request, lane, facts)
    problem = problem or _contradiction(known, first)
    if problem is not None:
        return _disputed(lane, problem)
    record = Record(body.core.number, request.envelope if request else None, first.envelope)
    if request is None:
        return AcquirerStep(lane=after, record=record, acks=True)
    return _done(known, body, request, after, record, evidence, facts)


def _is_another_history(message: Message, body: Posted, lane: AcquirerLane, facts: AcquirerFacts) -> bool:
    """Whether the home node has signed two records under a number that is known here.

    HELLO has shown it our chain, so in the present epoch whatever it signs must be of that chain. In an older
    one it may have lost what it signed, and only two words of one epoch contradict each other.
    """
    here = message.header.lane == body.core.lane == lane.lane and body.core.number <= lane.number
    known = facts.recorded(body.core.number) if here else None
    if known is None or known[1] == body.hash:
        return False
    return message.header.epoch in (lane.epoch, known[0])


def _first_signed(message: Message, evidence: Sequence[Message]) -> Message:
    """The POSTED under which the record stands: the first that was signed over this body."""
    for other in evidence:
        same = other.body_bytes == message.body_bytes and other.header.type is MessageType.POSTED
        if same and _about(other) == _about(message):
            return other
    return message


def _about(message: Message) -> tuple[str, str, int, bytes]:
    header = message.header
    return header.sender_id, header.receiver_id, header.lane, header.exchange_id


def _request_of(
    known: AcquirerExchange | None, core: PostedCore, evidence: Sequence[Message], facts: AcquirerFacts
) -> Message | None:
    """The request of ours that a record answers: from the exchange, or as it came beside the POSTED."""
    if core.kind is RecordKind.CUT:
        return None
    for own in (known.capture, known.request) if known else ():
        if own is not None and own.hash == core.request_hash:
            return facts.encoder.message(own)
    for other in evidence:
        about = other.header.exchange_id == core.exchange_id and other.hash == core.request_hash
        if about and _is_ours(other, facts):
            return other
    return None


def _problem(
    known: AcquirerExchange | None,
    core: PostedCore,
    request: Message | None,
    lane: AcquirerLane,
    facts: AcquirerFacts,
) -> Dispute | None:
    """Why a record that follows on the chain is not what it should be."""
    window = facts.directory.window(core.window)
    assert window is not None, "the caller has looked"
    skew_ms = facts.directory.bounds.window_skew_seconds * 1000
    within = window.open_time_ms - skew_ms <= core.post_time_ms < window.cut_time_ms + skew_ms
    closed = core.window < lane.window or core.window <= facts.closed_window
    if not within or closed or core.post_time_ms > facts.now_ms + skew_ms:
        return Dispute.WRONG_WINDOW
    if request is None:
        return Dispute.NOT_ASKED if core.units or core.exchange_id else None
    if core.purse != facts.directory.purse.code or not _answers(core, request):
        return Dispute.NOT_ASKED
    return None


def _contradiction(known: AcquirerExchange | None, first: Message) -> Dispute | None:
    """Whether the home node posts one exchange twice, or takes its word back that it came to nothing.

    A record of an older epoch than that word is none: the node was put back onto a disk on which it had
    posted, and what it signed then it owes, or is owed, until it is given back.
    """
    if known is None or not known.ended:
        return None
    if known.state is AcquirerState.FAILED and (
        first.header.epoch < known.void_epoch or not known.void_epoch
    ):
        return None
    return Dispute.CONTRADICTION


def _answers(core: PostedCore, request: Message) -> bool:
    """Whether a record says what its request asked for: that kind, those units, or of a return at most
    those.
    """
    body = request.body
    if isinstance(body, Capture):
        return core.kind is RecordKind.REDEMPTION and core.units == body.units
    if isinstance(body, Accrue):
        return core.kind is RecordKind.ACCRUAL and core.units == body.units
    if not isinstance(body, ReturnAbroad) or core.original_number != body.original_number:
        return False
    if core.kind is RecordKind.REDEMPTION_RETURN:
        return core.units == body.units
    return core.kind is RecordKind.ACCRUAL_RETURN and 0 <= core.units <= body.units


def _done(
    known: AcquirerExchange | None,
    body: Posted,
    request: Message,
    lane: AcquirerLane,
    record: Record,
    evidence: Sequence[Message],
    facts: AcquirerFacts,
) -> AcquirerStep:
    """DONE: exchange, record and position in one batch. Goods may go once that is synced.

    A restored node may have been told by a till to reverse a capture of which it knew nothing: there is an
    exchange of the capture's own name then. And it may have forgotten what a till had it reverse: our own
    CANCEL, of the exchange or of the capture, comes beside the record. In each case it is given back.
    """
    core = body.core
    before = known or _restored(core, request, facts)
    row = row_of(before.state, AcquirerEvent.POSTED)
    usage = facts.usage if before.ended or known is None else uncounted(facts.usage, before)
    reference = request.body.reference if isinstance(request.body, Capture) else b""
    undone = (
        Effect.RETURN_ALL in row.effects
        or (bool(reference) and facts.is_known(reference))
        or _was_let_go({core.exchange_id, reference}, request, evidence, facts)
    )
    exchange = replace(
        ended(before, row, facts),
        kind=before.kind or _restored(core, request, facts).kind,
        lane=core.lane,
        record_kind=core.kind,
        posted_units=core.units,
        number=core.number,
        rate_version=core.rate_version,
        balance_units=body.balance_units,
        pseudonym=body.pseudonym,
        capture_reference=reference,
    )
    return AcquirerStep(
        exchange=exchange,
        original=None if known else _returned(request, facts),
        lane=lane,
        usage=caps.post(usage, core.kind, core.units),
        booking=Accepted(_ENTRIES[core.kind], (position_moved(core, facts.partner_id),)),
        record=record,
        acks=True,
        give_back=core.units if undone and core.kind in _UNDONE else 0,
    )


def _was_let_go(
    names: Collection[bytes], request: Message, evidence: Sequence[Message], facts: AcquirerFacts
) -> bool:
    """Whether this node has itself signed the CANCEL of an exchange of one of these names.

    One of before the request is of another history, which a restore has ended: what it let go was asked anew.
    """
    return any(
        one.header.type is MessageType.CANCEL
        and one.header.exchange_id in names
        and one.header.issue_time_ms >= request.header.issue_time_ms
        and _is_ours(one, facts)
        for one in evidence
    )


def _is_ours(message: Message, facts: AcquirerFacts) -> bool:
    """Whether this node has signed a message, for this home node."""
    return (message.header.sender_id, message.header.receiver_id) == (facts.own_id, facts.partner_id)


def _restored(core: PostedCore, request: Message, facts: AcquirerFacts) -> AcquirerExchange:
    """An exchange that this node has lost, from the record with which it comes back."""
    body = request.body
    kind, body_hash, original, units = ExchangeKind.REDEMPTION, b"", b"", core.units
    if isinstance(body, Accrue | ReturnAbroad):
        kind = ExchangeKind.ACCRUAL if isinstance(body, Accrue) else ExchangeKind.RETURN
        body_hash, units = request.header.body_hash, body.units
        original = body.original_exchange_id if isinstance(body, ReturnAbroad) else b""
    return AcquirerExchange(
        facts.partner_id, core.exchange_id, kind, AcquirerState.NONE, core.post_time_ms, facts.now_ms,
        units=units, body_hash=body_hash, original_exchange_id=original,
    )  # fmt: skip


def _returned(request: Message, facts: AcquirerFacts) -> AcquirerExchange | None:
    """The original of a return that comes back, with what it took back."""
    if facts.original is None or not isinstance(request.body, ReturnAbroad):
        return None
    return replace(facts.original, returned=facts.original.returned + request.body.units)


def position_moved(core: PostedCore, partner_id: str) -> PositionMoved:
    """What a record moves in the acquirer's books."""
    owed = {
        RecordKind.REDEMPTION: (receivable(partner_id), -1),
        RecordKind.REDEMPTION_RETURN: (receivable(partner_id), 1),
        RecordKind.ACCRUAL: (payable(partner_id), 1),
        RecordKind.ACCRUAL_RETURN: (payable(partner_id), -1),
    }
    book, sign = owed[core.kind]
    return PositionMoved(book, core.purse, sign * core.units, core.exchange_id, core.lane, core.number)


_UNDONE = (RecordKind.ACCRUAL, RecordKind.REDEMPTION)
"""What a return can give back."""

_ENTRIES = {
    RecordKind.REDEMPTION: TransactionKind.REDEMPTION,
    RecordKind.ACCRUAL: TransactionKind.ACCRUAL,
    RecordKind.REDEMPTION_RETURN: TransactionKind.RETURN,
    RecordKind.ACCRUAL_RETURN: TransactionKind.RETURN,
}


def _disputed(lane: AcquirerLane, why: Dispute) -> AcquirerStep:
    refused = _NAMES.get(why, ExchangeReason.BROKEN_CHAIN)
    return AcquirerStep(lane=replace(lane, disputed=True), dispute=why, refused=refused)


_NAMES = {
    Dispute.WRONG_WINDOW: ExchangeReason.WRONG_WINDOW,
    Dispute.CONTRADICTION: ExchangeReason.CONFLICT,
}
"""By which name a record is counted as refused, where that is another than BROKEN_CHAIN."""
