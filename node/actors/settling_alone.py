"""Closes that one side handed in alone, made again from own records before a statement is kept."""

from __future__ import annotations

from node.actors.settling import Pair, Settling
from node.actors.settling_ports import LaneBooks
from node.settlement.documents import CloseBasis, SignedClose
from node.wire.settlement import close_bytes
from node.wire.settlement_lines import read_signed_statement


async def made_alone(settling: Settling, lanes: LaneBooks, data: bytes) -> dict[Pair, bytes]:
    """What this node's own records give for those closes of its pairs that one side handed in alone, as far
    as these go. `data` is a published statement; raises DocumentUnreadable, and what `lanes` raises.

    Such a close may stand where both had signed one that did not reach the operator in time; what it leaves
    out comes into the next window.
    """
    made = {}
    for line in read_signed_statement(data).lines:
        if not isinstance(line, SignedClose) or line.close.basis is CloseBasis.AGREED:
            continue
        close, pair = line.close, line.close.pair
        if settling.own_id in pair:
            home = pair[0] == settling.own_id
            known = await lanes.lanes(pair[1] if home else pair[0], home=home)
            starts = {one.lane: one.number for one in settling.starts(pair).lanes}
            until = {lane: starts.get(lane, 0) for lane in {*known, *starts}}
            until |= {one.lane: one.to_number for one in close.lanes}
            own = await settling.compute(pair, close.window, basis=close.basis, until=until)
            made[pair] = close_bytes(own)
    return made
