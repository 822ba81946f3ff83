"""What a merchant does about payments: once a window is paid, its records count against caps no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from node.actors.settling import Settling
from node.actors.settling_ports import LaneBooks
from node.coalition.directory import Directory
from node.settlement.documents import SignedClose
from node.settlement.windows import WindowState
from node.storage.settlement_keys import Item, item_key
from node.storage.store import Batch
from node.wire.settlement_lines import ReadStatement
from node.wire.settlement_rpc import WindowShown
from node.wire.settlement_store import RELIEVED, RelievedRecord

log = structlog.get_logger()


class PaymentsKnown(Protocol):
    """What the operator says of windows and their payments; None where it is not reached."""

    async def windows(self, from_number: int) -> list[WindowShown] | None:
        """The windows from a number on."""
        ...

    async def defaulted(self, window: int) -> frozenset[str] | None:
        """Who is in default of a window."""
        ...


class SettlingPaid:
    """Looks whether windows were paid, one after another, and tells the lanes."""

    def __init__(self, settling: Settling, lanes: LaneBooks, operator: Callable[[], PaymentsKnown]) -> None:
        self._settling = settling
        self._lanes = lanes
        self._operator = operator

    def relieved(self) -> int:
        """The newest window whose payments were taken off the caps; 0 for none."""
        data = self._settling.store.get(item_key(Item.RELIEVED))
        return 0 if data is None else RELIEVED.decode(data).window

    async def look(self, directory: Directory) -> None:
        """Takes what was paid off the caps, window by window. What stands with one in default stays on."""
        before = self.relieved()
        waiting = [
            one.number
            for one in directory.windows
            if one.number > before and self._settling.has_statement(one.number)
        ]
        if not waiting:
            return
        shown = await self._operator().windows(waiting[0]) or []
        states = {one.number: one.state for one in shown}
        for number in waiting:
            if states.get(number) is not WindowState.SETTLED:
                return
            defaulted = await self._operator().defaulted(number)
            statement = self._settling.statement(number)
            if defaulted is None or statement is None:
                return
            await self._relieve(statement, defaulted)
            batch = Batch()
            batch.put(item_key(Item.RELIEVED), RELIEVED.encode(RelievedRecord(number)))
            self._settling.store.write(batch)
            self._settling.store.sync()
            log.info("window_paid", window=number)

    async def _relieve(self, statement: ReadStatement, defaulted: frozenset[str]) -> None:
        own_id = self._settling.own_id
        for line in statement.lines:
            if not isinstance(line, SignedClose) or own_id not in line.close.pair:
                continue
            home = line.close.home_id == own_id
            partner_id = line.close.acquirer_id if home else line.close.home_id
            if {own_id, partner_id} & defaulted:
                continue
            for lane in line.close.lanes:
                await self._lanes.settled(partner_id, lane.lane, lane.to_number, home=home)
