"""A shard: the partitions of one store, their member actors, and the one place where batches become durable.

A plain class; the Ray actor around it only forwards. `apply` takes many commands as one message and answers
them as one message, after one atomic write and one sync of everything that they changed. Nothing is answered
before that sync has returned, and a storage fault ends the shard: what it wrote is then unknown.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from node import telemetry
from node.actors import index
from node.actors.abroad import FIRST_OP, Abroad
from node.actors.card_desk import CardDesk
from node.actors.card_spec import CardsSpec
from node.actors.coalition_spec import CoalitionSpec
from node.actors.desk import Desk
from node.actors.member import MemberActor
from node.actors.partition import Partition
from node.actors.pools import TRANSFER_REQUESTS
from node.actors.programmes import Programmes
from node.actors.registry import equip
from node.actors.settings import ShardSettings
from node.actors.vault import Vault
from node.actors.work import Work
from node.coalition.exchange import AcquirerState, HomeState
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.digests import RequestDigests
from node.ledger.lots import NEVER_MS
from node.ledger.refusals import Reason, Refused, refuse
from node.programme.model import Programme
from node.storage import keyspace
from node.storage.keyspace import Kind
from node.storage.store import Store
from node.telemetry import Figures, Snapshot
from node.wire import coalition_store, records
from node.wire.commands import Answer, Command, decode_commands, encode, refused
from node.wire.records import Dispatch
from node.wire.steps import STEP_SCOPE


class HeadKeeper(Protocol):
    """Told after each synced batch how far it came, so that a store that lost something can be refused."""

    def keep(self, partition: int, sequence: int, digest: bytes) -> None:
        """A partition has durably come to this sequence and hash."""
        ...

    def touch(self) -> None:
        """A batch without journal entries was synced."""
        ...


class NoHead:
    """For a store in memory, which nothing outlives."""

    def keep(self, partition: int, sequence: int, digest: bytes) -> None:
        """Nothing to keep."""

    def touch(self) -> None:
        """Nothing to keep."""


MAX_FORGOTTEN = 2_000
"""Records that one step of forgetting looks at."""

MAX_SWEPT = 500
"""Accounts that one sweep settles in one batch."""


class Shard:
    """The owner of one store. Not for several threads: one caller at a time, as an actor gives it."""

    def __init__(
        self,
        store: Store,
        hosted: Iterable[int],
        settings: ShardSettings,
        programmes: Iterable[Programme],
        *,
        digests: RequestDigests,
        head: HeadKeeper | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        number: int = 0,
        vault: Vault | None = None,
    ) -> None:
        self.settings = settings
        self.number = number
        self.figures = Figures(shard=str(number))
        self._batch_commands = self.figures.distribution(telemetry.BATCH_COMMANDS)
        self._decide_seconds = self.figures.distribution(telemetry.DECIDE_SECONDS)
        self._sync_seconds = self.figures.distribution(telemetry.FSYNC_SECONDS)
        self._activations = self.figures.count(telemetry.ACTIVATIONS)
        self._passivations = self.figures.count(telemetry.PASSIVATIONS)
        self._store = store
        self._head = head or NoHead()
        self._partitions = {number: Partition.load(store, number) for number in hosted}
        self._members: OrderedDict[tuple[int, bytes], MemberActor] = OrderedDict()
        versions = Programmes(programmes, tz=settings.time_zone, currency=settings.currency)
        self._desk = Desk(settings, versions, frozenset(self._partitions), clock, digests, vault)
        equip(self._desk)
        self._abroad: Abroad | None = None

    def apply(self, message: bytes) -> bytes:
        """Handles the commands of one message and makes their changes durable; answers in their order."""
        return encode(self.handle(decode_commands(message)))

    def handle(self, commands: list[Command]) -> list[Answer]:
        """The same with commands and answers as objects."""
        started = time.perf_counter()
        work = Work(self._store, self._desk.clock())
        answers: list[Answer | None] = [None] * len(commands)
        woken: dict[MemberActor, None] = {}
        abroad: list[tuple[int, Command]] = []
        for place, command in enumerate(commands):
            partition = self._partitions.get(command.partition)
            if partition is None:
                answers[place] = refused(_not_here())
            elif command.op in index.STEPS:
                answers[place] = index.handle(command, work)
            elif command.op >= FIRST_OP:
                abroad.append((place, command))
            else:
                member = self._member(partition, command.account_id, work)
                member.mailbox.append((place, command))
                woken[member] = None
        for member in woken:
            member.drain(self._desk, work, answers)
        if abroad:
            self._handle_abroad(abroad, work, woken, answers)
        self._batch_commands.observe(len(commands))
        self._decide_seconds.observe(time.perf_counter() - started)
        self._commit(work, woken)
        assert None not in answers
        return answers  # type: ignore[return-value]  # every place is filled by now

    def take_cards(self, spec: CardsSpec) -> None:
        """Verifies chip cards from now on, with these keys; conversations that are under way go on."""
        if self._desk.cards is None:
            self._desk.cards = CardDesk(spec, self.settings.time_zone)
        else:
            self._desk.cards.follow(spec)

    def join(self, spec: CoalitionSpec, secrets: CoalitionSecrets) -> None:
        """Takes part in a coalition from now on, or follows its newer directory."""
        if self._abroad is None:
            abroad = self._abroad = Abroad(spec, self._desk, secrets, self._partitions, self._member)
            self._desk.spending_waits = lambda number: abroad.marks.spending_waits(number, self._looking())
        else:
            self._abroad.follow(spec)

    def _looking(self) -> Work:
        """A batch that only reads."""
        return Work(self._store, self._desk.clock())

    def _handle_abroad(
        self,
        commands: list[tuple[int, Command]],
        work: Work,
        woken: dict[MemberActor, None],
        answers: list[Answer | None],
    ) -> None:
        if self._abroad is None:
            for place, _ in commands:
                answers[place] = refused(_not_here())
            return
        self._abroad.handle(commands, work, woken, answers)

    def _commit(self, work: Work, woken: Iterable[MemberActor]) -> None:
        """Saves what changed, writes it, makes it durable, and only then tells the head."""
        for member in woken:
            member.save(work)
        moved = [partition for partition in self._partitions.values() if partition.save(work)]
        if work.lasting:
            self._sync_seconds.observe(work.commit())
            self._head.touch()
        elif len(work):
            work.commit()
        for partition in moved:
            self._head.keep(partition.number, partition.sequence, partition.hash)
        self._passivate()

    def _member(self, partition: Partition, account_id: bytes, work: Work) -> MemberActor:
        """The actor of an account, activated from the store where it is not in memory."""
        key = (partition.number, account_id)
        member = self._members.get(key)
        if member is not None:
            self._members.move_to_end(key)
            return member
        member = MemberActor.activate(work, partition, account_id)
        self._activations.add()
        self._members[key] = member
        return member

    def _passivate(self) -> None:
        """Lets go of the actors that have rested longest; their state is in the store."""
        while len(self._members) > self.settings.cached_accounts:
            self._members.popitem(last=False)
            self._passivations.add()

    def sweep(self) -> int:
        """Settles accounts whose time has come, a bounded number in one batch; says how many."""
        work = Work(self._store, self._desk.clock())
        settled: dict[MemberActor, None] = {}
        for number, partition in self._partitions.items():
            now_ms = partition.now_ms(work.clock_ms)
            if now_ms is None:
                continue
            start, end = keyspace.due_range(number, now_ms)
            # Without a limit of its own: those that are set aside stay due, and others stand behind them.
            for key, _ in self._store.scan(start, end):
                if len(settled) >= MAX_SWEPT:
                    break
                member = self._member(partition, keyspace.parse_due(key)[2], work)
                if member.sweep(now_ms, work, self._desk):
                    settled[member] = None
            if len(settled) >= MAX_SWEPT:
                break
        self._commit(work, settled)
        return len(settled)

    def forget_old_requests(self, cursor: bytes, limit: int = MAX_FORGOTTEN) -> bytes:
        """Drops what is past retention of the `limit` after `cursor`: requests, receipts, void exchanges.

        Gives the next cursor. A bounded walk instead of an index by age: that would cost a write a request.
        The steps of transfers are kept: the outbox may repeat one after the node stood still for months.
        """
        work = Work(self._store, self._desk.clock())
        oldest_ms = work.clock_ms - self.settings.retention_ms
        for number in sorted(self._partitions):
            for kind in (Kind.REQUEST, Kind.RECEIPT, Kind.HOME_EXCHANGE, Kind.ACQUIRER_EXCHANGE):
                start, end = keyspace.kind_range(number, kind)
                if cursor >= end:
                    continue
                lasting = keyspace.request_key(number, STEP_SCOPE, TRANSFER_REQUESTS)
                for key, value in self._store.scan(max(start, cursor), end, limit=limit):
                    if _last_needed_ms(kind, value) < oldest_ms and not key.startswith(lasting):
                        work.delete(key)
                    cursor = key + b"\x00"
                    limit -= 1
                if limit <= 0:
                    work.commit()
                    return cursor
        work.commit()
        return b""

    def outbox(self, limit: int) -> list[tuple[int, int, Dispatch]]:
        """The oldest outbox entries as (partition, sequence, dispatch), up to `limit` of each partition."""
        found = []
        for number in self._partitions:
            start, end = keyspace.kind_range(number, Kind.OUTBOX)
            for key, value in self._store.scan(start, end, limit=limit):
                sequence = keyspace.parse_sequence(key, Kind.OUTBOX)[1]
                found.append((number, sequence, records.DISPATCH.decode(value)))
        return found

    def publish(self, programmes: Iterable[Programme]) -> None:
        """Takes over a new snapshot of the programme versions."""
        self._desk.programmes = Programmes(
            programmes, tz=self.settings.time_zone, currency=self.settings.currency
        )

    def snapshot(self) -> Snapshot:
        """What the shard has counted, with what is in memory now."""
        self.figures.count(telemetry.CACHED_ACCOUNTS).set(len(self._members))
        return self.figures.snapshot()

    @property
    def partitions(self) -> dict[int, Partition]:
        """The partitions by number, for status and checks."""
        return self._partitions

    @property
    def active_accounts(self) -> int:
        """How many member actors are in memory."""
        return len(self._members)


def _last_needed_ms(kind: Kind, value: bytes) -> int:
    if kind is Kind.RECEIPT:
        return records.RECEIPT.decode(value).at_ms
    if kind is Kind.HOME_EXCHANGE:
        exchange = coalition_store.HOME_EXCHANGE.decode(value)
        return exchange.changed_ms if exchange.state is HomeState.VOIDED else NEVER_MS
    if kind is Kind.ACQUIRER_EXCHANGE:
        asked = coalition_store.ACQUIRER_EXCHANGE.decode(value)
        return asked.changed_ms if asked.state is AcquirerState.FAILED else NEVER_MS
    request = records.REQUEST.decode(value)
    return max(request.occurred_ms, request.at_ms)


def _not_here() -> Refused:
    return refuse(
        Reason.UNAVAILABLE,
        "This part of the books is moving or starting. Nothing was done; try again.",
    )
