"""`vafa member card`: the chip cards of members, as the node knows them."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.call import Call, asking, changing
from node.cli.connection import identifier
from node.cli.member_text import card_line
from node.cli.member_value import MemberArgument
from node.people.identifiers import IdentifierKind, normalise
from node.people.invalid import Invalid
from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.member.v1.member_service_pb2_grpc import MemberServiceStub

card = typer.Typer(
    help="Chip cards: what is known of them, and whether they may prove anything.", no_args_is_help=True
)

CardArgument = Annotated[str, typer.Argument(help="The card, as card:NUMBER.", metavar="CARD")]
State = chip_card_pb2.ChipState


@card.command("list")
@asking
def list_(call: Call, member: MemberArgument) -> None:
    """List the chip cards of an account, those that were taken off it too."""
    answer = call.ask(MemberServiceStub, "GetMember", pb.GetMemberRequest(identifier=identifier(member)))
    lines = [card_line(one) for one in answer.cards]
    call.show(answer, lambda: "\n".join(lines) or "No chip is noted under any number of this account.")


@card.command()
@changing
def block(call: Call, shown: CardArgument) -> None:
    """Let a card prove and spend nothing: it is lost, or in doubt. Its number still earns."""
    _note(call, shown, chip_card_pb2.CHIP_STATE_BLOCKED, "blocked. It proves nothing until it is unblocked")


@card.command()
@changing
def unblock(call: Call, shown: CardArgument) -> None:
    """Let a blocked card prove again: it was found."""
    _note(call, shown, chip_card_pb2.CHIP_STATE_ACTIVE, "in use again")


@card.command()
@changing
def retire(call: Call, shown: CardArgument) -> None:
    """Take a card out of use for good. `vafa cards retire` makes the chip itself dead as well."""
    _note(call, shown, chip_card_pb2.CHIP_STATE_RETIRED, "retired for good")


def _note(call: Call, shown: str, state: State.ValueType, words: str) -> None:
    wanted = identifier(shown)
    if wanted.kind != identifier_pb2.IDENTIFIER_KIND_CARD:
        raise typer.BadParameter("name the card itself, as card:NUMBER", param_hint="CARD")
    number = normalise(IdentifierKind.CARD, wanted.value, region="")
    if isinstance(number, Invalid):
        raise typer.BadParameter(number.message, param_hint="CARD")
    member = call.ask(MemberServiceStub, "GetMember", pb.GetMemberRequest(identifier=wanted))
    known = next((one for one in member.cards if one.number == number.text), None)
    if known is None:
        typer.echo(f"No chip is noted under the number {number.text}: it proves nothing as it is.", err=True)
        raise typer.Exit(1)
    request = pb.RecordCardRequest(identifier=wanted, card=known.card)
    request.identifier.value = known.number
    request.card.state = state
    answer = call.change(MemberServiceStub, "RecordCard", request)
    call.show(answer, lambda: f"Card {known.number} is {words}.")
