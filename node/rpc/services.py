"""All services of a node, and the handlers that serve them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from node.actors.counter import Counter
from node.actors.member_counter import MemberCounter
from node.proto.vafa.admin.v1 import admin_service_pb2
from node.proto.vafa.coalition.v1 import coalition_service_pb2
from node.proto.vafa.feed.v1 import feed_service_pb2
from node.proto.vafa.member.v1 import member_service_pb2
from node.proto.vafa.pos.v1 import pos_service_pb2
from node.proto.vafa.programme.v1 import programme_service_pb2
from node.proto.vafa.settlement.v1 import merchant_settlement_service_pb2
from node.proto.vafa.terminal.v1 import terminal_service_pb2
from node.rpc import pos
from node.rpc.admin import AdminService
from node.rpc.coalition import CoalitionService
from node.rpc.feed import FeedService
from node.rpc.member import member_handlers
from node.rpc.merchant_settlement import MerchantSettlementService
from node.rpc.programme import ProgrammeService
from node.rpc.terminal import EnrolmentService, TerminalService
from node.telemetry import Figures

ENROLMENT = "vafa.terminal.v1.EnrolmentService"
_FILES = (
    pos_service_pb2,
    member_service_pb2,
    programme_service_pb2,
    terminal_service_pb2,
    feed_service_pb2,
    admin_service_pb2,
    coalition_service_pb2,
    merchant_settlement_service_pb2,
)
SERVICES = tuple(
    service.full_name
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    if service.full_name != ENROLMENT
)
"""What reflection names on the main port."""


@dataclass(frozen=True, slots=True)
class Services:
    """The servicers of one node, made by its composition root."""

    counter: Counter
    members: MemberCounter
    figures: Figures
    programme: ProgrammeService
    terminal: TerminalService
    enrolment: EnrolmentService
    feed: FeedService
    admin: AdminService
    coalition: CoalitionService
    settlement: MerchantSettlementService


def _typed(descriptor: Any, servicer: Any) -> grpc.GenericRpcHandler:
    """Handlers of a servicer whose messages are decoded by grpc, from the service's own description."""
    methods = {}
    for method in descriptor.methods:
        make = (
            grpc.unary_stream_rpc_method_handler
            if method.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        methods[method.name] = make(
            getattr(servicer, method.name),
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )
    return grpc.method_handlers_generic_handler(descriptor.full_name, methods)


def handlers(services: Services) -> list[grpc.GenericRpcHandler]:
    """Everything on the main port."""
    programme = programme_service_pb2.DESCRIPTOR.services_by_name["ProgrammeService"]
    terminal = terminal_service_pb2.DESCRIPTOR.services_by_name["TerminalService"]
    return [
        pos.pos_handlers(services.counter, services.figures),
        member_handlers(services.members),
        _typed(programme, services.programme),
        _typed(terminal, services.terminal),
        _typed(feed_service_pb2.DESCRIPTOR.services_by_name["FeedService"], services.feed),
        _typed(admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"], services.admin),
        _typed(coalition_service_pb2.DESCRIPTOR.services_by_name["CoalitionService"], services.coalition),
        _typed(
            merchant_settlement_service_pb2.DESCRIPTOR.services_by_name["MerchantSettlementService"],
            services.settlement,
        ),
    ]


def enrolment_handlers(services: Services) -> list[grpc.GenericRpcHandler]:
    """Everything on the enrolment port."""
    descriptor = terminal_service_pb2.DESCRIPTOR.services_by_name["EnrolmentService"]
    return [_typed(descriptor, services.enrolment)]
