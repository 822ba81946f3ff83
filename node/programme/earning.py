"""What open rules grant for a basket: base amounts, multipliers, caps, and each line's share.

A base rule gives its rate on the sum of its lines, or its fixed number. The sum is never above what the
customer pays in all, so that a discount on the whole receipt earns nothing; where the sum is not above zero,
the rule gives nothing.

Of the multipliers of one purse the largest that matches a line has that line. Its bonus is worked out from
the exact fraction that each base rule gives for those lines, and rounded as that base rule is: doubling a
whole receipt gives exactly the base once more. What a cap took from a base rule is not multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.ledger.account import Account
from node.ledger.awards import Award
from node.ledger.purchase import Line
from node.ledger.purses import MAX_UNITS
from node.programme.arithmetic import Shares, Weights, split
from node.programme.plan import RuleToday

_UNIT_MILLI = 1_000

WHOLE_PURCHASE = 0
"""The line number that stands for a purchase without lines; awards never name it."""


@dataclass(slots=True)
class Till:
    """What an award depends on besides its rule: the account and its counters, the day, the language."""

    account: Account | None
    day: int
    locale: str

    def left(self, today: RuleToday, units: int) -> int:
        """What of `units` may be granted: at most MAX_UNITS, and what the rule's daily cap leaves."""
        rule = today.rule
        units = min(units, MAX_UNITS)
        if not rule.counter:
            return units
        counted = self.account.counted(rule.counter, self.day) if self.account else 0
        room = max(0, rule.cap_units - counted)
        if units <= room:
            return units
        return 0 if rule.whole_only else room

    def award(self, today: RuleToday, units: int, shares: Shares) -> Award:
        """The award of `units`, which are above 0."""
        rule = today.rule
        return Award(
            rule.code,
            rule.purse,
            units,
            today.available_ms,
            today.expires_ms,
            rule.funder,
            rule.campaign,
            shares,
            rule.counter,
            self.day if rule.counter else 0,
            rule.words.say(units, self.locale),
        )


@dataclass(slots=True)
class Base:
    """What a base rule gives: `units` on `amount`, of which `given` after its cap; `net` sums its lines."""

    today: RuleToday
    lines: Sequence[Line]
    net: int
    amount: int
    units: int
    given: int


def bases_of(
    rules: Sequence[RuleToday], lines: Sequence[Line], total: int, till: Till, *, itemised: bool
) -> list[Base]:
    """What each of the base rules gives. `itemised` False: `lines` is the one line that stands for all."""
    found = []
    for today in rules:
        rule = today.rule
        matched = lines
        if rule.test is not None:
            if not itemised:
                continue
            test = rule.test
            matched = [line for line in lines if test(line)]
        net = sum([line.net_minor for line in matched])
        if net <= 0:
            continue
        amount = min(net, total)
        units = rule.rounder(amount * rule.units, rule.money_minor) if rule.money_minor else rule.units
        found.append(Base(today, matched, net, amount, units, till.left(today, units)))
    return found


def base_award(base: Base, till: Till, *, itemised: bool) -> Award:
    """The award of a base rule that gives something."""
    shares = split(base.given, _weights(base.lines)) if itemised else ()
    return till.award(base.today, base.given, shares)


def bonuses(
    multipliers: Sequence[RuleToday],
    bases: Sequence[Base],
    lines: Sequence[Line],
    till: Till,
    *,
    itemised: bool,
) -> list[Award]:
    """The awards of the multipliers, which come with the largest first."""
    awards = []
    taken: dict[str, set[int]] = {}
    for today in multipliers:
        rule = today.rule
        if rule.test is not None and not itemised:
            continue
        purse_taken = taken.setdefault(rule.purse, set())
        own = {
            line.number
            for line in lines
            if line.number not in purse_taken and (rule.test is None or rule.test(line))
        }
        purse_taken |= own
        shares: dict[int, int] = {}
        units = 0
        for base in bases:
            if base.today.rule.purse == rule.purse:
                units += _piece(base, rule.milli, own, shares)
        given = till.left(today, units)
        if given:
            weights = sorted(shares.items())
            awards.append(till.award(today, given, split(given, weights) if itemised else ()))
    return awards


def _piece(base: Base, milli: int, own: set[int], shares: dict[int, int]) -> int:
    """The bonus on what `base` gives for the lines in `own`; its shares are added to `shares`."""
    lines = [line for line in base.lines if line.number in own]
    net = min(sum([line.net_minor for line in lines]), base.net)
    if net <= 0:
        return 0
    rule = base.today.rule
    if rule.money_minor and base.given == base.units:
        numerator, denominator = base.amount * rule.units, rule.money_minor
    else:
        numerator, denominator = base.given, 1
    units = rule.rounder(numerator * net * (milli - _UNIT_MILLI), denominator * base.net * _UNIT_MILLI)
    for number, share in split(units, _weights(lines)):
        shares[number] = shares.get(number, 0) + share
    return units


def _weights(lines: Sequence[Line]) -> Weights:
    return [(line.number, line.net_minor) for line in lines if line.net_minor > 0]
