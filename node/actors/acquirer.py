"""The acquirer's part of a shard: what this node's tills do with partners' members, all of a partner in one
partition.

Every decision is `coalition.acquirer`'s; here its facts are gathered, and what it changes goes into one
batch: the exchange, the record of the lane, the position in the books, and what is to be sent until it is
answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from node.actors.acquirer_books import AcquirerBooks, shown
from node.actors.acquirer_lanes import Partner
from node.actors.acquirer_opening import AcquirerOpening
from node.actors.acquirer_windows import AcquirerWindows
from node.actors.lane_settled import AcquirerSettled
from node.actors.turn import Opening, Turn
from node.coalition import acquirer, acquirer_answers, acquirer_posted, acquirer_time, lanes
from node.coalition.acquirer import Wish
from node.coalition.acquirer_facts import AcquirerExchange, Unknown
from node.coalition.envelopes import Message
from node.coalition.exchange import AcquirerState
from node.coalition.messages import (
    LANE_UNKNOWN,
    Accrue,
    ExchangeReason,
    Hello,
    MessageType,
    Posted,
    Reserve,
    ReturnAbroad,
)
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire import coalition_store as store
from node.wire.coalition import carried_bytes
from node.wire.coalition_frames import lane_record_bytes
from node.wire.coalition_read import carried_by
from node.wire.coalition_records import EXCHANGE_WISH, LANE_WISH, WISH, Said, WishRecord
from node.wire.commands import Answer, Op

if TYPE_CHECKING:
    from node.actors.abroad import Abroad

MAX_DUE = 200
"""Exchanges that one look at what is due handles."""


class AcquirerSide:
    """Commands ACQUIRER_* and LANE_RECORDS. `ops` gives the method of each."""

    def __init__(self, abroad: Abroad) -> None:
        self._abroad = abroad
        self._books = AcquirerBooks(abroad)
        self.lanes = self._books.lanes
        self._opens = AcquirerOpening(abroad, self, self._books)
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {
            Op.ACQUIRER_BEGIN: self._begin,
            Op.ACQUIRER_CAPTURE: self._capture,
            Op.ACQUIRER_CANCEL: self._cancel,
            Op.ACQUIRER_MESSAGE: self._message,
            Op.ACQUIRER_DUE: self._due,
            Op.ACQUIRER_LOOK: self._look,
            Op.ACQUIRER_HELLO: self._opens.ask,
            Op.LANE_RECORDS: self._records,
            **AcquirerSettled(self._books.lanes).ops,
            **AcquirerWindows(abroad, self._books.lanes).ops,
        }

    # --- tills ---------------------------------------------------------------------------------------------

    def _begin(self, opening: Opening) -> Answer | None:
        """A till begins an exchange; its retry finds it as it stands."""
        record = WISH.decode(opening.command.body)
        partner = self._books.lanes.partner(opening.partition.number, record.partner_id, opening.work)
        known = self._books.exchange(opening, partner, record.exchange_id)
        wish = self._wish(record)
        original = None
        if isinstance(wish.body, ReturnAbroad):
            original = self._books.exchange(opening, partner, wish.body.original_exchange_id)
        spends = known is None and isinstance(wish.body, Reserve)
        if spends and self._is_old(opening, wish.body.terms.occurred_time_ms):
            return None
        facts = self._books.facts(opening, partner, wish.lane, original)
        step = acquirer.begin(known, wish, facts)
        if known is None and step.refused is not None:
            opening.unsure = self._books.is_unsure(opening, partner)
        self._books.take(opening, partner, known, step)
        return None

    def _is_old(self, opening: Opening, occurred_ms: int) -> bool:
        """Whether a spend that is not known here is older than the restored node's life: what became of it is
        then unknown for good.
        """
        number = opening.partition.number
        if not self._abroad.marks.is_before(number, occurred_ms, opening.work):
            return False
        opening.refused, opening.unsure = ExchangeReason.UNKNOWN_EXCHANGE, True
        return True

    def _wish(self, record: WishRecord) -> Wish:
        body = self._abroad.encoder.read(MessageType(record.type), record.body)
        assert isinstance(body, Reserve | Accrue | ReturnAbroad), "the gateway begins nothing else"
        return Wish(
            record.exchange_id,
            body,
            record.secretly,
            record.scope,
            record.request_id,
            record.one_step,
            record.lane,
        )

    def _capture(self, opening: Opening) -> Answer | None:
        wish = EXCHANGE_WISH.decode(opening.command.body)
        partner = self._books.lanes.partner(opening.partition.number, wish.partner_id, opening.work)
        known = self._books.exchange(opening, partner, wish.exchange_id)
        if known is None:
            opening.refused = ExchangeReason.UNKNOWN_EXCHANGE
            opening.unsure = self._books.is_unsure(opening, partner)
            return None
        if wish.capture_id and self._books.exchange(opening, partner, wish.capture_id) is not None:
            opening.refused = ExchangeReason.CANCELLED  # the capture was reversed before it came
            return None
        begins = known.state is AcquirerState.AUTHORIZED and wish.capture_id
        if begins and self._is_old(opening, wish.occurred_ms):
            return None
        facts = self._books.facts(opening, partner, known.lane)
        step = acquirer.capture(known, wish.units, facts, wish.capture_id)
        if wish.capture_id and step.refused is None:
            key = keys.capture_key(opening.partition.number, partner.partner_id, wish.capture_id)
            opening.work.put(key, wish.exchange_id)
        self._books.take(opening, partner, known, step)
        return None

    def _cancel(self, opening: Opening) -> Answer | None:
        """A till voids or reverses; what is done already is given back."""
        wish = EXCHANGE_WISH.decode(opening.command.body)
        partner = self._books.lanes.partner(opening.partition.number, wish.partner_id, opening.work)
        known = self._meant(opening, partner, wish.exchange_id)
        unknown = _unknown(wish.unknown) if wish.unknown else None
        if known is None and unknown is None:
            opening.refused = ExchangeReason.UNKNOWN_EXCHANGE
            return None
        facts = self._books.facts(opening, partner, known.lane if known else LANE_UNKNOWN)
        self._books.take(opening, partner, known, acquirer.cancel(known, facts, unknown))
        return None

    def _look(self, opening: Opening) -> Answer | None:
        wish = EXCHANGE_WISH.decode(opening.command.body)
        partner = self._books.lanes.partner(opening.partition.number, wish.partner_id, opening.work)
        opening.exchange = shown(self._meant(opening, partner, wish.exchange_id))
        opening.unsure = opening.exchange is None and self._books.is_unsure(opening, partner)
        return None

    def _meant(self, opening: Opening, partner: Partner, exchange_id: bytes) -> AcquirerExchange | None:
        """The exchange of that id, or the one that the capture was about whose request has that id."""
        noted = opening.work.get(keys.capture_key(opening.partition.number, partner.partner_id, exchange_id))
        return self._books.exchange(opening, partner, noted or exchange_id)

    # --- the home node -------------------------------------------------------------------------------------

    def _message(self, opening: Opening) -> Answer | None:
        """A home node's message, verified by the gateway."""
        carried = carried_by(opening.command)
        message = carried.message
        partner = self._books.lanes.partner(opening.partition.number, message.header.sender_id, opening.work)
        if isinstance(message.body, Hello):
            self._opens.greeted(opening, partner, message)
            return None
        evidence = self._abroad.evidence(carried.evidence)
        known = self._books.exchange(opening, partner, message.header.exchange_id)
        lane = message.header.lane
        facts = self._books.facts(opening, partner, lane, self._original(opening, partner, known, evidence))
        if isinstance(message.body, Posted):
            step = acquirer_posted.on_posted(known, message, evidence, facts)
        else:
            step = acquirer_answers.on_answer(known, message, facts)
        self._books.take(opening, partner, known, step)
        if step.acks or step.asks:
            opening.turn.acks[opening.partition.number, partner.partner_id, lane] = None
        return None

    def _original(
        self, opening: Opening, partner: Partner, known: AcquirerExchange | None, evidence: Sequence[Message]
    ) -> AcquirerExchange | None:
        """What a return is about, as the exchange says, or the request that came beside its POSTED."""
        if known is not None:
            wanted = known.original_exchange_id
        else:
            bodies = (message.body for message in evidence)
            wanted = next(
                (body.original_exchange_id for body in bodies if isinstance(body, ReturnAbroad)), b""
            )
        return self._books.exchange(opening, partner, wanted) if wanted else None

    # --- time ----------------------------------------------------------------------------------------------

    def _due(self, opening: Opening) -> Answer | None:
        """Sends again, gives up or forgets whatever is due, a bounded number at a time."""
        number, now_ms = opening.partition.number, opening.work.clock_ms
        due = list(opening.work.scan(*keys.exchange_due_range(number, now_ms), MAX_DUE))
        for key, _ in due:
            _, _, partner_id, exchange_id = keys.parse_exchange_due(key)
            partner = self._books.lanes.partner(number, partner_id, opening.work)
            known = self._books.exchange(opening, partner, exchange_id)
            if known is None or known.ended:
                opening.work.delete(key)
                continue
            step = acquirer_time.on_time(known, self._books.facts(opening, partner, known.lane))
            self._books.take(opening, partner, known, step)
            if step.exchange is None:
                opening.work.delete(key)
        opening.exchange = None  # one answer for many
        # A moment later where more may be due than was handled.
        opening.due_ms = now_ms + 1 if len(due) == MAX_DUE else self._next_due(opening)
        return None

    def send_waiting(
        self, opening: Opening, partner: Partner, lane: int, exchange_ids: Sequence[bytes]
    ) -> None:
        """The lane is open: what waited for that is signed and sent, as much as one look handles."""
        for exchange_id in exchange_ids[:MAX_DUE]:
            known = self._books.exchange(opening, partner, exchange_id)
            if known is not None and known.lane == lane and not known.ended:
                step = acquirer_time.resend(known, self._books.facts(opening, partner, lane))
                self._books.take(opening, partner, known, step)
        opening.exchange = None

    def _next_due(self, opening: Opening) -> int:
        """When the next look is worth it, after all that was due has been handled."""
        number, now_ms = opening.partition.number, opening.work.clock_ms
        start = keys.exchange_due_range(number, now_ms)[1]
        last = keys.exchange_due_range(number, 1 << 62)[1]
        later = next(iter(opening.work.scan(start, last, 1)), None)
        next_ms = keys.parse_exchange_due(later[0])[1] if later else 0
        mine = [due_ms for due_ms in (opening.due_ms, next_ms) if due_ms]
        return min(mine, default=0)

    def acknowledge(self, turn: Turn, openings: Sequence[Opening]) -> None:
        """One HEAD_ACK for each lane that moved in the batch, or on which something is missing."""
        for number, partner_id, lane in turn.acks:
            partner = self._books.lanes.partner(number, partner_id, turn.work)
            state = partner.lanes.get(lane)
            if state is None or state.disputed or lane not in partner.heard:
                continue
            message = self._abroad.seal(lanes.head_ack(state), partner_id, turn.work.clock_ms)
            owner = next(one for one in reversed(openings) if one.partition.number == number)
            owner.says.append(Said(partner_id, carried_bytes(message)))

    def _records(self, opening: Opening) -> Answer | None:
        """Records of a lane, for the other side or for people."""
        wish = LANE_WISH.decode(opening.command.body)
        role = Role.HOME if wish.home else Role.ACQUIRER
        for partner_id in wish.partner_ids[:1]:
            start, end = keys.lane_records_range(
                opening.partition.number, role, partner_id, wish.lane, wish.from_number
            )
            for _, data in opening.work.scan(start, end, wish.most):
                entry = store.LANE_ENTRY.decode(data)
                request = store.envelope_bytes(entry.request) if entry.request else b""
                opening.records.append(lane_record_bytes(request, store.envelope_bytes(entry.posted)))
        return None


def _unknown(record: WishRecord) -> Unknown:
    return Unknown(record.exchange_id, record.secretly, record.scope, record.request_id, record.lane)
