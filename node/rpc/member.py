"""The member service: raw bytes in, raw bytes out, one table from methods to what they ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc

from node.actors.member_counter import MemberCounter
from node.rpc.admission import CALLER, Handler
from node.rpc.pos import trace_of
from node.rpc.status import Context, fail
from node.wire.commands import Op

SERVICE = "vafa.member.v1.MemberService"

UNARY: dict[str, Op] = {
    "Enrol": Op.ENROL,
    "GetMember": Op.GET_MEMBER,
    "UpdatePerson": Op.UPDATE_PERSON,
    "LinkIdentifier": Op.LINK_IDENTIFIER,
    "UnlinkIdentifier": Op.UNLINK_IDENTIFIER,
    "RecordCard": Op.RECORD_CARD,
    "SetPin": Op.SET_PIN,
    "ResetPin": Op.RESET_PIN,
    "SetBlock": Op.SET_BLOCK,
    "CloseAccount": Op.CLOSE_ACCOUNT,
    "ErasePerson": Op.ERASE_PERSON,
    "Adjust": Op.ADJUST,
    "DecideAdjustment": Op.DECIDE_ADJUSTMENT,
    "Transfer": Op.TRANSFER,
    "CreatePool": Op.CREATE_POOL,
    "JoinPool": Op.JOIN_POOL,
    "LeavePool": Op.LEAVE_POOL,
}


def member_handlers(members: MemberCounter) -> grpc.GenericRpcHandler:
    """All methods of the service."""
    handlers: dict[str, Handler] = {
        name: grpc.unary_unary_rpc_method_handler(_unary(members, op)) for name, op in UNARY.items()
    }
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


def _unary(members: MemberCounter, op: Op) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def handle(body: bytes, context: Context) -> bytes:
        answer = await members.ask(CALLER.get(), op, body, trace_of(context))
        if answer.refusal is not None:
            await fail(context, answer.refusal)
        return answer.body

    return handle
