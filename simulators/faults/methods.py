"""Every method of every service, by the protos' own descriptions, and a way to call it with any bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from node.identity.caller import Role
from node.proto.vafa.admin.v1 import admin_service_pb2
from node.proto.vafa.coalition.v1 import coalition_service_pb2
from node.proto.vafa.feed.v1 import feed_service_pb2
from node.proto.vafa.member.v1 import member_service_pb2
from node.proto.vafa.pos.v1 import pos_service_pb2
from node.proto.vafa.programme.v1 import programme_service_pb2
from node.proto.vafa.settlement.v1 import merchant_settlement_service_pb2
from node.proto.vafa.terminal.v1 import terminal_service_pb2
from node.rpc.roles import ROLES

_MODULES = (
    pos_service_pb2,
    member_service_pb2,
    programme_service_pb2,
    terminal_service_pb2,
    feed_service_pb2,
    admin_service_pb2,
    coalition_service_pb2,
    merchant_settlement_service_pb2,
)
ENROLMENT = "vafa.terminal.v1.EnrolmentService"
DEADLINE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Method:
    """One method. `path` is as gRPC sends it."""

    path: str
    request: type[Message]
    client_streaming: bool
    server_streaming: bool

    def __str__(self) -> str:
        return self.path.rsplit(".", 1)[1]

    @property
    def allowed(self) -> list[Role]:
        """The roles that may call it, in the order of their declaration."""
        return [role for role in Role if role in ROLES.get(self.path, ())]

    async def call(
        self, channel: grpc.aio.Channel, body: bytes, timeout_seconds: float = DEADLINE_SECONDS
    ) -> list[bytes]:
        """Calls it with these bytes as its only message; the bytes of all answers."""
        if self.server_streaming:

            async def messages() -> AsyncIterator[bytes]:
                yield body

            if self.client_streaming:
                both: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(self.path)
                return [answer async for answer in both(messages(), timeout=timeout_seconds)]
            many: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(self.path)
            return [answer async for answer in many(body, timeout=timeout_seconds)]
        one: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self.path)
        return [await one(body, timeout=timeout_seconds)]


def _methods() -> Iterator[Method]:
    for module in _MODULES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield _method(method)


def _method(described: MethodDescriptor) -> Method:
    return Method(
        f"/{described.containing_service.full_name}/{described.name}",
        GetMessageClass(described.input_type),
        described.client_streaming,
        described.server_streaming,
    )


ALL = tuple(_methods())
"""All of them."""

ENROLLING = tuple(method for method in ALL if method.path.startswith(f"/{ENROLMENT}/"))
"""Those of the enrolment port, which need no certificate."""

GUARDED = tuple(method for method in ALL if method not in ENROLLING)
"""Those of the main port."""
