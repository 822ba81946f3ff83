"""What a tap's address says of its card before anybody has verified it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cards.profiles.address import label_in
from node.ledger.refusals import Reason, Refused
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_CARD, IDENTIFIER_KIND_CARD_TAP
from node.proto.vafa.pos.v1 import earning_pb2
from node.wire.card_words import (
    NOTHING,
    CardWord,
    ProofFound,
    proof_found,
    proof_found_bytes,
    tap_number,
    tapped,
    word_bytes,
    word_of,
)
from node.wire.commands import Op
from node.wire.routes import Route, route_of

ADDRESS = "https://card.saffron.example/t?i=saffron&a=6104000000017&p=" + "0A" * 16 + "&m=" + "0B" * 8


def test_the_number_is_the_one_that_the_cards_own_reader_reads() -> None:
    assert tap_number(ADDRESS) == label_in(ADDRESS).alias == "6104000000017"


@pytest.mark.parametrize(
    "address",
    [
        "", "6104000000017", "?a=", "?a=123", "?a=61040000000170000", "?a=1234&a=1234", "?b=1234", "?a=12%34",
        "?a=abcd", ADDRESS + "x" * 300, "?a=۱۲۳۴",
    ],
)  # fmt: skip
def test_what_names_no_card_or_two_is_none(address: str) -> None:
    assert tap_number(address) is None


@given(st.text(max_size=400))
def test_no_text_makes_a_fault(address: str) -> None:
    number = tap_number(address)
    assert number is None or (number.isascii() and 4 <= len(number) <= 16)


def accrual(value: str) -> earning_pb2.AccrueRequest:
    request = earning_pb2.AccrueRequest(request_id="r-1")
    request.identifier.kind, request.identifier.value = IDENTIFIER_KIND_CARD_TAP, value
    request.occurred_time.FromMilliseconds(1)
    return request


def test_a_request_by_a_tap_goes_where_the_cards_number_leads() -> None:
    way = route_of(Op.ACCRUE, accrual(ADDRESS))
    assert isinstance(way, Route)
    assert (way.identifier_kind, way.identifier_value) == (IDENTIFIER_KIND_CARD, "6104000000017")
    assert way.tap == ADDRESS


def test_what_is_no_tap_is_an_invalid_identifier() -> None:
    way = route_of(Op.ACCRUE, accrual("https://card.example/"))
    assert isinstance(way, Refused)
    assert way.reason is Reason.INVALID_IDENTIFIER


@pytest.mark.parametrize("op", [Op.REVERSE, Op.RETURN, Op.CAPTURE, Op.VOID, Op.GET_TRANSACTION])
def test_in_calls_about_something_earlier_a_tap_only_names_the_card(op: Op) -> None:
    assert tapped(op, ADDRESS) == b""


def test_a_word_travels_whole_and_only_beside_what_it_is_for() -> None:
    word = CardWord(judged=True, refused=Refused(Reason.PROOF_REFUSED, "No.", (("card", "replayed"),)))
    assert word_of(Op.REDEEM, word_bytes(word)) == word
    assert word_of(Op.ACCRUE, tapped(Op.ACCRUE, ADDRESS)) == CardWord(ADDRESS)
    assert word_of(Op.REDEEM, b"") == NOTHING
    assert word_of(Op.CLAIM_PURCHASE, b"whatever else that carries") == NOTHING
    assert proof_found(proof_found_bytes(ProofFound(5, "x"))) == ProofFound(5, "x")
    assert proof_found(b"") == ProofFound()


def test_no_repr_of_a_word_shows_the_tap() -> None:
    assert "6104" not in repr(CardWord(ADDRESS))
