"""Bodies of the commands that look at leases of caps and move them; answers come in an Outcome's `leases`."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from node.coalition.caps import Slice
from node.coalition.leases import Lease, Parts


class GiveWish(Struct, frozen=True, array_like=True):
    """LEASE_GIVE: so many units to partition `taker`, where `before` is all that it has ever been given."""

    partner_id: str
    taker: int
    wanted: Slice
    before: Parts


class HearWish(Struct, frozen=True, array_like=True):
    """LEASE_HEAR: the lease of partition `other`, as it is durable there."""

    partner_id: str
    other: int
    lease: Lease


GIVE = msgspec.msgpack.Decoder(GiveWish)
HEAR = msgspec.msgpack.Decoder(HearWish)
