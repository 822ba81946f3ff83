"""`vafa quarantine`: accounts that were set aside after a fault."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.call import Call, asking, changing
from node.cli.member_text import moment
from node.proto.vafa.admin.v1 import admin_service_pb2 as pb
from node.proto.vafa.admin.v1.admin_service_pb2_grpc import AdminServiceStub

MAX_PAGE = 500

app = typer.Typer(help="Accounts that were set aside after a fault.", no_args_is_help=True)


@app.command("list")
@asking
def list_quarantined(call: Call) -> None:
    """List the accounts that were set aside, since when, and the fault: its kind and place in the code."""
    answer = pb.ListQuarantinedResponse()
    while True:
        request = pb.ListQuarantinedRequest(page_size=MAX_PAGE, page_token=answer.next_page_token)
        page = call.ask(AdminServiceStub, "ListQuarantined", request)
        answer.accounts.extend(page.accounts)
        answer.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    zone = call.time_zone()
    rows = [f"{one.account_id}  {moment(one.time, zone)}  {one.fault}" for one in answer.accounts]
    call.show(answer, lambda: "\n".join(rows) or "No account is set aside.")


@app.command()
@changing
def release(
    call: Call, account: Annotated[str, typer.Argument(help="The account id, as `list` shows it.")]
) -> None:
    """Put an account back to work, once the fault is mended."""
    request = pb.ReleaseQuarantinedRequest(account_id=account)
    answer = call.change(AdminServiceStub, "ReleaseQuarantined", request)
    call.show(answer, lambda: f"{account} is back at work.")
