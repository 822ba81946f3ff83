"""Merchants that settle with each other in memory: real messages, real signatures, each with records of its
own.
"""

from collections.abc import Sequence

from node.actors.settling import Settling
from node.actors.settling_ports import SettlingFault
from node.coalition.caps import Usage
from node.settlement.closes import LanePart, LaneStart
from node.settlement.documents import PairClose
from node.settlement.peer_messages import Said
from node.storage.memory import MemoryStore
from node.wire.coalition_store import LaneEntry
from node.wire.settlement_peer import peer_bytes, read_peer
from node.wire.settlement_scan import LaneBroken, entry_of, lane_part, stored_of
from tests.settlement.settlement_world import World


class HeldLanes:
    """A merchant's lanes: what the world made, unless a test says that this merchant holds something else."""

    def __init__(self, own_id: str, world: World) -> None:
        self.own_id = own_id
        self.world = world
        self.held: dict[tuple[str, str, int], list[bytes]] = {}
        self.paid: list[tuple[str, str, int, int]] = []

    def records(self, partner_id: str, lane: int, *, home: bool) -> list[bytes]:
        key = (self.own_id, partner_id, lane) if home else (partner_id, self.own_id, lane)
        return self.held.get(key, self.world.records.get(key, []))

    async def lanes(self, partner_id: str, *, home: bool) -> Sequence[int]:
        pair = (self.own_id, partner_id) if home else (partner_id, self.own_id)
        return sorted({key[2] for key in self.world.records if key[:2] == pair})

    async def part(
        self, partner_id: str, start: LaneStart, window: int, *, home: bool, until: int | None = None
    ) -> LanePart:
        records = self.records(partner_id, start.lane, home=home)[start.number :]
        try:
            part = lane_part(start, window, map(stored_of, records), until=until)
        except LaneBroken as broken:
            raise SettlingFault(str(broken)) from None
        if not isinstance(part, LanePart):
            raise SettlingFault(part)
        return part

    async def acked(self, partner_id: str, lane: int, window: int) -> tuple[int, bytes]:
        said = self.world.acks.get((self.own_id, partner_id, lane), [])
        return next(((number, one) for of, number, one in reversed(said) if of <= window), (0, b""))

    async def shut_home(self, partner_id: str, window: int) -> None:
        """Records of a world are made all at once: none comes after its window was closed."""

    async def mend(self, partner_id: str, lane: int, entry: LaneEntry, *, home: bool) -> bool:
        key = (self.own_id, partner_id, lane) if home else (partner_id, self.own_id, lane)
        whole = self.world.records[key]
        if entry not in map(entry_of, whole):
            return False
        self.held[key] = [one for one in whole if one in self.held[key] or entry_of(one) == entry]
        return True

    async def settled(self, partner_id: str, lane: int, number: int, *, home: bool) -> None:
        pair = (self.own_id, partner_id) if home else (partner_id, self.own_id)
        self.paid.append((*pair, lane, number))

    async def usage(self, partner_id: str) -> tuple[Usage, Usage]:
        return Usage(), Usage()

    async def entries(
        self, partner_id: str, lane: int, numbers: Sequence[int], *, home: bool
    ) -> Sequence[LaneEntry | None]:
        records = self.records(partner_id, lane, home=home)
        return [entry_of(records[number - 1]) if 0 < number <= len(records) else None for number in numbers]

    async def shut(self, close: PairClose, starts: Sequence[LaneStart]) -> bool:
        return True  # these lanes never grow


class Bazaar:
    """All merchants of a world, reachable from each other. `away` are those that answer nothing."""

    def __init__(self, world: World, now_ms: int) -> None:
        self.world = world
        self.now_ms = now_ms
        self.away: set[str] = set()
        self.asked: list[tuple[str, str, Said]] = []
        self.stores = {own_id: MemoryStore() for own_id in world.coalition.signers}
        self.lanes = {own_id: HeldLanes(own_id, world) for own_id in world.coalition.signers}
        self.merchants = {own_id: self.opened(own_id) for own_id in world.coalition.signers}

    def opened(self, own_id: str) -> Settling:
        """A merchant's settling as it is after a start: from its store."""
        coalition = self.world.coalition
        made = Settling(
            own_id,
            self.stores[own_id],
            lambda: coalition.directory,
            lambda: [coalition.operator.public_uri],
            lambda: coalition.signers[own_id],
            self.lanes[own_id],
            _Voice(self, own_id),
            self.world.open,
            lambda: self.now_ms,
        )
        self.merchants = getattr(self, "merchants", {}) | {own_id: made}
        return made

    async def deliver(self, sender: str, receiver: str, said: Said) -> Said | None:
        self.asked.append((sender, receiver, said))
        if receiver in self.away:
            return None
        _, heard = read_peer(peer_bytes(bytes(16), said))
        assert heard == said
        answer = await self.merchants[receiver].answer(sender, heard)
        return None if answer is None else read_peer(peer_bytes(bytes(16), answer))[1]


class _Voice:
    def __init__(self, bazaar: Bazaar, own_id: str) -> None:
        self._bazaar, self._own_id = bazaar, own_id

    async def ask(self, partner_id: str, said: Said) -> Said | None:
        return await self._bazaar.deliver(self._own_id, partner_id, said)
