"""Recorded baskets of "The Complete Journey" (84.51°) as purchases, in the order of time.

The file is the transactions table of that data set as CSV, plain or gzipped: one row a line of a receipt,
money in US dollars with a decimal point, times in UTC. Rows of one basket share household, store and time.
A line with a quantity of 0, a value of 0 or both is kept as it is: it was on the receipt.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from simulators.purchases import Basket, BasketLine

CURRENCY = "USD"
CURRENCY_EXPONENT = 2

_COLUMNS = (
    *("household_id", "store_id", "basket_id", "transaction_timestamp"),
    *("product_id", "department", "brand", "product_category", "product_type"),
    *("quantity", "sales_value", "retail_disc", "coupon_match_disc"),
)
# One line of the published table is worth 4.440892e-16 dollars, what binary arithmetic left of a difference.
_DUST = Decimal("1e-9")
_CARD_PREFIX = "CJ"
_CARD_DIGITS = 8


class UnreadableBaskets(Exception):
    """The file is not the transactions table; the text says which line and why."""


def read_baskets(path: Path) -> list[Basket]:
    """All baskets of the file, by time and then by number. `UnreadableBaskets` says what is wrong with it."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as text:
            baskets = list(_baskets(csv.DictReader(text, restval="")))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UnreadableBaskets(f"{path}: {error}") from error
    except (ValueError, InvalidOperation) as error:
        raise UnreadableBaskets(f"{path}: {error}") from error
    if not baskets:
        raise UnreadableBaskets(f"{path}: holds no baskets")
    return sorted(baskets, key=lambda basket: (basket.occurred_ms, basket.receipt_number))


def shifted(baskets: Iterable[Basket], by_ms: int) -> Iterator[Basket]:
    """The same baskets at other times: all later (or earlier) by the same span, so that their order stays."""
    return (replace(basket, occurred_ms=basket.occurred_ms + by_ms) for basket in baskets)


def minor_units(amount: str) -> int:
    """A decimal amount in cents, exactly; `ValueError` for a fraction of a cent or a negative amount."""
    cents = Decimal(amount).scaleb(CURRENCY_EXPONENT)
    whole = cents.to_integral_value()
    if abs(cents - whole) > _DUST or whole < 0 or not cents.is_finite():
        raise ValueError(f"{amount} is not an amount of whole cents")
    return int(whole)


def quantity_milli(quantity: str) -> int:
    """A decimal quantity in thousandths, exactly; `ValueError` for finer or negative ones."""
    thousandths = Decimal(quantity).scaleb(3)
    if thousandths < 0 or thousandths != thousandths.to_integral_value():
        raise ValueError(f"{quantity} is not a quantity in thousandths")
    return int(thousandths)


def _baskets(rows: csv.DictReader[str]) -> Iterator[Basket]:
    missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise ValueError(f"has no column {', '.join(missing)}")
    heads: dict[str, tuple[str, str, str]] = {}
    lines: dict[str, list[BasketLine]] = {}
    for row in rows:
        try:
            head = (row["household_id"], row["store_id"], row["transaction_timestamp"])
            line = _line(row)
        except (ValueError, InvalidOperation) as error:
            raise ValueError(f"line {rows.line_num}: {error}") from error
        basket_id = row["basket_id"]
        if heads.setdefault(basket_id, head) != head:
            raise ValueError(f"line {rows.line_num}: basket {basket_id} has two households, stores or times")
        lines.setdefault(basket_id, []).append(line)
    for basket_id, (household, store, time) in heads.items():
        yield Basket(
            receipt_number=basket_id,
            store_id=f"store-{store}",
            card=card_of_household(household),
            occurred_ms=_epoch_ms(time),
            currency=CURRENCY,
            lines=tuple(lines[basket_id]),
        )


def card_of_household(household: str) -> str:
    """The card that a household of the data set carries here."""
    return f"{_CARD_PREFIX}{household:0>{_CARD_DIGITS}}"


def _line(row: Mapping[str, str]) -> BasketLine:
    groups = (row["department"], row["product_category"], row["product_type"])
    return BasketLine(
        title=row["product_type"].capitalize() or "Other goods",
        sku=row["product_id"],
        group_path=tuple(group for group in groups if group),
        brand=row["brand"],
        quantity_milli=quantity_milli(row["quantity"]),
        net_minor=minor_units(row["sales_value"]),
        # What the card and the shop's match of a coupon took off. A manufacturer's coupon is part of the
        # value: the manufacturer pays the shop for it.
        discount_minor=minor_units(row["retail_disc"]) + minor_units(row["coupon_match_disc"]),
    )


def _epoch_ms(time: str) -> int:
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1000
