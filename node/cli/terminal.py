"""`vafa terminal`: one-time codes, enrolment, callers, revocation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import grpc
import typer

from node.cli.connection import (
    DEADLINE_SECONDS,
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    JsonOption,
    connected,
    show,
)
from node.identity.ca import signing_request
from node.identity.keys import new_tls_key, private_key_pem, write_secret
from node.proto.vafa.terminal.v1 import terminal_service_pb2 as pb
from node.proto.vafa.terminal.v1 import terminal_service_pb2_grpc

app = typer.Typer(help="Certificates of tills, gateways, staff and readers.", no_args_is_help=True)

ROLES = {
    "terminal": pb.ROLE_TERMINAL,
    "gateway": pb.ROLE_GATEWAY,
    "staff": pb.ROLE_STAFF,
    "reader": pb.ROLE_READER,
}


def _identity(role: str, name: str, terminals: list[str] | None = None) -> pb.CallerIdentity:
    if role not in ROLES:
        raise typer.BadParameter(f"a role is one of {', '.join(ROLES)}")
    store, _, own = name.rpartition("/")
    return pb.CallerIdentity(role=ROLES[role], store_id=store, id=own, terminals=terminals or [])


@app.command()
def code(
    name: Annotated[str, typer.Argument(help="store/terminal for a terminal, else the id alone.")],
    role: Annotated[str, typer.Option(help="terminal, gateway, staff or reader.")] = "terminal",
    terminal: Annotated[
        list[str] | None, typer.Option(help="A gateway's store/terminal; repeatable.")
    ] = None,
    minutes: Annotated[int, typer.Option(help="How long the code is good for.")] = 60,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """Make a one-time code to read out to whoever sets the terminal up."""
    with connected(config, address, certificate) as channel:
        stub = terminal_service_pb2_grpc.TerminalServiceStub(channel)
        request = pb.CreateEnrolmentRequest(
            identity=_identity(role, name, terminal), ttl_seconds=minutes * 60
        )
        answer = stub.CreateEnrolment(request, timeout=DEADLINE_SECONDS)
    show(answer, json, lambda: f"Code for {name}: {answer.code}\nGood for {minutes} minutes, once.")


@app.command()
def enrol(
    address: Annotated[str, typer.Argument(help="host:port of the node's enrolment port.")],
    code: Annotated[str, typer.Option(prompt=True, help="The one-time code.")],
    authority: Annotated[Path, typer.Option(help="The node's ca.crt, handed over with the code.")],
    out: Annotated[Path, typer.Option(help="Where to write NAME.crt and NAME.key.")] = Path("terminal"),
) -> None:
    """Trade a one-time code for a certificate, on the terminal's own machine; the key never leaves it."""
    key = new_tls_key()
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(authority.read_bytes()))
    try:
        stub = terminal_service_pb2_grpc.EnrolmentServiceStub(channel)
        request = pb.RedeemCodeRequest(code=code, csr_pem=signing_request(key))
        answer = stub.RedeemCode(request, timeout=DEADLINE_SECONDS)
    except grpc.RpcError as error:
        typer.echo(f"vafa: {error.details()}", err=True)
        raise typer.Exit(1) from None
    finally:
        channel.close()
    write_secret(out.with_suffix(".key"), private_key_pem(key))
    out.with_suffix(".crt").write_bytes(answer.certificate_pem)
    who = answer.identity
    typer.echo(f"Enrolled {who.store_id + '/' if who.store_id else ''}{who.id}: {out.with_suffix('.crt')}")


@app.command("list")
def list_callers(
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """List who holds a certificate."""
    with connected(config, address, certificate) as channel:
        stub = terminal_service_pb2_grpc.TerminalServiceStub(channel)
        answer = pb.ListCallersResponse()
        while True:
            request = pb.ListCallersRequest(page_size=500, page_token=answer.next_page_token)
            page = stub.ListCallers(request, timeout=DEADLINE_SECONDS)
            answer.callers.extend(page.callers)
            answer.next_page_token = page.next_page_token
            if not page.next_page_token:
                break
    show(answer, json, lambda: "\n".join(map(_row, answer.callers)) or "Nobody holds a certificate yet.")


def _row(record: pb.CallerRecord) -> str:
    who = record.identity
    name = f"{who.store_id}/{who.id}" if who.store_id else who.id
    until = record.expire_time.ToDatetime().date().isoformat()
    state = "revoked" if record.revoked else f"until {until}"
    return f"{pb.Role.Name(who.role).removeprefix('ROLE_').lower():<9} {name:<40} {state}"


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="store/terminal for a terminal, else the id alone.")],
    role: Annotated[str, typer.Option(help="terminal, gateway, staff or reader.")] = "terminal",
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """Revoke all certificates of a caller at once."""
    with connected(config, address, certificate) as channel:
        stub = terminal_service_pb2_grpc.TerminalServiceStub(channel)
        request = pb.RevokeCallerRequest(identity=_identity(role, name))
        answer = stub.RevokeCaller(request, timeout=DEADLINE_SECONDS)
    show(answer, json, lambda: f"Revoked {answer.revoked_certificates} certificate(s) of {name}.")
