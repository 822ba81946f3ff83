"""An acquirer without I/O: its tills, and the lane of the home node on which the member lies."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.coalition import (
    acquirer,
    acquirer_answers,
    acquirer_posted,
    acquirer_time,
    caps,
    lanes,
)
from node.coalition.acquirer_exchange import signed, stays_void
from node.coalition.acquirer_facts import (
    AcquirerExchange,
    AcquirerFacts,
    AcquirerStep,
    Dispute,
    Secretly,
)
from node.coalition.directory import (
    Directory,
)
from node.coalition.envelopes import Envelope, Message
from node.coalition.exchange import GOODS, AcquirerState
from node.coalition.lanes import AcquirerLane
from node.coalition.messages import (
    ExchangeReason,
    Hello,
    Posted,
    ReturnAbroad,
    SaleTerms,
)
from node.ledger.postings import Books
from node.wire.coalition_bodies import ENCODER
from tests.coalition.exchange_parts import (
    CODE,
    DIRECTORY,
    LANE,
    NILE,
    NOW_MS,
    SAFFRON,
    Sent,
    earn_wish,
    seal,
    spend_wish,
)


@dataclass
class Saffron:
    """The acquirer: its tills, and the lane of nile's on which the member lies."""

    now_ms: int = NOW_MS
    directory: Directory = DIRECTORY
    exchanges: dict[bytes, AcquirerExchange] = field(default_factory=dict)
    lane: AcquirerLane = field(default_factory=lambda: AcquirerLane(NILE, LANE))
    heard_hello: bool = False
    life: int = 1
    generation: int = 0
    usage: caps.Usage = field(default_factory=caps.Usage)
    records: dict[int, tuple[Envelope, Envelope | None]] = field(default_factory=dict)
    books: Books = field(default_factory=lambda: Books({}))
    disputes: list[Dispute] = field(default_factory=list)
    refusals: list[ExchangeReason] = field(default_factory=list)
    goods: set[bytes] = field(default_factory=set)
    given_back: list[tuple[bytes, int]] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        return self.heard_hello and not self.lane.behind

    def facts(self, original: AcquirerExchange | None = None) -> AcquirerFacts:
        return AcquirerFacts(
            now_ms=self.now_ms,
            own_id=SAFFRON,
            partner_id=NILE,
            directory=self.directory,
            usage=self.usage,
            encoder=ENCODER,
            lane=self.lane,
            ready=self.ready,
            heard=self.heard_hello,
            caught_up=self.ready,
            original=original,
            is_known=lambda exchange_id: exchange_id in self.exchanges,
            generation=self.generation,
        )

    def state(self, exchange_id: bytes) -> AcquirerState:
        known = self.exchanges.get(exchange_id)
        return known.state if known else AcquirerState.NONE

    def spend(
        self, exchange_id: bytes, units: int, *, one_step: bool = False, code: str = CODE
    ) -> list[Sent]:
        return self.begin(spend_wish(exchange_id, units, one_step, code, self.now_ms))

    def earn(self, exchange_id: bytes, units: int) -> list[Sent]:
        return self.begin(earn_wish(exchange_id, units, self.now_ms))

    def return_(self, exchange_id: bytes, original_id: bytes, units: int) -> list[Sent]:
        original = self.exchanges[original_id]
        body = ReturnAbroad(original_id, original.number, units, SaleTerms("shop", "till", self.now_ms))
        wish = acquirer.Wish(exchange_id, body, Secretly(), "shop/till", exchange_id.hex(), lane=LANE)
        return self.begin(wish, original)

    def begin(self, wish: acquirer.Wish, original: AcquirerExchange | None = None) -> list[Sent]:
        return self.take(acquirer.begin(self.exchanges.get(wish.exchange_id), wish, self.facts(original)))

    def capture(self, exchange_id: bytes, units: int, reference: bytes = b"") -> list[Sent]:
        known = self.exchanges[exchange_id]
        return self.take(acquirer.capture(known, units, self.facts(), reference))

    def cancel(self, exchange_id: bytes) -> list[Sent]:
        wish = spend_wish(exchange_id, 1, False, CODE, self.now_ms)
        return self.take(acquirer.cancel(self.exchanges.get(exchange_id), self.facts(), wish))

    def on_time(self, exchange_id: bytes) -> list[Sent]:
        """The exchange's due time has come."""
        return self.take(acquirer_time.on_time(self.exchanges[exchange_id], self.facts()))

    def receive(self, sent: Sent) -> list[Sent]:
        message = sent.message
        if isinstance(message.body, Hello):
            return self.greeted(message, message.body)
        known = self.exchanges.get(message.header.exchange_id)
        original = None
        evidence = tuple(ENCODER.message(one) for one in sent.evidence)
        if known is not None:
            original = self.exchanges.get(known.original_exchange_id)
        for other in evidence:
            if isinstance(other.body, ReturnAbroad):
                original = self.exchanges.get(other.body.original_exchange_id)
        if isinstance(message.body, Posted):
            return self.take(acquirer_posted.on_posted(known, message, evidence, self.facts(original)))
        return self.take(acquirer_answers.on_answer(known, message, self.facts(original)))

    def greeted(self, message: Message, hello: Hello) -> list[Sent]:
        if not lanes.is_of_this_life(hello, self.heard_hello, self.life.to_bytes(16, "big")):
            return []
        taken = lanes.on_hello(self.lane, message)
        if isinstance(taken, ExchangeReason):
            self.refusals.append(taken)
            return []
        self.lane, prior = taken
        if prior < message.header.epoch:
            self.heard_hello = True
        bounds = self.directory.bounds
        void = [key for key, one in self.exchanges.items() if stays_void(one, self.now_ms, bounds)]
        open_ = [one.exchange_id for one in self.exchanges.values() if not one.ended]
        draft = lanes.hello_reply(self.lane, prior, hello.nonce, void, open_)
        return [Sent(NILE, seal(draft, SAFFRON, NILE, self.now_ms))]

    def take(self, step: AcquirerStep) -> list[Sent]:
        self.lane = step.lane or self.lane
        self.usage = step.usage or self.usage
        if step.booking is not None:
            self.books.post(step.booking.events)
        if step.record is not None:
            self.records[step.record.number] = (step.record.posted, step.record.request)
        self.disputes += [step.dispute] if step.dispute else []
        self.refusals += [step.refused] if step.refused else []
        exchange, out = self.speak(step)
        for kept in (exchange, step.original):
            if kept is not None:
                self.exchanges[kept.exchange_id] = kept
        if exchange is not None and exchange.state in GOODS:
            self.goods.add(exchange.exchange_id)
        if step.give_back and exchange is not None:
            self.given_back.append((exchange.exchange_id, step.give_back))
        if (step.acks or step.asks) and self.heard_hello:
            out.append(Sent(NILE, seal(lanes.head_ack(self.lane), SAFFRON, NILE, self.now_ms)))
        return out

    def speak(self, step: AcquirerStep) -> tuple[AcquirerExchange | None, list[Sent]]:
        """Signs what a step says, and keeps it with the exchange."""
        exchange, out = step.exchange, []
        for utter in step.says:
            if utter.draft is None:
                assert utter.envelope is not None
                out.append(Sent(NILE, ENCODER.message(utter.envelope), utter.secretly))
                continue
            message = seal(utter.draft, SAFFRON, NILE, self.now_ms)
            if utter.keeps and exchange is not None:
                exchange = signed(exchange, message)
            out.append(Sent(NILE, message, utter.secretly))
        return exchange, out

    def restart(self) -> None:
        """A new life of the process: no HELLO yet."""
        self.heard_hello = False
        self.life += 1
