"""Nodes' ends of links over loopback TLS, each with an authority of its own, and what came to them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from node.identity.ca import Authority, new_authority
from node.identity.peers import PeerIdentity, new_peer_identity
from node.peering.links import GrpcLinks
from node.peering.ports import PartnerEntry, Peers
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.rpc.peer import PeerServer, PeerService
from node.telemetry import Figures
from node.wire.coalition_frames import RecordsWish

NOW_MS = time.time_ns() // 1_000_000
WAIT_SECONDS = 20.0


def carried(receiver_id: str, text: str, sender_id: str = "", size: int = 0) -> bytes:
    """A message that peering can route; its signature is nobody's, which is not peering's to know."""
    header = envelope_pb2.Header(sender_id=sender_id, receiver_id=receiver_id)
    envelope = envelope_pb2.Envelope(header=header.SerializeToString(), body=text.encode() + bytes(size))
    return envelope_pb2.Carried(envelope=envelope).SerializeToString()


def text_of(message: bytes) -> str:
    return envelope_pb2.Carried.FromString(message).envelope.body.rstrip(b"\x00").decode()


class Acting:
    """Acts on messages by keeping them. `gate` closed: work takes for ever."""

    def __init__(self) -> None:
        self.came: list[tuple[str, str]] = []
        self.greeted: list[str] = []
        self.under_way = 0
        self.most_under_way = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.records: list[bytes] = []
        self.wishes: list[tuple[str, RecordsWish]] = []

    async def received(self, partner_id: str, carried: bytes) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        if text_of(carried) == "fault":
            raise RuntimeError("a fault in the work on a message")
        self.came.append((partner_id, text_of(carried)))

    async def answered(self, partner_id: str, carried: bytes) -> Sequence[bytes]:
        await self.received(partner_id, carried)
        return [carried]

    async def lane_records(self, partner_id: str, wish: RecordsWish) -> Sequence[bytes]:
        self.wishes.append((partner_id, wish))
        return self.records[wish.from_number - 1 :][: wish.page_size]

    async def connected(self, partner_id: str) -> None:
        self.greeted.append(partner_id)


class End:
    """One node's end. `address` is empty where it only dials."""

    def __init__(self, partner_id: str, authority: Authority | None = None) -> None:
        self.partner_id = partner_id
        self.authority = authority or new_authority(partner_id, now_ms=NOW_MS)
        self.identity: PeerIdentity = new_peer_identity(self.authority, partner_id, now_ms=NOW_MS)
        self.acting = Acting()
        self.figures = Figures()
        self.links = GrpcLinks(self.identity, self.acting, self.figures, random.Random(7))
        self.server: PeerServer | None = None
        self.address = ""

    async def listen(self, address: str = "127.0.0.1:0") -> None:
        service = PeerService(self.links, self.acting, lambda: b"the directory", self.figures)
        self.server = PeerServer(service, self.identity, self.links)
        self.address = f"127.0.0.1:{await self.server.start(address)}"

    async def close(self) -> None:
        await self.links.close()
        if self.server is not None:
            await self.server.stop(0)

    async def deliver(self, partner_id: str, carried: bytes) -> Sequence[bytes] | None:
        """Hands one message over in a call of its own."""
        return await self.links._diallers[partner_id].deliver(carried)

    def entry(self, relay: str = "") -> PartnerEntry:
        endpoints = (self.address,) if self.address else ()
        return PartnerEntry(self.partner_id, self.authority.certificate_pem, endpoints, relay)

    def texts(self, partner_id: str) -> list[str]:
        return [text for sender, text in self.acting.came if sender == partner_id]

    def counted(self, metric: str) -> Counter[tuple[str, ...]]:
        series = self.figures.snapshot().get(metric, [])
        return Counter({labels: int(value) for labels, value in series if isinstance(value, float)})


async def introduce(ends: Iterable[End], relays: dict[str, str] | None = None) -> None:
    """Gives every end the same directory."""
    known, relays = list(ends), relays or {}
    for end in known:
        others = {
            other.partner_id: other.entry(relays.get(other.partner_id, ""))
            for other in known
            if other is not end
        }
        await end.links.update(Peers(end.partner_id, others, relays.get(end.partner_id, "")))


@asynccontextmanager
async def ends(*names: str, only_dialling: Iterable[str] = ()) -> AsyncIterator[list[End]]:
    """Ends that know each other; those in `only_dialling` cannot be dialled."""
    made = [End(name) for name in names]
    try:
        for end in made:
            if end.partner_id not in only_dialling:
                await end.listen()
        await introduce(made)
        yield made
    finally:
        await asyncio.gather(*(end.close() for end in made))


async def until(condition: Callable[[], bool]) -> None:
    """Returns once `condition` holds; fails where it does not within a long time."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - conditions of many kinds
            await asyncio.sleep(0.005)
