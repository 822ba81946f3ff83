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

from node.ledger.account import Account
from node.ledger.awards import Award
from node.ledger.purchase import Line
from node.ledger.purses import MAX_UNITS
from node.programme.arithmetic import Shares, Weights, split
from node.programme.plan import Rule, RuleToday

_UNIT_MILLI = 1_000

WHOLE_PURCHASE = 0
"""The line number that stands for a purchase without lines; awards never name it."""

Nets = Sequence[tuple[int, int]]
"""(line number, net amount) of some lines."""


class Basket:
    """The lines that may earn, and what is paid in all (above 0). No lines: one stands for the whole."""

    __slots__ = ("_all_positive", "_lines", "itemised", "nets", "total")

    def __init__(self, lines: Sequence[Line], total: int) -> None:
        self._lines = lines
        self.total = total
        self.itemised = bool(lines)
        self.nets: Nets = (
            [(line.number, line.net_minor) for line in lines] if lines else ((WHOLE_PURCHASE, total),)
        )
        self._all_positive = not lines or min([net for _, net in self.nets]) > 0

    def of(self, rule: Rule) -> Nets:
        """The lines that the rule is about. A rule for certain lines finds none where there are no lines."""
        test = rule.test
        if test is None:
            return self.nets
        return [(line.number, line.net_minor) for line in self._lines if test(line)]

    def shares(self, units: int, nets: Nets) -> Shares:
        """`units` over those lines by what each costs; lines that cost nothing get nothing."""
        if not self.itemised:
            return ()
        return split(units, nets if self._all_positive else [pair for pair in nets if pair[1] > 0])


class Till:
    """What an award depends on besides its rule: the account and its counters, the day, the language."""

    __slots__ = ("_account", "_day", "_locale")

    def __init__(self, account: Account | None, day: int, locale: str) -> None:
        self._account = account
        self._day = day
        self._locale = locale

    def left(self, rule: Rule, units: int) -> int:
        """What of `units` may be granted: at most MAX_UNITS, and what the rule's daily cap leaves.

        Of a day so old that the account has forgotten its counters, a cap leaves nothing.
        """
        if units > MAX_UNITS:
            units = MAX_UNITS
        if not rule.counter:
            return units
        account = self._account
        if account and account.forgot(self._day):
            return 0  # what the cap left of that day is not known: nothing is the only sure answer
        counted = account.counted(rule.counter, self._day) if account else 0
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
            self._day if rule.counter else 0,
            rule.words.say(units, self._locale) if rule.words else "",
        )


class Base:
    """What a base rule gives: `units` on `amount`, of which `given` after its cap; `net` sums its lines."""

    __slots__ = ("amount", "given", "net", "nets", "today", "units")

    def __init__(self, today: RuleToday, nets: Nets, net: int, amount: int, units: int, given: int) -> None:
        self.today = today
        self.nets = nets
        self.net = net
        self.amount = amount
        self.units = units
        self.given = given


def bases_of(rules: Sequence[RuleToday], basket: Basket, till: Till) -> list[Base]:
    """What each of the base rules gives; rules that find no amount above zero are left out."""
    found = []
    for today in rules:
        rule = today.rule
        nets = basket.of(rule)
        net = sum([net for _, net in nets])
        if net > 0:
            amount = net if net < basket.total else basket.total
            units = rule.rounder(amount * rule.units, rule.money_minor) if rule.money_minor else rule.units
            found.append(Base(today, nets, net, amount, units, till.left(rule, units)))
    return found


def base_awards(bases: Sequence[Base], basket: Basket, till: Till) -> list[Award]:
    """The awards of the base rules that give something."""
    return [
        till.award(base.today, base.given, basket.shares(base.given, base.nets))
        for base in bases
        if base.given
    ]


def bonus_awards(
    multipliers: Sequence[RuleToday], bases: Sequence[Base], basket: Basket, till: Till
) -> list[Award]:
    """The awards of the multipliers, which come with the largest first."""
    awards = []
    taken: dict[str, set[int]] = {}
    for today in multipliers:
        rule = today.rule
        purse_taken = taken.setdefault(rule.purse, set())
        own = {number for number, _ in basket.of(rule)} - purse_taken
        if not own:
            continue
        purse_taken |= own
        shares: dict[int, int] = {}
        units = 0
        for base in bases:
            if base.today.rule.purse == rule.purse:
                units += _piece(base, rule.milli, own, basket, shares)
        given = till.left(rule, units)
        if given:
            weights: Weights = sorted(shares.items())
            awards.append(
                till.award(today, given, tuple(weights) if given == units else split(given, weights))
            )
    return awards


def _piece(base: Base, milli: int, own: set[int], basket: Basket, shares: dict[int, int]) -> int:
    """The bonus on what `base` gives for the lines in `own`; its shares are added to `shares`."""
    nets = [pair for pair in base.nets if pair[0] in own]
    net = min(sum([net for _, net in nets]), base.net)
    if net <= 0:
        return 0
    rule = base.today.rule
    if rule.money_minor and base.given == base.units:
        numerator, denominator = base.amount * rule.units, rule.money_minor
    else:
        numerator, denominator = base.given, 1
    units = rule.rounder(numerator * net * (milli - _UNIT_MILLI), denominator * base.net * _UNIT_MILLI)
    for number, share in basket.shares(units, nets):
        shares[number] = shares.get(number, 0) + share
    return units
