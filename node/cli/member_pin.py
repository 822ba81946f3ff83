"""`vafa member pin`: a member's PIN for this merchant's own tills."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.call import Call, changing
from node.cli.connection import identifier
from node.cli.member_value import MemberArgument
from node.people.text import isolate
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.member.v1.member_service_pb2_grpc import MemberServiceStub

pin = typer.Typer(
    help="PINs: good at this merchant's own tills, where the programme lists them; never abroad.",
    no_args_is_help=True,
)

PinPrompt = Annotated[
    str,
    typer.Option(
        "--pin",
        prompt="PIN of 4 to 12 digits",
        hide_input=True,
        confirmation_prompt="the same again",
        help="Left out, it is asked for and not shown: the member types it.",
        show_default=False,
    ),
]


@pin.command("set")
@changing
def set_(call: Call, member: MemberArgument, new: PinPrompt) -> None:
    """Set a member's PIN. One that was locked is good again."""
    answer = call.change(
        MemberServiceStub, "SetPin", pb.SetPinRequest(identifier=identifier(member), pin=new)
    )
    call.show(answer, lambda: f"The PIN of {isolate(member)} is set.")


@pin.command()
@changing
def unlock(call: Call, member: MemberArgument) -> None:
    """Give a PIN its tries back that was typed wrong too often. It stays the same PIN."""
    answer = call.change(MemberServiceStub, "ResetPin", pb.ResetPinRequest(identifier=identifier(member)))
    call.show(answer, lambda: f"The PIN of {isolate(member)} has all its tries again.")


@pin.command()
@changing
def remove(call: Call, member: MemberArgument) -> None:
    """Take a PIN away: the member then spends without one."""
    request = pb.ResetPinRequest(identifier=identifier(member), remove=True)
    answer = call.change(MemberServiceStub, "ResetPin", request)
    call.show(answer, lambda: f"{isolate(member)} has no PIN any more.")
