"""A shard: member actors that come and go, due work in bounded steps, versions that it judges by."""

from __future__ import annotations

import msgspec
import pytest

from node.actors import shard as module
from node.actors.settings import ShardSettings
from node.actors.shard import Shard
from node.identity.digests import RequestDigests
from node.identity.keys import SecretKey
from node.ledger.refusals import Reason
from node.proto.vafa.member.v1.member_service_pb2 import EnrolRequest
from node.storage.memory import MemoryStore
from node.wire.commands import Answer, AnswerKind, Command, Op, encode
from simulators.operations import OperationWriter, change_in, timestamp
from simulators.purchases import card_identifier
from tests.actors.harness import PROGRAMME, START_MS
from tests.rpc.shop import DAY_MS, sale

SETTINGS = ShardSettings("shop-1", "USD", "Asia/Tehran", 4, cached_accounts=3)


class World:
    """A shard over a store in memory, with its clock."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.store = MemoryStore()
        self.write = OperationWriter(clock=lambda: self.now_ms)
        self.start()

    def start(self) -> None:
        """The shard's process begins, over whatever is stored."""
        digests = RequestDigests(SecretKey(bytes(32)))
        self.shard = Shard(
            self.store, range(4), SETTINGS, [PROGRAMME], digests=digests, clock=lambda: self.now_ms
        )

    def restart(self) -> None:
        """The process ends and begins anew."""
        self.store = self.store.reopen()
        self.start()

    def open_accounts(self, count: int) -> list[bytes]:
        """New accounts."""
        accounts = [number.to_bytes(16, "big") for number in range(1, count + 1)]
        self.insist(
            [
                self.command(
                    Op.ENROL,
                    account,
                    EnrolRequest(request_id=f"e-{account.hex()}", occurred_time=timestamp(self.now_ms)),
                    extra=encode(()),
                )
                for account in accounts
            ]
        )
        return accounts

    def command(self, op: Op, account: bytes, message: object, extra: bytes = b"") -> Command:
        """A till's command for an account."""
        place = int.from_bytes(account[:8], "big") % 4
        body: bytes = message.SerializeToString()  # type: ignore[attr-defined]  # a protobuf message
        return Command(op, place, account, b"", "n/t", "n", "n/t", "", body, extra)

    def insist(self, commands: list[Command]) -> list[Answer]:
        """Does commands that must succeed."""
        answers = self.shard.handle(commands)
        assert {answer.kind for answer in answers} <= {AnswerKind.DONE}, answers
        return answers

    def buys(self, account: bytes, minor: int) -> Command:
        """A purchase."""
        operation = self.write.accrual(card_identifier("0000"), sale(minor))
        return self.command(Op.ACCRUE, account, change_in(operation))


@pytest.fixture
def world() -> World:
    return World()


def test_only_so_many_accounts_stay_in_memory_and_none_is_forgotten(world: World) -> None:
    accounts = world.open_accounts(20)
    for minor in (100, 200):
        for account in accounts:
            world.insist([world.buys(account, minor)])
            assert world.shard.active_accounts <= 3
    batch = [world.buys(account, 300) for account in accounts]
    world.insist(batch)
    assert world.shard.active_accounts == 3, "more only while a batch needs them"
    for account in accounts:
        (answer,) = world.insist([world.buys(account, 100)])
        assert b"points" in answer.body
    world.restart()
    assert world.shard.active_accounts == 0
    world.insist([world.buys(account, 100) for account in accounts])
    total = sum(
        partition.books.units.get(("member", "points"), 0) for partition in world.shard.partitions.values()
    )
    assert total == 20 * (1 + 2 + 3 + 1 + 1)


def test_what_is_due_is_settled_in_bounded_steps_until_nothing_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SWEPT", 7)
    accounts = world.open_accounts(20)
    world.insist([world.buys(account, 500) for account in accounts])
    assert world.shard.sweep() == 0
    world.now_ms += 400 * DAY_MS
    steps = [world.shard.sweep() for _ in range(5)]
    assert steps == [7, 7, 6, 0, 0]
    breakage = sum(
        partition.books.units.get(("breakage", "points"), 0) for partition in world.shard.partitions.values()
    )
    assert breakage == 20 * 5


def test_an_account_that_is_set_aside_keeps_nobody_from_being_settled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them are due than one step looks at: what stands behind them still has its turn."""
    monkeypatch.setattr(module, "MAX_SWEPT", 4)
    accounts = world.open_accounts(12)
    world.insist([world.buys(account, 500) for account in accounts])
    decide = world.shard._desk.deciders[Op.ACCRUE]

    def fault(*arguments: object) -> None:
        raise ZeroDivisionError

    world.shard._desk.deciders[Op.ACCRUE] = fault  # type: ignore[assignment]  # a double
    for account in accounts[:9]:
        world.shard.handle([world.buys(account, 100)])
    world.shard._desk.deciders[Op.ACCRUE] = decide
    world.now_ms += 400 * DAY_MS
    settled = 0
    for _ in range(12):
        settled += world.shard.sweep()
    assert settled == 3


def test_a_partition_that_is_not_here_is_refused_for_now(world: World) -> None:
    elsewhere = msgspec.structs.replace(world.buys(bytes(16), 100), partition=9)
    (answer,) = world.shard.handle([elsewhere])
    assert answer.refusal is not None
    assert answer.refusal.reason is Reason.UNAVAILABLE


def test_the_figures_count_batches_and_what_comes_and_goes(world: World) -> None:
    accounts = world.open_accounts(10)
    world.insist([world.buys(account, 100) for account in accounts])
    shown = repr(world.shard.snapshot())
    assert "activations" in shown
    assert "passivations" in shown
