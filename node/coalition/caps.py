"""Net debit caps: how much one merchant may owe another before it is settled.

The operator sets a cap for each ordered pair. The home node owes for what its members spend at the
acquirer, the acquirer for what they earn there; a return takes back, and one net position counts, in units
of the coalition purse.

The home node's accounts lie in many partitions, which decide alone, so the caps are leased to them in
slices: never more together than the cap, and each durable with its partition before it counts. The acquirer
keeps everything about a partner in one place and counts there, on its own, against the same caps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from node.coalition.messages import RecordKind

ALERT_PERCENTS = (80, 90, 100)
"""Of a cap: where an operator of the node is told, before work is refused."""


class Slice(Struct, frozen=True, array_like=True):
    """What a partition may let come to be owed: by the home node, and by the acquirer."""

    home_units: int = 0
    acquirer_units: int = 0


class Usage(Struct, frozen=True, array_like=True):
    """What counts against caps. `position` is what the home node owes, net: negative where the acquirer does.

    `reserved` is on its way towards the acquirer's favour (holds), `queued` towards the home node's
    (earnings that wait to be forwarded; the home node itself knows none). `settled` is the part of the
    position that was settled and paid: it counts no more.
    """

    position: int = 0
    reserved: int = 0
    queued: int = 0
    settled: int = 0

    @property
    def home_owes(self) -> int:
        """The most that the home node may come to owe with what is under way."""
        return self.position - self.settled + self.reserved

    @property
    def acquirer_owes(self) -> int:
        """The most that the acquirer may come to owe with what is under way."""
        return self.queued - (self.position - self.settled)


def together(usages: Iterable[Usage]) -> Usage:
    """What counts over several partitions that decide alone."""
    total = Usage()
    for one in usages:
        total = Usage(
            total.position + one.position,
            total.reserved + one.reserved,
            total.queued + one.queued,
            total.settled + one.settled,
        )
    return total


def owed_by_home(kind: RecordKind, units: int) -> int:
    """What a record adds to the home node's net debt."""
    return _SIGNS[kind] * units


_SIGNS = {
    RecordKind.REDEMPTION: 1,
    RecordKind.REDEMPTION_RETURN: -1,
    RecordKind.ACCRUAL: -1,
    RecordKind.ACCRUAL_RETURN: 1,
    RecordKind.CUT: 0,
}


def may_reserve(usage: Usage, limit_units: int, units: int) -> bool:
    """Whether a hold of `units` keeps the home node within `limit_units`."""
    return usage.home_owes + units <= limit_units


def may_accrue(usage: Usage, limit_units: int, units: int) -> bool:
    """Whether an earning of `units` keeps the acquirer within `limit_units`."""
    return usage.acquirer_owes + units <= limit_units


def reserve(usage: Usage, units: int) -> Usage:
    """Counts a hold; with negative units it is no longer one."""
    return replace(usage, reserved=usage.reserved + units)


def queue(usage: Usage, units: int) -> Usage:
    """Counts an earning that waits; with negative units it no longer does."""
    return replace(usage, queued=usage.queued + units)


def post(usage: Usage, kind: RecordKind, units: int) -> Usage:
    """Counts a record. Returns are not capped: what was owed wrongly must always be able to go back."""
    return replace(usage, position=usage.position + owed_by_home(kind, units))


def alert(before_units: int, after_units: int, cap_units: int) -> int | None:
    """The highest of ALERT_PERCENTS that a debt has just reached; None where it has reached none anew."""
    reached = [
        percent for percent in ALERT_PERCENTS if before_units * 100 < cap_units * percent <= after_units * 100
    ]
    return max(reached, default=None)


def even_slices(cap_units: int, partitions: int) -> tuple[int, ...]:
    """A cap in equal slices, the rest with the first ones; together exactly the cap."""
    return tuple(even_slice(cap_units, partitions, number) for number in range(partitions))


def even_slice(cap_units: int, partitions: int, number: int) -> int:
    """The one of `even_slices` that partition `number` has."""
    whole, rest = divmod(max(0, cap_units), partitions)
    return whole + (1 if number < rest else 0)


def shrunk(slices: Mapping[int, int], used: Mapping[int, int], wanted: Mapping[int, int]) -> dict[int, int]:
    """Which partitions give how much up, so that others may have what they want: unused halves, largest
    first; and where those are not enough, all that is unused.

    Each must have made its smaller slice durable before another's is raised: see `leases`.
    """
    missing = sum(wanted.values())
    spare = {number: units - max(0, used.get(number, 0)) for number, units in slices.items()}
    givers = sorted(
        (number for number in spare if number not in wanted and spare[number] > 0),
        key=lambda one: (-spare[one], one),
    )
    given = dict.fromkeys(givers, 0)
    for part in (2, 1):
        for number in givers:
            more = min(spare[number] // part - given[number], missing)
            if more > 0:
                given[number] += more
                missing -= more
    return {number: slices[number] - units for number, units in given.items() if units}
