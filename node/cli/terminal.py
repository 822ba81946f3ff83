"""`vafa terminal`: one-time codes, enrolment, callers, revocation."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import grpc
import typer

from node import installation
from node.cli.connection import (
    DEADLINE_SECONDS,
    DEFAULT_CONFIG,
    AddressOption,
    CallFailed,
    CertificateOption,
    ConfigOption,
    JsonOption,
    connected,
    explained,
    load,
    show,
)
from node.identity.ca import issue_client_certificate, signing_request
from node.identity.caller import Caller, Role
from node.identity.keys import load_secrets, new_tls_key, private_key_pem, write_secret
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
    _refuse_existing(out)
    key = new_tls_key()
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(authority.read_bytes()))
    try:
        stub = terminal_service_pb2_grpc.EnrolmentServiceStub(channel)
        request = pb.RedeemCodeRequest(code=code, csr_pem=signing_request(key))
        answer = stub.RedeemCode(request, timeout=DEADLINE_SECONDS)
    except grpc.RpcError as error:
        raise CallFailed(explained(error, address)) from None
    finally:
        channel.close()
    _put(out, private_key_pem(key), answer.certificate_pem)
    who = answer.identity
    typer.echo(f"Enrolled {who.store_id + '/' if who.store_id else ''}{who.id}: {out.with_suffix('.crt')}")


def _refuse_existing(out: Path) -> None:
    """Keys are never overwritten, and a code is good only once: so this comes before it is used."""
    if out.with_suffix(".key").exists():
        raise CallFailed(
            f"{out.with_suffix('.key')} is there already. Nothing was done; choose another --out."
        )


def _put(out: Path, key_pem: bytes, certificate_pem: bytes) -> None:
    """Writes a key and its certificate over older ones; a crash leaves a pair that fits, or none."""
    key, certificate = out.with_suffix(".key"), out.with_suffix(".crt")
    for path, content in ((key, key_pem), (certificate, certificate_pem)):
        path.with_name(path.name + ".new").unlink(missing_ok=True)
        write_secret(path.with_name(path.name + ".new"), content)
    certificate.unlink(missing_ok=True)
    os.replace(key.with_name(key.name + ".new"), key)
    os.replace(certificate.with_name(certificate.name + ".new"), certificate)


@app.command()
def renew(
    certificate: Annotated[Path, typer.Argument(help="NAME.crt with NAME.key beside it: both are replaced.")],
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
) -> None:
    """Trade a certificate that is still good for a new one with a new key."""
    key = new_tls_key()
    with connected(config, address, certificate) as channel:
        stub = terminal_service_pb2_grpc.TerminalServiceStub(channel)
        request = pb.RenewCertificateRequest(csr_pem=signing_request(key))
        answer = stub.RenewCertificate(request, timeout=DEADLINE_SECONDS)
    _put(certificate, private_key_pem(key), answer.certificate_pem)
    typer.echo(f"Renewed {certificate}. The old certificate stays good until it ends or is revoked.")


@app.command()
def admin(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Make a new admin certificate with the authority's own key, on the node's machine."""
    loaded = load(config)
    secrets = load_secrets(loaded.secrets_directory)
    key = new_tls_key()
    issued = issue_client_certificate(
        secrets.authority,
        signing_request(key),
        Caller(Role.ADMIN, loaded.merchant.id, installation.ADMIN),
        now_ms=time.time_ns() // 1_000_000,
        validity_days=installation.ADMIN_CERTIFICATE_DAYS,
    )
    out = config.resolve().parent / installation.ADMIN
    _put(out, private_key_pem(key), issued.pem)
    typer.echo(f"Made {out.with_suffix('.crt')} and its key.")


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
