"""A shard's work during which faults are put on it, and the proof that nothing acknowledged is lost.

The work is planned once on a shard over a store in memory: every batch, every answer, and what the store
holds after each. As clock and ids are the plan's own, a real shard that does the same work must come to the
very same bytes, so after a fault the store is compared whole: it holds batches 1..n and nothing else, n is at
least what was acknowledged, each answer that was given is given again, and the rest of the work ends as
planned.

`python -m simulators.faults.shard_work DIRECTORY PLAN` does the work of the plan in the file PLAN in
DIRECTORY/shard and adds each batch's number to DIRECTORY/ACK once it is answered.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from node.actors.claims import anonymous_partition
from node.actors.host import ShardHost, ShardSpec
from node.actors.settings import ShardSettings
from node.actors.shard import Shard
from node.actors.steps import step
from node.actors.vault import Vault
from node.identity.digests import RequestDigests
from node.identity.keys import SecretKey
from node.programme.default import starter_programme
from node.proto.vafa.common.v1 import balance_pb2, money_pb2, purchase_pb2
from node.proto.vafa.member.v1.member_service_pb2 import EnrolRequest
from node.proto.vafa.pos.v1 import operation_pb2, undo_pb2
from node.storage.check import check_store
from node.storage.keyspace import PartitionMeta, partition_meta_key, partition_of, partition_range
from node.storage.memory import MemoryStore
from node.storage.meta import StoreIdentity, StoreKind, create_store
from node.storage.store import Store
from node.wire.commands import Answer, AnswerKind, Command, LinkWish, Op, decode_answers, encode
from simulators.faults.workload import ACK, Lost
from simulators.operations import OperationWriter, change_in, timestamp
from simulators.purchases import card_identifier

SHARD = "shard"
MERCHANT = "faults"
STORE_ID = bytes(range(16))
PARTITIONS = 4
MEMBERS = 5
START_MS = 1_790_000_000_000
STEP_MS = 70_000
"""Between two batches: a hold of a minute ends before the next."""

SWEEP = b""
"""In the place of a message: what is due is settled without anybody asking."""

_MUTATIONS = frozenset(range(Op.ACCRUE, Op.IDENTIFY)) | {Op.ENROL}
_SCOPE = "north/till-1"
_OPS = {
    "accrue": Op.ACCRUE,
    "record_activity": Op.RECORD_ACTIVITY,
    "authorize": Op.AUTHORIZE,
    "capture": Op.CAPTURE,
    "void": Op.VOID,
    "redeem": Op.REDEEM,
    "return": Op.RETURN,
    "reverse": Op.REVERSE,
}
Contents = dict[bytes, bytes]


class Batch(Struct, frozen=True, array_like=True):
    """A batch at its time: the message, the answers it must get, and all that the store holds after it."""

    at_ms: int
    message: bytes
    answers: bytes
    contents: Contents


class Plan(Struct, frozen=True, array_like=True):
    """All batches, and the programme by which they are judged."""

    programmes: bytes
    batches: list[Batch]


def make_plan(seed: int, batches: int) -> Plan:
    """Work of every kind, by chance; the same seed gives the same work."""
    programme = msgspec.structs.replace(starter_programme(2, name="faults"), version=1)
    store, now = MemoryStore(), [START_MS]
    shard = Shard(
        store,
        range(PARTITIONS),
        settings(),
        [programme],
        digests=RequestDigests(SecretKey(bytes(32))),
        clock=lambda: now[0],
        vault=Vault(SecretKey(bytes(32))),
    )
    shoppers = _Shoppers(random.Random(seed), lambda: now[0])
    planned = []
    for number in range(batches):
        now[0] = START_MS + number * STEP_MS
        if number and number % 6 == 0:
            message, answers = SWEEP, encode(shard.sweep())
        else:
            commands = shoppers.opening() if number == 0 else shoppers.batch()
            message = encode(commands)
            answers = shard.apply(message)
            shoppers.learn(commands, decode_answers(answers))
        planned.append(Batch(now[0], message, answers, contents(store)))
    return Plan(msgspec.msgpack.encode((programme,)), planned)


class _Shoppers:
    """Writes batches of commands, and remembers from the answers what can be captured, returned, repeated."""

    def __init__(self, chance: random.Random, clock: Callable[[], int]) -> None:
        self._chance = chance
        self._clock = clock
        self._numbers = iter(range(1, 1_000_000))
        self._write = OperationWriter(clock=clock, new_request_id=lambda: f"r-{next(self._numbers)}")
        self._members = [random.Random(f"member {number}").randbytes(16) for number in range(MEMBERS)]
        self._sent: list[tuple[Command, operation_pb2.Operation]] = []
        self._pending: list[operation_pb2.Operation | None] = []
        self._bought: list[tuple[bytes, str]] = []
        self._held: list[tuple[bytes, str]] = []

    def opening(self) -> list[Command]:
        """Every member's account, with a card in the index."""
        commands = []
        for number, account in enumerate(self._members):
            digest = random.Random(f"card {number}").randbytes(16)
            wish = LinkWish(digest, 1, "", account, 0, self._clock())
            request = EnrolRequest(request_id=f"e-{number}", occurred_time=timestamp(self._clock()))
            commands += [
                step(Op.CLAIM_IDENTIFIER, partition_of(digest, PARTITIONS), body=encode(wish)),
                _command(Op.ENROL, account, request.SerializeToString(), encode((wish,))),
                step(Op.CONFIRM_IDENTIFIER, partition_of(digest, PARTITIONS), body=encode(wish)),
            ]
        self._pending = [None] * len(commands)
        return commands

    def batch(self) -> list[Command]:
        """Some commands of any kind; one in eight is sent a second time."""
        commands, self._pending = [], []
        for _ in range(self._chance.randint(1, 12)):
            if self._sent and self._chance.random() < 0.12:
                command, operation = self._chance.choice(self._sent)
            else:
                account, operation = self._operation()
                command = self._command_of(account, operation)
                self._sent.append((command, operation))
            commands.append(command)
            self._pending.append(operation)
        if self._chance.random() < 0.2:
            commands.append(_command(Op.ACCRUE, self._members[0], b"\xff no message"))
            self._pending.append(None)
        return commands

    def learn(self, commands: list[Command], answers: list[Answer]) -> None:
        """Notes what was done."""
        for command, operation, answer in zip(commands, self._pending, answers, strict=True):
            if operation is None or answer.kind != AnswerKind.DONE:
                continue
            kind = operation.WhichOneof("operation") or ""
            result = operation_pb2.OperationResult()
            getattr(result, kind).ParseFromString(answer.body)
            done = command.account_id, getattr(result, kind).transaction_id
            if kind in ("accrue", "redeem", "capture"):
                self._bought.append(done)
            elif kind == "authorize":
                self._held.append(done)

    def _command_of(self, account: bytes, operation: operation_pb2.Operation) -> Command:
        kind = operation.WhichOneof("operation") or ""
        change = change_in(operation)
        command = _command(_OPS[kind], account, change.SerializeToString())
        if account:
            return command
        if kind == "return":
            place = int(change.transaction_id.split("-")[0])
        else:
            anchor = change.original_request_id if kind == "reverse" else change.request_id
            place = anonymous_partition(_SCOPE, anchor, PARTITIONS)
        return msgspec.structs.replace(command, partition=place)

    def _operation(self) -> tuple[bytes, operation_pb2.Operation]:
        chance, write = self._chance, self._write
        account = chance.choice([*self._members, b""])
        card = _ANYBODY if account else None
        kind = chance.choice(
            ["accrue"] * 4 + ["activity", "redeem", "authorize", "capture", "void", "return", "reverse"]
        )
        if kind == "accrue" or (card is None and kind not in ("return", "reverse")):
            return account, write.accrual(card, self._purchase())
        if kind == "reverse" and self._sent:
            command, operation = chance.choice(self._sent)
            return command.account_id, write.reversal_of(operation)
        if kind == "return" and self._bought:
            account, bought = chance.choice(self._bought)
            lines = [undo_pb2.ReturnedLine(number=1)] if chance.random() < 0.3 else []
            return account, write.return_of(card, bought, lines)
        if kind in ("capture", "void") and self._held:
            account, held = chance.choice(self._held[-4:])
            return account, (write.capture_of if kind == "capture" else write.void_of)(_ANYBODY, held)
        account = account or self._members[0]
        spends = [balance_pb2.Spend(purse="points", units=chance.randint(1, 20))]
        if kind == "redeem":
            return account, write.redemption(_ANYBODY, spends)
        if kind == "authorize":
            return account, write.authorization(_ANYBODY, spends, hold_seconds=chance.choice((60, 900)))
        return account, write.activity(_ANYBODY, chance.choice(("welcome", "unheard of")))

    def _purchase(self) -> purchase_pb2.Purchase:
        chance = self._chance
        parts = [chance.randint(0, 3_000) for _ in range(chance.randint(1, 4))]
        lines = [
            purchase_pb2.PurchaseLine(number=number, net_minor=net, quantity_milli=1_000, sku="کالا")
            for number, net in enumerate(parts, 1)
        ]
        return purchase_pb2.Purchase(
            receipt_number=f"R-{chance.randint(1, 60)}" if chance.random() < 0.5 else "",
            total=money_pb2.Money(currency="USD", minor=sum(parts)),
            lines=lines if chance.random() < 0.5 else [],
            codes=["STAMP"] if chance.random() < 0.3 else [],
        )


_ANYBODY = card_identifier("0000")
"""The account is found already; a shard does not read the identifier."""


def _command(op: Op, account: bytes, body: bytes, extra: bytes = b"") -> Command:
    place = partition_of(account, PARTITIONS) if account else 0
    return Command(op, place, account, b"", _SCOPE, "north", _SCOPE, "", body, extra)


def settings() -> ShardSettings:
    """The merchant's constants; few accounts stay in memory, so that they come and go."""
    return ShardSettings(MERCHANT, "USD", "Asia/Tehran", PARTITIONS, cached_accounts=3)


def create(directory: Path) -> None:
    """Makes the shard's empty store in `directory`/shard."""
    identity = StoreIdentity(STORE_ID, StoreKind.SHARD, MERCHANT, PARTITIONS)
    create_store(directory / SHARD, identity, hosted=range(PARTITIONS))


def open_host(
    directory: Path, plan: Plan, *, abort: Callable[[Exception], None] | None = None
) -> tuple[ShardHost, list[int]]:
    """The shard over `directory`/shard, and its clock, which is set by its one item."""
    spec = ShardSpec(0, str(directory / SHARD), STORE_ID, 1, settings(), plan.programmes, bytes(32))
    host, clock = ShardHost(spec, abort=abort), [START_MS]
    host.shard._desk.clock = lambda: clock[0]
    return host, clock


def do(shard: Shard | ShardHost, batch: Batch) -> bytes:
    """One batch, to its answers."""
    return encode(shard.sweep()) if batch.message == SWEEP else shard.apply(batch.message)


def contents(store: Store) -> Contents:
    """What a store holds of its partitions, but for who owns them."""
    found: Contents = {}
    for partition in range(PARTITIONS):
        found.update(store.scan(*partition_range(partition)))
        found.pop(partition_meta_key(partition, PartitionMeta.OWNERSHIP), None)
    return found


def prove(store: Store, shard: Any, clock: list[int], plan: Plan, acknowledged: int) -> int:
    """Proves that nothing acknowledged is lost and nothing half done, then ends the work; raises Lost.

    `shard` is freshly made over `store`. Returns how many batches it held.
    """
    found = contents(store)
    done = next(
        (number for number in range(len(plan.batches), -1, -1) if found == _after(plan, number)), None
    )
    if done is None:
        raise Lost("the store does not hold exactly some first batches of the plan")
    if done < acknowledged:
        raise Lost(f"batch {acknowledged} was acknowledged, and the store ends at {done}")
    problems = check_store(store, range(PARTITIONS)).problems
    if problems:
        raise Lost(f"the books are wrong: {problems}")
    clock[0] = plan.batches[done - 1].at_ms if done else START_MS
    _same_answers(shard, plan.batches[:done])
    if contents(store) != found:
        raise Lost("asking again changed something")
    for number, batch in enumerate(plan.batches[done:], done + 1):
        clock[0] = batch.at_ms
        if do(shard, batch) != batch.answers:
            raise Lost(f"batch {number} is answered otherwise than without the fault")
    if contents(store) != _after(plan, len(plan.batches)):
        raise Lost("the work ended otherwise than without the fault")
    return done


def _after(plan: Plan, number: int) -> Contents:
    return plan.batches[number - 1].contents if number else {}


def _same_answers(shard: Any, batches: list[Batch]) -> None:
    """Every request that was done is answered as it was, in one batch with all the others."""
    again: list[Any] = []
    expected: list[Answer] = []
    for batch in batches:
        if batch.message == SWEEP:
            continue
        commands = msgspec.msgpack.decode(batch.message)
        for command, answer in zip(commands, decode_answers(batch.answers), strict=True):
            if command[0] in _MUTATIONS and answer.kind == AnswerKind.DONE:
                again.append(command)
                expected.append(answer)
    if decode_answers(shard.apply(encode(again))) != expected:
        raise Lost("a request that was acknowledged is not answered as it was")


def main() -> None:
    """See the module's docs."""
    directory = Path(sys.argv[1])
    plan = msgspec.msgpack.decode(Path(sys.argv[2]).read_bytes(), type=Plan)
    create(directory)
    ack = os.open(directory / ACK, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    host, clock = open_host(directory, plan)
    for number, batch in enumerate(plan.batches, 1):
        clock[0] = batch.at_ms
        assert do(host, batch) == batch.answers, "the plan is deterministic"
        os.write(ack, b"%d\n" % number)
    os._exit(0)  # as if killed: no clean stop


if __name__ == "__main__":
    main()
