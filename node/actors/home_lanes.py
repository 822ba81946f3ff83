"""The home node's lanes of a shard, in memory: what is durable of them, and whether they are open in this
life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from node.actors.turn import Opening
from node.actors.work import Work
from node.coalition import lanes, leases
from node.coalition.caps import Slice
from node.coalition.lanes import GENESIS, HomeLane
from node.coalition.leases import Lease, Parts
from node.coalition.messages import ExchangeReason, HeadAck, MessageType, Posted
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire import coalition_store as store
from node.wire.coalition_store import HomeLaneRecord

if TYPE_CHECKING:
    from node.actors.abroad import Abroad

AGAIN_MS = 200
"""The pause between two times that records of one lane are sent again, however often that is asked for."""
MAX_IDLE_RECORDS = 10
"""Unacknowledged records that an idle moment sends again."""


class Life:
    """A lane in this life of the process. `hello` are the bytes of the HELLO that waits for its reply."""

    def __init__(self, partition: int, partner_id: str, record: HomeLaneRecord, lease: Lease) -> None:
        self.partition = partition
        self.partner_id = partner_id
        self.record = record
        self.lease = lease
        self.ready = False
        self.hello = b""
        self.hello_ms = 0
        self.again_ms = 0
        self.request_nonce = b""


class HomeLanes:
    """All lanes of a shard on which this node is at home, by partition and partner."""

    def __init__(self, abroad: Abroad) -> None:
        self._abroad = abroad
        self._lives: dict[tuple[int, str], Life] = {}

    def life(self, partition: int, partner_id: str, work: Work) -> Life:
        """A lane, from the store where it is not in memory; shut until HELLO."""
        life = self._lives.get((partition, partner_id))
        if life is None:
            data = work.get(keys.lane_head_key(partition, Role.HOME, partner_id, partition))
            record = (
                HomeLaneRecord(HomeLane(partner_id, partition))
                if data is None
                else store.HOME_LANE.decode(data)
            )
            data = work.get(keys.lane_head_key(partition, Role.LEASE, partner_id, partition))
            lease = Lease() if data is None else store.LEASE.decode(data)
            life = self._lives[partition, partner_id] = Life(partition, partner_id, record, lease)
        return life

    def ready_in(self, partition: int) -> set[str]:
        """The partners whose lane in a partition is open."""
        return {
            life.partner_id for life in self._lives.values() if life.partition == partition and life.ready
        }

    def keep(self, life: Life, record: HomeLaneRecord, work: Work) -> None:
        """A lane as it stands from now on."""
        key = keys.lane_head_key(life.partition, Role.HOME, life.partner_id, life.partition)
        work.put(key, store.HOME_LANE.encode(record))
        life.record = record

    def slices(self, life: Life) -> Slice:
        """What this partition may let come to be owed: its share of whatever the caps are now."""
        return leases.slice_of(self.parts(life), self.cap(life.partner_id))

    def parts(self, life: Life) -> Parts:
        """This partition's share of the caps."""
        return leases.parts_of(life.lease, life.partition, self._abroad.desk.settings.partitions)

    def cap(self, partner_id: str) -> Slice:
        """The whole of both caps, by the newest directory."""
        own_id, directory = self._abroad.spec.own_id, self._abroad.directory
        return Slice(directory.cap(own_id, partner_id), directory.cap(partner_id, own_id))

    def lease(self, life: Life, lease: Lease, work: Work) -> None:
        """What this partition has given and taken from now on."""
        key = keys.lane_head_key(life.partition, Role.LEASE, life.partner_id, life.partition)
        work.put(key, store.LEASE.encode(lease))
        life.lease = lease

    def hash_at(self, opening: Opening, life: Life, number: int) -> bytes | None:
        """The chain's hash at a number; None where there is no such record."""
        lane = life.record.lane
        if number == lane.number:
            return lane.hash
        if number == 0:
            return GENESIS
        key = keys.lane_record_key(life.partition, Role.HOME, life.partner_id, life.partition, number)
        data = opening.work.get(key)
        if data is None:
            return None
        body = self._abroad.encoder.read(MessageType.POSTED, store.LANE_ENTRY.decode(data).posted.body)
        assert isinstance(body, Posted)
        return body.hash

    def acknowledged(
        self, life: Life, ack: HeadAck, hash_at: bytes | None, clock_ms: int
    ) -> range | ExchangeReason:
        """Takes an acknowledgement; gives the numbers to say again. In memory alone: HELLO asks again
        anyway.
        """
        taken = lanes.on_head_ack(life.record.lane, ack, hash_at)
        if isinstance(taken, ExchangeReason):
            return taken
        lane, again = taken
        life.record = replace(life.record, lane=lane)
        if not again or clock_ms - life.again_ms < AGAIN_MS:
            return range(0)
        life.again_ms = clock_ms
        return again

    def unacknowledged(self, life: Life) -> range:
        """The oldest records that the acquirer has not acknowledged."""
        lane = life.record.lane
        return range(lane.acked + 1, min(lane.number, lane.acked + MAX_IDLE_RECORDS) + 1)
