"""The gateway's side of the coalition: partners' messages to their shards, and what shards say to partners.

It decides nothing. A message is verified here, once, and goes as it came to the shard that keeps the lane or
the exchange; what the shard says is durable already when it comes back, and is sent. Whoever waits for an
exchange of this node's, a till, waits here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog
from msgspec.structs import replace

from node.actors.directories import Directories
from node.actors.peer_clocks import PeerClocks
from node.actors.resolver import Found, Resolver
from node.actors.router import Router
from node.actors.waiting import Waiting
from node.coalition.envelopes import Draft, Header, Message, Sealer
from node.coalition.messages import LANE_UNKNOWN, Body, ExchangeReason, HelloRequest, MessageType, Refusal
from node.identity.keys import KeyUnusable
from node.ledger.refusals import Reason, Refused
from node.peering.ports import Links
from node.storage.coalition_keys import LANES_MAX
from node.storage.keyspace import ID_BYTES, partition_of, partner_partition
from node.telemetry import PEER_REFUSED, Figures
from node.wire.coalition import ANSWERS, BY_HOME, Carried, Opener, Unopened, carried_bytes
from node.wire.coalition_frames import RecordsWish
from node.wire.coalition_read import pack
from node.wire.coalition_records import (
    DISPUTE_ANSWER,
    OUTCOME,
    DisputeAnswer,
    LaneWish,
    Outcome,
    PoolHolder,
    Said,
)
from node.wire.coalition_trust import KnownDirectories
from node.wire.commands import Answer, AnswerKind, Command, Op, encode

RETRY_MS = 500
"""When a partner may try again what found this node too busy."""
MAX_WAITING = 10_000
"""Tills that wait for partners at a time; beyond it they are told to come back."""
_HOPS = 2

log = structlog.get_logger()


class Exchanging:
    """Acts on partners' messages (`peering.ports.Exchanging`) and on behalf of tills.

    `may_carry(connection, sender)` says whose messages may come on whose connection. `links` is set before
    anything is sent. `unseal` opens what a relay carried, None where it is not for this node. `greeted` is
    told of every connection that comes to stand, `noted` of every outcome, `unopened` of whose words came on
    a lane that waits for its HELLO, `told` of what members are to hear.
    """

    def __init__(
        self,
        own_id: str,
        router: Router,
        resolver: Resolver,
        directories: Directories,
        sealer: Callable[[], Sealer],
        figures: Figures,
        *,
        clock_ms: Callable[[], int],
        may_carry: Callable[[str, str], bool] = lambda connection, sender: connection == sender,
    ) -> None:
        self.own_id = own_id
        self.router = router
        self.directories = directories
        self.clock_ms = clock_ms
        self.links: Links | None = None
        self.greeted: Callable[[str], None] = lambda partner_id: None
        self.noted: Callable[[int, Outcome, bool], None] = lambda partition, outcome, by_home: None
        self.unopened: Callable[[str], None] = lambda partner_id: None
        self.settling: Callable[[Message], Awaitable[None]] = _unheard
        self.told: Callable[[Outcome], None] = lambda outcome: None
        self.near_cap: Callable[[], None] = lambda: None
        self.clocks = PeerClocks()
        self.unseal: Callable[[bytes], bytes | None] = lambda carried: carried
        self.waiting = Waiting(MAX_WAITING)
        self._resolver = resolver
        self._sealer = sealer
        self._figures = figures
        self._may_carry = may_carry
        self._opener = Opener(own_id, self._keys)

    def _keys(self) -> KnownDirectories:
        known = self.directories.known
        assert known is not None, "a node without a directory has no partners"
        return known

    # --- from partners ----------------------------------------------------------------------------

    async def received(self, partner_id: str, carried: bytes) -> None:
        """Acts on one message; what there is to say goes out through the links."""
        await self.say(await self._act(partner_id, carried))

    async def answered(self, partner_id: str, carried: bytes) -> Sequence[bytes]:
        """Acts on one message and gives what there is to say to whoever handed it over; the rest is sent."""
        said = await self._act(partner_id, carried)
        await self.say([one for one in said if one.partner_id != partner_id])
        return [one.carried for one in said if one.partner_id == partner_id]

    async def lane_records(self, partner_id: str, wish: RecordsWish) -> Sequence[bytes]:
        """Records of a lane between this node and that partner, in their order."""
        sides = (wish.home_id, wish.acquirer_id)
        home = sides == (self.own_id, partner_id)
        if self.directories.known is None:
            return ()
        if not home and sides != (partner_id, self.own_id):
            self._count(
                partner_id, ExchangeReason.MISROUTED
            )  # a lane between others is nobody else's business
            return ()
        partitions = self.router.partitions
        partition = wish.lane if home else partner_partition(partner_id, partitions)
        if not 0 <= partition < partitions:
            return ()
        body = LaneWish((partner_id,), home, wish.lane, wish.from_number, wish.page_size)
        outcome = await self.ask(Op.LANE_RECORDS, partition, encode(body))
        return outcome.records if isinstance(outcome, Outcome) else ()

    async def dispute(self, partner_id: str, lane: int, *, home: bool) -> DisputeAnswer | Refused:
        """Why a lane with a partner was set aside."""
        partitions = self.router.partitions
        partition = lane if home else partner_partition(partner_id, partitions)
        if not 0 <= partition < partitions or not 0 <= lane < LANES_MAX:
            return DisputeAnswer()
        body = encode(LaneWish((partner_id,), home, lane))
        answer = await self.router.ask(Command(Op.LANE_DISPUTE, partition, b"", b"", "", "", "", "", body))
        if answer.kind != AnswerKind.DONE:
            return answer.refusal or Refused(Reason.UNAVAILABLE, "The shard does not answer. Try again.")
        return DISPUTE_ANSWER.decode(answer.body)

    async def connected(self, partner_id: str) -> None:
        """A connection with the partner stands: lanes are opened, and what waits is sent again."""
        self.greeted(partner_id)
        known = self.directories.known
        own = known.newest.partner(self.own_id) if known else None
        for other in known.newest.partners if known else ():
            relays = (other.relay_partner_id, own.relay_partner_id if own else "")
            if partner_id in relays and other.partner_id not in (self.own_id, partner_id):
                self.greeted(other.partner_id)  # it can be reached through this one from now on

    async def _act(self, partner_id: str, carried: bytes) -> Sequence[Said]:
        if self.directories.known is None:
            return ()
        plain = self.unseal(carried)
        if plain is None:
            self._figures.count(PEER_REFUSED, partner_id, "SEAL_BROKEN").add()
            log.info("peer_message_refused", partner=partner_id, reason="SEAL_BROKEN")
            return ()
        carried = plain
        opened = self._opener.open(carried, self.clock_ms())
        signed = opened.header if isinstance(opened, Unopened) else opened.message.header
        if signed is not None:
            self.clocks.heard(signed.sender_id, signed.issue_time_ms, self.clock_ms())
        if isinstance(opened, Unopened):
            return self._refused(partner_id, opened.reason, opened.header, opened.request_hash)
        message = opened.message
        header = message.header
        if not self._may_carry(partner_id, header.sender_id):
            return self._refused(partner_id, ExchangeReason.MISROUTED, None, b"")
        if header.type is MessageType.SETTLEMENT:
            await self.settling(message)
            return ()
        if header.type in ANSWERS:
            self.waiting.answer(header.sender_id, header.exchange_id, message)
            return ()
        found = await self._command(opened, carried)
        if isinstance(found, ExchangeReason):
            return self._refused(partner_id, found, header, message.hash)
        outcomes = [await self._follow(command, opened) for command in found]
        said: list[Said] = []
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                busy = ExchangeReason.OVERLOADED
                return [*said, *self._refused(partner_id, busy, header, message.hash, RETRY_MS)]
            if outcome.refused:
                self._turned_away(partner_id, header, ExchangeReason(outcome.refused))
            said += outcome.says
        return said

    def _turned_away(self, partner_id: str, header: Header, reason: ExchangeReason) -> None:
        self._count(partner_id, reason)
        if reason is ExchangeReason.LANE_NOT_READY and header.type in BY_HOME:
            self.unopened(header.sender_id)

    async def _command(self, opened: Carried, carried: bytes) -> list[Command] | ExchangeReason:
        """Where a message goes: to the shard that keeps its exchange or lane; a HELLO_REQUEST to all."""
        header = opened.message.header
        sender_id, partitions = header.sender_id, self.router.partitions
        if header.type in BY_HOME or header.type is MessageType.REFUSAL:
            partition = partner_partition(sender_id, partitions)
            return [self._partners(Op.ACQUIRER_MESSAGE, partition, sender_id, carried, pack(opened))]
        if header.type is MessageType.HELLO_REQUEST:
            asked = opened.message.body
            assert isinstance(asked, HelloRequest), "the type says what the body is"
            body = encode(LaneWish((sender_id,), nonce=asked.nonce))
            lanes = sorted({head.lane for head in asked.heads if head.lane < partitions})
            return [self._partners(Op.HOME_HELLO, at, sender_id, body) for at in lanes]
        if header.lane != LANE_UNKNOWN:
            return [self._partners(Op.HOME_MESSAGE, header.lane, sender_id, carried, pack(opened))]
        found = await self._find(opened)
        if isinstance(found, ExchangeReason):
            return found
        partition = partition_of(found.account_id or found.digest, partitions)
        command = self._partners(Op.HOME_MESSAGE, partition, sender_id, carried, pack(opened))
        return [replace(command, account_id=found.account_id, digest=found.digest)]

    async def _find(self, opened: Carried) -> Found | ExchangeReason:
        """The account of a member of this node's; where nobody carries the identifier, its digest alone.

        As of the sale, which a request that is signed anew repeats: so it always leads to one partition.
        """
        kind, value = opened.identifier_kind, opened.identifier
        if not kind:
            return ExchangeReason.MALFORMED
        home = self._keys().newest.home_of(kind, value)
        if home is None or home.partner_id != self.own_id:
            return ExchangeReason.NOT_IN_RANGE
        digest = self._resolver.digest(kind, value)
        if isinstance(digest, Refused):
            return ExchangeReason.MALFORMED
        terms = getattr(opened.message.body, "terms", None)
        at_ms = (terms and terms.occurred_time_ms) or opened.message.header.issue_time_ms
        found = await self._resolver.find(kind, value, at_ms)
        if isinstance(found, Found):
            return found
        return Found(b"", digest) if found.reason is Reason.MEMBER_NOT_FOUND else ExchangeReason.OVERLOADED

    async def _follow(self, command: Command, opened: Carried) -> Outcome | Refused:
        """To the shard; and on to where a card was re-linked to, or the pool that its account belongs to."""
        for _ in range(_HOPS):
            answer = await self.router.ask(command)
            if answer.kind == AnswerKind.POOLED:
                pool_id, found_there = answer.body[:ID_BYTES], answer.body[ID_BYTES:]
                partition = partition_of(pool_id, self.router.partitions)
                holder = encode(PoolHolder(command.account_id, command.digest, found_there))
                command = replace(command, partition=partition, account_id=pool_id, digest=b"", extra=holder)
            elif answer.kind == AnswerKind.MOVED:
                self._resolver.forget(command.digest)
                found = await self._find(opened)
                if isinstance(found, ExchangeReason):
                    break
                partition = partition_of(found.account_id or found.digest, self.router.partitions)
                command = replace(
                    command, partition=partition, account_id=found.account_id, digest=found.digest
                )
            else:
                break
        return self._outcome(command.op, command.partition, answer)

    def _refused(
        self,
        partner_id: str,
        reason: ExchangeReason,
        header: Header | None,
        request_hash: bytes,
        retry_after_ms: int = 0,
    ) -> Sequence[Said]:
        """Counts a message that is not taken, and says so to its sender where it is known who that is."""
        self._count(partner_id, reason)
        log.info("peer_message_refused", partner=partner_id, reason=reason.name)
        if header is None or header.type is MessageType.REFUSAL or header.receiver_id != self.own_id:
            return ()
        body = Refusal(request_hash, reason, 0, retry_after_ms)
        message = self.seal(MessageType.REFUSAL, header.exchange_id, body, header.sender_id)
        return () if message is None else (Said(header.sender_id, carried_bytes(message)),)

    def _count(self, partner_id: str, reason: ExchangeReason) -> None:
        self._figures.count(PEER_REFUSED, partner_id, reason.name).add()

    # --- to shards and partners -------------------------------------------------------------------

    async def ask(
        self, op: Op, partition: int, body: bytes, scope: str = "", trace_id: str = ""
    ) -> Outcome | Refused:
        """One command of the coalition's to its partition; what it wants said is not sent here."""
        command = Command(op, partition, b"", b"", scope, "", "", trace_id, body)
        return self._outcome(op, partition, await self.router.ask(command))

    async def do(
        self, op: Op, partition: int, body: bytes, scope: str = "", trace_id: str = ""
    ) -> Outcome | Refused:
        """The same, and what it wants said is sent."""
        outcome = await self.ask(op, partition, body, scope, trace_id)
        if isinstance(outcome, Outcome):
            await self.say(outcome.says)
        return outcome

    async def say(self, said: Sequence[Said]) -> None:
        """Sends what is durable. What finds an outbox full is sent again when it is due."""
        assert self.links is not None, "links are there before anything is said"
        for one in said:
            if not await self.links.send(one.partner_id, one.carried):
                self._figures.count(PEER_REFUSED, one.partner_id, "OUTBOX_FULL").add()

    def seal(self, type_: MessageType, exchange_id: bytes, body: Body, receiver_id: str) -> Message | None:
        """A message that no lane carries, signed; None where the directory admits none of our keys."""
        draft = Draft(type_, LANE_UNKNOWN, 0, exchange_id, body)
        try:
            return self._sealer().seal(draft, receiver_id, self.clock_ms())
        except KeyUnusable as unusable:
            log.error("exchange_key_unusable", problem=str(unusable))
            return None

    def _partners(self, op: Op, partition: int, partner_id: str, body: bytes, read: bytes = b"") -> Command:
        scope, author = f"partner/{partner_id}", f"partner:{partner_id}"
        return Command(op, partition, b"", b"", scope, "", author, "", body, read=read)

    def _outcome(self, op: int, partition: int, answer: Answer) -> Outcome | Refused:
        if answer.kind != AnswerKind.DONE:
            return answer.refusal or Refused(Reason.UNAVAILABLE, "The account moves. Try again.")
        outcome = OUTCOME.decode(answer.body)
        if outcome.exchange is not None:
            self.waiting.changed(outcome.exchange)
        if outcome.codes or outcome.notices:
            self.told(outcome)
        if outcome.alerts or outcome.refused == ExchangeReason.CAP_EXCEEDED:
            self.near_cap()  # a partition's share of it, or the whole
        if outcome.dispute:
            log.error("lane_disputed", partition=partition, why=outcome.dispute)
        self.noted(partition, outcome, op != Op.ACQUIRER_MESSAGE)
        return outcome


async def _unheard(_message: Message) -> None:
    """Nobody here speaks about windows yet."""
