"""A statement with a line of every kind, and what becomes of it when one thing in it is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache, partial

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from msgspec.structs import replace

from bench.settlement_records import make_coalition
from node.coalition.directory import Fee, FeeSide, SettlementTerms
from node.proto.vafa.settlement.v1.close_pb2 import PairClose, StatementHead
from node.proto.vafa.settlement.v1.statement_pb2 import SignedStatement, Statement, StatementLine
from node.settlement.documents import (
    CloseBasis,
    Correction,
    DisputedLane,
    MismatchClass,
    MissingClose,
    MissingReason,
)
from node.settlement.merkle import root_of
from node.settlement.statement import WindowInput, carried_from
from node.wire.settlement_lines import read_signed_statement
from node.wire.settlement_publish import head_hash
from node.wire.settlement_signing import HEAD_TYPE
from tests.settlement.settlement_world import World
from verifier.__main__ import UNREADABLE
from verifier.signatures import load_directory
from verifier.statement import verify

PAIRS = [
    ("m000", "m001"),
    ("m001", "m000"),
    ("m000", "m002"),
    ("m002", "m000"),
    ("m001", "m002"),
    ("m002", "m001"),
]
TERMS = SettlementTerms(
    1,
    "IRR",
    2,
    fees=(Fee("commission", volume_ppm=12_345, side=FeeSide.ACQUIRER),),
    close_grace_seconds=86_400,
)


@cache
def statements() -> tuple[World, bytes, bytes]:
    """A world, its first statement, and a second one in which a line of every kind stands."""
    world = World(coalition=make_coalition(3, terms=TERMS, prepaid=1))
    for window in (1, 2):
        for number, pair in enumerate(PAIRS[:5]):
            world.trade(*pair, number, window, 5 + number)
    first = world.settle(1, WindowInput(world.all_closes(1), prepaid={"m000": (10**9, 5)}))
    read = read_signed_statement(first)
    balance = next(line for line in read.lines if type(line).__name__ == "PrepaidLine")
    alone = world.close(("m000", "m002"), 2, basis=CloseBasis.HOME_ALONE)
    silent = world.close(("m002", "m000"), 2, basis=CloseBasis.ACQUIRER_ALONE)
    disputed = world.close(
        ("m001", "m002"), 2, until={4: 12}, disputed=[DisputedLane(4, 12, 20, 18, MismatchClass.FORK)]
    )
    signed = [replace(world.signed(close), evidence=world.evidence(close, 2)) for close in (alone, silent)]
    signed += [world.signed(disputed), *(world.signed(world.close(pair, 2)) for pair in PAIRS[:2])]
    given = WindowInput(
        tuple(signed),
        (MissingClose("m002", "m001", MissingReason.NOBODY_SENT),),
        (Correction(1, "m001", "m000", 1_234_567, "agreed"),),
        carried_from(read.lines, same_currency=True, partners=world.coalition.ids),
        {"m000": (balance.closing, 77)},  # type: ignore[union-attr]  # it is there: m000 pays ahead
    )
    return world, first, world.settle(2, given, previous_head_hash=head_hash(read))


def report(data: bytes) -> list[str]:
    """What is wrong in a statement; what cannot be read is said too."""
    world, first, _ = statements()
    directory, raw, keys = load_directory(world.coalition.signed.data, world.coalition.operator.public_uri)
    try:
        return [what for good, what in verify(data, directory, raw, keys, first).checks if not good]
    except UNREADABLE as unreadable:
        return [f"cannot be read: {unreadable!r}"]


def fields(message: Message, path: str = "") -> Iterator[tuple[str, Message, FieldDescriptor, int]]:
    """Every scalar field that is set: its path, whose it is, and its place where it is repeated."""
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        several = field.is_repeated
        for at, one in enumerate(value if several else [value]):
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                yield from fields(one, f"{name}.")
            else:
                yield name, message, field, at if several else -1


def change(message: Message, field: FieldDescriptor, at: int) -> None:
    value = getattr(message, field.name)
    value = value if at < 0 else value[at]
    other: object
    if field.type == FieldDescriptor.TYPE_BYTES:
        other = bytes(value[:-1]) + bytes((value[-1] ^ 1,))
    else:
        other = f"{value}x" if isinstance(value, str) else int(value) + 1
    if at < 0:
        setattr(message, field.name, other)
    else:
        getattr(message, field.name)[at] = other


def changed(message: Message, number: int) -> str:
    """Changes one field of a message in place; gives its path."""
    path, owner, field, at = list(fields(message))[number]
    change(owner, field, at)
    return path


def cases() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(path, the file with that one thing changed and signed by the operator all the same), of everything."""
    _, _, data = statements()
    statement = Statement.FromString(SignedStatement.FromString(data).statement)
    for number, (path, *_) in enumerate(fields(statement)):
        if path != "lines":
            yield path, partial(resigned, partial(changed, number=number))
    for at, raw in enumerate(statement.lines):
        line = StatementLine.FromString(raw)
        for number, (path, *_) in enumerate(fields(line)):
            yield path, partial(resigned, partial(in_line, at=at, change=partial(changed, number=number)))
        if line.HasField("close"):
            for number, (path, *_) in enumerate(fields(PairClose.FromString(line.close.close))):
                change = partial(in_close, number=number)
                yield f"close.{path}", partial(resigned, partial(in_line, at=at, change=change))


def in_line(statement: Statement, at: int, change: Callable[[StatementLine], object]) -> None:
    line = StatementLine.FromString(statement.lines[at])
    change(line)
    statement.lines[at] = line.SerializeToString()


def in_close(line: StatementLine, number: int) -> None:
    close = PairClose.FromString(line.close.close)
    changed(close, number)
    line.close.close = close.SerializeToString()


def resigned(change: Callable[[Statement], object]) -> bytes:
    """The second statement with a change, and a head that the operator has signed over it."""
    world, _, data = statements()
    signed = SignedStatement.FromString(data)
    statement, head = Statement.FromString(signed.statement), StatementHead.FromString(signed.head.head)
    change(statement)
    signed.statement = statement.SerializeToString()
    head.statement_hash = hashlib.sha256(signed.statement).digest()
    head.line_root, head.line_count = root_of(list(statement.lines)), len(statement.lines)
    head.coalition_id, head.window = statement.coalition_id, statement.window
    head.previous_head_hash = statement.previous_head_hash
    head.publish_time.CopyFrom(statement.publish_time)
    signed.head.head = head.SerializeToString()
    signed.head.signature.signature = world.coalition.operator.sign(HEAD_TYPE, signed.head.head)
    return signed.SerializeToString()
