"""A home node without I/O: one member, one lane with an acquirer."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from node.coalition import (
    caps,
    home,
    home_recovery,
    home_words,
    lanes,
)
from node.coalition.acquirer_facts import (
    NOTHING_SECRET,
    Secretly,
)
from node.coalition.directory import (
    Directory,
)
from node.coalition.envelopes import Envelope, MemberProof, Message
from node.coalition.home_facts import HomeExchange, HomeFacts, HomeStep, Original
from node.coalition.lanes import HomeLane
from node.coalition.messages import (
    ExchangeReason,
    HeadAck,
    HelloReply,
    MessageType,
    Posted,
    ReturnAbroad,
)
from node.coalition.proofs import ProofRules, ProofState, Secrets, challenge
from node.ledger.account import Account
from node.ledger.decision import Accepted, Context
from node.ledger.due import settle
from node.ledger.events import Credited
from node.ledger.evolve import apply_entry
from node.ledger.lots import Lot
from node.ledger.postings import Books
from node.ledger.returns import amend
from node.ledger.transactions import Amendment, Entry, TransactionKind
from node.wire.coalition_bodies import ENCODER
from tests.coalition.exchange_parts import (
    CODE,
    DAY_MS,
    DIRECTORY,
    LANE,
    MEMBER,
    NILE,
    NOW_MS,
    POINTS,
    PSEUDONYM,
    RULES,
    SAFFRON,
    SECRET,
    Sent,
    seal,
)


@dataclass
class Nile:
    """The home node: one member, one lane with saffron."""

    now_ms: int = NOW_MS
    directory: Directory = DIRECTORY
    account: Account = field(default_factory=lambda: Account(MEMBER))
    exchanges: dict[bytes, HomeExchange] = field(default_factory=dict)
    lane: HomeLane = field(default_factory=lambda: HomeLane(SAFFRON, LANE))
    ready: bool = False
    usage: caps.Usage = field(default_factory=caps.Usage)
    slices: caps.Slice = field(default_factory=lambda: caps.Slice(10_000, 5_000))
    records: dict[int, tuple[Envelope, Envelope | None]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    amendments: dict[int, Amendment] = field(default_factory=dict)
    books: Books = field(default_factory=lambda: Books({}))
    proofs: ProofState = field(default_factory=ProofState)
    rules: ProofRules = field(default_factory=lambda: RULES)
    refusals: list[ExchangeReason] = field(default_factory=list)
    spending_open: bool = True
    knows_member: bool = True
    hellos: int = 0
    acquirers_life: int = 0
    """Of which life of the acquirer the last HELLO_REQUEST was."""
    partners: dict[int, tuple[Envelope, Envelope | None]] = field(default_factory=dict)
    """The partner's records, to which a node that lost some has access."""

    def give(self, units: int) -> None:
        """Points for the member, from home."""
        lots = (Lot(units),)
        self.book(Accepted(TransactionKind.ADJUSTMENT, (Credited("coalition", lots, "issued"),)))

    def send_code(self, ceiling: int = 10_000) -> None:
        """A confirmation code that the member reads to the till."""
        self.proofs = (
            challenge(ProofState(), SAFFRON, ceiling, CODE, SECRET, self.now_ms - 60_000) or self.proofs
        )

    def book(self, booking: Accepted) -> None:
        entry = Entry(
            len(self.entries) + 1, booking.kind, MEMBER, self.now_ms, self.now_ms, "", "", 1,
            self.account.last_sequence, booking.events,
        )  # fmt: skip
        self.entries.append(entry)
        self.account = apply_entry(self.account, entry)
        self.books.post(entry.events)
        for event in entry.events:
            original = getattr(event, "original", 0)
            if original:
                known = self.amendments.get(original, Amendment(original))
                self.amendments[original] = amend(known, event, self.now_ms)

    def facts(self, message: Message | None = None, secretly: Secretly = NOTHING_SECRET) -> HomeFacts:
        proof = MemberProof(confirmation_code=secretly.proof.decode()) if secretly.proof else None
        return HomeFacts(
            now_ms=self.now_ms,
            home_id=NILE,
            partner_id=SAFFRON,
            directory=self.directory,
            lane=self.lane,
            ready=self.ready,
            usage=self.usage,
            slices=self.slices,
            encoder=ENCODER,
            ledger=Context(self.now_ms, len(self.entries) + 1, {"coalition": POINTS}),
            record=self.records.get,
            account=self.account if self.knows_member else None,
            account_id=MEMBER if self.knows_member else b"",
            pseudonym=PSEUDONYM,
            spending_open=self.spending_open,
            proof=proof,
            proofs=self.proofs,
            secrets=Secrets(SECRET),
            rules=self.rules,
            day=self.now_ms // DAY_MS,
            original=self.original(message),
            cancelled=self.cancelled,
        )

    def cancelled(self, exchange_id: bytes) -> Envelope | None:
        exchange = self.exchanges.get(exchange_id)
        return None if exchange is None else exchange.cancel

    def original(self, message: Message | None) -> Original | None:
        if message is None or not isinstance(message.body, ReturnAbroad):
            return None
        exchange = self.exchanges.get(message.body.original_exchange_id)
        if exchange is None or not exchange.sequence:
            return None
        known = self.amendments.get(exchange.sequence, Amendment(exchange.sequence))
        return Original(exchange, self.entries[exchange.sequence - 1], known)

    def receive(self, sent: Sent) -> list[Sent]:
        """Takes a message; gives what is said."""
        message = sent.message
        if isinstance(message.body, HelloReply):
            return self.opens(message, message.body)
        if isinstance(message.body, HeadAck):
            if lanes.is_ahead(self.lane, message.header.epoch):
                return self.above(message.header.epoch)
            return self.acknowledged(message.body)
        due = settle(self.account, self.now_ms)
        if due is not None:
            self.book(due)
        if self.ready and (marker := home_recovery.cut(self.facts())) is not None:
            out = self.take(marker)
        else:
            out = []
        step = home.decide(
            self.exchanges.get(message.header.exchange_id), message, self.facts(message, sent.secretly)
        )
        return out + self.take(step)

    def take(self, step: HomeStep) -> list[Sent]:
        """Keeps what a step changes, signs what it says."""
        if step.booking is not None:
            self.book(step.booking)
        self.lane = step.lane or self.lane
        self.usage = step.usage or self.usage
        self.proofs = step.proofs or self.proofs
        if step.refused is not None:
            self.refusals.append(step.refused)
        exchange = step.exchange
        out = []
        for say in step.says:
            evidence = say.evidence
            if say.draft is None:
                assert say.envelope is not None
                out.append(Sent(SAFFRON, ENCODER.message(say.envelope), evidence=evidence))
                continue
            message = seal(say.draft, NILE, SAFFRON, self.now_ms)
            if say.keeps and exchange is not None:
                exchange = home_words.signed(exchange, message)
            if say.number:
                self.records[say.number] = (message.envelope, step.request)
            out.append(Sent(SAFFRON, message, evidence=evidence))
        for kept in (exchange, step.original):
            if kept is not None:
                self.exchanges[kept.exchange_id] = kept
        return out

    @property
    def request_nonce(self) -> bytes:
        return self.acquirers_life.to_bytes(16, "big") if self.acquirers_life else b""

    def asked(self, life: int) -> list[Sent]:
        """A HELLO_REQUEST has come, of that life of the acquirer."""
        self.acquirers_life = life
        return self.start()

    def start(self) -> list[Sent]:
        """A start of the process: HELLO."""
        self.ready = False
        self.hellos += 1
        self.lane, draft = lanes.propose(self.lane, self.hellos.to_bytes(16, "big"), 0, self.request_nonce)
        return [Sent(SAFFRON, seal(draft, NILE, SAFFRON, self.now_ms))]

    def above(self, epoch: int) -> list[Sent]:
        """HELLO once more, above an epoch that we had not reached."""
        self.ready = False
        self.hellos += 1
        self.lane, draft = lanes.propose(
            self.lane, self.hellos.to_bytes(16, "big"), epoch, self.request_nonce
        )
        return [Sent(SAFFRON, seal(draft, NILE, SAFFRON, self.now_ms))]

    def opens(self, message: Message, reply: HelloReply) -> list[Sent]:
        opening = lanes.on_hello_reply(self.lane, reply, message.header.epoch)
        if opening is lanes.Opening.AGAIN:
            return self.above(max(reply.head.epoch, message.header.epoch))
        if opening is lanes.Opening.IMPORT and not self.ready:
            self.import_from({at: self.partners[at] for at in self.partners if at <= reply.head.number})
            opening = lanes.on_hello_reply(self.lane, reply, message.header.epoch)
        if opening is not lanes.Opening.READY or self.ready:
            return []
        for exchange_id in reply.voided_exchange_ids:
            known = self.exchanges.get(exchange_id)
            self.take(home_recovery.import_voided(known, exchange_id, self.facts()))
        self.ready = True
        self.lane = replace(self.lane, acked=reply.head.number)
        facts = self.facts()
        numbers = range(reply.head.number + 1, self.lane.number + 1)
        return self.take(HomeStep(says=tuple(home_words.record_again(number, facts) for number in numbers)))

    def acknowledged(self, ack: HeadAck) -> list[Sent]:
        if not self.ready or ack.head.epoch != self.lane.epoch:
            return []
        taken = lanes.on_head_ack(self.lane, ack, self.hash_at(ack.head.number))
        if isinstance(taken, ExchangeReason):
            self.refusals.append(taken)
            return []
        self.lane, again = taken
        facts = self.facts()
        return self.take(HomeStep(says=tuple(home_words.record_again(number, facts) for number in again)))

    def hash_at(self, number: int) -> bytes | None:
        if number == 0:
            return lanes.GENESIS
        if number not in self.records:
            return None
        body = ENCODER.read(MessageType.POSTED, self.records[number][0].body)
        assert isinstance(body, Posted)
        return body.hash

    def import_from(self, records: dict[int, tuple[Envelope, Envelope | None]]) -> None:
        """Takes over the records that it has lost from the acquirer's."""
        while self.lane.number < max(records, default=0):
            posted, request = records[self.lane.number + 1]
            record = ENCODER.message(posted)
            asked = ENCODER.message(request) if request else None
            facts = self.facts(asked)
            assert home_recovery.is_sound_record(facts, asked, record)
            known = self.exchanges.get(record.header.exchange_id)
            step = home_recovery.import_record(known, asked, record, facts)
            assert step.refused is None
            self.take(step)
            self.records[self.lane.number] = (posted, request)
