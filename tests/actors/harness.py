"""A node's actors without Ray, gRPC or a disk: shards over stores in memory, the gateway's parts before them.

The process can be made to die at any message to a shard, before or after the shard has done it; `restart`
builds everything anew over what was durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import count
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import Message

from node.actors.asks import Ask, ask_of
from node.actors.counter import Counter
from node.actors.delivery import Delivery
from node.actors.linking import Linking
from node.actors.member_counter import MemberCounter
from node.actors.resolver import Resolver
from node.actors.router import Router
from node.actors.settings import ShardSettings
from node.actors.shard import Shard
from node.actors.steps import step
from node.actors.vault import Vault
from node.identity.caller import Caller, Role
from node.identity.digests import IdentifierDigests, RequestDigests
from node.identity.keys import SecretKey
from node.ledger.purses import PurseDefinition, PurseKind, RedemptionRate
from node.ledger.refusals import Reason
from node.programme.model import (
    ActivityRule,
    EarningRule,
    Limits,
    MonthsEnd,
    Programme,
    PurseTerms,
    Rate,
)
from node.proto.vafa.common.v1.identifier_pb2 import (
    IDENTIFIER_KIND_ACCOUNT,
    IDENTIFIER_KIND_CARD,
    IDENTIFIER_KIND_PHONE,
    Identifier,
)
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.member.v1 import person_pb2
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2, spending_pb2
from node.storage import keyspace
from node.storage.keyspace import Kind
from node.storage.memory import MemoryStore
from node.wire.commands import Answer, AnswerKind, Op
from tests.actors.stored import PARTITIONS, Stored

START_MS = 1_790_000_000_000
TILL = Caller(Role.TILL, "shop-1", "till-1", "north")
STAFF = Caller(Role.STAFF, "shop-1", "maryam")
MANAGER = Caller(Role.STAFF, "shop-1", "naser")
PROGRAMME = Programme(
    version=1,
    name="club",
    effective_ms=1,
    purses=(
        PurseDefinition("points", PurseKind.POINTS, transferable=True, rate=RedemptionRate(100, 100)),
        PurseDefinition("credit", PurseKind.STORED_VALUE, transferable=True, rate=RedemptionRate(1, 1)),
        PurseDefinition("stamps", PurseKind.STAMPS, goal=10),
    ),
    terms=(PurseTerms("points", MonthsEnd(12)),),
    rules=(EarningRule("base", Rate(1, 100), "points"),),
    activities=(ActivityRule("visit", "stamps", 1),),
    limits=Limits(single_approver_units=1_000, daily_transfer_units=500),
)

T = TypeVar("T")


class Dead(Exception):
    """The node's process ended under a request."""


class Handle:
    """A shard in this process, behind the one fuse of its node."""

    def __init__(self, number: int, shard: Shard, node: Actors) -> None:
        self.number = number
        self.shard = shard
        self._node = node

    async def apply(self, message: bytes) -> bytes:
        node = self._node
        node.messages += 1
        if node.dies_before == node.messages:
            await node.die()
        answers = self.shard.apply(message)
        if node.dies_after == node.messages:
            await node.die()
        return answers

    async def call(self, name: str, *arguments: Any) -> Any:
        assert name == "outbox"
        return msgspec.msgpack.encode(self.shard.outbox(*arguments))

    async def publish(self, programmes: bytes) -> None:
        raise AssertionError("no programme is published here")

    async def join(self, coalition: bytes) -> None:
        raise AssertionError("the shards of these tests join by themselves")

    async def take_cards(self, cards: bytes) -> None:
        raise AssertionError("the shards of these tests are given keys by themselves")

    async def revived(self) -> None:
        """It does not die alone."""

    async def close(self) -> None:
        """Nothing to close."""


class Actors(Stored):
    """The actors of one node over `shards` stores. Time stands still unless a test moves `now_ms`.

    `later` are programme versions after the first.
    """

    def __init__(self, shards: int = 3, *later: Programme) -> None:
        self.now_ms = START_MS
        self.stores = [MemoryStore() for _ in range(shards)]
        self.programmes = (PROGRAMME, *later)
        self.erased: list[bytes] = []
        self.messages = 0
        self.dies_before = self.dies_after = 0
        self._opened, self._requested = count(1), count(1)
        self._build()

    def _build(self) -> None:
        self._dead = asyncio.Event()
        digests = IdentifierDigests(SecretKey(b"i" * 32))
        settings = ShardSettings("shop-1", "USD", "Asia/Tehran", PARTITIONS)
        placement = {number: number % len(self.stores) for number in range(PARTITIONS)}
        self.shards = [
            Shard(
                store,
                [number for number, shard in placement.items() if shard == at],
                settings,
                self.programmes,
                clock=lambda: self.now_ms,
                number=at,
                digests=RequestDigests(SecretKey(b"m" * 32)),
                vault=Vault(SecretKey(b"m" * 32)),
            )
            for at, store in enumerate(self.stores)
        ]
        handles = [Handle(at, shard, self) for at, shard in enumerate(self.shards)]
        self.router = Router(handles, placement, queue_limit=1_000, batch_limit=100)
        self.resolver = Resolver(self.router, digests, "IR")
        self.counter = Counter(
            self.router,
            self.resolver,
            lambda gateway: frozenset(),
            "USD",
            RequestDigests(SecretKey(b"m" * 32)),
        )
        self.linking = Linking(self.router, self.resolver, self.erased.append, lambda: self.now_ms)
        self.delivery = Delivery(handles, self.router, self.linking)
        self.members = MemberCounter(
            self.counter, self.linking, digests, lambda gateway: frozenset(), region="IR", wake=lambda: None
        )

    # --- life and death -------------------------------------------------------------------------

    async def die(self) -> None:
        """The process ends here: nothing that waits is ever answered."""
        self._dead.set()
        await asyncio.Event().wait()

    async def until_death(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, or Dead where the fuse has blown first."""
        outside = asyncio.all_tasks()
        task, death = asyncio.ensure_future(work), asyncio.ensure_future(self._dead.wait())
        await asyncio.wait({task, death}, return_when=asyncio.FIRST_COMPLETED)
        if death.done() and not task.done():
            inside = asyncio.all_tasks() - outside
            for one in inside:
                one.cancel()
            await asyncio.wait(inside)
            raise Dead
        death.cancel()
        return await task

    def restart(self) -> None:
        """A new process over what was durable."""
        for store in self.stores:
            store.lose_unsynced()
        self.stores = [store.reopen() for store in self.stores]
        self.dies_before = self.dies_after = self.messages = 0
        self._build()

    async def settle(self) -> None:
        """Sweeps what a crash left and delivers everything, as the node does by itself in time."""
        self.now_ms += 600_000
        await self.linking.sweep()
        await self.deliver()

    async def deliver(self) -> None:
        """Delivers until nothing can be delivered any more."""
        for _ in range(100):
            if not (await self.delivery.round())[0]:
                return
        raise AssertionError("what was delivered stays in the outbox")

    async def until_delivered(self) -> None:
        """Returns once the outboxes are empty, while a delivery runs."""
        while list(self.stored(Kind.OUTBOX)):  # noqa: ASYNC110 - a store tells nobody when it changes
            await asyncio.sleep(0)

    # --- requests -------------------------------------------------------------------------------

    def stamped(self, message: T) -> T:
        """A message with a request id of its own, asked for now; what it has already stays."""
        given: Any = message
        if not given.request_id:
            opens = isinstance(message, pb.EnrolRequest | pb.CreatePoolRequest)
            # By these ids the first three accounts that staff open lie on three different shards of three.
            given.request_id = f"s-{next(self._opened)}" if opens else f"r-{next(self._requested)}"
        if not given.HasField("occurred_time"):
            given.occurred_time.FromMilliseconds(self.now_ms)
        return message

    async def tell(self, op: Op, message: Message, caller: Caller = STAFF) -> Answer:
        """A request to the member service."""
        return await self.members.ask(caller, op, message.SerializeToString(), "t" * 32)

    async def at_till(self, op: Op, message: Message) -> Answer:
        """A request of a till's."""
        ask = ask_of(op, message, message.SerializeToString())
        assert isinstance(ask, Ask)
        return await self.counter.ask(TILL, ask, "t" * 32)

    async def enrol(
        self, *identifiers: Identifier, person: person_pb2.Person | None = None, caller: Caller = STAFF
    ) -> str:
        """Enrols somebody; the account's id."""
        request = self.stamped(pb.EnrolRequest(identifiers=identifiers, person=person))
        answer = await self.tell(Op.ENROL, request, caller)
        return pb.EnrolResponse.FromString(body_of(answer)).account_id

    async def pool(self, *identifiers: Identifier) -> str:
        """Opens a pool; its id."""
        answer = await self.tell(Op.CREATE_POOL, self.stamped(pb.CreatePoolRequest(identifiers=identifiers)))
        return pb.CreatePoolResponse.FromString(body_of(answer)).account_id

    async def buys(self, who: Identifier, points: int) -> Answer:
        """A purchase that earns so many points."""
        request = self.stamped(earning_pb2.AccrueRequest(identifier=who))
        request.purchase.total.currency, request.purchase.total.minor = "USD", points * 100
        return await self.at_till(Op.ACCRUE, request)

    async def redeems(self, who: Identifier, units: int) -> Answer:
        """Spends points."""
        request = self.stamped(spending_pb2.RedeemRequest(identifier=who))
        request.spends.add(purse="points", units=units)
        return await self.at_till(Op.REDEEM, request)

    async def member(self, who: Identifier, caller: Caller = STAFF) -> pb.GetMemberResponse:
        """The member as staff see them."""
        answer = await self.tell(Op.GET_MEMBER, pb.GetMemberRequest(identifier=who), caller)
        return pb.GetMemberResponse.FromString(body_of(answer))

    async def identify(self, who: Identifier) -> Answer:
        """Who that is, as a till asks."""
        return await self.at_till(Op.IDENTIFY, inquiry_pb2.IdentifyRequest(identifier=who))

    async def points(self, who: Identifier, purse: str = "points") -> int:
        """The spendable points, as staff see them: of the account itself, whatever pool it is in."""
        return next(one.spendable for one in (await self.member(who)).balances if one.purse == purse)

    async def set_aside(self, account_id: bytes) -> None:
        """Lets the account meet a fault: an operation of a kind that no table of the shard's knows."""
        partition = keyspace.partition_of(account_id, PARTITIONS)
        answer = await self.router.ask(step(Op.SWEEP, partition, account_id=account_id))
        assert reason_of(answer) is Reason.ACCOUNT_QUARANTINED

    async def release(self, account_id: bytes) -> None:
        """Puts an account that was set aside back to work."""
        partition = keyspace.partition_of(account_id, PARTITIONS)
        body_of(await self.router.ask(step(Op.RELEASE_QUARANTINED, partition, account_id=account_id)))


def body_of(answer: Answer) -> bytes:
    """The response of a request that was done."""
    assert answer.kind == AnswerKind.DONE, answer.refusal
    return answer.body


def reason_of(answer: Answer) -> Reason | None:
    """Why a request was refused."""
    return None if answer.refusal is None else answer.refusal.reason


def card(number: int) -> Identifier:
    """A card."""
    return Identifier(kind=IDENTIFIER_KIND_CARD, value=f"6273000011{number:06d}")


def phone(number: int) -> Identifier:
    """A mobile phone in Iran."""
    return Identifier(kind=IDENTIFIER_KIND_PHONE, value=f"0912{number:07d}")


def by_id(account_id: str) -> Identifier:
    """An account by its id, as only staff may name it."""
    return Identifier(kind=IDENTIFIER_KIND_ACCOUNT, value=account_id)


async def every_death(
    story: Callable[[Actors], Coroutine[Any, Any, None]],
    prepare: Callable[[Actors], Coroutine[Any, Any, None]],
    shards: int,
) -> AsyncIterator[tuple[Actors, str]]:
    """Nodes that died in the middle of `story`, each at another message to a shard, and were started again.

    The last of them is one that lived; there is always one that died before it.
    """
    for moment in range(1, 200):
        lived = True
        for when in ("before", "after"):
            actors = Actors(shards=shards)
            await prepare(actors)
            setattr(actors, f"dies_{when}", actors.messages + moment)
            try:
                await actors.until_death(story(actors))
                actors.dies_before = actors.dies_after = 0
            except Dead:
                lived = False
                actors.restart()
            yield actors, f"{when} message {moment}"
        if lived:
            assert moment > 1
            return
    raise AssertionError("the story never ends")
