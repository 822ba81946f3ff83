"""What people read of windows, positions and payments in a terminal."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from node.cli.settlement_shown import (
    own_windows_text,
    payments_rows,
    payments_text,
    position_rows,
    position_text,
    window_rows,
)
from node.proto.vafa.coalition.v1 import exchange_pb2
from node.proto.vafa.settlement.v1 import close_pb2, dispute_pb2, statement_pb2
from node.proto.vafa.settlement.v1 import merchant_settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as operator_pb
from node.wire.settlement_fields import wide
from tests.settlement.settlement_world import World

NAMES = {"m000": "Saffron", "m001": "Nile"}


def _window(record: bytes) -> pb.OwnWindow:
    held = close_pb2.DisputedLane(
        lane=4, agreed_number=11, home_number=30, acquirer_number=11,
        mismatch=close_pb2.MISMATCH_CLASS_MISSING_AT_ACQUIRER,
    )  # fmt: skip
    signed = pb.OwnClose(
        home_id="m000", acquirer_id="m001", signer_ids=["m000", "m001"],
        basis=close_pb2.CLOSE_BASIS_AGREED, record_count=11, disputed=[held],
    )  # fmt: skip
    found = dispute_pb2.Mismatch(
        window=7, home_id="m000", acquirer_id="m001", lane=4,
        agreed=dispute_pb2.NumberedHash(number=11), mismatch=held.mismatch,
        home_record=exchange_pb2.LaneRecord.FromString(record),
    )  # fmt: skip
    return pb.OwnWindow(
        number=7, cut_time=Timestamp(seconds=1), state=operator_pb.WINDOW_STATE_CLOSED,
        closes=[signed, pb.OwnClose(home_id="m001", acquirer_id="m000")], mismatches=[found],
    )  # fmt: skip


def test_what_was_held_back_is_said_to_be_settled_once_a_later_window_has_it() -> None:
    world = World(2)
    world.trade("m000", "m001", 4, 7, 12, cut=False)
    before = _window(world.records["m000", "m001", 4][11])
    later = pb.OwnWindow(number=8, state=operator_pb.WINDOW_STATE_PENDING, closes=before.closes[:1])
    del later.closes[0].disputed[:]
    assert "HELD BACK. Members of Saffron" in own_windows_text([before, later], NAMES, whole=False)
    later.statement_kept = True
    text = own_windows_text([before, later], NAMES, whole=False)
    assert "HELD BACK" not in text
    assert "window 7, settled by window 8: members of Saffron at Nile, lane 4 from record 12 on." in text
    assert (
        own_windows_text([before], NAMES, whole=False, known=[before, later]).count("settled by window 8")
        == 1
    )
    later.closes[0].basis = close_pb2.CLOSE_BASIS_ACQUIRER_ALONE
    assert "HELD BACK. Members of Saffron" in own_windows_text([before, later], NAMES, whole=False)


def test_a_window_says_who_has_signed_and_what_is_held_back_with_the_record_that_differs() -> None:
    world = World(2)
    world.trade("m000", "m001", 4, 7, 12, cut=False)
    window = _window(world.records["m000", "m001", 4][11])
    text = own_windows_text([window], NAMES, whole=False)
    assert "closed  1970-01-01T00:00:01Z" in text
    assert "1/2" in text
    assert "m000 and m001" in text
    assert "nobody yet" in text
    assert "HELD BACK. Members of Saffron at Nile, window 7, lane 4." in text
    assert "Saffron shows as record 12: " in text
    assert "Nile shows no record 12." in text
    [row] = window_rows([window])
    assert (row["state"], row["closes"][0]["signed_by"]) == ("closed", ["m000", "m001"])
    assert row["found"] == [
        {"home": "m000", "acquirer": "m001", "lane": 4, "number": 12, "mismatch": "missing_at_acquirer"}
    ]


def test_a_position_says_what_is_owed_what_is_used_and_when_to_top_up() -> None:
    found = pb.GetPositionResponse(window=8, currency="IRR", currency_exponent=0)
    found.partners.add(
        partner_id="m001", owed_micro=wide(-1_500_000), cap_units=100, used_units=40, partner_cap_units=90,
        partner_used_units=-40, record_count=3,
    )  # fmt: skip
    assert "The operator is not reached" in position_text(found, NAMES)
    assert position_rows(found)["operator"] is None
    found.at_operator.CopyFrom(
        operator_pb.PartnerPosition(
            unpaid=wide(70),
            awaited=wide(5),
            reason="has used its prepaid balance up",
            prepaid=operator_pb.PrepaidBalance(balance=wide(-20), full=wide(100), used_up=True),
        )
    )
    text = position_text(found, NAMES)
    assert "-1.500000" in text
    assert "40/100" in text
    assert "we still pay 70, and are still to get 5" in text
    assert "-20 left: USED UP" in text
    assert "The operator notes: has used its prepaid balance up." in text
    rows = position_rows(found)
    assert (rows["partners"][0]["owed_to_us_micro"], rows["operator"]["prepaid"]) == ("-1500000", "-20")
    found.at_operator.prepaid.used_up = False
    found.at_operator.prepaid.alert_percent = 20
    assert "20% or less of the last top-up: top up soon" in position_text(found, NAMES)


def test_payments_say_line_by_line_what_came_and_what_stands_between_two() -> None:
    def payment(
        number: int, state: operator_pb.PaymentState.ValueType, booked: int
    ) -> operator_pb.PaymentShown:
        made = statement_pb2.Payment(
            debtor_id="m000", creditor_id="m001", amount=wide(1_250), reference=f"t-7-{number}"
        )
        return operator_pb.PaymentShown(
            payment=made, state=state, booked_amount=wide(booked), bank_reference="B"
        )

    now = operator_pb.ListPaymentsResponse(
        payments=[
            payment(1, operator_pb.PAYMENT_STATE_DUE, 0),
            payment(2, operator_pb.PAYMENT_STATE_SAID, 1_250),
            payment(3, operator_pb.PAYMENT_STATE_DIFFERENT, 1_000),
            payment(4, operator_pb.PAYMENT_STATE_PAID, 1_250),
            payment(5, operator_pb.PAYMENT_STATE_REPLACED, 0),
            payment(6, operator_pb.PAYMENT_STATE_REPLACED, 500),
        ],
        defaulted=[operator_pb.Defaulted(partner_id="m000", reason="bankrupt")],
        standing=[
            operator_pb.StandingDebt(
                debtor_id="m000", creditor_id="m001", amount=wide(99), reference="t-7-b1"
            )
        ],
    )
    lines = payments_text(now, NAMES, 2).splitlines()
    ends = (
        "open",
        "the payer says that it paid 12.50",
        "NOT PAID: 10.00 came",
        "paid B",
        "others in its place",
        "others in its place; 5.00 came of it",
    )
    assert all(line.endswith(end) for line, end in zip(lines[1:7], ends, strict=True))
    assert lines[7:] == [
        "IN DEFAULT: Saffron: bankrupt",
        "Between the two: Saffron owes Nile 0.99, to be paid as t-7-b1.",
    ]
    assert [one["state"] for one in payments_rows(now)["payments"]] == [
        "due", "said", "different", "paid", "replaced", "replaced",
    ]  # fmt: skip
