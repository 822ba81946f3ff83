"""The home node's part of a shard: partners' messages about this node's members, and the lanes that these
lie on.

Every message is judged by `coalition.home`, and what it makes of an account goes through the account's
member actor, into one batch with the exchange and the record of the lane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from node.actors.home_acks import HomeAcks
from node.actors.home_booking import NOBODY, Posting, Seat, elsewhere, seat_of
from node.actors.home_cards import card_proved
from node.actors.home_holds import HomeHolds
from node.actors.home_lanes import HomeLanes, Life
from node.actors.home_leases import HomeLeases, note_short
from node.actors.home_opening import HomeOpening
from node.actors.home_proofs import QUESTIONS, HomeProofs, found_by, hand_on, kept_proofs, secrets_of, use_of
from node.actors.turn import Opening
from node.coalition import home, home_recovery, home_words, lanes
from node.coalition.envelopes import Envelope, Message
from node.coalition.home_facts import HomeExchange, HomeFacts, HomeStep, Original, Say
from node.coalition.messages import (
    LANE_UNKNOWN,
    ExchangeReason,
    HeadAck,
    HelloReply,
    RecordKind,
    ReturnAbroad,
)
from node.ledger.decision import Context
from node.ledger.refusals import Reason, refuse
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire import coalition_store as store
from node.wire.card_words import ProofFound
from node.wire.coalition import Carried, carried_bytes
from node.wire.coalition_read import carried_by
from node.wire.coalition_records import LANE_WISH, Said, SpendNotice
from node.wire.commands import Answer, Op, refused

if TYPE_CHECKING:
    from node.actors.abroad import Abroad

RETRY_MS = 60_000
"""When a partner may ask again about an account that was set aside, or while the clock is behind."""


class HomeSide:
    """Commands HOME_*. `ops` gives the method of each; None as an answer means the opening's outcome."""

    def __init__(self, abroad: Abroad) -> None:
        self._abroad = abroad
        self.lanes = HomeLanes(abroad)
        self._proofs = HomeProofs(abroad, self)
        self.acks = HomeAcks(abroad)
        self._opens = HomeOpening(abroad, self)
        self._holds = HomeHolds(abroad, self)
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {
            Op.HOME_MESSAGE: self._message,
            Op.HOME_HELLO: self._opens.hello,
            Op.HOME_TICK: self._tick,
            **HomeLeases(self.lanes).ops,
        }

    # --- messages ------------------------------------------------------------------------------------------

    def _message(self, opening: Opening) -> Answer | None:
        """A partner's message, verified by the gateway."""
        carried = carried_by(opening.command)
        message = carried.message
        life = self.lanes.life(opening.partition.number, message.header.sender_id, opening.work)
        if opening.now_ms is None:
            self.refuse(opening, life, message, ExchangeReason.OVERLOADED, RETRY_MS)
            return None
        if isinstance(message.body, HelloReply):
            self._opens.reply(opening, life, carried)
            return None
        if isinstance(message.body, HeadAck):
            self._acknowledged(opening, life, message, message.body)
            return None
        if message.header.type in QUESTIONS:
            return self._proofs.asked(opening, life, carried)
        if message.header.lane != LANE_UNKNOWN and lanes.is_ahead(life.record.lane, message.header.epoch):
            self._opens.above(opening, life, message.header.epoch)
        if message.header.type not in home.DECIDES:
            self.refuse(opening, life, message, ExchangeReason.MALFORMED)
            return None
        return self._decide(opening, life, carried)

    def _decide(self, opening: Opening, life: Life, carried: Carried) -> Answer | None:
        message = carried.message
        known = self.exchange(opening, life, message.header.exchange_id)
        seat = self._seat(opening, life, message, known)
        if isinstance(seat, Answer):
            return hand_on(self._abroad, opening, carried, seat)
        if not seat.usable:
            self.refuse(opening, life, message, ExchangeReason.OVERLOADED, RETRY_MS)
            return None
        try:
            self.cut(opening, life)
            found = found_by(opening)
            if found is None and known is None:
                found = card_proved(self._abroad, opening, seat, carried, use_of(message))
            original = self._original(opening, life, message)
            facts = self.facts(opening, life, seat, carried, original, found)
            step = home.decide(known, message, facts)
            self.take(opening, life, seat, step)
            note_short(opening, facts, message.body, step)
        except self._abroad.desk.storage_faults:
            raise
        except Exception as fault:
            if seat.member is None:
                raise
            seat.member.set_aside(opening.command, self._abroad.desk, opening.work, fault)
            self.refuse(opening, life, message, ExchangeReason.OVERLOADED, RETRY_MS)
        return None

    def _seat(
        self, opening: Opening, life: Life, message: Message, known: HomeExchange | None
    ) -> Seat | Answer:
        """The account that a message is about: that of its exchange, of a return's original, or the
        identifier's.
        """
        account_id = known.account_id if known else b""
        if not account_id and isinstance(message.body, ReturnAbroad):
            original = self.exchange(opening, life, message.body.original_exchange_id)
            account_id = original.account_id if original else b""
        if account_id:
            return seat_of(self._abroad, opening, account_id)
        seat = seat_of(self._abroad, opening, opening.command.account_id)
        if known is None:
            moved = elsewhere(seat, opening.command, message)
            if moved is not None:
                return moved
        return seat

    def _original(self, opening: Opening, life: Life, message: Message) -> Original | None:
        """What a return is about."""
        if not isinstance(message.body, ReturnAbroad):
            return None
        exchange = self.exchange(opening, life, message.body.original_exchange_id)
        return self.original(opening, exchange)

    def original(self, opening: Opening, exchange: HomeExchange | None) -> Original | None:
        """An exchange with its journal entry, where it has posted one."""
        if exchange is None or not exchange.number:
            return None
        number = opening.partition.number
        stored = opening.work.entry(number, exchange.sequence)
        if stored is None:
            return None
        return Original(exchange, stored.entry, opening.work.amendment(number, exchange.sequence))

    def exchange(self, opening: Opening, life: Life, exchange_id: bytes) -> HomeExchange | None:
        """An exchange with the lane's partner as it stands."""
        key = keys.home_exchange_key(opening.partition.number, life.partner_id, exchange_id)
        data = opening.work.get(key)
        return None if data is None else store.HOME_EXCHANGE.decode(data)

    # --- facts ---------------------------------------------------------------------------------------------

    def facts(
        self,
        opening: Opening,
        life: Life,
        seat: Seat,
        carried: Carried | None = None,
        original: Original | None = None,
        found: ProofFound | None = None,
    ) -> HomeFacts:
        """The circumstances of a decision about an account."""
        abroad, now_ms = self._abroad, opening.now_ms
        assert now_ms is not None, "the caller has looked at the clock"
        edition = abroad.desk.programmes.at(now_ms)
        purses = edition.purses
        if original is not None:
            purses = abroad.desk.programmes.version(original.entry.version, original.entry.occurred_ms).purses
        return HomeFacts(
            now_ms=now_ms,
            home_id=abroad.spec.own_id,
            partner_id=life.partner_id,
            directory=abroad.directory,
            lane=life.record.lane,
            ready=life.ready,
            usage=life.record.usage,
            slices=self.lanes.slices(life),
            encoder=abroad.encoder,
            ledger=Context(now_ms, opening.partition.sequence + 1, purses, f"partner:{life.partner_id}"),
            record=lambda number: self.record(opening, life, number),
            account=seat.account,
            account_id=seat.account_id,
            pseudonym=abroad.pseudonym(life.partner_id, seat.account_id) if seat.account_id else b"",
            spending_open=not abroad.marks.spending_waits(opening.partition.number, opening.work),
            proof=carried.proof if carried else None,
            prover_id=seat.prover_id,
            proofs=kept_proofs(opening, seat.prover_id),
            secrets=secrets_of(abroad, seat, found),
            rules=abroad.rules(now_ms),
            day=abroad.local_day(now_ms),
            original=original,
            cancelled=lambda wanted: getattr(self.exchange(opening, life, wanted), "cancel", None),
        )

    def record(self, opening: Opening, life: Life, number: int) -> tuple[Envelope, Envelope | None] | None:
        """Both envelopes of a record of the lane."""
        partition = opening.partition.number
        key = keys.lane_record_key(partition, Role.HOME, life.partner_id, partition, number)
        data = opening.work.get(key)
        if data is None:
            return None
        entry = store.LANE_ENTRY.decode(data)
        return entry.posted, entry.request

    # --- what a step changes -------------------------------------------------------------------------------

    def take(self, opening: Opening, life: Life, seat: Seat, step: HomeStep) -> None:
        """Puts everything that a step changes into the batch, and what it says, signed, into the outcome."""
        partition, partner_id = opening.partition.number, life.partner_id
        now_ms = opening.now_ms
        assert now_ms is not None
        puts: list[tuple[bytes, bytes]] = []
        exchange = step.exchange
        said = []
        for say in step.says:
            message = self._sealed(say, partner_id, now_ms)
            if message is not None and say.keeps and exchange is not None:
                exchange = home_words.signed(exchange, message)
            if message is not None and say.number:
                entry = store.LANE_ENTRY.encode(store.LaneEntry(message.envelope, step.request))
                key = keys.lane_record_key(partition, Role.HOME, partner_id, partition, say.number)
                puts.append((key, entry))
            said.append(Said(partner_id, self._carried(say, message)))
        for one in (exchange, step.original):
            if one is not None:
                key = keys.home_exchange_key(partition, partner_id, one.exchange_id)
                puts.append((key, store.HOME_EXCHANGE.encode(one)))
        if step.proofs is not None and seat.prover_id:
            key = keys.member_proof_key(partition, seat.prover_id)
            puts.append((key, store.PROOFS.encode(step.proofs)))
        posting = None
        if step.booking is not None:
            about = exchange.exchange_id if exchange else b""
            posting = Posting(self._abroad, opening, seat, step.booking, partner_id, about)
        # From here on nothing can fault.
        if posting is not None:
            posting.post()
        for key, value in puts:
            opening.work.put(key, value)
        if exchange is not None:
            self._holds.keep(opening, exchange)
        if step.lane is not None or step.usage is not None:
            record = replace(
                life.record, lane=step.lane or life.record.lane, usage=step.usage or life.record.usage
            )
            self.lanes.keep(life, record, opening.work)
        opening.says += said
        self._tell(opening, partner_id, exchange, step)

    def _tell(self, opening: Opening, partner_id: str, exchange: HomeExchange | None, step: HomeStep) -> None:
        """What people are to hear: members of what was spent, the merchant of caps that come near."""
        spent = exchange is not None and exchange.record_kind is RecordKind.REDEMPTION
        if exchange is not None and spent and step.booking is not None:
            told = exchange.prover_id or exchange.account_id
            opening.notices.append(SpendNotice(told, partner_id, exchange.units))
        if step.alert is not None:
            opening.alerts.append((partner_id, step.alert))
        if step.refused is not None:
            opening.refused = step.refused

    def _sealed(self, say: Say, partner_id: str, now_ms: int) -> Message | None:
        return None if say.draft is None else self._abroad.seal(say.draft, partner_id, now_ms)

    def _carried(self, say: Say, message: Message | None) -> bytes:
        if message is None:
            assert say.envelope is not None
            message = self._abroad.read(say.envelope)
        return carried_bytes(message, evidence=[store.envelope_bytes(one) for one in say.evidence])

    def refuse(
        self,
        opening: Opening,
        life: Life,
        message: Message,
        reason: ExchangeReason,
        retry_after_ms: int = 0,
    ) -> None:
        """Says why a message is not taken; nothing changes."""
        body = home_words.refusal(message, reason, life.record.lane.epoch, retry_after_ms)
        sealed = self._abroad.seal(body, life.partner_id, opening.work.clock_ms)
        opening.says.append(Said(life.partner_id, carried_bytes(sealed)))
        opening.refused = reason

    # --- lanes ---------------------------------------------------------------------------------------------

    def _acknowledged(self, opening: Opening, life: Life, message: Message, ack: HeadAck) -> None:
        """HEAD_ACK; one that repeats the last asks for the records that follow."""
        if life.record.lane.disputed:
            return
        if lanes.is_ahead(life.record.lane, message.header.epoch):
            self._opens.above(opening, life, message.header.epoch)
        if not life.ready or message.header.epoch != life.record.lane.epoch:
            return
        hash_at = self.lanes.hash_at(opening, life, ack.head.number)
        taken = self.lanes.acknowledged(life, ack, hash_at, opening.work.clock_ms)
        if isinstance(taken, ExchangeReason):
            self._opens.dispute(opening, life, "head_ack", opening.command.body)
            return
        if ack.head.number == life.record.lane.acked:
            self.acks.keep(opening, life, message, ack.head.number)
        self.say_records(opening, life, taken)

    def say_records(self, opening: Opening, life: Life, numbers: range) -> None:
        """Says some records again, each beside its own envelopes."""
        if not numbers:
            return
        facts = self.facts(opening, life, NOBODY)
        for number in numbers:
            say = home_words.record_again(number, facts)
            message = self._sealed(say, life.partner_id, facts.now_ms)
            opening.says.append(Said(life.partner_id, self._carried(say, message)))

    def cut(self, opening: Opening, life: Life) -> None:
        """The cut marker of a lane, where one is due."""
        now_ms = opening.now_ms
        assert now_ms is not None, "the caller has looked at the clock"
        if home_recovery.cut_before(self._abroad.directory, life.record.lane, now_ms) is None:
            return  # as nearly always
        step = home_recovery.cut(self.facts(opening, life, NOBODY))
        if step is not None:
            self.take(opening, life, NOBODY, step)

    def _tick(self, opening: Opening) -> Answer | None:
        """An idle moment: cut markers, holds that are over, and records that nobody has acknowledged."""
        if opening.now_ms is None:
            return refused(refuse(Reason.CLOCK_BEHIND, "The node's clock stands before its own journal."))
        for partner_id in LANE_WISH.decode(opening.command.body).partner_ids:
            life = self.lanes.life(opening.partition.number, partner_id, opening.work)
            if not life.ready or life.record.lane.disputed:
                continue
            self.acks.lasting(opening, partner_id)
            waiting = self.lanes.unacknowledged(life)
            self.cut(opening, life)
            self._holds.end(opening, life)
            self.say_records(opening, life, waiting)
        return None
