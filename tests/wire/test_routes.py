"""Ways of requests, and answers put together byte by byte as protobuf itself would."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.refusals import Reason, Refused
from node.proto.vafa.common.v1 import refusal_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.pos.v1 import earning_pb2, operation_pb2, undo_pb2
from node.wire.commands import Op
from node.wire.parse import MAX_BODY_BYTES
from node.wire.routes import (
    Route,
    nested,
    opened,
    operation_of,
    refusal_bytes,
    result_bytes,
    route_of,
)
from simulators.purchases import card_identifier

CARD = card_identifier("62730099")
KINDS = {
    "accrue": Op.ACCRUE, "record_activity": Op.RECORD_ACTIVITY, "authorize": Op.AUTHORIZE,
    "capture": Op.CAPTURE, "void": Op.VOID, "redeem": Op.REDEEM, "return": Op.RETURN, "reverse": Op.REVERSE,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 20_000])
def test_a_result_around_an_answer_is_what_protobuf_would_write(kind: str, size: int) -> None:
    result = operation_pb2.OperationResult()
    getattr(result, kind).transaction_id = "x" * size
    getattr(result, kind).SetInParent()
    inner = getattr(result, kind).SerializeToString()
    assert result_bytes(KINDS[kind], inner) == result.SerializeToString()


@given(texts=st.lists(st.text(max_size=300), max_size=20))
def test_refusals_and_their_list_are_what_protobuf_would_write(texts: list[str]) -> None:
    refusals = [refusal_pb2.Refusal(message=text) for text in texts]
    whole = operation_pb2.SubmitResponse(
        results=[operation_pb2.OperationResult(refusal=refusal) for refusal in refusals]
    )
    parts = [refusal_bytes(refusal.SerializeToString()) for refusal in refusals]
    assert nested(parts) == whole.SerializeToString()


@pytest.mark.parametrize("kind", KINDS)
def test_an_operation_is_told_by_its_kind(kind: str) -> None:
    operation = operation_pb2.Operation()
    getattr(operation, kind).request_id = "r-1"
    found = operation_of(operation)
    assert not isinstance(found, Refused)
    op, message = found
    assert op is KINDS[kind]
    assert message == getattr(operation, kind)


def test_an_operation_of_a_kind_that_is_not_known_here_is_refused() -> None:
    newer = operation_pb2.Operation.FromString(b"\xa2\x06\x00")  # field 100: of a newer client
    for operation in (operation_pb2.Operation(), newer):
        found = operation_of(operation)
        assert isinstance(found, Refused)
        assert found.reason is Reason.INVALID_ARGUMENT


def way(op: Op, message: Any) -> Route:
    found = route_of(op, message)
    assert isinstance(found, Route)
    return found


def test_a_request_without_a_member_goes_where_its_id_leads_and_what_undoes_it_to_the_same_place() -> None:
    sale = way(Op.ACCRUE, earning_pb2.AccrueRequest(request_id="r-1"))
    undoing = way(Op.REVERSE, undo_pb2.ReverseRequest(request_id="r-2", original_request_id="r-1"))
    goods = way(Op.RETURN, undo_pb2.ReturnRequest(request_id="r-3", transaction_id="03-1f"))
    assert sale.anchor == undoing.anchor == "r-1"
    assert goods.anchor == "03-1f"


def test_what_needs_a_member_is_refused_without_one() -> None:
    for op, request in (
        (Op.REDEEM, b""),
        (Op.GET_BALANCE, b""),
        (Op.IDENTIFY, b""),
        (Op.CLAIM_PURCHASE, b""),
        (Op.ACCRUE, earning_pb2.AccrueRequest(identifier=Identifier(value="62730099")).SerializeToString()),
    ):
        message = opened(op, request)
        assert not isinstance(message, Refused)
        found = route_of(op, message)
        assert isinstance(found, Refused)
        assert found.reason is Reason.INVALID_ARGUMENT


@pytest.mark.parametrize(("seconds", "nanos"), [(2**63 - 1, 0), (-(2**63), 0), (0, -1), (0, 10**9)])
def test_a_time_that_cannot_be_goes_nowhere(seconds: int, nanos: int) -> None:
    request = earning_pb2.AccrueRequest(request_id="r-1", identifier=CARD)
    request.occurred_time.seconds, request.occurred_time.nanos = seconds, nanos
    assert isinstance(route_of(Op.ACCRUE, request), Refused)


def test_a_request_that_is_too_large_is_refused_unread() -> None:
    found = opened(Op.ACCRUE, bytes(MAX_BODY_BYTES + 1))
    assert isinstance(found, Refused)
    assert str(MAX_BODY_BYTES) in found.message
