"""What the acquirer's decisions change: exchanges, records, positions and the index of what is due, in one
batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from node.actors.acquirer_lanes import AcquirerLanes, Partner
from node.actors.turn import Opening
from node.coalition import acquirer, lanes
from node.coalition.acquirer import Wish
from node.coalition.acquirer_exchange import signed
from node.coalition.acquirer_facts import (
    AcquirerExchange,
    AcquirerFacts,
    AcquirerStep,
    Secretly,
    Utter,
    give_back_id,
)
from node.coalition.envelopes import Message
from node.coalition.exchange import AcquirerState
from node.coalition.messages import MessageType, Posted, ReturnAbroad
from node.identity.open_exchanges import seal_open, unseal_open
from node.identity.sealing import SealBroken
from node.ledger.decision import Accepted
from node.ledger.transactions import Entry
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire import coalition_store as store
from node.wire.coalition import carried_bytes
from node.wire.coalition_bodies import read_proof_bytes
from node.wire.coalition_records import Said

if TYPE_CHECKING:
    from node.actors.abroad import Abroad

log = structlog.get_logger()


class AcquirerBooks:
    """Reads and keeps everything about exchanges with home nodes in the partitions of one shard."""

    def __init__(self, abroad: Abroad) -> None:
        self._abroad = abroad
        self.lanes = AcquirerLanes(abroad)

    def exchange(self, opening: Opening, partner: Partner, exchange_id: bytes) -> AcquirerExchange | None:
        """An exchange as it stands."""
        if not exchange_id:
            return None
        key = keys.acquirer_exchange_key(opening.partition.number, partner.partner_id, exchange_id)
        data = opening.work.get(key)
        return None if data is None else self._opened(store.ACQUIRER_EXCHANGE.decode(data))

    def _opened(self, exchange: AcquirerExchange) -> AcquirerExchange:
        """An exchange with what travels beside its messages, which lies sealed in the store."""
        sealed, secret = exchange.secretly.sealed, self._abroad.secrets.open_exchanges
        if not sealed:
            return exchange
        try:
            secretly = store.SECRETLY.decode(unseal_open(secret, exchange.exchange_id, sealed))
        except SealBroken as broken:
            log.error("open_exchange_unreadable", problem=str(broken))
            secretly = Secretly()  # the home node refuses what is sent without it; the exchange goes on
        return replace(exchange, secretly=secretly)

    def _closed(self, exchange: AcquirerExchange) -> AcquirerExchange:
        """An exchange as it is stored."""
        if exchange.secretly == Secretly():
            return exchange
        secret, plain = self._abroad.secrets.open_exchanges, store.SECRETLY.encode(exchange.secretly)
        sealed = seal_open(secret, exchange.exchange_id, plain)
        return replace(exchange, secretly=Secretly(sealed=sealed))

    def is_unsure(self, opening: Opening, partner: Partner) -> bool:
        """Whether an exchange that is not known here may have been posted: this node was restored since."""
        number, home = opening.partition.number, self._abroad.directory.partner(partner.partner_id)
        if not self._abroad.marks.is_unsure(number, partner.partner_id, opening.work):
            return False
        return home is None or not partner.is_caught_up(home.partitions)

    def facts(
        self, opening: Opening, partner: Partner, lane: int, original: AcquirerExchange | None = None
    ) -> AcquirerFacts:
        """The circumstances of a decision about an exchange with a partner."""
        abroad = self._abroad
        home = abroad.directory.partner(partner.partner_id)
        return AcquirerFacts(
            now_ms=opening.work.clock_ms,
            own_id=abroad.spec.own_id,
            partner_id=partner.partner_id,
            directory=abroad.directory,
            usage=partner.usage,
            encoder=abroad.encoder,
            lane=partner.lanes.get(lane),
            ready=partner.is_ready(lane),
            heard=lane in partner.heard,
            caught_up=home is not None and partner.is_caught_up(home.partitions),
            closed_window=partner.closed_window(lane),
            jitter=abroad.entropy(1)[0] / 256,
            original=original,
            recorded=lambda number: self._recorded(opening, partner.partner_id, lane, number),
            is_known=lambda exchange_id: self.exchange(opening, partner, exchange_id) is not None,
            generation=abroad.marks.generation(opening.partition.number, opening.work),
        )

    def _recorded(
        self, opening: Opening, partner_id: str, lane: int, number: int
    ) -> tuple[int, bytes] | None:
        """The epoch in which a record that is kept here was signed, and its hash."""
        key = keys.lane_record_key(opening.partition.number, Role.ACQUIRER, partner_id, lane, number)
        data = opening.work.get(key)
        if data is None:
            return None
        posted = store.LANE_ENTRY.decode(data).posted
        body = self._abroad.encoder.read(MessageType.POSTED, posted.body)
        assert isinstance(body, Posted), "a record is a POSTED"
        return self._abroad.encoder.epoch(posted), body.hash

    def take(
        self, opening: Opening, partner: Partner, before: AcquirerExchange | None, step: AcquirerStep
    ) -> None:
        """Puts everything that a step changes into the batch, and what it says, signed, into the outcome."""
        partition, partner_id, now_ms = opening.partition.number, partner.partner_id, opening.work.clock_ms
        exchange, said = step.exchange, []
        for utter in step.says:
            message = self._sealed(utter, partner_id, now_ms)
            if utter.keeps and exchange is not None:
                exchange = signed(exchange, message)
            said.append(Said(partner_id, _carried(message, utter.secretly)))
        puts = self._exchanges(partition, before, exchange)
        if step.original is not None:
            puts += self._exchanges(partition, step.original, step.original)
        if step.record is not None and step.lane is not None:
            entry = store.LaneEntry(step.record.posted, step.record.request)
            key = keys.lane_record_key(
                partition, Role.ACQUIRER, partner_id, step.lane.lane, step.record.number
            )
            puts.append((key, store.LANE_ENTRY.encode(entry)))
        # From here on nothing can fault.
        if step.booking is not None:
            self._post(opening, partner_id, step.booking, exchange)
        for key, value in puts:
            opening.work.put(key, value)
        if exchange is not None:
            self._schedule(opening, before, exchange)
        self.lanes.keep(partner, step.lane, step.usage, opening.work)
        opening.says += said
        opening.exchange = shown(exchange or before)
        if step.refused is not None:
            opening.refused = step.refused
        if step.dispute is not None and step.lane is not None:
            self.dispute(opening, partner, step.lane, step.dispute.value)
        if step.give_back and (exchange or before) is not None:
            self._give_back(opening, partner, exchange or before, step.give_back)

    def _exchanges(
        self, partition: int, before: AcquirerExchange | None, exchange: AcquirerExchange | None
    ) -> list[tuple[bytes, bytes]]:
        """What is to be put for an exchange: itself, and which capture of a till's is about it."""
        if exchange is None:
            return []
        key = keys.acquirer_exchange_key(partition, exchange.partner_id, exchange.exchange_id)
        puts = [(key, store.ACQUIRER_EXCHANGE.encode(self._closed(exchange)))]
        reference = exchange.capture_reference
        if reference and (before is None or before.capture_reference != reference):
            puts.append((keys.capture_key(partition, exchange.partner_id, reference), exchange.exchange_id))
        return puts

    def _post(
        self, opening: Opening, partner_id: str, booking: Accepted, exchange: AcquirerExchange | None
    ) -> None:
        """An entry without an account: who owes whom has moved."""
        partition = opening.partition
        now_ms = (
            opening.now_ms or partition.clock_ms
        )  # a record that is signed is booked whatever the clock says
        entry = Entry(
            partition.sequence + 1, booking.kind, b"", now_ms, now_ms,
            exchange.scope if exchange else "", exchange.request_id if exchange else "",
            self._abroad.desk.programmes.at(now_ms).version, 0, booking.events, opening.command.trace_id,
        )  # fmt: skip
        partition.post(opening.work, entry)

    def _schedule(
        self, opening: Opening, before: AcquirerExchange | None, exchange: AcquirerExchange
    ) -> None:
        """Moves the exchange in the index of what is due; void ones stay in it for as long as HELLO tells
        of them.
        """
        number, partner_id = opening.partition.number, exchange.partner_id
        old_ms = self._due_of(before) if before else 0
        new_ms = self._due_of(exchange)
        if old_ms and old_ms != new_ms:
            opening.work.delete(keys.exchange_due_key(number, old_ms, partner_id, exchange.exchange_id))
        if new_ms:
            key = keys.exchange_due_key(number, new_ms, partner_id, exchange.exchange_id)
            opening.work.put(key, bytes((exchange.state, exchange.lane + 1)))
            opening.due_ms = min(opening.due_ms or new_ms, new_ms)

    def _due_of(self, exchange: AcquirerExchange) -> int:
        if exchange.state is AcquirerState.DONE:
            return 0
        if exchange.state is AcquirerState.FAILED:
            return exchange.sent_ms + 2 * self._abroad.directory.bounds.freshness_ms + 1
        return exchange.due_ms

    def _sealed(self, utter: Utter, partner_id: str, now_ms: int) -> Message:
        if utter.draft is None:
            assert utter.envelope is not None
            return self._abroad.read(utter.envelope)
        return self._abroad.seal(utter.draft, partner_id, now_ms)

    def _give_back(
        self, opening: Opening, partner: Partner, original: AcquirerExchange | None, units: int
    ) -> None:
        """Begins the return of everything that was posted and has not come back."""
        assert original is not None
        shown = opening.exchange
        exchange_id = give_back_id(original.exchange_id)
        body = ReturnAbroad(original.exchange_id, original.number, units, original.terms)
        wish = Wish(exchange_id, body, Secretly(), original.scope, original.request_id, lane=original.lane)
        known = self.exchange(opening, partner, exchange_id)
        facts = self.facts(opening, partner, wish.lane, original)
        self.take(opening, partner, known, acquirer.begin(known, wish, facts))
        opening.exchange = shown

    def dispute(self, opening: Opening, partner: Partner, lane: lanes.AcquirerLane, why: str) -> None:
        """Keeps what was received when a lane was set aside."""
        received = opening.command.body
        record = store.DisputeRecord(why, opening.work.clock_ms, lane.number, lane.hash, received)
        key = keys.lane_dispute_key(opening.partition.number, Role.ACQUIRER, partner.partner_id, lane.lane)
        opening.work.put(key, store.DISPUTE.encode(record))
        opening.dispute = why


def _carried(message: Message, secretly: Secretly) -> bytes:
    """A message with what travels beside it while the exchange is under way."""
    return carried_bytes(
        message,
        identifier_kind=secretly.identifier_kind,
        identifier=secretly.identifier,
        proof=read_proof_bytes(secretly.proof) if message.header.type is MessageType.RESERVE else None,
        salt=secretly.salt,
    )


def shown(exchange: AcquirerExchange | None) -> AcquirerExchange | None:
    """The exchange as it may leave the shard: without what travels beside its messages."""
    if exchange is None or exchange.secretly == Secretly():
        return exchange
    return replace(exchange, secretly=Secretly())
