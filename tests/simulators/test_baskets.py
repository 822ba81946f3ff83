"""Recorded baskets come out as they were on the receipt, to the cent."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulators.baskets import UnreadableBaskets, minor_units, quantity_milli, read_baskets, shifted

HEADER = (
    "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,coupon_disc,"
    "coupon_match_disc,week,transaction_timestamp,department,brand,product_category,product_type\n"
)
LINES = (
    "906,319,31198705046,1075313,1.0,1.5,0.29,0.0,0.0,1,2017-01-01T12:30:27Z,GROCERY,National,SEAFOOD,TUNA\n"
    "7,31,200,11,2.0,19.99,0.0,0.0,0.01,1,2017-01-02T08:00:00Z,DRUG GM,Private,SOAP,BAR SOAP\n"
    "7,31,200,12,0.0,0.0,0.0,1.0,0.0,1,2017-01-02T08:00:00Z,,,,\n"
    "7,31,199,13,8396.0,18.46,0.84,0.0,0.0,1,2017-01-02T08:00:30Z,FUEL,Private,GASOLINE,REGULAR\n"
)
REAL = Path(__file__).parents[2] / "../shared/data/complete-journey/transactions.csv.gz"


def written(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_basket_keeps_its_lines_household_store_and_time(tmp_path: Path, name: str) -> None:
    first, second, third = read_baskets(written(tmp_path / name, HEADER + LINES))
    assert (first.receipt_number, first.store_id, first.card) == ("31198705046", "store-319", "CJ00000906")
    assert first.occurred_ms == int(datetime(2017, 1, 1, 12, 30, 27, tzinfo=UTC).timestamp()) * 1000
    assert first.lines[0].group_path == ("GROCERY", "SEAFOOD", "TUNA")
    assert (first.lines[0].net_minor, first.lines[0].discount_minor) == (150, 29)
    assert (second.receipt_number, third.receipt_number) == ("200", "199")
    assert second.card == third.card == "CJ00000007"


def test_a_line_of_quantity_and_value_zero_is_kept(tmp_path: Path) -> None:
    _, basket, _ = read_baskets(written(tmp_path / "t.csv", HEADER + LINES))
    given_away = basket.lines[1]
    assert (given_away.quantity_milli, given_away.net_minor, given_away.group_path) == (0, 0, ())
    assert basket.total_minor == 1999
    assert len(basket.purchase().lines) == 2


def test_money_is_exact_where_binary_fractions_are_not() -> None:
    # float("1.15") * 100 is 114.99999999999999, and int() of it 114.
    assert minor_units("1.15") == 115
    assert minor_units("4.35") == 435
    assert sum(minor_units("0.1") for _ in range(10)) == 100
    # What the publisher's own subtraction left over.
    assert minor_units("4.440892e-16") == 0


@pytest.mark.parametrize("amount", ["1.005", "-0.01", "nan", "Infinity", "", "1,50"])
def test_an_amount_that_is_not_whole_cents_is_refused_and_not_rounded(amount: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        minor_units(amount)


@pytest.mark.parametrize("quantity", ["0.0005", "-1.0"])
def test_a_quantity_finer_than_thousandths_or_negative_is_refused(quantity: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        quantity_milli(quantity)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a,b\n1,2\n", "no column"),
        (HEADER, "no baskets"),
        (HEADER + LINES.replace("19.99", "19.999"), "line 3"),
        (HEADER + LINES.replace("7,31,200,12", "8,31,200,12"), "line 4"),
        (HEADER + "906,319,1,2,1.0\n", "line 2"),
    ],
    ids=["foreign", "empty", "amount", "two-households", "torn"],
)
def test_a_file_that_is_not_the_table_is_refused_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(UnreadableBaskets, match=what):
        read_baskets(written(tmp_path / "t.csv", text))


def test_a_torn_archive_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv.gz", HEADER + LINES)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableBaskets):
        read_baskets(path)


def test_shifting_keeps_order_and_distances(tmp_path: Path) -> None:
    baskets = read_baskets(written(tmp_path / "t.csv", HEADER + LINES))
    moved = list(shifted(baskets, 1_000))
    assert [b.occurred_ms - a.occurred_ms for a, b in zip(baskets, moved, strict=True)] == [1_000] * 3
    assert [basket.lines for basket in moved] == [basket.lines for basket in baskets]


@pytest.mark.skipif(not REAL.exists(), reason="the Complete Journey data is not on this machine")
def test_the_published_year_is_read_whole() -> None:
    baskets = read_baskets(REAL)
    assert len(baskets) == 47_243
    assert sum(len(basket.lines) for basket in baskets) == 75_000
    assert len({basket.store_id for basket in baskets}) == 293
    assert len({basket.card for basket in baskets}) == 2_377
    # 528 lines of value 0, and the one worth less than a millionth of a cent.
    assert sum(line.net_minor == 0 for basket in baskets for line in basket.lines) == 529
    assert sum(line.quantity_milli == 0 for basket in baskets for line in basket.lines) == 416
    times = [basket.occurred_ms for basket in baskets]
    assert times == sorted(times)
    assert max(Counter(basket.receipt_number for basket in baskets).values()) == 1
