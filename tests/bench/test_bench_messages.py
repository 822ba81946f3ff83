"""Messages put together from pieces are the very messages that protobuf would write, and none comes twice."""

from __future__ import annotations

import pytest

from bench.messages import AccrualMaker, basket, card_number
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_CARD
from node.proto.vafa.pos.v1.earning_pb2 import AccrueRequest
from node.proto.vafa.pos.v1.operation_pb2 import SubmitRequest, SubmitStreamRequest

_OCCURRED_MS = 1_700_000_000_123
_CARDS = [card_number(each) for each in range(50)]


@pytest.mark.parametrize("lines", [0, 1, 3, 40])
def test_an_accrual_reads_back_whole_with_a_basket_that_adds_up(lines: int) -> None:
    made = AccrualMaker(_CARDS, occurred_ms=_OCCURRED_MS, lines=lines).accruals(20)
    for body in made:
        request = AccrueRequest.FromString(body)
        assert request.SerializeToString() == body
        assert request.occurred_time.ToMilliseconds() == _OCCURRED_MS
        assert request.identifier.kind == IDENTIFIER_KIND_CARD
        assert request.identifier.value in _CARDS
        assert len(request.purchase.lines) == lines
        total = request.purchase.total.minor
        assert total == sum(tender.amount_minor for tender in request.purchase.tenders)
        if lines:
            assert total == sum(line.net_minor for line in request.purchase.lines)


def test_no_request_id_and_no_receipt_ever_comes_twice_in_any_series() -> None:
    maker = AccrualMaker(_CARDS, occurred_ms=_OCCURRED_MS)
    bodies = maker.accruals(10) + maker.accruals(20)
    first_tag = maker.tag
    maker.renew()
    bodies += maker.accruals(30)
    bodies += AccrualMaker(_CARDS, occurred_ms=_OCCURRED_MS).accruals(30)
    requests = [AccrueRequest.FromString(body) for body in bodies]
    assert len({request.request_id for request in requests}) == 90
    assert len({request.purchase.receipt_number for request in requests}) == 90
    assert all(first_tag in request.request_id for request in requests[:30])
    assert not any(first_tag in request.request_id for request in requests[30:])


def test_a_batch_is_a_submit_of_single_accruals() -> None:
    first, second = AccrualMaker(_CARDS, occurred_ms=_OCCURRED_MS).batches(2, 25)
    for body in (first, second):
        request = SubmitRequest.FromString(body)
        assert request.SerializeToString() == body
        assert [operation.WhichOneof("operation") for operation in request.operations] == ["accrue"] * 25
    assert first != second


def test_a_streamed_accrual_is_a_stream_message_with_one() -> None:
    for body in AccrualMaker(_CARDS, occurred_ms=_OCCURRED_MS).streamed(5):
        request = SubmitStreamRequest.FromString(body)
        assert request.SerializeToString() == body
        assert request.operation.accrue.purchase.receipt_number


def test_a_card_of_another_width_is_refused_for_it_would_break_the_lengths() -> None:
    with pytest.raises(ValueError, match="characters"):
        AccrualMaker([card_number(1), "123"], occurred_ms=_OCCURRED_MS)


def test_a_basket_without_lines_still_has_a_total() -> None:
    assert basket("r-1", 0).total.minor > 0
