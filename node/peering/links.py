"""All links of this node: one a partner of the directory, dialled from here, from there, or both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import structlog

from node.identity.peers import PeerIdentity
from node.peering.connection import Connection
from node.peering.dialler import Dialler
from node.peering.link import PeerLink
from node.peering.ports import Exchanging, PartnerEntry, Peers
from node.peering.relay import carries, relays_towards
from node.telemetry import PEER_REFUSED, Figures
from node.wire.coalition_beside import sealed_for
from node.wire.coalition_frames import (
    FrameUnreadable,
    RecordsWish,
    read_records,
    receiver_of,
    wish_bytes,
)

log = structlog.get_logger()


class GrpcLinks:
    """The links as `ports.Links`. To be made, updated and closed on one event loop.

    `update` takes a new directory into use: links of partners that stay as they are stay up.
    """

    def __init__(
        self,
        identity: PeerIdentity,
        exchanging: Exchanging,
        figures: Figures,
        chance: random.Random | None = None,
    ) -> None:
        self._identity = identity
        self._exchanging = exchanging
        self._figures = figures
        self._chance = chance or random.Random()  # noqa: S311 - jitter, no secret
        self._links: dict[str, PeerLink] = {}
        self._diallers: dict[str, Dialler] = {}
        self._closed = False
        self.peers = Peers(identity.partner_id, {})

    async def update(self, peers: Peers) -> None:
        """Takes a new directory: new partners are linked, absent ones dropped, moved ones dialled anew."""
        before, self.peers = self.peers, peers
        for partner_id in before.partners.keys() - peers.partners.keys():
            await self._drop(partner_id)
        for partner_id, entry in peers.partners.items():
            known = before.partners.get(partner_id)
            if known == entry:
                continue
            link = self._links.get(partner_id)
            if link is None:
                link = self._links[partner_id] = PeerLink(
                    self._identity.partner_id, partner_id, self._exchanging, self._act, self._figures
                )
            await self._redial(link, entry, known)

    async def _redial(self, link: PeerLink, entry: PartnerEntry, known: PartnerEntry | None) -> None:
        dialler = self._diallers.pop(entry.partner_id, None)
        if dialler is not None:
            await dialler.close()
        if known is not None and known.authority_pem != entry.authority_pem:
            link.drop()
        self._diallers[entry.partner_id] = Dialler(entry, self._identity, link, self._figures, self._chance)

    async def _drop(self, partner_id: str) -> None:
        await self._diallers.pop(partner_id).close()
        await self._links.pop(partner_id).close()

    def link(self, partner_id: str) -> PeerLink | None:
        """The link to a partner; None where the directory has none of that id."""
        return self._links.get(partner_id)

    def waiting(self) -> dict[str, tuple[bool, int]]:
        """For each partner: whether a connection stands, and how many messages wait for one."""
        return {name: (link.connected, len(link.outbox)) for name, link in self._links.items()}

    def connected(self, partner_id: str) -> bool:
        """Whether a message could leave now: by a stream, by calls, or by a relay."""
        link = self._links.get(partner_id)
        if link is None:
            return False
        return link.reached or any(
            self._links[relay].connected for relay in relays_towards(self.peers, partner_id)
        )

    async def send(self, partner_id: str, carried: bytes) -> bool:
        """Queues a message: on the partner's link, or while that is down on a relay's that stands."""
        link = self._links.get(partner_id)
        if link is None or self._closed:
            return False
        if not link.reached:
            for relay in relays_towards(self.peers, partner_id):
                if self._links[relay].connected:
                    return self._by_relay(relay, partner_id, carried)
        return link.send(carried)

    def _by_relay(self, relay_id: str, partner_id: str, carried: bytes) -> bool:
        """Through somebody else's hands goes only what they cannot read."""
        sealed = sealed_for(self.peers.partners[partner_id].sealing_key, carried)
        if sealed is None:
            self._figures.count(PEER_REFUSED, partner_id, "NO_SEALING_KEY").add()
            return False
        return self._links[relay_id].send(sealed)

    async def list_records(self, partner_id: str, wish: RecordsWish) -> Sequence[bytes] | None:
        """LaneRecords: over the stream that stands, else by a call of its own."""
        link = self._links.get(partner_id)
        if link is None:
            return None
        records = await link.list_records(wish)
        if records is not None:
            return records
        answer = await self._diallers[partner_id].unary("ListLaneRecords", wish_bytes(wish))
        try:
            return None if answer is None else read_records(answer)
        except FrameUnreadable:
            return None

    async def fetch_directory(self, partner_id: str) -> bytes | None:
        """The GetDirectoryResponse of a partner, unread; None where it cannot be asked."""
        dialler = self._diallers.get(partner_id)
        return await dialler.unary("GetDirectory", b"") if dialler else None

    def admits(self, partner_id: str) -> bool:
        """Whether a connection that the partner has dialled would be kept beside the one that stands."""
        link = self._links.get(partner_id)
        return link is None or link.admits(partner_id)

    async def accept(self, partner_id: str, connection: Connection) -> None:
        """Runs a connection that the partner dialled and that was admitted, until it ends."""
        link = self._links.get(partner_id)
        if link is not None and not self._closed:
            await link.run(connection)

    async def close(self) -> None:
        """Ends all connections. What waits in memory is gone: whoever needs an answer sends anew."""
        self._closed = True
        await asyncio.gather(*(dialler.close() for dialler in self._diallers.values()))
        await asyncio.gather(*(link.close() for link in self._links.values()))

    async def _act(self, partner_id: str, carried: bytes) -> None:
        """What came on a connection: this node's own, or somebody else's that it is the relay of."""
        receiver_id = receiver_of(carried)
        if not carries(self.peers, partner_id, receiver_id):
            await self._exchanging.received(partner_id, carried)  # which refuses by name what is not for it
        elif not self._links[receiver_id].send(carried):
            # The sender hears nothing and sends again; the relay's memory stays bounded.
            self._figures.count(PEER_REFUSED, partner_id, "OVERLOADED").add()
