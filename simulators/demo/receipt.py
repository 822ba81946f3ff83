"""One till's screen as the customer sees it at the end of a visit.

Numbers stand left and words right, with no frame around them: a terminal that turns Persian and Arabic around
and one that does not both show it readable.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from node.people import text
from node.people.calendars import Calendar, in_calendar
from node.proto.vafa.common.v1 import balance_pb2
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2, spending_pb2
from node.proto.vafa.programme.v1 import programme_pb2
from simulators.purchases import Basket

GUEST = "a member of another merchant"
"""Whose name stays at home."""

_WIDTH = 52
_AMOUNT_WIDTH = 12


@dataclass(frozen=True, slots=True)
class Shopfront:
    """What a till knows of the shop: its name, zone and money, and the purses by code."""

    name: str
    time_zone: str
    currency_exponent: int
    purses: Mapping[str, programme_pb2.PurseDefinition]

    def money(self, minor: int) -> str:
        """An amount with its decimals, without the currency."""
        return decimal(minor, self.currency_exponent)

    def units(self, purse: str, units: int) -> str:
        """Units of a purse with their decimals and name; a purse that is not known is shown by its code."""
        definition = self.purses.get(purse)
        if definition is None:
            return f"{units:,} {purse}"
        return f"{decimal(units, definition.exponent)} {apart(definition.unit or purse)}"

    def last_day_before(self, moment: Timestamp) -> date:
        """The local day that ends at a moment: units expire where the next day begins."""
        just_before = moment.ToDatetime(UTC) - timedelta(milliseconds=1)
        return just_before.astimezone(zoneinfo.ZoneInfo(self.time_zone)).date()


@dataclass(frozen=True, slots=True)
class Visit:
    """What a till has in hand when the receipt is printed; `redeemed` is None where nothing was spent."""

    till: str
    basket: Basket
    identified: inquiry_pb2.IdentifyResponse
    redeemed: spending_pb2.RedeemResponse | None
    accrued: earning_pb2.AccrueResponse
    balances: tuple[balance_pb2.PurseBalance, ...]


def till_screen(visit: Visit, shop: Shopfront) -> list[str]:
    """The lines of the screen."""
    basket, rule = visit.basket, "─" * _WIDTH
    sold_at = datetime.fromtimestamp(basket.occurred_ms // 1000, zoneinfo.ZoneInfo(shop.time_zone))
    paid = sum(spent.worth.minor for spent in visit.redeemed.spent) if visit.redeemed else 0
    lines = [
        rule,
        f" {apart(shop.name)}  ·  {visit.till}",
        f" {sold_at:%Y-%m-%d %H:%M}  ·  receipt {basket.receipt_number}",
        rule,
    ]
    for line in basket.lines:
        lines.append(_row(shop.money(line.gross_minor), apart(line.title) + _quantity(line.quantity_milli)))
        if line.discount_minor:
            lines.append(_row(shop.money(-line.discount_minor), "  discount"))
    lines += [rule, _row(shop.money(basket.total_minor), f"total {basket.currency}")]
    for spent in visit.redeemed.spent if visit.redeemed else ():
        # What another merchant's points are worth in money is not said at this till.
        worth = shop.money(-spent.worth.minor) if spent.HasField("worth") else ""
        lines.append(_row(worth, f"paid with {shop.units(spent.purse, spent.units)}"))
    if paid:
        lines.append(_row(shop.money(basket.total_minor - paid), f"to pay {basket.currency}"))
    lines += [rule, f" {apart(visit.identified.display_name or GUEST)}"]
    lines += [f"   {words}" for words in _earned(visit, shop)]
    for balance in visit.balances:
        lines += [f"   {words}" for words in _balance(balance, visit, shop)]
    return [*lines, rule]


def decimal(minor: int, exponent: int) -> str:
    """An amount in minor units as people write it: 123456 with 2 decimals is 1,234.56."""
    if exponent == 0:
        return f"{minor:,}"
    sign, digits = ("-" if minor < 0 else ""), f"{abs(minor):0{exponent + 1}d}"
    return f"{sign}{int(digits[:-exponent]):,}.{digits[-exponent:]}"


def apart(words: str) -> str:
    """Words set apart from what is printed around them, where they may run from right to left."""
    return words if words.isascii() else text.isolate(words)


def _earned(visit: Visit, shop: Shopfront) -> list[str]:
    texts = []
    for effect in visit.accrued.effects:
        kind = effect.WhichOneof("kind")
        if effect.receipt_text:
            texts.append(apart(effect.receipt_text))
        elif kind == "points":
            texts.append(f"+{shop.units(effect.points.purse, effect.points.units)}")
        elif kind == "stamp":
            texts.append(f"+{shop.units(effect.stamp.purse, effect.stamp.stamps)} of {effect.stamp.goal}")
    return texts


def _balance(balance: balance_pb2.PurseBalance, visit: Visit, shop: Shopfront) -> list[str]:
    if not (balance.spendable or balance.pending or balance.held):
        return []
    worth = ""
    if balance.HasField("worth"):
        worth = f", worth {shop.money(balance.worth.minor)} {balance.worth.currency}"
    texts = [f"balance {shop.units(balance.purse, balance.spendable)}{worth}"]
    if balance.pending:
        texts.append(f"and {shop.units(balance.purse, balance.pending)} on their way")
    if balance.next_expiry_units:
        day = shop.last_day_before(balance.next_expiry_time)
        shown = day.isoformat()
        if visit.identified.locale.startswith("fa"):
            shown += f" ({in_calendar(day, Calendar.JALALI).isoformat()})"
        texts.append(f"{shop.units(balance.purse, balance.next_expiry_units)} good until {shown}")
    return texts


def _quantity(quantity_milli: int) -> str:
    if quantity_milli == 1000:
        return ""
    if quantity_milli % 1000 == 0:
        return f" × {quantity_milli // 1000}"
    return f" × {decimal(quantity_milli, 3)}"


def _row(amount: str, words: str) -> str:
    return f"{amount:>{_AMOUNT_WIDTH}}  {words}"
