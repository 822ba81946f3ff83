"""The node's side towards partners: its links, the port where they dial, and the directory kept new.

It is there on every node. Without a directory there are no partners, and nobody is let in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from node.actors.directories import Directories
from node.config import CoalitionSection, split_address
from node.identity.ca import Authority
from node.identity.peers import new_peer_identity
from node.ledger.refusals import Refused
from node.peering.links import GrpcLinks
from node.peering.ports import Exchanging, PartnerEntry, Peers
from node.peering.refresh import Refresh
from node.rpc.peer import PeerServer, PeerService
from node.telemetry import Figures
from node.wire.coalition_directory import directory_answer
from node.wire.coalition_trust import KnownDirectories

STOP_SECONDS = 2.0

log = structlog.get_logger()


def peers_of(known: KnownDirectories | None, own_id: str) -> Peers:
    """Whom to link, as the newest directory says: partners that left too, to finish what is under way."""
    if known is None:
        return Peers(own_id, {})
    entries = {
        partner.partner_id: PartnerEntry(
            partner.partner_id,
            partner.authority_pem,
            partner.endpoints,
            partner.relay_partner_id,
            partner.sealing_key,
        )
        for partner in known.newest.partners
        if partner.partner_id != own_id
    }
    own = known.newest.partner(own_id)
    return Peers(own_id, entries, own.relay_partner_id if own else "")


async def _nobody() -> None:
    """Nobody else has to know."""


class Partners:
    """Links, port and refresh of one node. `start`, then `stop`; `links` may be used from the beginning.

    `followed` is told of a directory that was taken into use, before the links are.
    """

    def __init__(
        self,
        own_id: str,
        authority: Authority,
        section: CoalitionSection,
        directories: Directories,
        exchanging: Exchanging,
        figures: Figures,
        followed: Callable[[], Awaitable[None]] = _nobody,
    ) -> None:
        now_ms = time.time_ns() // 1_000_000
        identity = new_peer_identity(authority, own_id, now_ms=now_ms)
        self.links = GrpcLinks(identity, exchanging, figures)
        self.address = ""
        self._own_id = own_id
        self._followed = followed
        self._section = section
        self._directories = directories
        service = PeerService(self.links, exchanging, self._directory, figures)
        self._server = PeerServer(service, identity, self.links) if section.peer_listen else None
        self._refresh = Refresh(
            section.directory_file, section.directory_refresh_seconds, self.links, self.offer
        )
        self._updated = asyncio.Event()
        self._updating: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listens, dials, and looks for newer directories; gives the address, empty where it only dials."""
        self._directories.changed = self._updated.set
        await self._update()
        self._updating = asyncio.get_running_loop().create_task(self._follow())
        if self._server is not None:
            host, _ = split_address(self._section.peer_listen)
            port = await self._server.start(self._section.peer_listen)
            self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._refresh.start()
        return self.address

    async def stop(self) -> None:
        """Takes nothing more from partners, and closes the links."""
        await self._refresh.stop()
        if self._updating is not None:
            self._updating.cancel()
        await self.links.close()
        if self._server is not None:
            await self._server.stop(STOP_SECONDS)

    def offer(self, data: bytes) -> str:
        """Takes a directory that a file or a partner showed into use; says why not, empty where it did."""
        if self._directories.known is None:
            return "this node follows no directory yet; take the first one with `vafa join --directory`"
        found = self._directories.adopt(data, time.time_ns() // 1_000_000)
        return found.message if isinstance(found, Refused) and not _old(found) else ""

    def _directory(self) -> bytes:
        known = self._directories.known
        return directory_answer(b"" if known is None else known.data)

    async def _update(self) -> None:
        known = self._directories.known
        if known is not None:  # whoever is about to be linked must find shards that know of it
            await self._followed()
        await self.links.update(peers_of(known, self._own_id))
        if known is not None:
            log.info(
                "directory_in_use",
                coalition=known.coalition_id,
                version=known.newest.version,
                admitted=known.newest.partner(self._own_id) is not None,
            )

    async def _follow(self) -> None:
        while True:
            await self._updated.wait()
            self._updated.clear()
            await self._update()


def _old(refused: Refused) -> bool:
    """Whether it was only an older one: a partner that has not heard of the newest yet is no news."""
    return dict(refused.details).get("problem") == "older"
