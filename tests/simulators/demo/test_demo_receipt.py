"""What a customer reads at the till is what the node said, in the customer's own words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from node.people.text import isolate
from node.proto.vafa.common.v1 import balance_pb2, effect_pb2, money_pb2
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2, spending_pb2
from node.proto.vafa.programme.v1 import programme_pb2
from simulators.demo.receipt import Shopfront, Visit, decimal, till_screen
from simulators.operations import timestamp
from simulators.purchases import Basket, BasketLine

SHOP = Shopfront(
    "فروشگاه وفا",
    "Asia/Tehran",
    2,
    {"points": programme_pb2.PurseDefinition(code="points", unit="امتیاز", exponent=0)},
)
SOLD_MS = int(datetime(2026, 3, 20, 21, 0, tzinfo=UTC).timestamp()) * 1000
NOWRUZ_MS = int(datetime(2027, 3, 20, 20, 30, tzinfo=UTC).timestamp()) * 1000


def visit(*, redeemed: bool) -> Visit:
    lines = (
        BasketLine("برنج هاشمی ۵ کیلو", "4001", ("GROCERY",), "", 1_000, 1709, 190),
        BasketLine("سیب سرخ", "1001-kg", ("PRODUCE",), "", 1_250, 236),
        BasketLine("کره", "2004", ("DAIRY",), "", 2_000, 558),
    )
    basket = Basket("00000042", "store-1", "9001", SOLD_MS, "USD", lines)
    spent = balance_pb2.Spent(purse="points", units=300, worth=money_pb2.Money(currency="USD", minor=300))
    points = effect_pb2.PointsEffect(purse="points", units=25)
    balance = balance_pb2.PurseBalance(
        purse="points",
        spendable=1_240,
        pending=25,
        next_expiry_units=200,
        next_expiry_time=timestamp(NOWRUZ_MS),
        worth=money_pb2.Money(currency="USD", minor=1_240),
    )
    return Visit(
        "store-1 till-1",
        basket,
        inquiry_pb2.IdentifyResponse(display_name="زهرا ک.", locale="fa-IR"),
        spending_pb2.RedeemResponse(spent=[spent]) if redeemed else None,
        earning_pb2.AccrueResponse(
            effects=[effect_pb2.Effect(points=points, receipt_text="۲۵ امتیاز گرفتید")]
        ),
        (balance,),
    )


def test_the_screen_shows_lines_payment_points_balance_and_next_expiry() -> None:
    screen = till_screen(visit(redeemed=True), SHOP)
    rows = [line.strip() for line in screen]
    assert f"{isolate('فروشگاه وفا')}  ·  store-1 till-1" in rows
    # 21:00 in UTC is past midnight in Tehran.
    assert "2026-03-21 00:30  ·  receipt 00000042" in rows
    assert f"18.99  {isolate('برنج هاشمی ۵ کیلو')}" in rows
    assert "-1.90    discount" in rows
    assert f"2.36  {isolate('سیب سرخ')} × 1.250" in rows
    assert f"5.58  {isolate('کره')} × 2" in rows
    assert "25.03  total USD" in rows
    assert f"-3.00  paid with 300 {isolate('امتیاز')}" in rows
    assert "22.03  to pay USD" in rows
    assert isolate("زهرا ک.") in rows
    assert isolate("۲۵ امتیاز گرفتید") in rows
    assert f"balance 1,240 {isolate('امتیاز')}, worth 12.40 USD" in rows
    assert f"and 25 {isolate('امتیاز')} on their way" in rows
    # They expire where Nowruz begins in Tehran: the last day of the old year is the last that they are good.
    assert f"200 {isolate('امتیاز')} good until 2027-03-20 (1405-12-29)" in rows


def test_nothing_is_said_of_a_payment_with_points_where_there_was_none() -> None:
    screen = "\n".join(till_screen(visit(redeemed=False), SHOP))
    assert "paid with" not in screen
    assert "to pay" not in screen


def test_a_member_of_another_merchant_stays_nameless_and_no_worth_is_made_up() -> None:
    shown = visit(redeemed=True)
    assert shown.redeemed is not None
    shown.redeemed.spent[0].ClearField("worth")
    shown.identified.display_name = ""
    rows = [line.strip() for line in till_screen(shown, SHOP)]
    assert "a member of another merchant" in rows
    assert f"paid with 300 {isolate('امتیاز')}" in rows
    assert not any("to pay" in row for row in rows)


def test_an_award_without_words_is_shown_as_its_units() -> None:
    shown = visit(redeemed=False)
    for effect in shown.accrued.effects:
        effect.receipt_text = ""
    assert f"   +25 {isolate('امتیاز')}" in till_screen(shown, SHOP)


def test_an_empty_purse_is_not_shown() -> None:
    shown = visit(redeemed=False)
    empty = replace(shown, balances=(balance_pb2.PurseBalance(purse="points"),))
    assert not any("balance" in line for line in till_screen(empty, SHOP))


@pytest.mark.parametrize(
    ("time_zone", "midnight"),
    [
        ("Asia/Tehran", datetime(2027, 3, 20, 20, 30, tzinfo=UTC)),
        ("America/New_York", datetime(2027, 3, 21, 4, 0, tzinfo=UTC)),
    ],
)
def test_the_last_good_day_is_the_shops_own_and_not_the_days_of_utc(
    time_zone: str, midnight: datetime
) -> None:
    shop = replace(SHOP, time_zone=time_zone)
    ends = timestamp(int(midnight.timestamp()) * 1000)
    assert shop.last_day_before(ends).isoformat() == "2027-03-20"


@pytest.mark.parametrize(
    ("minor", "exponent", "text"),
    [
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (-5, 2, "-0.05"),
        (123456, 2, "1,234.56"),
        (-1000, 0, "-1,000"),
        (7, 3, "0.007"),
    ],
)
def test_amounts_are_written_with_their_decimals(minor: int, exponent: int, text: str) -> None:
    assert decimal(minor, exponent) == text


def test_a_purse_that_the_till_does_not_know_is_called_by_its_code() -> None:
    assert SHOP.units("stamps", 1_200) == "1,200 stamps"
