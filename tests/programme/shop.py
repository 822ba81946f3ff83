"""What tests of a programme share: a shop in Tehran with points and cash, baskets, a member, local times."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from node.ledger.account import Account, Counter, Entitlement
from node.ledger.awards import Award
from node.ledger.purchase import Line, Purchase
from node.ledger.purses import PurseDefinition, PurseKind
from node.programme.compile import compile_programme
from node.programme.evaluate import CompiledProgramme
from node.programme.model import EarningRule, Expiry, LineSelector, Programme, PurseTerms, Rate

TEHRAN = "Asia/Tehran"
BASE = EarningRule("base", Rate(1, 100), "points")
DAIRY = LineSelector(groups=("food/dairy",))


def at(text: str, tz: str = TEHRAN) -> int:
    """The instant of a local time such as 2026-03-20T12:00."""
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz))
    return int(local.astimezone(UTC).timestamp()) * 1_000


NOON = at("2026-03-20T12:00")  # a Friday


def programme(
    *rules: EarningRule, expiry: Expiry | None = None, pending_days: int = 0, tz: str = TEHRAN
) -> CompiledProgramme:
    purses = (
        PurseDefinition("points", PurseKind.POINTS, spend_order=2),
        PurseDefinition("cash", PurseKind.STORED_VALUE, exponent=2, spend_order=1),
    )
    terms = (PurseTerms("points", expiry, pending_days),)
    return compile_programme(
        Programme(1, "test", purses=purses, terms=terms, rules=rules), tz=tz, currency="IRR"
    )


def line(number: int, net: int, group: str = "food/dairy/milk", **more: object) -> Line:
    return replace(Line(number, f"sku-{number}", tuple(group.split("/")), 1_000, net), **more)


def sale(total: int, *lines: Line, **more: object) -> Purchase:
    return replace(Purchase("s1", "r1", total, "IRR", lines=lines), **more)


def units(awards: tuple[Award, ...]) -> dict[str, int]:
    return {award.rule: award.units for award in awards}


def member(*counters: Counter, entitlements: tuple[Entitlement, ...] = ()) -> Account:
    return Account(b"a" * 16, opened_ms=NOON, counters=counters, entitlements=entitlements)
