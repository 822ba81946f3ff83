"""Tills' words for what happens abroad: ids repeated unread, spends in points, a reason for each refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.coalition.messages import ExchangeReason
from node.ledger.refusals import Reason, Refused
from node.proto.vafa.common.v1 import balance_pb2, money_pb2
from node.proto.vafa.pos.v1 import spending_pb2
from node.wire.abroad import Ref, captured_units, is_abroad, ref_from, sale_and_ref, spend_of
from node.wire.abroad_refusals import still_open, unreachable, why_not
from node.wire.refusals import is_final

partners = st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)


@given(st.binary(min_size=16, max_size=16), partners)
def test_a_transaction_id_abroad_names_its_exchange_and_partner(exchange_id: bytes, partner_id: str) -> None:
    ref = Ref(exchange_id, partner_id)
    assert ref_from(str(ref)) == ref
    assert sale_and_ref(f"03-1f+{ref}") == ("03-1f", ref)
    assert is_abroad(str(ref))
    assert is_abroad(f"03-1f+{ref}")


@pytest.mark.parametrize(
    "text", ["", "03-1f", "@nile", "00@nile", f"{'0' * 32}@", f"{'0' * 32}@N", "03-1f+03-20"]
)
def test_ids_of_this_node_and_no_ids_at_all_are_not_abroad(text: str) -> None:
    assert not is_abroad(text)


def authorize(*spends: balance_pb2.Spend, seconds: int = 0) -> spending_pb2.AuthorizeRequest:
    return spending_pb2.AuthorizeRequest(spends=spends, hold_seconds=seconds)


def test_points_of_the_coalitions_purse_are_added_up() -> None:
    asked = spend_of(authorize(_points(3), _points(4, "")), "points")
    assert not isinstance(asked, Refused)
    assert (asked.units, asked.hold_seconds, asked.proof) == (7, 900, None)
    assert captured_units(spending_pb2.CaptureRequest(), "points") == 0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (authorize(), Reason.INVALID_ARGUMENT),
        (authorize(balance_pb2.Spend(purse="points", units=0)), Reason.INVALID_ARGUMENT),
        (authorize(balance_pb2.Spend(purse="points", units=-1)), Reason.INVALID_ARGUMENT),
        (authorize(balance_pb2.Spend(purse="credit", units=1)), Reason.NOT_SPENDABLE_HERE),
        (
            authorize(balance_pb2.Spend(purse="points", money=money_pb2.Money(currency="IRR", minor=5))),
            Reason.INVALID_ARGUMENT,
        ),
        (authorize(balance_pb2.Spend(purse="points", units=1), seconds=-1), Reason.INVALID_ARGUMENT),
    ],
)
def test_what_cannot_be_spent_abroad_is_refused_before_anybody_is_asked(
    message: spending_pb2.AuthorizeRequest, reason: Reason
) -> None:
    found = spend_of(message, "points")
    assert isinstance(found, Refused)
    assert found.reason is reason


def test_a_proof_that_is_longer_than_any_is_refused_and_none_is_shown() -> None:
    message = authorize(_points(1))
    message.proof.confirmation_code = "1" * 33
    assert isinstance(spend_of(message, "points"), Refused)
    message.proof.confirmation_code = "963796"
    assert "963796" not in repr(spend_of(message, "points"))


@pytest.mark.parametrize("reason", ExchangeReason)
def test_every_reason_of_a_partner_has_words_for_the_till(reason: ExchangeReason) -> None:
    told = why_not(reason)
    assert told.message
    assert dict(told.details)["exchange_reason"] == reason.name
    assert is_final(told)  # the exchange of this request id has ended


def test_what_is_still_open_is_asked_for_and_what_never_began_is_not() -> None:
    assert not is_final(still_open())
    assert is_final(unreachable(True))
    assert "Nothing was spent" in unreachable(True).message


def _points(units: int, purse: str = "points") -> balance_pb2.Spend:
    return balance_pb2.Spend(purse=purse, units=units)
