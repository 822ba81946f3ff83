"""A merchant's lanes as it shows them when it has lost records, or made others up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from node.actors.exchanging import Exchanging
from node.actors.settling_lanes import ShardLanes
from node.actors.settling_ports import SettlingFault
from node.coalition.lanes import chain
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2
from node.settlement.closes import LanePart, LaneStart
from node.settlement.disputes import QUESTIONS_MAX
from node.wire.coalition import PAYLOAD_TYPE
from node.wire.coalition_store import LANE_ENTRY, LaneEntry
from node.wire.settlement_scan import LaneBroken, lane_part
from simulators.settlement.acts import FOUND_AS, Act, ActKind
from simulators.sim.coalition import SIGNERS

MADE_UP_UNITS = 1_000
LOSSES = (ActKind.ACQUIRER_LOST, ActKind.HOME_LOST)


class BentLanes(ShardLanes):
    """`ShardLanes` of one merchant. Each of its acts bends one lane of one window, once that has records.

    `late` says whether it is too late for an act: what was lost has been fetched from elsewhere by then, and
    what was made up is of no use any more.
    """

    def __init__(
        self,
        exchanging: Exchanging,
        acts: Sequence[Act],
        happens: Callable[[Act], None],
        late: Callable[[Act], bool],
    ) -> None:
        super().__init__(exchanging)
        self._all = acts
        self._happens = happens
        self._late = late

    @property
    def _acts(self) -> list[Act]:
        for act in self._all:
            act.over = act.over or self._late(act)
        return [act for act in self._all if act.kind in FOUND_AS]

    async def part(
        self, partner_id: str, start: LaneStart, window: int, *, home: bool, until: int | None = None
    ) -> LanePart:
        real = await super().part(partner_id, start, window, home=home, until=until)
        whole = real if until is None else await super().part(partner_id, start, window, home=home)
        for act in self._acts:
            if (act.partner, act.home) != (partner_id, home) or act.over:
                continue
            if window > act.window:
                act.over = True
            elif window == act.window and whole.close.record_count:
                shown = await self._shown(act, whole)
                if act.lane == start.lane:
                    stored = [LANE_ENTRY.encode(entry) for entry in shown]
                    try:
                        part = lane_part(start, window, stored, until=until)
                    except LaneBroken as broken:
                        raise SettlingFault(str(broken)) from None
                    assert isinstance(part, LanePart), part
                    return part
        return real

    async def entries(
        self, partner_id: str, lane: int, numbers: Sequence[int], *, home: bool
    ) -> Sequence[LaneEntry | None]:
        found = list(await super().entries(partner_id, lane, numbers, home=home))
        for act in self._acts:
            if (act.partner, act.home, act.lane) != (partner_id, home, lane) or act.over:
                continue
            if act.kind in LOSSES:
                lost = range(act.number, act.end + 1)
                found = [None if number in lost else one for number, one in zip(numbers, found, strict=True)]
            else:
                made_up = await self._made_up(act)
                found = [made_up.get(number, one) for number, one in zip(numbers, found, strict=True)]
        return found

    async def mend(self, partner_id: str, lane: int, entry: LaneEntry, *, home: bool) -> bool:
        for act in self._acts:
            if (act.partner, act.home, act.lane) == (partner_id, home, lane) and act.kind in LOSSES:
                (real,) = await super().entries(partner_id, lane, [act.number], home=home)
                if not act.over and entry == real:
                    act.number += 1
                    act.over = act.number > act.end
                    return True
        return await super().mend(partner_id, lane, entry, home=home)

    async def _shown(self, act: Act, whole: LanePart) -> list[LaneEntry]:
        """The lane's records of the window as they are shown; the act is placed where it has no place yet."""
        close = whole.close
        numbers = range(close.from_number, close.to_number + 1)
        real = await self._real(act, close.lane, numbers)
        if act.lane < 0:
            last = close.to_number
            if act.kind is ActKind.HOME_LOST:
                # The rest is still being sent; a node that had lost it would send nothing.
                last, _ = await self.acked(act.partner, close.lane, act.window)
            wanted = [
                number
                for number, entry in zip(numbers, real, strict=True)
                if entry.request is not None and number <= last
            ]
            if not wanted:
                return real
            act.lane, act.number, act.end = close.lane, wanted[act.draw % len(wanted)], close.to_number
            self._happens(act)
        if act.lane != close.lane:
            return real
        act.end = close.to_number  # records of the window that came late are bent, too
        if act.kind in LOSSES:
            return real[: max(0, act.number - close.from_number)] + real[act.end + 1 - close.from_number :]
        made_up = await self._made_up(act)
        return [made_up.get(number, entry) for number, entry in zip(numbers, real, strict=True)]

    async def _real(self, act: Act, lane: int, numbers: Sequence[int]) -> list[LaneEntry]:
        found: list[LaneEntry] = []
        for at in range(0, len(numbers), QUESTIONS_MAX):
            some = await super().entries(act.partner, lane, numbers[at : at + QUESTIONS_MAX], home=act.home)
            found += [one for one in some if one is not None]
        return found

    async def _made_up(self, act: Act) -> dict[int, LaneEntry]:
        """What stands for the records from the act's number on: the first says more, the others follow."""
        numbers = range(act.number - 1, act.end + 1)
        real = await self._real(act, act.lane, [one for one in numbers if one])
        before = real.pop(0) if act.number > 1 else None
        digest = bytes(32) if before is None else exchange_pb2.Posted.FromString(before.posted.body).hash
        made = {}
        for number, entry in zip(numbers[1:], real, strict=True):
            entry, digest = _instead(act, entry, digest, more=number == act.number)
            made[number] = entry
        return made


def _instead(act: Act, entry: LaneEntry, before: bytes, *, more: bool) -> tuple[LaneEntry, bytes]:
    """A record that follows from `before`, with more units; the home node signs it, an acquirer cannot."""
    body = exchange_pb2.Posted.FromString(entry.posted.body)
    core = exchange_pb2.PostedCore.FromString(body.core)
    core.units += MADE_UP_UNITS * more
    body.core = core.SerializeToString()
    body.hash = chain(before, entry.request.header if entry.request else b"", body.core)
    data = body.SerializeToString()
    header = envelope_pb2.Header.FromString(entry.posted.header)
    header.body_hash = hashlib.sha256(data).digest()
    signed = header.SerializeToString()
    signature = entry.posted.signature
    if act.kind is ActKind.FORKED:
        signature = SIGNERS[act.who].sign(PAYLOAD_TYPE, signed)
    posted = replace(entry.posted, header=signed, body=data, signature=signature)
    return replace(entry, posted=posted), body.hash
