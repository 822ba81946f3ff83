"""What shards keep of the coalition, as stored records. The structs are those of `coalition`, stored as
they are.
"""

from __future__ import annotations

from msgspec import Struct

from node.coalition.acquirer_facts import AcquirerExchange, Secretly
from node.coalition.caps import Usage
from node.coalition.envelopes import Envelope
from node.coalition.home_facts import HomeExchange
from node.coalition.lanes import AcquirerLane, HomeLane
from node.coalition.leases import Lease
from node.coalition.proofs import ProofState
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.wire.records import Codec


class HomeLaneRecord(Struct, frozen=True, array_like=True):
    """A lane at the home node, with what counts against the slices of the caps that the partition has been
    leased; the lease itself lies under a key of its own, and is rarely written. Records up to
    `settled_number` were settled and paid.
    """

    lane: HomeLane
    usage: Usage = Usage()
    settled_number: int = 0


class LaneEntry(Struct, frozen=True, array_like=True):
    """A record of a lane: the very bytes that both sides signed; `request` is absent of a cut."""

    posted: Envelope
    request: Envelope | None = None


class PartnerRecord(Struct, frozen=True, array_like=True):
    """What counts, at the acquirer, against the caps between it and a home node; and the last window whose
    close both have signed, which lets nothing more into the lanes that it covers: all but `carried`.
    `settled_numbers` says by lane up to which record all was settled and paid.
    """

    usage: Usage = Usage()
    closed_window: int = 0
    carried: tuple[int, ...] = ()
    settled_numbers: tuple[tuple[int, int], ...] = ()


class DisputeRecord(Struct, frozen=True, array_like=True):
    """Why a lane was set aside, when, where it stood, and the message that was received: a Carried's
    bytes.
    """

    why: str
    at_ms: int
    number: int
    hash: bytes
    received: bytes


def envelope_bytes(envelope: Envelope) -> bytes:
    """An Envelope as it travels."""
    return envelope_pb2.Envelope(
        header=envelope.header, body=envelope.body, signature=envelope.signature
    ).SerializeToString()


class Restored(Struct, frozen=True, array_like=True):
    """That a partition came back from a backup of which partners may hold more; `without` are not waited
    for.

    `opened`: as their home node it has heard from all of them. `shown`: the home nodes that have shown what
    this node's tills have done with their members. `generation`: of the store since then, larger than in the
    backup; clocks may be wrong, and so do not tell what is older than a restore.
    """

    at_ms: int
    without: tuple[str, ...] = ()
    opened: bool = False
    shown: tuple[str, ...] = ()
    generation: int = 0


SECRETLY = Codec(Secretly)
HOME_EXCHANGE = Codec(HomeExchange)
ACQUIRER_EXCHANGE = Codec(AcquirerExchange)
HOME_LANE = Codec(HomeLaneRecord)
LEASE = Codec(Lease)
ACQUIRER_LANE = Codec(AcquirerLane)
LANE_ENTRY = Codec(LaneEntry)
PARTNER = Codec(PartnerRecord)
PROOFS = Codec(ProofState)
DISPUTE = Codec(DisputeRecord)
RESTORED = Codec(Restored)
