"""How lanes stand, as a shard tells the gateway: for the merchant's own people, and for nothing else."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from node.coalition.caps import Usage


class LaneState(Struct, frozen=True, array_like=True):
    """One lane. `missing` are the records that one side has and the other has not shown or acknowledged.

    `is_open`: HELLO has been answered in this life of the shard. `dispute` says why it was set aside; empty
    where it was not.
    """

    partner_id: str
    home: bool
    lane: int
    number: int = 0
    epoch: int = 0
    missing: int = 0
    is_open: bool = False
    dispute: str = ""


class LaneStates(Struct, frozen=True, array_like=True):
    """LANE_STATES: lanes with partners in one partition, and what counts against the caps there, by partner.

    `waiting` are exchanges that this node asks a home node about until it has answered: (partner, how many,
    when the oldest was begun); at most MAX_WAITING are looked at.
    """

    lanes: tuple[LaneState, ...] = ()
    usage: tuple[tuple[str, Usage], ...] = ()
    waiting: tuple[tuple[str, int, int], ...] = ()


MAX_WAITING = 500
LANE_STATES = msgspec.msgpack.Decoder(LaneStates)
