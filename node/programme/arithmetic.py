"""Rounding and sharing out: whole units from fractions, without floats and without losing one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.programme.model import Rounding

Rounder = Callable[[int, int], int]
"""A whole number from a fraction: (numerator at least 0, denominator above 0) -> quotient."""

Weights = Sequence[tuple[int, int]]
"""(line number, weight above 0) of the lines that share an award."""

Shares = tuple[tuple[int, int], ...]
"""(line number, units above 0), summing to what was shared out."""


def _down(numerator: int, denominator: int) -> int:
    return numerator // denominator


def _up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _half_even(numerator: int, denominator: int) -> int:
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


ROUNDERS: dict[Rounding, Rounder] = {
    Rounding.DOWN: _down,
    Rounding.UP: _up,
    Rounding.HALF_UP: _half_up,
    Rounding.HALF_EVEN: _half_even,
}


def split(units: int, weights: Weights) -> Shares:
    """`units` over the lines by their weights, by largest remainder: the shares sum to `units` exactly.

    Of equal remainders the smaller line number goes first, so that the order of the lines plays no part.
    Lines that get nothing are left out. No weights, no shares.
    """
    if len(weights) < 2:
        return ((weights[0][0], units),) if weights and units else ()
    whole = sum([weight for _, weight in weights])
    missing = units
    shares = []
    for number, weight in weights:
        share = units * weight // whole
        missing -= share
        shares.append((number, share))
    if missing:
        # The remainders, the largest first: (units * weight) modulo the whole.
        order = sorted(
            [(-(units * weight % whole), number, at) for at, (number, weight) in enumerate(weights)]
        )
        for _, number, at in order[:missing]:
            shares[at] = (number, shares[at][1] + 1)
    return tuple(shares) if units >= whole else tuple([part for part in shares if part[1]])
