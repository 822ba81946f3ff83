"""Every field of a published statement, changed once, and signed by whoever has to sign it."""

from __future__ import annotations

from functools import partial

import pytest
from google.protobuf.message import Message

from bench.settlement_records import window_start
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2, lane_pb2
from node.proto.vafa.settlement.v1.close_pb2 import PairClose, StatementHead
from node.proto.vafa.settlement.v1.statement_pb2 import SignedStatement, Statement, StatementLine
from node.wire.settlement_signing import HEAD_TYPE
from tests.verifier.changed_statement import (
    cases,
    changed,
    fields,
    in_line,
    report,
    resigned,
    statements,
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


def test_the_statement_that_is_changed_is_sound_and_has_a_line_of_every_kind() -> None:
    _, _, data = statements()
    assert report(data) == []
    statement = Statement.FromString(SignedStatement.FromString(data).statement)
    kinds = {StatementLine.FromString(line).WhichOneof("line") for line in statement.lines}
    assert kinds == {field.name for field in StatementLine.DESCRIPTOR.fields}
    assert report(resigned(lambda statement: None)) == []


def test_whatever_field_the_operator_changes_and_signs_is_refused_by_name() -> None:
    """But for what only the operator says: that changes nothing that anybody owes."""
    seen = set()
    for path, made in cases():
        wrong = report(made())
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

    assert "it was published after the window's cut" in report(resigned(earlier))


def test_whatever_field_of_the_head_is_changed_is_refused_by_name() -> None:
    world, _, data = statements()
    head = StatementHead.FromString(SignedStatement.FromString(data).head.head)
    for number, _ in enumerate(fields(head)):
        for signed_anew in (False, True):
            signed = SignedStatement.FromString(data)
            other = StatementHead.FromString(signed.head.head)
            path = changed(other, number)
            signed.head.head = other.SerializeToString()
            if signed_anew:
                signed.head.signature.signature = world.coalition.operator.sign(HEAD_TYPE, signed.head.head)
            wrong = report(signed.SerializeToString())
            wanted = NAMED["head"][1:] if signed_anew else NAMED["head"][:1]
            assert any(name in what for what in wrong for name in wanted), (path, wrong)
    for number, _ in enumerate(fields(SignedStatement.FromString(data).head.signature)):
        signed = SignedStatement.FromString(data)
        path = changed(signed.head.signature, number)
        assert "the operator signed the statement" in report(signed.SerializeToString()), path


@pytest.mark.parametrize("pair", [("m000", "m002"), ("m002", "m000")])
def test_whatever_field_of_the_evidence_is_changed_the_close_is_refused_by_name(
    pair: tuple[str, str],
) -> None:
    """Of what a silent side had signed: its header, its body, and the bodies within."""
    _, _, data = statements()
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
        for number, (path, *_) in enumerate(fields(of.FromString(getattr(envelope, part)))):

            def change(
                line: StatementLine, part: str = part, of: type[Message] = of, number: int = number
            ) -> None:
                inner = of.FromString(getattr(line.close.evidence[0].envelope, part))
                changed(inner, number)
                setattr(line.close.evidence[0].envelope, part, inner.SerializeToString())

            wrong = report(resigned(partial(in_line, at=at, change=change)))
            assert f"the close of {' with '.join(pair)} is sound and signed" in wrong, (part, path, wrong)
