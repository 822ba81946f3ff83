"""The port for partners' nodes: admitted by certificate, call by call; raw bytes in, raw bytes out.

Whoever calls is a partner whose authority the directory names (`identity.peers`). What counts is signed
inside the messages; the connection decides only who may use it, and whose bounds it uses up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog

from node.identity.peers import PeerIdentity, PeerRefused, partner_of
from node.ledger.refusals import Reason, refuse
from node.peering.channels import PEER_OPTIONS, peer_credentials
from node.peering.connection import Connection
from node.peering.links import GrpcLinks
from node.peering.ports import Exchanging
from node.peering.relay import carries
from node.rpc.status import Context, fail
from node.telemetry import PEER_REFUSED, Figures
from node.wire.coalition_frames import (
    SERVICE,
    FrameUnreadable,
    answers_bytes,
    read_delivered,
    read_wish,
    receiver_of,
    records_bytes,
)
from node.wire.parse import invalid

MAX_PEER_RPCS = 1_000
"""Calls of all partners that are under way; beyond it grpc answers RESOURCE_EXHAUSTED by itself."""
RETRY_MS = 500

log = structlog.get_logger()


class PeerService:
    """The servicer. `directory` gives the newest GetDirectoryResponse."""

    def __init__(
        self, links: GrpcLinks, exchanging: Exchanging, directory: Callable[[], bytes], figures: Figures
    ) -> None:
        self._links = links
        self._exchanging = exchanging
        self._directory = directory
        self._figures = figures

    def handlers(self) -> grpc.GenericRpcHandler:
        """All methods of the service, as handlers of bytes."""
        unary = {
            "Deliver": self._deliver,
            "ListLaneRecords": self._list_records,
            "GetDirectory": self._get_directory,
        }
        methods: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(self._admitted(inner)) for name, inner in unary.items()
        }
        methods["Link"] = grpc.stream_stream_rpc_method_handler(self._link)
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _admitted(
        self, inner: Callable[[str, bytes, Context], Awaitable[bytes]]
    ) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def handle(request: bytes, context: Context) -> bytes:
            partner_id = await self._partner(context)
            try:
                return await inner(partner_id, request, context)
            except FrameUnreadable as wrong:
                self._refused(partner_id, "MALFORMED")
                await fail(context, invalid("", f"Nothing was done: {wrong}."))
                raise AssertionError("fail always raises") from None

        return handle

    async def _partner(self, context: Context) -> str:
        """The partner that calls, or the end of the call."""
        chain = context.auth_context().get("x509_pem_cert")
        try:
            shown = next(iter(chain)) if chain else b""
            return partner_of(shown, self._links.peers.authorities(), now_ms=time.time_ns() // 1_000_000)
        except PeerRefused as wrong:
            self._refused("", "UNAUTHENTICATED")
            await fail(context, refuse(Reason.UNAUTHENTICATED, f"Nothing was done. {wrong}"))
            raise AssertionError("fail always raises") from None

    async def _link(self, _requests: object, context: Any) -> None:
        partner_id = await self._partner(context)
        if not self._links.admits(partner_id):
            text = "Nothing was done. The connection that this node has dialled is kept."
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, text)
        await context.send_initial_metadata(())  # tells the dialling side that it is admitted
        running: asyncio.Task[None] | None = None
        connection = Connection(context, partner_id, lambda: running and running.cancel())
        running = asyncio.get_running_loop().create_task(self._links.accept(partner_id, connection))
        try:
            await asyncio.wait((running,))
        finally:
            running.cancel()

    async def _deliver(self, partner_id: str, request: bytes, context: Context) -> bytes:
        carried = read_delivered(request)
        if len(carried) != 1:
            raise FrameUnreadable("one call delivers one message")
        receiver_id = receiver_of(carried[0])
        if carries(self._links.peers, partner_id, receiver_id):
            if not await self._links.send(receiver_id, carried[0]):
                await self._overloaded(partner_id, context)
            return b""
        link = self._links.link(partner_id)
        answers = await link.handle(carried[0]) if link is not None else None
        if answers is None:
            await self._overloaded(partner_id, context)
            raise AssertionError("fail always raises")
        return answers_bytes(answers)

    async def _list_records(self, partner_id: str, request: bytes, context: Context) -> bytes:
        return records_bytes(await self._exchanging.lane_records(partner_id, read_wish(request)))

    async def _get_directory(self, partner_id: str, request: bytes, context: Context) -> bytes:
        return self._directory()

    async def _overloaded(self, partner_id: str, context: Context) -> None:
        self._refused(partner_id, "OVERLOADED")
        text = "Too much of this partner's is under way. Nothing was done; send the same again."
        await fail(context, refuse(Reason.OVERLOADED, text))

    def _refused(self, partner_id: str, reason: str) -> None:
        self._figures.count(PEER_REFUSED, partner_id, reason).add()


class PeerServer:
    """The server on the partners' port. `start` binds and serves; gives the port."""

    def __init__(self, service: PeerService, identity: PeerIdentity, links: GrpcLinks) -> None:
        self._server = grpc.aio.server(options=PEER_OPTIONS, maximum_concurrent_rpcs=MAX_PEER_RPCS)
        self._server.add_generic_rpc_handlers((service.handlers(),))
        self._credentials = peer_credentials(identity, lambda: list(links.peers.authorities().values()))

    async def start(self, address: str) -> int:
        """Binds `address` (IP:port) and serves; gives the port."""
        port = self._server.add_secure_port(address, self._credentials)
        await self._server.start()
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Takes no more calls, and waits for those under way."""
        await self._server.stop(grace_seconds)
