"""A merchant's settlement, put together: its lanes, its partners, the operator's service, and what looks
after them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from node.actors.exchanging import Exchanging
from node.actors.settling import Settling
from node.actors.settling_keeper import SettlingKeeper
from node.actors.settling_lanes import PeerVoice, ShardLanes
from node.coalition.directory import Directory, OperatorNode
from node.coalition.envelopes import Message
from node.identity.ca import Authority
from node.identity.peers import new_peer_identity
from node.identity.signers import Signer
from node.peering.operator_client import OperatorClient, OperatorRefuses
from node.rpc.merchant_settlement import MerchantSettlementService
from node.storage.store import Store
from node.wire.coalition import Opener, Unopened
from node.wire.coalition_trust import KnownDirectories


class SettlementSide:
    """One node's settlement. Without a directory it does nothing. `start` once the node serves."""

    def __init__(
        self,
        own_id: str,
        store: Store,
        exchanging: Exchanging,
        authority: Authority,
        signer_at: Callable[[int], Signer],
        clock_ms: Callable[[], int],
    ) -> None:
        self._exchanging = exchanging
        self._identity = new_peer_identity(authority, own_id, now_ms=clock_ms())
        self._client: tuple[OperatorNode | None, OperatorClient] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._opener = Opener(own_id, self._known)
        self._clock_ms = clock_ms
        lanes, voice = ShardLanes(exchanging), PeerVoice(exchanging, os.urandom)
        self._lanes = lanes
        self.settling = Settling(
            own_id,
            store,
            lambda: self._known().newest,
            self._operator_uris,
            lambda: signer_at(clock_ms()),
            lanes,
            voice,
            self._open,
            clock_ms,
        )
        voice.answer = self.settling.answer
        exchanging.settling = voice.heard
        self._keeper = SettlingKeeper(
            self.settling, lanes, self._operator, self._directory, clock_ms, (OperatorRefuses,)
        )

    def service(self) -> MerchantSettlementService:
        """What the merchant's own people ask about settlement."""
        return MerchantSettlementService(
            self.settling, self._lanes, self._keeper.paid, self._operator, self._directory, self._clock_ms
        )

    def start(self) -> None:
        """Begins to look after windows."""
        self._keeper.start()

    async def stop(self) -> None:
        """Looks after nothing more."""
        await self._keeper.stop()
        if self._client is not None:
            await self._client[1].close()

    def _known(self) -> KnownDirectories:
        known = self._exchanging.directories.known
        assert known is not None, "nobody settles without a directory"
        return known

    def _directory(self) -> Directory | None:
        known = self._exchanging.directories.known
        return None if known is None else known.newest

    def _operator_uris(self) -> list[str]:
        return [
            uri
            for one in self._known().accepted
            for uri in (one.key_uri, *(key.uri for key in one.directory.operator_keys))
        ]

    def _open(self, envelope: bytes) -> Message | None:
        found = self._opener.evidence(envelope)
        return None if isinstance(found, Unopened) else found

    def _operator(self) -> OperatorClient:
        """The client of the operator's service that the newest directory names."""
        directory = self._known().newest
        if self._client is None or self._client[0] != directory.operator:
            if self._client is not None:
                task = asyncio.get_running_loop().create_task(self._client[1].close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
            self._client = (directory.operator, OperatorClient(directory, self._identity))
        return self._client[1]
