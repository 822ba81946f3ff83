"""`vafa member`: what members hold. Balances, statements, changes by hand, transfers, pools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from node.cli.call import Call, asking, changing
from node.cli.connection import identifier
from node.cli.member_text import balance_lines, exponents_of, transaction_line
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.member.v1.member_service_pb2_grpc import MemberServiceStub
from node.proto.vafa.pos.v1 import inquiry_pb2
from node.proto.vafa.pos.v1.pos_service_pb2_grpc import PosServiceStub

MAX_PAGE = 500

MemberArgument = Annotated[
    str, typer.Argument(help="phone:…, card:…, barcode:…, app:… or the account id.", metavar="MEMBER")
]
PurseOption = Annotated[str, typer.Option("--purse", help="The purse's code in the programme.")]
ProposalArgument = Annotated[
    str, typer.Argument(help="As `vafa member show` lists it under 'waits'.", metavar="PROPOSAL")
]

pool = typer.Typer(help="Households and companies that earn and spend together.", no_args_is_help=True)


@asking
def balance(call: Call, member: MemberArgument) -> None:
    """Show what an account holds and what of it expires next."""
    request = inquiry_pb2.GetBalanceRequest(identifier=identifier(member))
    answer = call.ask(PosServiceStub, "GetBalance", request)
    call.show(answer, lambda: _lines(balance_lines(answer.balances, call.time_zone())))


@asking
def statement(
    call: Call,
    member: MemberArgument,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
) -> None:
    """Show an account's transactions, newest first."""
    wanted = identifier(member)
    answer = inquiry_pb2.ListStatementResponse()
    while len(answer.transactions) < limit:
        request = inquiry_pb2.ListStatementRequest(
            identifier=wanted,
            page_size=min(limit - len(answer.transactions), MAX_PAGE),
            page_token=answer.next_page_token,
        )
        page = call.ask(PosServiceStub, "ListStatement", request)
        answer.transactions.extend(page.transactions)
        answer.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    if call.json:
        call.show(answer, str)
        return
    purses = call.ask(PosServiceStub, "GetBalance", inquiry_pb2.GetBalanceRequest(identifier=wanted))
    exponents, zone = exponents_of(purses.balances), call.time_zone()
    rows = [transaction_line(one, exponents, zone) for one in answer.transactions]
    rows += [f"There are more: --limit {2 * limit} shows them."] if answer.next_page_token else []
    call.show(answer, lambda: "\n".join(rows) or "Nothing has happened on this account.")


@changing
def adjust(
    call: Call,
    member: MemberArgument,
    units: Annotated[
        int, typer.Option(help="In the purse's smallest unit (1250 for 12.50), with a minus to take.")
    ],
    reason: Annotated[str, typer.Option(help="Why; kept in the journal with your name.")],
    purse: PurseOption = "points",
) -> None:
    """Change a balance by hand. Above your limit it waits until a second person approves it."""
    request = pb.AdjustRequest(identifier=identifier(member), purse=purse, units=units, reason=reason)
    answer = call.change(MemberServiceStub, "Adjust", request)
    call.show(
        answer,
        lambda: (
            f"This waits for a second person, who runs: vafa member approve {member} {answer.proposal_id} "
            "--certificate THEIRS.crt"
            if answer.proposal_id
            else _after(call, answer)
        ),
    )


@changing
def approve(call: Call, member: MemberArgument, proposal: ProposalArgument) -> None:
    """Approve an adjustment that somebody else proposed."""
    answer = _decide(call, member, proposal, approved=True)
    call.show(answer, lambda: _after(call, answer))


@changing
def reject(call: Call, member: MemberArgument, proposal: ProposalArgument) -> None:
    """Reject an adjustment that waits."""
    answer = _decide(call, member, proposal, approved=False)
    call.show(answer, lambda: f"Rejected {proposal}.")


def _decide(call: Call, member: str, proposal: str, *, approved: bool) -> pb.DecideAdjustmentResponse:
    request = pb.DecideAdjustmentRequest(
        identifier=identifier(member), proposal_id=proposal, approve=approved
    )
    answer: pb.DecideAdjustmentResponse = call.change(MemberServiceStub, "DecideAdjustment", request)
    return answer


@changing
def transfer(
    call: Call,
    member: Annotated[str, typer.Argument(help="From whom.", metavar="FROM")],
    to: Annotated[str, typer.Argument(help="To whom.", metavar="TO")],
    units: Annotated[int, typer.Option(help="In the purse's smallest unit (1250 for 12.50).")],
    purse: PurseOption = "points",
) -> None:
    """Move units to another account. They arrive within moments, or come back if they cannot."""
    request = pb.TransferRequest(
        identifier=identifier(member), to_identifier=identifier(to), purse=purse, units=units
    )
    answer = call.change(MemberServiceStub, "Transfer", request)
    call.show(answer, lambda: _after(call, answer))


@pool.command("create")
@changing
def create_pool(
    call: Call,
    link: Annotated[
        list[str] | None, typer.Option(help="What the pool is known by, such as card:…; repeatable.")
    ] = None,
) -> None:
    """Open a pool. It has no person of its own."""
    request = pb.CreatePoolRequest(identifiers=[identifier(text) for text in link or []])
    answer = call.change(MemberServiceStub, "CreatePool", request)
    call.show(answer, lambda: f"Created. The pool's account is {answer.account_id}")


@pool.command("join")
@changing
def join_pool(
    call: Call,
    member: MemberArgument,
    into: Annotated[str, typer.Argument(help="The pool, by account id or identifier.", metavar="POOL")],
) -> None:
    """Join a member to a pool: what can be transferred moves there, and all is earned and spent there."""
    request = pb.JoinPoolRequest(identifier=identifier(member), pool_identifier=identifier(into))
    answer = call.change(MemberServiceStub, "JoinPool", request)
    call.show(answer, lambda: "Joined.")


@pool.command("leave")
@changing
def leave_pool(
    call: Call,
    account: Annotated[
        str, typer.Argument(help="The member's account id: phone and card stand for the pool.")
    ],
) -> None:
    """Take a member out of a pool. The balance stays in the pool."""
    request = pb.LeavePoolRequest(identifier=identifier(account))
    answer = call.change(MemberServiceStub, "LeavePool", request)
    call.show(answer, lambda: "Left. From now on this account earns and spends for itself.")


def _after(call: Call, answer: Any) -> str:
    return _lines([f"Done: {answer.transaction_id}.", *balance_lines(answer.balances, call.time_zone())])


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)
