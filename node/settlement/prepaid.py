"""Partners that pay ahead: their balance with the operator, warnings, and what happens when it is used up.

A prepaid partner's net is taken from its balance instead of being paid. Its caps say how much may come
together before that, so the operator publishes caps that the balance covers. When it is used up the partner
is suspended in the next directory: its members go on earning everywhere and spend nothing abroad, members
of others spend nothing at its tills, what is under way is finished, and the till says that spending here
waits, not that the member is at fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from node.coalition.directory import Funding, Partner, PartnerStatus
from node.settlement.documents import PrepaidLine


class Balance(Struct, frozen=True, array_like=True):
    """What is left, and what it was after the newest top-up; in the smallest amount that is paid."""

    left: int = 0
    full: int = 0


class Standing(Struct, frozen=True):
    """What a balance means: the lowest threshold that it reached, 100 for none, and whether it is used up."""

    alert_percent: int
    used_up: bool


def topped_up(balance: Balance, amount: int) -> Balance:
    """The balance after money came in. ValueError unless the amount is above 0."""
    if amount <= 0:
        raise ValueError("a top-up is above 0")
    return Balance(balance.left + amount, balance.left + amount)


def used(balance: Balance, amount: int) -> Balance:
    """The balance after a window took `amount`, or gave it where it is negative; it may fall below zero."""
    return Balance(balance.left - amount, max(balance.full, balance.left - amount))


def standing(balance: Balance, alert_percents: Sequence[int]) -> Standing:
    """How a balance stands against the thresholds, in percent of what it was after the newest top-up."""
    reached = [percent for percent in alert_percents if balance.left * 100 <= balance.full * percent]
    used_up = balance.left <= 0
    return Standing(0 if used_up else min(reached, default=100), used_up)


def alerts_between(before: Balance, after: Balance, alert_percents: Sequence[int]) -> list[int]:
    """The thresholds passed from one balance to the next, falling; 0 is used up. Nothing is warned of
    twice.
    """
    had, has = standing(before, alert_percents), standing(after, alert_percents)
    passed = [percent for percent in alert_percents if has.alert_percent <= percent < had.alert_percent]
    if has.used_up and not had.used_up:
        passed.append(0)
    return sorted(passed, reverse=True)


def status_due(partner: Partner, balance: Balance) -> PartnerStatus:
    """The status that the next directory should give a partner: suspended while it has paid ahead for
    nothing.
    """
    if partner.status is PartnerStatus.LEFT or partner.funding is not Funding.PREPAID:
        return partner.status
    return PartnerStatus.SUSPENDED if balance.left <= 0 else PartnerStatus.ACTIVE


def covered_caps(
    balance: Balance, scale: int, dearest_micro: int, creditors: Iterable[str]
) -> dict[str, int]:
    """Bilateral caps in units that the balance covers together, the same for each creditor.

    `scale` is micro-units in the smallest amount paid, `dearest_micro` what a unit costs at most. Never
    more together than the balance; 0 each where it is used up.
    """
    ids = sorted(creditors)
    if not ids or dearest_micro <= 0:
        return dict.fromkeys(ids, 0)
    units = max(balance.left, 0) * scale // (dearest_micro * len(ids))
    return dict.fromkeys(ids, units)


def line_of(partner_id: str, opening: int, topped: int, net: int) -> PrepaidLine:
    """The statement's line: what came in since the last window, and what this window's net took."""
    return PrepaidLine(partner_id, opening, topped, -net, opening + topped + net)
