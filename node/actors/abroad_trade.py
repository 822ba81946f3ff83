"""What all of a till's business with members of other merchants has in common: begin, look, wait, let go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from node.actors.exchanging import Exchanging
from node.actors.programmes import Programmes
from node.coalition.acquirer_facts import AcquirerExchange, Secretly, give_back_id
from node.coalition.directory import Directory
from node.coalition.envelopes import MemberProof
from node.coalition.exchange import AcquirerState
from node.coalition.messages import Accrue, MessageType, Reserve, ReturnAbroad, SaleTerms, commitment
from node.identity.coalition_secrets import CoalitionSecrets
from node.ledger.purses import RedemptionRate
from node.ledger.refusals import Reason, Refused
from node.settlement.netting import MICRO_EXPONENT
from node.storage.keyspace import partner_partition
from node.wire import abroad as words
from node.wire import abroad_refusals as refusals
from node.wire.coalition import identifier_commitment, proof_commitment
from node.wire.coalition_bodies import ENCODER, proof_bytes
from node.wire.coalition_records import ExchangeWish, Outcome, WishRecord
from node.wire.commands import Answer, Op, encode, refused

if TYPE_CHECKING:
    from node.actors.asks import Origin
    from node.wire.routes import Route

SPEND_SECONDS = 8.0
"""How long a till waits for a home node that must decide; its own deadline is longer."""
EARN_SECONDS = 1.5
"""How long it waits to say that an earning has arrived rather than that it is on its way."""
OVERLOAD_RETRY_MS = 500

Arrived = Callable[[AcquirerExchange], bool]


class Member(Struct, frozen=True):
    """Somebody else's member: whose, and the identifier in its normal form. The repr shows only whose."""

    partner_id: str
    kind: int
    normal: str

    def __repr__(self) -> str:
        return f"Member({self.partner_id!r})"


class Errand(Struct, frozen=True):
    """One request of a till's. `locally` does the same without the member at this node, as `message`."""

    op: Op
    origin: Origin
    route: Route
    message: Any
    member: Member
    trace_id: str
    locally: Callable[[Any], Awaitable[Answer]]


class Trade:
    """One node's business abroad."""

    def __init__(
        self,
        exchanging: Exchanging,
        secrets: CoalitionSecrets,
        programmes: Callable[[], Programmes],
        *,
        currency: str,
        currency_exponent: int,
        language: str,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.exchanging = exchanging
        self.secrets = secrets
        self.programmes = programmes
        self.language = language
        self.entropy = entropy
        self._currency, self._currency_exponent = currency, currency_exponent

    @property
    def directory(self) -> Directory:
        """The newest directory."""
        known = self.exchanging.directories.known
        assert known is not None, "there is nobody abroad without a directory"
        return known.newest

    @property
    def purse(self) -> str:
        """The code of the coalition purse."""
        return self.directory.purse.code

    def looks(self, errand: Errand) -> words.Looks:
        """How the coalition purse is shown, with the rate of when it occurred: a retry is told the same."""
        purse = self.directory.purse
        at_ms = errand.route.occurred_ms or self.exchanging.clock_ms()
        return words.Looks(purse.code, purse.exponent, self._currency, self._rate_at(at_ms))

    def _rate_at(self, at_ms: int) -> RedemptionRate | None:
        """What the purse pays for at the tills here: as this merchant says it, or else as the directory does.

        None where neither says it in the tills' currency.
        """
        definition = self.programmes().at(at_ms).purses.get(self.purse)
        if definition is not None and definition.rate is not None:
            return definition.rate
        rate = self.directory.rate_at(at_ms)
        if rate is None or rate.currency != self._currency or not rate.redemption_micro:
            return None
        return RedemptionRate(10 ** (MICRO_EXPONENT - self._currency_exponent), rate.redemption_micro)

    def connected(self, partner_id: str) -> bool:
        """Whether the home node can be reached now."""
        links = self.exchanging.links
        return links is not None and links.connected(partner_id)

    def exchange_id(self, errand: Errand, request_id: str = "") -> bytes:
        """The exchange of the errand's request, or of another request of the same terminal."""
        return self.secrets.exchange_id(errand.origin.scope, request_id or errand.route.request_id)

    def terms(self, errand: Errand, units: int) -> SaleTerms:
        """Where and when; the hash names the request, and says nothing of the member."""
        origin = errand.origin
        said = f"{origin.scope}\x00{errand.route.request_id}\x00{units}".encode()
        sale_hash = commitment(self.salt(errand), said)
        return SaleTerms(origin.store_id, origin.scope, errand.route.occurred_ms, sale_hash)

    def salt(self, errand: Errand) -> bytes:
        """The salt of the errand's commitments."""
        return self.secrets.salt(errand.origin.scope, errand.route.request_id)

    def committed(self, errand: Errand) -> bytes:
        """The commitment to the member's identifier."""
        return identifier_commitment(self.salt(errand), errand.member.kind, errand.member.normal)

    def proved(self, errand: Errand, proof: MemberProof) -> bytes:
        """The commitment to the member's proof."""
        return proof_commitment(self.salt(errand), proof)

    def wish(
        self,
        errand: Errand,
        body: Reserve | Accrue | ReturnAbroad | None,
        *,
        exchange_id: bytes = b"",
        proof: MemberProof | None = None,
        one_step: bool = False,
    ) -> WishRecord:
        """An exchange to begin; without a body one that may be known to the home node alone."""
        member = errand.member
        proved = proof_bytes(proof) if proof is not None else b""
        secretly = Secretly(member.kind, member.normal, proved, self.salt(errand))
        return WishRecord(
            member.partner_id,
            exchange_id or self.exchange_id(errand),
            MessageType.CANCEL if body is None else _TYPES[type(body)],
            b"" if body is None else ENCODER.body(body),
            secretly,
            errand.origin.scope,
            errand.route.request_id,
            one_step,
        )

    async def begin(
        self, errand: Errand, wish: WishRecord, arrived: Arrived, seconds: float
    ) -> AcquirerExchange | Refused | None:
        """Begins an exchange, or goes on with it where it was begun; see `reach`."""
        return await self.reach(
            errand, wish.exchange_id, arrived, seconds, self._do(errand, Op.ACQUIRER_BEGIN, encode(wish))
        )

    async def capture(
        self, errand: Errand, ref: words.Ref, units: int, seconds: float
    ) -> AcquirerExchange | Refused | None:
        """Captures an authorization, to its end; see `reach`."""
        wish = ExchangeWish(
            ref.partner_id,
            ref.exchange_id,
            units,
            capture_id=self.exchange_id(errand),
            occurred_ms=errand.route.occurred_ms,
        )
        doing = self._do(errand, Op.ACQUIRER_CAPTURE, encode(wish))
        return await self.reach(errand, ref.exchange_id, lambda found: found.ended, seconds, doing)

    async def let_go(
        self, errand: Errand, exchange_id: bytes, unknown: WishRecord | None = None
    ) -> AcquirerExchange | Refused | None:
        """Cancels an exchange, durably; what is done already is given back. It, as it then stands."""
        wish = ExchangeWish(errand.member.partner_id, exchange_id, 0, unknown)
        outcome = await self._do(errand, Op.ACQUIRER_CANCEL, encode(wish))
        return _exchange_or_why(outcome)

    async def look(self, errand: Errand, exchange_id: bytes) -> AcquirerExchange | Refused | None:
        """The exchange as it stands; None where there is none. OUTCOME_UNKNOWN where a restored node cannot
        tell yet.
        """
        outcome = await self.recall(errand, exchange_id)
        if isinstance(outcome, Refused):
            return outcome
        return refusals.not_shown_yet() if outcome.unsure else outcome.exchange

    async def recall(self, errand: Errand, exchange_id: bytes) -> Outcome | Refused:
        """What this node remembers of an exchange; refused where its shard could not be asked."""
        wish = ExchangeWish(errand.member.partner_id, exchange_id)
        return await self._do(errand, Op.ACQUIRER_LOOK, encode(wish))

    async def given_back(self, errand: Errand, exchange: AcquirerExchange) -> bool | Refused:
        """Whether what was done was let go too late, or reversed, and is given back by this node itself."""
        if exchange.state is not AcquirerState.DONE or not exchange.returned:
            return False
        found = await self.look(errand, give_back_id(exchange.exchange_id))
        return found if isinstance(found, Refused) else found is not None

    async def reach(
        self,
        errand: Errand,
        exchange_id: bytes,
        arrived: Arrived,
        seconds: float,
        doing: Awaitable[Outcome | Refused],
    ) -> AcquirerExchange | Refused | None:
        """Does something about an exchange and waits until `arrived`; None where it has not in time."""
        waiting = self.exchanging.waiting
        with waiting.watching(errand.member.partner_id, exchange_id, arrived) as future:
            outcome = await doing
            if isinstance(outcome, Refused):
                return outcome
            if outcome.unsure:
                return refusals.not_shown_yet()
            if outcome.refused:
                return refusals.why_not(outcome.refused)
            if outcome.exchange is not None and arrived(outcome.exchange):
                return outcome.exchange
            try:
                async with asyncio.timeout(seconds):
                    return await future
            except TimeoutError:
                return None

    async def _do(self, errand: Errand, op: Op, body: bytes) -> Outcome | Refused:
        partition = partner_partition(errand.member.partner_id, self.exchanging.router.partitions)
        return await self.exchanging.do(op, partition, body, errand.origin.scope, errand.trace_id)


def _exchange_or_why(outcome: Outcome | Refused) -> AcquirerExchange | Refused | None:
    if isinstance(outcome, Refused):
        return outcome
    return refusals.why_not(outcome.refused) if outcome.refused else outcome.exchange


_TYPES = {
    Reserve: MessageType.RESERVE,
    Accrue: MessageType.ACCRUE,
    ReturnAbroad: MessageType.RETURN,
}


def unknown_abroad() -> Answer:
    """There is no such transaction."""
    return refused(Refused(Reason.TRANSACTION_NOT_FOUND, "There is no such transaction abroad."))
