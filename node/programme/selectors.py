"""Which lines a rule is about, compiled to a test of one line.

Texts are compared as they are, letter by letter: the till and the programme must spell a group alike.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from node.ledger.purchase import Line
from node.programme.model import LineSelector

LineTest = Callable[[Line], bool]

MAX_CACHED_PATHS = 4_096


@lru_cache(maxsize=MAX_CACHED_PATHS)
def group_prefixes(path: tuple[str, ...]) -> frozenset[str]:
    """Every group that a path lies in: ("food", "dairy") lies in "food" and in "food/dairy"."""
    return frozenset("/".join(path[: depth + 1]) for depth in range(len(path)))


def line_test(selector: LineSelector) -> LineTest:
    """A function that says whether a line is one of those that `selector` means."""
    tests = _tests(selector)
    if len(tests) == 1:
        return tests[0]
    return lambda line: all(test(line) for test in tests)


def _tests(selector: LineSelector) -> list[LineTest]:
    groups, tags = frozenset(selector.groups), frozenset(selector.tags)
    skus, brands = frozenset(selector.skus), frozenset(selector.brands)
    tests: list[LineTest] = []
    if skus:
        tests.append(lambda line: line.sku in skus)
    if brands:
        tests.append(lambda line: line.brand in brands)
    if groups:
        tests.append(lambda line: not groups.isdisjoint(group_prefixes(line.group_path)))
    if tags:
        tests.append(lambda line: not tags.isdisjoint(line.tags))
    return tests
