"""Lots: units of one purse with one funder, campaign, availability and expiry.

A purse keeps its spendable lots in the order in which they are consumed: the first to expire goes first,
and of those the first to have become available. Everything here is a pure function over tuples of lots.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

MAX_LOTS = 256
"""Different lots of one purse; beyond it the two that expire closest merge, in the member's favour."""

NEVER_MS = 253_402_300_800_000
"""The expiry of units that never expire: the end of the year 9999, so that it sorts last."""

GRACE_MS = 7 * 86_400_000
"""How long a lot lives that comes back after its expiry, because a spend was undone."""


class Lot(Struct, frozen=True, array_like=True, gc=False):
    """Units that stand and fall together. `available_ms` is 0 where they were spendable at once."""

    units: int
    expires_ms: int = NEVER_MS
    available_ms: int = 0
    funder: str = ""
    campaign: str = ""

    def terms(self) -> tuple[int, int, str, str]:
        """What must agree for two lots to merge; also the order of consumption."""
        return (self.expires_ms, self.available_ms, self.funder, self.campaign)

    def of(self, units: int) -> Lot:
        """A lot of the same terms with other units."""
        if units == self.units:
            return self
        return Lot(units, self.expires_ms, self.available_ms, self.funder, self.campaign)


Lots = tuple[Lot, ...]


def total(lots: Iterable[Lot]) -> int:
    """The units of all lots together."""
    return sum(lot.units for lot in lots)


def add(lots: Lots, extra: Lot) -> Lots:
    """`lots` with `extra` merged in at its place; the order of consumption is kept."""
    if extra.units == 0:
        return lots
    if not lots:
        return (extra,)
    terms = extra.terms()
    last = lots[-1]
    if last.terms() == terms:  # the usual case: the same day's next purchase
        return (*lots[:-1], last.of(last.units + extra.units))
    place = bisect_left(lots, terms, key=Lot.terms)
    if place < len(lots) and lots[place].terms() == terms:
        merged = lots[place].of(lots[place].units + extra.units)
        return (*lots[:place], merged, *lots[place + 1 :])
    return _bounded((*lots[:place], extra, *lots[place:]))


def add_all(lots: Lots, extras: Iterable[Lot]) -> Lots:
    """`lots` with every one of `extras` merged in."""
    for extra in extras:
        lots = add(lots, extra)
    return lots


def _bounded(lots: Lots) -> Lots:
    """At most MAX_LOTS lots: neighbours with the closest expiry merge into the later one.

    Lots of one funder are preferred, so that who pays is not blurred; only a purse in which no two
    neighbours share a funder merges across funders, and then the merchant itself bears the merged lot.
    """
    if len(lots) <= MAX_LOTS:
        return lots
    pairs = range(len(lots) - 1)
    closest = min(
        pairs,
        key=lambda at: (
            lots[at].funder != lots[at + 1].funder,
            lots[at + 1].expires_ms - lots[at].expires_ms,
        ),
    )
    first, second = lots[closest], lots[closest + 1]
    merged = Lot(
        units=first.units + second.units,
        expires_ms=second.expires_ms,
        available_ms=min(first.available_ms, second.available_ms),
        funder=first.funder if first.funder == second.funder else "",
        campaign=first.campaign if first.campaign == second.campaign else "",
    )
    return add((*lots[:closest], *lots[closest + 2 :]), merged)


def take(lots: Lots, units: int) -> tuple[Lots, Lots]:
    """Takes `units` from the front. Returns (taken, left); takes all there is where that is less."""
    taken: list[Lot] = []
    for at, lot in enumerate(lots):
        if units <= 0:
            return tuple(taken), lots[at:]
        if lot.units <= units:
            taken.append(lot)
            units -= lot.units
        else:
            taken.append(lot.of(units))
            return tuple(taken), (lot.of(lot.units - units), *lots[at + 1 :])
    return tuple(taken), ()


def take_like(lots: Lots, wanted: Lot) -> tuple[Lots, Lots]:
    """Takes up to `wanted.units` from the lot of the same terms only. Returns (taken, left)."""
    if wanted.units == 0:
        return (), lots
    terms = wanted.terms()
    for at, lot in enumerate(lots):
        if lot.terms() == terms:
            units = min(lot.units, wanted.units)
            rest = (lot.of(lot.units - units),) if lot.units > units else ()
            return (lot.of(units),), (*lots[:at], *rest, *lots[at + 1 :])
    return (), lots


def remove(lots: Lots, gone: Iterable[Lot]) -> Lots:
    """`lots` without exactly the units of `gone`, lot by lot; a lot that is not there is a fault."""
    for lot in gone:
        taken, lots = take_like(lots, lot)
        if total(taken) != lot.units:
            raise LotMissing(lot.units, total(taken))
    return lots


def split_due(lots: Lots, now_ms: int) -> tuple[Lots, Lots]:
    """Splits spendable lots into (expired, alive) at `now_ms`."""
    if not lots or lots[0].expires_ms > now_ms:
        return (), lots
    at = next((at for at, lot in enumerate(lots) if lot.expires_ms > now_ms), len(lots))
    return lots[:at], lots[at:]


def revived(lots: Iterable[Lot], now_ms: int) -> Lots:
    """Lots that come back: with their own expiry, or with days of grace where that has passed."""
    return tuple(
        lot if lot.expires_ms > now_ms else replace(lot, expires_ms=now_ms + GRACE_MS) for lot in lots
    )


class LotMissing(AssertionError):
    """An event takes a lot that the account does not hold: the journal and the state disagree."""

    def __init__(self, wanted_units: int, found_units: int) -> None:
        super().__init__(f"an event takes {wanted_units} units of a lot that holds {found_units}")
