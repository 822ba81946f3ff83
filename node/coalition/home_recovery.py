"""A home node that has lost something: records and ends that its acquirers still have come back from them.

An imported record bears our own signature, so what it says is owed, whatever the account looks like now:
debits take purses below zero, and an account that was lost with the record is opened again under its id.
"""

from __future__ import annotations

from msgspec.structs import replace

from node.coalition import caps
from node.coalition.directory import Directory, Window
from node.coalition.envelopes import Draft, Message
from node.coalition.exchange import ExchangeKind, HomeEvent, HomeState, home_row
from node.coalition.home_facts import HomeExchange, HomeFacts, HomeStep, Say
from node.coalition.home_words import let_hold_go
from node.coalition.lanes import HomeLane, chain
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
from node.ledger import abroad
from node.ledger.account import Account
from node.ledger.decision import Accepted
from node.ledger.events import AnyEvent, Returned
from node.ledger.evolve import evolve
from node.ledger.lots import NEVER_MS, Lot
from node.ledger.postings import payable, receivable
from node.ledger.transactions import TransactionKind

_REQUESTS: dict[RecordKind, type] = {
    RecordKind.REDEMPTION: Capture,
    RecordKind.ACCRUAL: Accrue,
    RecordKind.ACCRUAL_RETURN: ReturnAbroad,
    RecordKind.REDEMPTION_RETURN: ReturnAbroad,
}
_KINDS = {
    RecordKind.REDEMPTION: (ExchangeKind.REDEMPTION, TransactionKind.REDEMPTION),
    RecordKind.ACCRUAL: (ExchangeKind.ACCRUAL, TransactionKind.ACCRUAL),
    RecordKind.ACCRUAL_RETURN: (ExchangeKind.RETURN, TransactionKind.RETURN),
    RecordKind.REDEMPTION_RETURN: (ExchangeKind.RETURN, TransactionKind.RETURN),
}


def is_sound_record(facts: HomeFacts, request: Message | None, record: Message) -> bool:
    """Whether a record is ours, complete, and the one that follows on our lane.

    Both messages are verified already: `record` by our key, `request` by the acquirer's.
    """
    body, header = record.body, record.header
    if not isinstance(body, Posted):
        return False
    core, lane = body.core, facts.lane
    ours = (header.sender_id, header.receiver_id, header.lane) == (facts.home_id, facts.partner_id, lane.lane)
    follows = core.number == lane.number + 1 and core.lane == lane.lane
    signed = request.header_bytes if request else b""
    if not (ours and follows and body.hash == chain(lane.hash, signed, body.core_bytes)):
        return False
    if request is None:
        return core.kind is RecordKind.CUT
    about = request.header.exchange_id == core.exchange_id == header.exchange_id
    between = (request.header.sender_id, request.header.receiver_id) == (facts.partner_id, facts.home_id)
    return about and between and isinstance(request.body, _REQUESTS.get(core.kind, ()))


def import_record(
    known: HomeExchange | None, request: Message | None, record: Message, facts: HomeFacts
) -> HomeStep:
    """Takes a record over that `is_sound_record` has found sound; it was posted once and is posted again.

    `facts.account` is the one that the record's pseudonym stands for; None where it was lost too, and then
    `facts.pseudonym` still leads to its id, under which the caller opens it. `facts.original` is what a
    return is about, where that is known.
    """
    body = record.body
    assert isinstance(body, Posted)
    core = body.core
    lane = replace(facts.lane, number=core.number, hash=body.hash, window=max(core.window, facts.lane.window))
    if request is None:
        return HomeStep(lane=lane)
    state = known.state if known else HomeState.NONE
    row = home_row(state, HomeEvent.IMPORT_POSTED)
    if state is HomeState.POSTED:  # the exchange is here, so its record was: nothing moves twice
        return HomeStep(refused=ExchangeReason.BROKEN_CHAIN)
    kind, entry_kind = _KINDS[core.kind]
    events: tuple[AnyEvent, ...] = () if facts.account else (abroad.reopened(),)
    account = facts.account or Account(b"")
    usage = facts.usage
    if known is not None and state is HomeState.RESERVED:
        usage, released = let_hold_go(known, facts)
        events = released.events if released else ()
        for event in events:
            account = evolve(account, event, facts.now_ms)
    events = (*events, *_moved(core, request, account, facts))
    spent = kind is ExchangeKind.REDEMPTION
    body_hash = known.body_hash if known else b"" if spent else request.header.body_hash
    exchange = HomeExchange(
        facts.partner_id, core.exchange_id, HomeState(row.then), facts.now_ms, kind,
        facts.account_id, body_hash, units=core.units,
        capture_hash=request.header.body_hash if spent else b"",
        record_kind=core.kind, number=core.number, rate_version=core.rate_version,
        sequence=facts.ledger.sequence,
        said=MessageType.POSTED, reply=record.envelope, reply_epoch=record.header.epoch,
    )  # fmt: skip
    return HomeStep(
        exchange=exchange,
        lane=lane,
        usage=caps.post(usage, core.kind, core.units),
        booking=Accepted(entry_kind, events),
        request=request.envelope,
        original=_returned(request, facts),
    )


def _moved(core: PostedCore, request: Message, account: Account, facts: HomeFacts) -> tuple[AnyEvent, ...]:
    """The movement that a record tells of."""
    purse, partner = facts.directory.purse.code, facts.partner_id
    body = request.body
    if isinstance(body, Accrue):
        waits = body.available_time_ms > facts.now_ms
        lot = Lot(
            core.units, body.expire_time_ms or NEVER_MS, body.available_time_ms if waits else 0, partner
        )
        return abroad.imported_credit(purse, core.units, receivable(partner), lot)
    noted: tuple[AnyEvent, ...] = ()
    if isinstance(body, ReturnAbroad) and facts.original is not None:
        noted = (Returned(facts.original.exchange.sequence, (), body.units),)
    if core.kind is RecordKind.REDEMPTION_RETURN:
        return (*noted, *abroad.imported_credit(purse, core.units, payable(partner), Lot(core.units)))
    book = payable(partner) if core.kind is RecordKind.REDEMPTION else receivable(partner)
    return (*noted, *abroad.imported_spend(account, purse, core.units, book))


def _returned(request: Message, facts: HomeFacts) -> HomeExchange | None:
    if not isinstance(request.body, ReturnAbroad) or facts.original is None:
        return None
    original = facts.original.exchange
    return replace(original, returned=original.returned + request.body.units)


def import_voided(known: HomeExchange | None, exchange_id: bytes, facts: HomeFacts) -> HomeStep:
    """Keeps an exchange void that the acquirer says came to nothing; what is posted here stands."""
    state = known.state if known else HomeState.NONE
    row = home_row(state, HomeEvent.IMPORT_VOIDED)
    if row.then == state:
        return HomeStep()
    reason = ExchangeReason.CANCELLED
    if known is None:
        void = HomeExchange(facts.partner_id, exchange_id, HomeState(row.then), facts.now_ms, reason=reason)
        return HomeStep(exchange=void)
    usage, booking = let_hold_go(known, facts)
    void = replace(
        known, state=HomeState(row.then), changed_ms=facts.now_ms, reason=reason, said=None, reply=None
    )
    return HomeStep(exchange=void, usage=usage, booking=booking)


def cut_before(directory: Directory, lane: HomeLane, now_ms: int) -> Window | None:
    """The window that a lane's next record begins, with a cut marker before it; None where it begins none."""
    window = directory.window_at(now_ms)
    return window if window and lane.number and window.number > lane.window else None


def cut(facts: HomeFacts) -> HomeStep | None:
    """The marker that a lane with records gets after the cut of a window; None where none is due.

    It comes before the first record of the new window, or by itself at an idle moment, once the lane is
    ready.
    """
    lane = facts.lane
    window = cut_before(facts.directory, lane, facts.now_ms)
    rate = facts.directory.rate_at(facts.now_ms)
    if window is None or rate is None or not facts.ready:
        return None
    core = PostedCore(
        b"", RecordKind.CUT, facts.directory.purse.code, 0, lane.lane, lane.number + 1, window.number,
        rate.version, facts.now_ms, b"",
    )  # fmt: skip
    core_bytes = facts.encoder.core(core)
    digest = chain(lane.hash, b"", core_bytes)
    after = replace(lane, number=core.number, hash=digest, window=window.number)
    draft = Draft(MessageType.POSTED, lane.lane, lane.epoch, b"", Posted(core_bytes, core, digest, 0, b""))
    return HomeStep(lane=after, says=(Say(draft, number=core.number),))
