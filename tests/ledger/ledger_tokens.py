"""What an account holds and remembers, written as naively as possible: every unit is a token of its own.

A token is the terms of its lot (expiry, availability, funder, campaign), so that taking first what expires
first is `sort` and `pop(0)`. A unit that was spent below zero has no token: it is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

from node.ledger.awards import Award
from node.ledger.lots import GRACE_MS, NEVER_MS
from node.ledger.purchase import Purchase

Token = tuple[int, int, str, str]
Picked = list[Token | None]
FOREVER: Token = (NEVER_MS, 0, "", "")


def revived(tokens: list[Token], now_ms: int) -> list[Token]:
    """Tokens that come back: what has expired lives seven days more."""
    return [token if token[0] > now_ms else (now_ms + GRACE_MS, *token[1:]) for token in tokens]


@dataclass
class Wallet:
    """A purse, unit by unit."""

    lots: list[Token] = field(default_factory=list)
    pending: list[Token] = field(default_factory=list)
    debt: int = 0

    @property
    def spendable(self) -> int:
        return len(self.lots) - self.debt

    def put(self, tokens: list[Token], now_ms: int) -> None:
        for token in tokens:
            (self.pending if token[1] > now_ms else self.lots).append(token)
        self.lots.sort()
        while self.debt and self.lots:
            self.lots.pop(0)
            self.debt -= 1

    def make_good(self, units: int) -> None:
        for _ in range(units):
            if self.debt:
                self.debt -= 1
            else:
                self.lots.append(FOREVER)
        self.lots.sort()

    def pick(self, units: int) -> Picked:
        """The next units to be spent, in their order; what goes below zero last."""
        picked: Picked = [self.lots.pop(0) for _ in range(min(units, len(self.lots)))]
        self.debt += units - len(picked)
        return picked + [None] * (units - len(picked))

    def give_back(self, picked: Picked, now_ms: int) -> None:
        self.make_good(picked.count(None))
        self.put(revived([token for token in picked if token], now_ms), now_ms)


@dataclass
class Sale:
    """A purchase, what it earned, and how much of both is back."""

    purchase: Purchase
    awards: tuple[Award, ...]
    back: dict[int, int] = field(default_factory=dict)
    minor: int = 0
    units: list[int] = field(default_factory=list)
    reversed: bool = False

    def whole(self) -> bool:
        if self.purchase.lines:
            return all(self.back.get(line.number) == line.quantity_milli for line in self.purchase.lines)
        return self.minor == self.purchase.total_minor

    def money_back(self) -> int:
        money = sum(
            floor(self.part(number) * line.net_minor)
            for number in self.back
            if (line := self.purchase.line(number))
        )
        return min(max(money, 0), self.purchase.total_minor)

    def part(self, number: int) -> Fraction:
        """How much of a line is back."""
        line = self.purchase.line(number)
        assert line is not None
        return Fraction(self.back[number], line.quantity_milli) if line.quantity_milli else Fraction(1)

    def should_be_back(self, award: Award) -> int:
        if self.whole():
            return award.units
        if award.line_shares and self.purchase.lines:
            shares = [floor(self.part(n) * share) for n, share in award.line_shares if n in self.back]
            return min(max(sum(shares), 0), award.units)
        if not self.purchase.total_minor:
            return 0
        money = self.money_back() if self.purchase.lines else self.minor
        return floor(Fraction(award.units * money, self.purchase.total_minor))


@dataclass
class Spend:
    """What was spent, by purse in the order in which it was taken; `back` units have come back."""

    parts: dict[str, Picked]
    back: int = 0
    reversed: bool = False

    @property
    def units(self) -> int:
        return sum(len(part) for part in self.parts.values())


@dataclass
class Authorized:
    """A hold that was placed."""

    hold: int
    reversed: bool = False


@dataclass
class Back:
    """A return: of what, how much, and which units it moved."""

    of: Sale | Spend
    lines: dict[int, int] = field(default_factory=dict)
    minor: int = 0
    units: list[int] = field(default_factory=list)
    moved: list[tuple[str, Picked]] = field(default_factory=list)
    reversed: bool = False


Deed = Sale | Spend | Authorized | Back
