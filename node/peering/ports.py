"""What peering needs of the rest of the node, and what it gives: bytes to and from partners, no decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from node.wire.coalition_frames import RecordsWish


class PartnerEntry(Struct, frozen=True):
    """What the directory says of how to reach a partner's node.

    `endpoints` (host:port) are tried in turn; none means that it only dials. `relay_partner_id` carries for
    it where it cannot be dialled: what travels beside messages is then sealed for `sealing_key`.
    """

    partner_id: str
    authority_pem: bytes
    endpoints: tuple[str, ...] = ()
    relay_partner_id: str = ""
    sealing_key: str = ""


class Peers(Struct, frozen=True):
    """This node's id, its own relay, and all its partners by id, itself left out."""

    own_id: str
    partners: Mapping[str, PartnerEntry]
    own_relay_id: str = ""

    def authorities(self) -> dict[str, bytes]:
        """The partners' authorities in PEM, by partner id."""
        return {partner_id: entry.authority_pem for partner_id, entry in self.partners.items()}


class Exchanging(Protocol):
    """What acts on partners' messages. `partner_id` is whose connection it came by: the sender, or a relay.

    A call may take as long as it must; what it raises is counted and ends nothing.
    """

    async def received(self, partner_id: str, carried: bytes) -> None:
        """Acts on one message; what there is to say goes out through `Links.send`."""
        ...

    async def answered(self, partner_id: str, carried: bytes) -> Sequence[bytes]:
        """Acts on one message and gives the answers (Carried) that there are at once: for unary calls."""
        ...

    async def lane_records(self, partner_id: str, wish: RecordsWish) -> Sequence[bytes]:
        """LaneRecords of a lane between this node and that partner; none where the lane is not theirs."""
        ...

    async def connected(self, partner_id: str) -> None:
        """A connection with the partner stands: what waits for it can be sent again."""
        ...


class Links(Protocol):
    """Channels to partners. The simulated network provides the same."""

    def connected(self, partner_id: str) -> bool:
        """Whether a message could leave now, directly or by a relay."""
        ...

    async def send(self, partner_id: str, carried: bytes) -> bool:
        """Queues a message; False where the partner's outbox is full, or there is no such partner.

        True promises nothing: a message may be lost on the way, or come twice. Whoever needs the answer
        sends again.
        """
        ...

    async def list_records(self, partner_id: str, wish: RecordsWish) -> Sequence[bytes] | None:
        """LaneRecords from the partner; None where it cannot be asked now."""
        ...
