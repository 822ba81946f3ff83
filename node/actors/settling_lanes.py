"""This node's lanes for settlement, from its shards; and partners to talk to about windows, by the links."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from node.actors.exchanging import Exchanging
from node.actors.settling_ports import LanesUnavailable, SettlingFault
from node.coalition.caps import Usage
from node.coalition.envelopes import Message
from node.coalition.messages import MessageType, Settlement
from node.ledger.refusals import Refused
from node.settlement.closes import LaneFault, LanePart, LaneStart, begin_tally
from node.settlement.documents import PairClose
from node.settlement.peer_messages import QUESTIONS, Heads, Said
from node.storage.keyspace import partner_partition
from node.wire import settlement_wishes as wishes
from node.wire.coalition import carried_bytes
from node.wire.coalition_records import OUTCOME
from node.wire.coalition_store import LaneEntry
from node.wire.commands import AnswerKind, Command, Op, encode
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_peer import ID_BYTES, peer_bytes, read_peer
from node.wire.settlement_wishes import (
    AckedWish,
    EntriesWish,
    HomeShutWish,
    LaneListWish,
    MendWish,
    SettledWish,
    ShutWish,
    TallyWish,
)

ANSWER_SECONDS = 10.0
MAX_WAITING = 256
"""Questions that wait for partners at a time."""
MAX_REMEMBERED = 4_096
"""Questions, asked and answered, of which the ids are remembered. Heads are question and answer alike:
without this, an answer that comes late would be answered, and that answer too, for ever.
"""


log = structlog.get_logger()


class ShardLanes:
    """`settling_ports.LaneBooks` over this node's shards."""

    def __init__(self, exchanging: Exchanging) -> None:
        self._exchanging = exchanging

    async def lanes(self, partner_id: str, *, home: bool) -> Sequence[int]:
        body = encode(LaneListWish(partner_id, home))
        partitions = range(self._exchanging.router.partitions) if home else [self._partition(partner_id)]
        answers = await asyncio.gather(*(self._ask(Op.LANE_LIST, at, body) for at in partitions))
        return sorted(lane for answer in answers for lane in wishes.LANES_FOUND.decode(answer))

    async def part(
        self, partner_id: str, start: LaneStart, window: int, *, home: bool, until: int | None = None
    ) -> LanePart:
        tally = begin_tally(start)
        partition = start.lane if home else self._partition(partner_id)
        while not tally.done:
            wish = TallyWish(partner_id, home, window, tally, -1 if until is None else until)
            answer = wishes.TALLY_FOUND.decode(await self._ask(Op.LANE_TALLY, partition, encode(wish)))
            if answer.tally is None:
                raise SettlingFault(f"Lane {start.lane} with {partner_id}: {answer.fault}.")
            tally = answer.tally
        part = tally.part()
        if isinstance(part, LaneFault):
            raise SettlingFault(f"Lane {start.lane} with {partner_id}: {part}.")
        return part

    async def entries(
        self, partner_id: str, lane: int, numbers: Sequence[int], *, home: bool
    ) -> Sequence[LaneEntry | None]:
        partition = lane if home else self._partition(partner_id)
        body = encode(EntriesWish(partner_id, home, lane, tuple(numbers)))
        return wishes.ENTRIES_FOUND.decode(await self._ask(Op.LANE_ENTRIES, partition, body))

    async def acked(self, partner_id: str, lane: int, window: int) -> tuple[int, bytes]:
        body = encode(AckedWish(partner_id, window))
        found = wishes.ACK.decode(await self._ask(Op.LANE_ACKED, lane, body))
        return found.number, found.envelope

    async def shut_home(self, partner_id: str, window: int) -> None:
        body, partitions = encode(HomeShutWish(partner_id, window)), range(self._exchanging.router.partitions)
        outcomes = await asyncio.gather(*(self._exchanging.do(Op.HOME_SHUT, at, body) for at in partitions))
        if any(isinstance(one, Refused) for one in outcomes):
            raise LanesUnavailable("a shard does not answer")

    async def mend(self, partner_id: str, lane: int, entry: LaneEntry, *, home: bool) -> bool:
        partition = lane if home else self._partition(partner_id)
        body = encode(MendWish(partner_id, home, lane, entry))
        return wishes.MENDED.decode(await self._ask(Op.LANE_MEND, partition, body))

    async def settled(self, partner_id: str, lane: int, number: int, *, home: bool) -> None:
        op, partition = Op.HOME_SETTLED, lane
        if not home:
            op, partition = Op.ACQUIRER_SETTLED, self._partition(partner_id)
        body, at = encode(SettledWish(partner_id, lane, number)), -1
        while at < number:
            found = wishes.SETTLED_ANSWER.decode(await self._ask(op, partition, body)).number
            if found <= at:  # records that are gone: what is there has been counted
                return
            at = found

    async def usage(self, partner_id: str) -> tuple[Usage, Usage]:
        body, partitions = encode(SettledWish(partner_id, 0)), range(self._exchanging.router.partitions)
        here = await self._ask(Op.ACQUIRER_SETTLED, self._partition(partner_id), body)
        answers = await asyncio.gather(*(self._ask(Op.HOME_SETTLED, at, body) for at in partitions))
        home = Usage()
        for one in (wishes.SETTLED_ANSWER.decode(answer).usage for answer in answers):
            home = Usage(
                home.position + one.position,
                home.reserved + one.reserved,
                home.queued + one.queued,
                home.settled + one.settled,
            )
        return home, wishes.SETTLED_ANSWER.decode(here).usage

    async def shut(self, close: PairClose, starts: Sequence[LaneStart]) -> bool:
        ends = {one.lane: one.number for one in starts}
        ends |= {one.lane: one.to_number for one in close.lanes}
        carried = tuple(sorted(one.lane for one in close.disputed))
        wish = ShutWish(close.home_id, close.window, tuple(sorted(ends.items())), carried)
        body = await self._ask(Op.ACQUIRER_SHUT, self._partition(close.home_id), encode(wish))
        return not OUTCOME.decode(body).refused

    def _partition(self, partner_id: str) -> int:
        return partner_partition(partner_id, self._exchanging.router.partitions)

    async def _ask(self, op: Op, partition: int, body: bytes) -> bytes:
        if not 0 <= partition < self._exchanging.router.partitions:
            raise SettlingFault(f"This node has no lane {partition}.")
        answer = await self._exchanging.router.ask(Command(op, partition, b"", b"", "", "", "", "", body))
        if answer.kind != AnswerKind.DONE:
            raise LanesUnavailable("a shard does not answer")
        return answer.body


class PeerVoice:
    """`settling_ports.Asking` over the links, and partners' questions handed to `answer`.

    `entropy` gives random bytes: an answer belongs to the question with the same id.
    """

    def __init__(self, exchanging: Exchanging, entropy: Callable[[int], bytes]) -> None:
        self._exchanging = exchanging
        self._entropy = entropy
        self._waiting: dict[tuple[str, bytes], asyncio.Future[Said]] = {}
        self._known: dict[bytes, None] = {}
        self.answer: Callable[[str, Said], Awaitable[Said | None]] = _nothing

    async def ask(self, partner_id: str, said: Said) -> Said | None:
        if len(self._waiting) >= MAX_WAITING:
            return None
        message_id = self._entropy(ID_BYTES)
        self._is_new(message_id)
        future: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._waiting[partner_id, message_id] = future
        try:
            if not await self._send(partner_id, message_id, said):
                return None
            async with asyncio.timeout(ANSWER_SECONDS):
                return await future
        except TimeoutError:
            return None
        finally:
            del self._waiting[partner_id, message_id]

    async def heard(self, message: Message) -> None:
        """Takes a verified message of the type SETTLEMENT: an answer that is waited for, or a question."""
        assert isinstance(message.body, Settlement)
        try:
            message_id, said = read_peer(message.body.payload)
        except DocumentUnreadable:
            return
        sender_id = message.header.sender_id
        future = self._waiting.get((sender_id, message_id))
        if future is not None:
            if not future.done():
                future.set_result(said)
        elif isinstance(said, (*QUESTIONS, Heads)) and self._is_new(message_id):
            answer = await self._answered(sender_id, said)
            if answer is not None:
                await self._send(sender_id, message_id, answer)

    async def _answered(self, partner_id: str, said: Said) -> Said | None:
        """This node's answer; none where its records do not give one. The reason is logged: the connection
        on which the question came carries everybody's business, and goes on.
        """
        try:
            return await self.answer(partner_id, said)
        except LanesUnavailable as away:
            log.info("settlement_answer_waits", partner=partner_id, asked=type(said).__name__, why=str(away))
        except (SettlingFault, DocumentUnreadable) as fault:
            log.error("settlement_no_answer", partner=partner_id, asked=type(said).__name__, why=str(fault))
        return None

    def _is_new(self, message_id: bytes) -> bool:
        """Whether a question was never asked or answered here, as far back as is remembered; it is now."""
        if message_id in self._known:
            return False
        self._known[message_id] = None
        if len(self._known) > MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        return True

    async def _send(self, partner_id: str, message_id: bytes, said: Said) -> bool:
        body = Settlement(peer_bytes(message_id, said))
        message = self._exchanging.seal(MessageType.SETTLEMENT, b"", body, partner_id)
        links = self._exchanging.links
        if message is None or links is None:
            return False
        return await links.send(partner_id, carried_bytes(message))


async def _nothing(_partner_id: str, _said: Said) -> Said | None:
    return None
