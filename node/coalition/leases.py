"""Cap leases: how the caps between two merchants lie in the home node's partitions, and how they move.

A lease is a share of the caps, in parts of WHOLE, and not an amount: whatever cap the directory names, the
slices are together no more than it, and a directory that lowers a cap lowers them all with it. Every
partition begins with an even share. It keeps what it has ever given to each of the others, and what it has
ever taken from each. Both only grow, and taken is what the giver has made durable, or less: so the shares are
never more than the whole, whatever is lost or comes twice, and the two numbers of a pair say what to do next.
After a partition has come back from an old backup the other one's number brings its own up again.

An id of a move is (giver, taker, what was given before): the same move twice moves once.
"""

from __future__ import annotations

from msgspec import Struct

from node.coalition import caps
from node.coalition.caps import Slice, Usage

WHOLE = 720_720 << 10
"""Parts of a cap. Even shares of it are exact for 1 to 16 partitions, and for 32 and 64."""
MOVED_MAX = 1 << 62
"""What one partition may ever give to another one; after some billions of moves the pair moves no more."""
NEAR_PERCENT = 80
"""Of a slice: where a partition asks for more, before it has to refuse."""


class Parts(Struct, frozen=True, array_like=True):
    """Parts of WHOLE: of the home node's cap towards the acquirer, and of the acquirer's towards it."""

    home: int = 0
    acquirer: int = 0


class Lease(Struct, frozen=True, array_like=True):
    """What a partition has ever given to others and taken from them, by their numbers."""

    given: dict[int, Parts] = {}
    taken: dict[int, Parts] = {}


class LeaseView(Struct, frozen=True, array_like=True):
    """A partition's lease with one partner, as a look at it finds it."""

    partner_id: str
    lease: Lease
    usage: Usage
    slices: Slice


def parts_of(lease: Lease, number: int, partitions: int) -> Parts:
    """A partition's share. Below zero only where it came back from a backup and has not heard from all
    others.
    """
    even = caps.even_slice(WHOLE, partitions, number)
    home = sum(one.home for one in lease.taken.values()) - sum(one.home for one in lease.given.values())
    acquirer = sum(one.acquirer for one in lease.taken.values()) - sum(
        one.acquirer for one in lease.given.values()
    )
    return Parts(even + home, even + acquirer)


def slice_of(parts: Parts, cap: Slice) -> Slice:
    """A share of the caps, in units; what does not come out whole is nobody's."""
    return Slice(cap.home_units * parts.home // WHOLE, cap.acquirer_units * parts.acquirer // WHOLE)


def short(usage: Usage, slices: Slice, asked: Slice) -> Slice:
    """How many units more a partition should have so that what is `asked` leaves it below NEAR_PERCENT."""
    return Slice(
        _short(usage.home_owes, slices.home_units, asked.home_units),
        _short(usage.acquirer_owes, slices.acquirer_units, asked.acquirer_units),
    )


def _short(owes: int, limit: int, asked: int) -> int:
    after = owes + asked
    if asked <= 0 or after <= 0 or after * 100 <= limit * NEAR_PERCENT:
        return 0
    return -(-after * 100 // NEAR_PERCENT) - limit


def give(
    lease: Lease, parts: Parts, taker: int, wanted: Slice, before: Parts, usage: Usage, cap: Slice
) -> Lease | None:
    """The giver's step: a smaller share, at most by what `wanted` units are, never by what it uses itself.

    None where nothing changes: it has nothing to give, or has given beyond `before` already.
    """
    given = lease.given.get(taker, Parts())
    if given != before:
        return None
    home = _spare(parts.home, wanted.home_units, usage.home_owes, cap.home_units)
    acquirer = _spare(parts.acquirer, wanted.acquirer_units, usage.acquirer_owes, cap.acquirer_units)
    after = Parts(given.home + home, given.acquirer + acquirer)
    if after == given or max(after.home, after.acquirer) > MOVED_MAX:
        return None
    return Lease({**lease.given, taker: after}, lease.taken)


def _spare(parts: int, wanted: int, owes: int, cap: int) -> int:
    """Parts that are not needed for what is owed, as far as they are wanted."""
    if wanted <= 0 or cap <= 0:
        return 0
    spare = max(0, parts - _parts_for(owes, cap))
    given = min(spare, _parts_for(wanted, cap))
    return spare if (spare - given) * cap < WHOLE else given  # less than a unit is of no use here


def _parts_for(units: int, cap: int) -> int:
    """The fewest parts of a cap whose slice is so many units."""
    return -(-max(0, units) * WHOLE // cap)


def hear(lease: Lease, other: int, theirs: Lease, number: int) -> Lease:
    """The lease of partition `number` after it has heard that of `other`, which is durable.

    What the other gave is taken, once; what the other took was given, also where this partition came back
    from a backup and has forgotten it.
    """
    to_us = _most(lease.taken.get(other, Parts()), theirs.given.get(number, Parts()))
    from_us = _most(lease.given.get(other, Parts()), theirs.taken.get(number, Parts()))
    heard = lease
    if to_us != lease.taken.get(other, Parts()):
        heard = Lease(heard.given, {**heard.taken, other: to_us})
    if from_us != lease.given.get(other, Parts()):
        heard = Lease({**heard.given, other: from_us}, heard.taken)
    return heard


def _most(one: Parts, other: Parts) -> Parts:
    return Parts(max(one.home, other.home), max(one.acquirer, other.acquirer))
