"""The acquirer's lanes of a shard, in memory: all that is kept of a home node, and which lanes are open in
this life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from node.actors.work import Work
from node.coalition.caps import Usage
from node.coalition.lanes import AcquirerLane
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire import coalition_store as store
from node.wire.coalition_store import PartnerRecord

if TYPE_CHECKING:
    from node.actors.abroad import Abroad

MAX_LANES = 64


class Partner:
    """A home node as this node knows it. `heard` are the lanes whose HELLO came in this life of the
    process.
    """

    def __init__(
        self, partition: int, partner_id: str, record: PartnerRecord, lanes: dict[int, AcquirerLane]
    ) -> None:
        self.partition = partition
        self.partner_id = partner_id
        self.record = record
        self.lanes = lanes
        self.heard: set[int] = set()

    @property
    def usage(self) -> Usage:
        """What counts against the caps between this node and the home node."""
        return self.record.usage

    def closed_window(self, lane: int) -> int:
        """The last window of which the lane takes no record any more."""
        return 0 if lane in self.record.carried else self.record.closed_window

    def is_ready(self, lane: int) -> bool:
        """Whether something may be signed on a lane: HELLO came, and nothing is missing."""
        known = self.lanes.get(lane)
        return known is not None and lane in self.heard and not known.behind and not known.disputed

    def is_caught_up(self, lanes: int) -> bool:
        """Whether all of a home node's so many lanes are ready."""
        return len(self.heard) >= lanes and all(self.is_ready(lane) for lane in range(lanes))


class AcquirerLanes:
    """All home nodes of a shard's partitions, by partition and partner."""

    def __init__(self, abroad: Abroad) -> None:
        self._abroad = abroad
        self._partners: dict[tuple[int, str], Partner] = {}

    def partner(self, partition: int, partner_id: str, work: Work) -> Partner:
        """A home node, from the store where it is not in memory."""
        partner = self._partners.get((partition, partner_id))
        if partner is None:
            data = work.get(keys.lane_head_key(partition, Role.PARTNER, partner_id, 0))
            record = PartnerRecord() if data is None else store.PARTNER.decode(data)
            heads = work.scan(*keys.lane_heads_range(partition, Role.ACQUIRER, partner_id), MAX_LANES)
            lanes = [store.ACQUIRER_LANE.decode(value) for _, value in heads]
            partner = Partner(partition, partner_id, record, {lane.lane: lane for lane in lanes})
            self._partners[partition, partner_id] = partner
        return partner

    def keep(self, partner: Partner, lane: AcquirerLane | None, usage: Usage | None, work: Work) -> None:
        """What has changed of a home node."""
        if lane is not None:
            key = keys.lane_head_key(partner.partition, Role.ACQUIRER, partner.partner_id, lane.lane)
            work.put(key, store.ACQUIRER_LANE.encode(lane))
            partner.lanes[lane.lane] = lane
        if usage is not None and usage != partner.usage:
            self.keep_record(partner, replace(partner.record, usage=usage), work)

    def keep_record(self, partner: Partner, record: PartnerRecord, work: Work) -> None:
        """What has changed of what is kept of a home node over all its lanes."""
        key = keys.lane_head_key(partner.partition, Role.PARTNER, partner.partner_id, 0)
        work.put(key, store.PARTNER.encode(record))
        partner.record = record
