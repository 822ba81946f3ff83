"""What is owed to whom at this moment: a merchant's records that no statement has settled yet, summed."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from node.actors.settling import Settling
from node.actors.settling_ports import LaneBooks
from node.coalition.caps import Usage
from node.coalition.directory import Directory
from node.settlement.closes import LaneStart, PairNames, pair_close
from node.settlement.documents import CloseSum
from node.settlement.netting import UnitValue, unit_values, worth
from node.settlement.windows import terms_of

EVERY_WINDOW = 1 << 60
"""Records of whatever window there is."""


class Side(Struct, frozen=True):
    """The unsettled records of one direction: sums by kind, purse and rate, and how many."""

    sums: tuple[CloseSum, ...]
    record_count: int


class PairNow(Struct, frozen=True):
    """How this merchant stands with a partner. `owed_micro` is what the partner owes it, in micro-units of
    the settlement currency; without `priced` some rate has no worth there, and it is left out.
    """

    partner_id: str
    home: Side
    acquirer: Side
    owed_micro: int
    priced: bool
    usage: tuple[Usage, Usage]


async def pair_now(
    settling: Settling, lanes: LaneBooks, directory: Directory, partner_id: str, window: int
) -> PairNow:
    """The position with one partner; LanesUnavailable and SettlingFault as the lanes raise them."""
    terms = terms_of(directory, window)
    values = unit_values(directory, terms) if terms else {}
    home = await _side(settling, lanes, (settling.own_id, partner_id))
    acquirer = await _side(settling, lanes, (partner_id, settling.own_id))
    owed = _worth(home, values) - _worth(acquirer, values)
    priced = all(one.rate_version in values for side in (home, acquirer) for one in side.sums)
    usage = await lanes.usage(partner_id)
    return PairNow(partner_id, home, acquirer, owed, priced, usage)


async def _side(settling: Settling, lanes: LaneBooks, pair: tuple[str, str]) -> Side:
    home = pair[0] == settling.own_id
    partner_id = pair[1] if home else pair[0]
    starts = {one.lane: one for one in settling.starts(pair).lanes}
    parts = [
        await lanes.part(partner_id, starts.get(lane) or LaneStart(lane), EVERY_WINDOW, home=home)
        for lane in await lanes.lanes(partner_id, home=home)
    ]
    close = pair_close(PairNames("", 0, *pair), parts)
    return Side(close.sums, sum(one.record_count for one in close.sums))


def _worth(side: Side, values: Mapping[int, UnitValue]) -> int:
    return sum(worth(one, values) for one in side.sums if one.rate_version in values)
