"""How the home node opens a lane: HELLO, what the reply tells of, and the records and ends that come back
with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from node.actors.home_booking import NOBODY, seat_of
from node.actors.home_lanes import Life
from node.actors.turn import Opening
from node.coalition import home_recovery, lanes
from node.coalition.envelopes import Message
from node.coalition.home_facts import HomeExchange
from node.coalition.lanes import MAX_RESENT, NONCE_BYTES, is_epoch_proof
from node.coalition.messages import ExchangeReason, HelloReply, Posted, RecordKind, ReturnAbroad
from node.coalition.pseudonyms import account_of
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.storage.keyspace import partition_of
from node.wire import coalition_store as store
from node.wire.coalition import Carried, carried_bytes
from node.wire.coalition_records import LANE_WISH, Said
from node.wire.commands import Answer

if TYPE_CHECKING:
    from node.actors.abroad import Abroad
    from node.actors.home import HomeSide

HELLO_PAUSE_MS = 1_000
"""Within it a lane that is being opened is not opened anew: the same HELLO is said again."""


class HomeOpening:
    """HELLO and its replies, for all lanes of a shard on which this node is at home."""

    def __init__(self, abroad: Abroad, side: HomeSide) -> None:
        self._abroad = abroad
        self._side = side

    def hello(self, opening: Opening) -> Answer | None:
        """Opens this partition's lane with each of the partners: says HELLO, where the lane is not open."""
        wish = LANE_WISH.decode(opening.command.body)
        for partner_id in wish.partner_ids:
            life = self._side.lanes.life(opening.partition.number, partner_id, opening.work)
            if life.record.lane.disputed:
                continue
            if wish.nonce and wish.nonce != life.request_nonce:  # the acquirer has started anew
                life.request_nonce = wish.nonce
                self._propose(opening, life)
            elif life.ready:
                opening.ready.append(partner_id)
            elif life.hello:
                opening.says.append(Said(partner_id, life.hello))
            else:
                self._propose(opening, life)
        return None

    def _propose(self, opening: Opening, life: Life, above: int = 0) -> None:
        """The next epoch, durable before the HELLO that says it; until the reply the lane is shut.

        It is above the clock's milliseconds: where both sides have come back from old backups nobody knows
        any more which epochs there were, and what was signed in one of them may still be on its way.
        """
        above = max(above, opening.work.clock_ms)
        lane, draft = lanes.propose(
            life.record.lane, self._abroad.entropy(NONCE_BYTES), above, life.request_nonce
        )
        message = self._abroad.seal(draft, life.partner_id, opening.work.clock_ms)
        life.ready = False
        life.hello, life.hello_ms = carried_bytes(message), opening.work.clock_ms
        self._side.lanes.keep(life, replace(life.record, lane=lane), opening.work)
        opening.says.append(Said(life.partner_id, life.hello))

    def reply(self, opening: Opening, life: Life, carried: Carried) -> None:
        """HELLO_REPLY: the lane is open, or something must come back first."""
        message, reply = carried.message, carried.message.body
        assert isinstance(reply, HelloReply)
        if life.record.lane.disputed:
            return
        if lanes.is_ahead(life.record.lane, message.header.epoch):
            # Once for each HELLO of ours: replies to earlier ones say nothing new, and would never end.
            if not life.hello or reply.nonce == life.record.lane.nonce:
                self._propose(opening, life, message.header.epoch)
            return
        found = lanes.on_hello_reply(life.record.lane, reply, message.header.epoch)
        if life.ready or not life.hello:
            return
        if found is lanes.Opening.AGAIN:
            self._again(opening, life, reply, carried.evidence)
            return
        if found is lanes.Opening.FORKED:
            self.dispute(opening, life, "forked", opening.command.body)
            return
        if found is lanes.Opening.IMPORT:
            if not self._import(opening, life, self._abroad.evidence(carried.evidence)):
                self.dispute(opening, life, "not_our_records", opening.command.body)
                return
            found = lanes.on_hello_reply(life.record.lane, reply, message.header.epoch)
            if found is not lanes.Opening.READY:  # more of them: the next HELLO asks from here on
                self._propose(opening, life)
                return
        if found is lanes.Opening.READY:
            self._open(opening, life, reply)
            if self._side.lanes.hash_at(opening, life, reply.head.number) == reply.head.hash:
                self._side.acks.keep(opening, life, message, reply.head.number)

    def above(self, opening: Opening, life: Life, epoch: int) -> None:
        """The acquirer speaks in an epoch that we have not reached: the lane is opened anew above it."""
        if life.hello and opening.work.clock_ms - life.hello_ms < HELLO_PAUSE_MS:
            opening.says.append(Said(life.partner_id, life.hello))
        else:
            self._propose(opening, life, epoch)

    def _again(self, opening: Opening, life: Life, reply: HelloReply, evidence: Sequence[bytes]) -> None:
        """The acquirer knows of a higher epoch, and shows our own word for it."""
        own_id, lane = self._abroad.spec.own_id, life.record.lane.lane
        for message in self._abroad.evidence(evidence):
            if is_epoch_proof(message, own_id, life.partner_id, lane, reply.head.epoch):
                self._propose(opening, life, reply.head.epoch)
                return
        opening.refused = ExchangeReason.WRONG_EPOCH

    def _open(self, opening: Opening, life: Life, reply: HelloReply) -> None:
        """The lane is open: what must stay void does, and what the acquirer lacks is said again."""
        if opening.now_ms is None:
            return
        for exchange_id in reply.voided_exchange_ids:
            known = self._side.exchange(opening, life, exchange_id)
            seat = seat_of(self._abroad, opening, known.account_id if known else b"")
            step = home_recovery.import_voided(known, exchange_id, self._side.facts(opening, life, seat))
            self._side.take(opening, life, seat, step)
        number = reply.head.number
        life.record = replace(life.record, lane=replace(life.record.lane, acked=number))
        life.ready, life.hello = True, b""
        opening.ready.append(life.partner_id)
        ready = self._side.lanes.ready_in(life.partition)
        self._abroad.marks.lane_opened(life.partition, ready, opening.work)
        last = min(life.record.lane.number, number + MAX_RESENT)
        self._side.say_records(opening, life, range(number + 1, last + 1))

    def _import(self, opening: Opening, life: Life, evidence: Sequence[Message]) -> bool:
        """Takes over the records that came with a reply: POSTED, then its request. Says whether any did."""
        if opening.now_ms is None:
            return True
        before = life.record.lane.number
        at = 0
        while at < len(evidence):
            record = evidence[at]
            cut = isinstance(record.body, Posted) and record.body.core.kind is RecordKind.CUT
            request = None if cut else evidence[at + 1] if at + 1 < len(evidence) else None
            at += 1 if cut else 2
            if isinstance(record.body, Posted) and record.body.core.number <= life.record.lane.number:
                continue
            if not self._import_one(opening, life, request, record):
                break
        return life.record.lane.number > before

    def _import_one(self, opening: Opening, life: Life, request: Message | None, record: Message) -> bool:
        body, number = record.body, opening.partition.number
        if not isinstance(body, Posted):
            return False
        facts = self._side.facts(opening, life, NOBODY)
        if not home_recovery.is_sound_record(facts, request, record):
            return False
        known = self._side.exchange(opening, life, body.core.exchange_id) if request else None
        original = self._original(opening, life, request)
        seat = NOBODY
        if request is not None:
            account_id = self._account_of(life, body, known, original)
            if partition_of(account_id, self._abroad.desk.settings.partitions) != number:
                return False
            seat = seat_of(self._abroad, opening, account_id)
        facts = self._side.facts(opening, life, seat, None, self._side.original(opening, original))
        step = home_recovery.import_record(known, request, record, facts)
        if step.refused is not None:
            return False
        self._side.take(opening, life, seat, step)
        entry = store.LaneEntry(record.envelope, request.envelope if request else None)
        key = keys.lane_record_key(number, Role.HOME, life.partner_id, number, body.core.number)
        opening.work.put(key, store.LANE_ENTRY.encode(entry))
        return True

    def _account_of(
        self, life: Life, body: Posted, known: HomeExchange | None, original: HomeExchange | None
    ) -> bytes:
        """Whose record it is: the exchange's, or what the pseudonym stands for."""
        for exchange in (known, original):
            if exchange is not None and exchange.account_id:
                return exchange.account_id
        return account_of(self._abroad.secrets.pseudonyms, life.partner_id, body.pseudonym)

    def _original(self, opening: Opening, life: Life, request: Message | None) -> HomeExchange | None:
        if request is None or not isinstance(request.body, ReturnAbroad):
            return None
        return self._side.exchange(opening, life, request.body.original_exchange_id)

    def dispute(self, opening: Opening, life: Life, why: str, received: bytes) -> None:
        """Sets a lane aside, with what was received: nothing more is signed on it until people have
        looked.
        """
        lane = life.record.lane
        record = store.DisputeRecord(why, opening.work.clock_ms, lane.number, lane.hash, received)
        key = keys.lane_dispute_key(life.partition, Role.HOME, life.partner_id, life.partition)
        opening.work.put(key, store.DISPUTE.encode(record))
        self._side.lanes.keep(life, replace(life.record, lane=replace(lane, disputed=True)), opening.work)
        life.ready, life.hello = False, b""
        opening.dispute = why
        opening.refused = ExchangeReason.BROKEN_CHAIN
