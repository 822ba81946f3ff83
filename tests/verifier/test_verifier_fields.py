"""Every field of a published statement, changed once, and signed by whoever has to sign it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache, partial

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from msgspec.structs import replace

from bench.settlement_records import make_coalition, window_start
from node.coalition.directory import Fee, FeeSide, SettlementTerms
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2, lane_pb2
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
from node.wire.settlement_signing import CLOSE_TYPE, HEAD_TYPE, signed_by
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
OPERATORS_OWN = {
    "correction.of_window", "correction.note", "missing.reason", "publish_time.seconds", "publish_time.nanos",
}  # fmt: skip
"""What only the operator says, and nothing else in the file or the directory speaks of: why a pair has no
close, which window a correction is of and why, when it published (after the cut).
"""
NAMED = {
    "head": ("the operator signed", "the signature is of these very bytes", "the Merkle root"),
    "coalition_id": ("it is of the directory's coalition",),
    "window": ("the directory knows window", "the close of"),
    "directory": ("it was computed by this directory",),
    "currency": ("it settles in",),
    "previous_head_hash": ("it follows the statement before",),
    "close": ("the close of", "all 6 pairs", "every lane goes on"),
    "missing": ("all 6 pairs",),
    "correction": ("are what the closes give",),
    "fee": ("are what the closes give",),
    "obligation": ("are what the closes give", "what rounding had left over"),
    "net": ("are what the closes give",),
    "prepaid": ("are what the closes give", "prepaid balances go on"),
    "payment": ("are what the closes give",),
}
"""By the beginning of a field's path: by which of these checks a change of it is refused."""


@cache
def _statements() -> tuple[World, bytes, bytes]:
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
        {"m000": (balance.closing, 77)},  # type: ignore[union-attr]
    )
    return world, first, world.settle(2, given, previous_head_hash=head_hash(read))


def _report(data: bytes) -> list[str]:
    """What is wrong in a statement; what cannot be read is said too."""
    world, first, _ = _statements()
    directory, raw, keys = load_directory(world.coalition.signed.data, world.coalition.operator.public_uri)
    try:
        return [what for good, what in verify(data, directory, raw, keys, first).checks if not good]
    except UNREADABLE as unreadable:
        return [f"cannot be read: {unreadable!r}"]


def _fields(message: Message, path: str = "") -> Iterator[tuple[str, Message, FieldDescriptor, int]]:
    """Every scalar field that is set: its path, whose it is, and its place where it is repeated."""
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        several = field.is_repeated
        for at, one in enumerate(value if several else [value]):
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                yield from _fields(one, f"{name}.")
            else:
                yield name, message, field, at if several else -1


def _change(message: Message, field: FieldDescriptor, at: int) -> None:
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


def _changed(message: Message, number: int) -> str:
    """Changes one field of a message in place; gives its path."""
    path, owner, field, at = list(_fields(message))[number]
    _change(owner, field, at)
    return path


def _cases() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(path, the file with that one thing changed and signed by the operator all the same), of everything."""
    _, _, data = _statements()
    statement = Statement.FromString(SignedStatement.FromString(data).statement)
    for number, (path, *_) in enumerate(_fields(statement)):
        if path != "lines":
            yield path, partial(_resigned, partial(_changed, number=number))
    for at, raw in enumerate(statement.lines):
        line = StatementLine.FromString(raw)
        for number, (path, *_) in enumerate(_fields(line)):
            yield path, partial(_resigned, partial(_in_line, at=at, change=partial(_changed, number=number)))
        if line.HasField("close"):
            for number, (path, *_) in enumerate(_fields(PairClose.FromString(line.close.close))):
                change = partial(_in_close, number=number)
                yield f"close.{path}", partial(_resigned, partial(_in_line, at=at, change=change))


def _in_line(statement: Statement, at: int, change: Callable[[StatementLine], object]) -> None:
    line = StatementLine.FromString(statement.lines[at])
    change(line)
    statement.lines[at] = line.SerializeToString()


def _in_close(line: StatementLine, number: int) -> None:
    close = PairClose.FromString(line.close.close)
    _changed(close, number)
    line.close.close = close.SerializeToString()


def _resigned(change: Callable[[Statement], object]) -> bytes:
    """The second statement with a change, and a head that the operator has signed over it."""
    world, _, data = _statements()
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


def test_the_statement_that_is_changed_is_sound_and_has_a_line_of_every_kind() -> None:
    _, _, data = _statements()
    assert _report(data) == []
    statement = Statement.FromString(SignedStatement.FromString(data).statement)
    kinds = {StatementLine.FromString(line).WhichOneof("line") for line in statement.lines}
    assert kinds == {field.name for field in StatementLine.DESCRIPTOR.fields}
    assert _report(_resigned(lambda statement: None)) == []


def test_whatever_field_the_operator_changes_and_signs_is_refused_by_name() -> None:
    """But for what only the operator says: that changes nothing that anybody owes."""
    seen = set()
    for path, changed in _cases():
        wrong = _report(changed())
        seen.add(path)
        if path in OPERATORS_OWN:
            assert wrong == [], path
            continue
        beginning = next(name for name in NAMED if path.startswith(name))
        assert wrong, path
        found = any(wanted in what for what in wrong for wanted in NAMED[beginning])
        assert found or wrong[0].startswith("cannot be read"), (path, wrong)
    assert len(seen) > 60
    for beginning in NAMED:
        assert beginning == "head" or any(path.startswith(beginning) for path in seen), beginning


def test_a_statement_from_before_its_windows_cut_is_refused_by_name() -> None:
    def earlier(statement: Statement) -> None:
        statement.publish_time.FromMilliseconds(window_start(3) - 1)

    assert "it was published after the window's cut" in _report(_resigned(earlier))


def _disputed(close: PairClose) -> None:
    dispute = close.disputed.add()
    dispute.lane, dispute.agreed_number = close.lanes[0].lane, close.lanes[0].to_number - 1


def _empty(close: PairClose) -> None:
    close.lanes[0].to_number, close.record_count = close.lanes[0].from_number - 1, 0
    del close.sums[:]


def _twice(close: PairClose) -> None:
    close.lanes.add().CopyFrom(close.lanes[0])
    close.record_count *= 2
    close.record_root = root_of([one.record_root for one in close.lanes])


def _from_nothing(close: PairClose) -> None:
    close.lanes[0].from_number, close.record_count = 0, close.lanes[0].to_number + 1


UNSOUND: dict[str, Callable[[PairClose], object]] = {
    "sums in another order": lambda close: close.sums.reverse(),
    "a lane twice": _twice,
    "a lane from before its first record": _from_nothing,
    "a lane without records that moves its hash": _empty,
    "another root": lambda close: setattr(close, "record_root", bytes(32)),
    "a record more": lambda close: setattr(close, "record_count", close.record_count + 1),
    "sums of more records": lambda close: setattr(close.sums[0], "record_count", 1_000),
    "a sum of less than nothing": lambda close: setattr(close.sums[0], "units", b"\xff" * 16),
    "a sum of no records": lambda close: setattr(close.sums[0], "record_count", 0),
    "a dispute elsewhere than at the end": _disputed,
    "a basis that there is not": lambda close: setattr(close, "basis", 9),
    "another window": lambda close: setattr(close, "window", 1),
}
SIGNERS = [("m000", "m000"), ("m001", "m000"), ("m000",), ("m000", "m002"), ("m000", "m001", "m001"), ()]


def _signed_anew(change: Callable[[PairClose], object], signers: tuple[str, ...]) -> list[str]:
    """What is wrong where a close of m000 with m001 was changed, and these sign it."""
    world, _, _ = _statements()

    def changed(line: StatementLine) -> None:
        close = PairClose.FromString(line.close.close)
        assert (close.home_id, close.acquirer_id) == PAIRS[0]
        change(close)
        line.close.close = close.SerializeToString()
        del line.close.signatures[:]
        for who in signers:
            signature = signed_by(world.coalition.signers[who], who, CLOSE_TYPE, line.close.close)
            line.close.signatures.add(
                signer_id=who, public_key=signature.public_key, signature=signature.signature
            )

    return _report(_resigned(partial(_in_line, at=0, change=changed)))


@pytest.mark.parametrize("change", UNSOUND.values(), ids=list(UNSOUND))
def test_a_close_that_is_none_is_refused_by_name_though_both_have_signed_it(
    change: Callable[[PairClose], object],
) -> None:
    assert _signed_anew(lambda close: None, PAIRS[0]) == []
    assert "the close of m000 with m001 is sound and signed" in _signed_anew(change, PAIRS[0])


@pytest.mark.parametrize("signers", SIGNERS)
def test_a_close_that_others_have_signed_is_refused_by_name(signers: tuple[str, ...]) -> None:
    assert "the close of m000 with m001 is sound and signed" in _signed_anew(lambda close: None, signers)


def test_whatever_field_of_the_head_is_changed_is_refused_by_name() -> None:
    world, _, data = _statements()
    head = StatementHead.FromString(SignedStatement.FromString(data).head.head)
    for number, _ in enumerate(_fields(head)):
        for signed_anew in (False, True):
            signed = SignedStatement.FromString(data)
            changed = StatementHead.FromString(signed.head.head)
            path = _changed(changed, number)
            signed.head.head = changed.SerializeToString()
            if signed_anew:
                signed.head.signature.signature = world.coalition.operator.sign(HEAD_TYPE, signed.head.head)
            wrong = _report(signed.SerializeToString())
            wanted = NAMED["head"][1:] if signed_anew else NAMED["head"][:1]
            assert any(name in what for what in wrong for name in wanted), (path, wrong)
    for number, _ in enumerate(_fields(SignedStatement.FromString(data).head.signature)):
        signed = SignedStatement.FromString(data)
        path = _changed(signed.head.signature, number)
        assert "the operator signed the statement" in _report(signed.SerializeToString()), path


@pytest.mark.parametrize("pair", [("m000", "m002"), ("m002", "m000")])
def test_whatever_field_of_the_evidence_is_changed_the_close_is_refused_by_name(
    pair: tuple[str, str],
) -> None:
    """Of what a silent side had signed: its header, its body, and the bodies within."""
    _, _, data = _statements()
    statement = Statement.FromString(SignedStatement.FromString(data).statement)
    lines = [StatementLine.FromString(raw) for raw in statement.lines]
    at = next(
        at
        for at, line in enumerate(lines)
        if line.HasField("close")
        and (c := PairClose.FromString(line.close.close))
        and (c.home_id, c.acquirer_id) == pair
    )
    envelope = lines[at].close.evidence[0].envelope
    header = envelope_pb2.Header.FromString(envelope.header)
    kind: type[Message] = exchange_pb2.Posted
    if header.type == envelope_pb2.MESSAGE_TYPE_HEAD_ACK:
        kind = lane_pb2.HeadAck
    for part, of in (("header", envelope_pb2.Header), ("body", kind)):
        for number, (path, *_) in enumerate(_fields(of.FromString(getattr(envelope, part)))):

            def change(
                line: StatementLine, part: str = part, of: type[Message] = of, number: int = number
            ) -> None:
                inner = of.FromString(getattr(line.close.evidence[0].envelope, part))
                _changed(inner, number)
                setattr(line.close.evidence[0].envelope, part, inner.SerializeToString())

            wrong = _report(_resigned(partial(_in_line, at=at, change=change)))
            assert f"the close of {' with '.join(pair)} is sound and signed" in wrong, (part, path, wrong)
