"""`vafa join`: how a merchant asks to be admitted to a coalition, and takes its directory into use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from node import installation
from node.actors.directories import Directories
from node.cli.connection import (
    DEADLINE_SECONDS,
    DEFAULT_CONFIG,
    AddressOption,
    CallFailed,
    CertificateOption,
    ConfigOption,
    connected,
    load,
)
from node.coalition.directory import Directory, Key, Partner, PartnerStatus
from node.config import Config, ConfigError
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.exchange_keys import ExchangeKeys, load_exchange_keys, new_exchange_key
from node.identity.keys import load_secrets
from node.ledger.refusals import Refused
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc, directory_pb2
from node.storage.store import StoreLocked
from node.wire.coalition_directory import (
    DIRECTORY_LABEL,
    JOIN_REQUEST_LABEL,
    Unreadable,
    armoured,
    read_directory,
    sign_join_request,
    unarmoured,
)
from node.wire.coalition_terms import range_from, range_text

_HOUR_MS = 3_600_000


class JoinRefused(Exception):
    """The request was not made, or the directory not taken; the text says why, and what to do."""


def join(
    coalition: Annotated[
        str, typer.Argument(help="Id of the coalition to ask for; not with --directory.")
    ] = "",
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range", help="Whose identifiers are our members': card:6273, phone:+98912; repeatable."
        ),
    ] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="host:port where partners reach peer_listen; none: we only dial.")
    ] = None,
    relay: Annotated[str, typer.Option(help="A partner that carries for us while we only dial.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Where to write the request; else MERCHANT.request.")
    ] = None,
    new_key: Annotated[bool, typer.Option(help="Make a new key to sign with once it is admitted.")] = False,
    directory: Annotated[
        Path | None, typer.Option(help="Take this directory into use, as the operator published it.")
    ] = None,
    operator_key: Annotated[
        str, typer.Option(help="With the first directory: the operator's key, as the operator told you.")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Ask to join a coalition, and once admitted take its directory into use.

    First `vafa join COALITION --range card:6273`, which writes a file for the operator; when the operator
    has admitted it, `vafa join --directory FILE --operator-key ed25519:...`. The node need not be restarted.
    """
    loaded = load(config)
    if directory is None:
        if not coalition:
            raise JoinRefused("Name the coalition to ask for, or with --directory the file to take into use.")
        _ask(loaded, coalition, ranges or [], endpoint or [], relay, out, new_key)
        return
    try:
        data = unarmoured(DIRECTORY_LABEL, directory.read_text(encoding="utf-8-sig"))
        wanted = read_directory(data).directory
    except (Unreadable, UnicodeDecodeError) as wrong:
        raise JoinRefused(f"{directory}: {wrong}") from None
    version = _adopt(loaded, config, address, certificate, data, operator_key)
    typer.echo(f"The node follows version {version} of {wanted.coalition_id}.")
    typer.echo(_standing(loaded, wanted))


def _ask(
    config: Config,
    coalition: str,
    ranges: list[str],
    endpoints: list[str],
    relay: str,
    out: Path | None,
    new_key: bool,
) -> None:
    secrets_directory = config.secrets_directory
    secrets = load_secrets(secrets_directory)
    try:
        wanted = tuple(range_from(text) for text in ranges)
    except Unreadable as wrong:
        raise JoinRefused(f"{wrong} No request was made.") from None
    target = out or Path(f"{config.merchant.id}.request")
    before = load_exchange_keys(secrets_directory, secrets.node_key_uri)
    if new_key:
        typer.echo(f"Made {new_exchange_key(secrets_directory)}. Back it up with the other secrets.")
    keys = load_exchange_keys(secrets_directory, secrets.node_key_uri)
    now_ms = time.time_ns() // 1_000_000
    partner = Partner(
        config.merchant.id,
        config.merchant.name,
        PartnerStatus.ACTIVE,
        endpoints=tuple(endpoints),
        relay_partner_id=relay,
        keys=tuple(Key(uri, now_ms - _HOUR_MS) for uri in keys.uris),
        authority_pem=secrets.authority.certificate_pem,
        ranges=wanted,
        partitions=config.storage.partitions,
        sealing_key=CoalitionSecrets(secrets.master_key).sealing.uri,
    )
    # Signed by a key that the operator knows already, where there was one before.
    data = sign_join_request(coalition, partner, now_ms, before.newest)
    target.write_text(armoured(JOIN_REQUEST_LABEL, data), encoding="utf-8")
    typer.echo(f"Wrote {target}: send it to the operator of {coalition}. It holds nothing secret.")
    _tell_keys(keys)
    if not endpoints and not relay:
        typer.echo(
            "No endpoint is in it: the node will dial its partners and cannot be dialled, as behind NAT."
        )
    if endpoints and not config.coalition.peer_listen:
        typer.echo("Mind: peer_listen in vafa.toml is empty, so nothing listens at the endpoint yet.")


def _tell_keys(keys: ExchangeKeys) -> None:
    for uri in keys.uris:
        typer.echo(f"  our key {uri}")
    typer.echo("Read the keys to the operator in person or over the phone: that is how they know it is you.")


def _adopt(
    config: Config,
    path: Path,
    address: str,
    certificate: Path | None,
    data: bytes,
    operator_key: str,
) -> int:
    """Gives the directory to the running node, or where none runs to its control store."""
    try:
        opened = installation.open_control(config)
    except StoreLocked:
        return _adopt_running(path, address, certificate, data, operator_key)
    try:
        found = Directories(opened.store).adopt(data, time.time_ns() // 1_000_000, operator_key)
    finally:
        opened.close()
    if isinstance(found, Refused):
        raise JoinRefused(_with_hint(found.message, operator_key))
    return found.newest.version


def _adopt_running(path: Path, address: str, certificate: Path | None, data: bytes, operator_key: str) -> int:
    request = pb.AdoptDirectoryRequest(operator_key_uri=operator_key)
    request.signed_directory.CopyFrom(directory_pb2.SignedDirectory.FromString(data))
    try:
        with connected(path, address, certificate) as channel:
            stub = coalition_service_pb2_grpc.CoalitionServiceStub(channel)
            return stub.AdoptDirectory(request, timeout=DEADLINE_SECONDS).version
    except CallFailed as failed:
        raise JoinRefused(_with_hint(str(failed), operator_key)) from None


def _with_hint(text: str, operator_key: str) -> str:
    if "name the operator's key" in text and not operator_key:
        return f"{text} Repeat with --operator-key ed25519:..."
    return text


def _standing(config: Config, directory: Directory) -> str:
    """What the directory says of this merchant."""
    own = directory.partner(config.merchant.id)
    if own is None:
        return (
            f"{config.merchant.id} is not in it yet: the operator has to admit the join request and publish."
        )
    if own.partitions != config.storage.partitions:
        raise ConfigError(
            f"The directory says that {config.merchant.id} has {own.partitions} partitions, but vafa.toml "
            f"says {config.storage.partitions}. Nothing can be exchanged: make a new join request."
        )
    typer.echo(
        f"Members earn and spend abroad in the purse {directory.purse.code!r}: the programme needs one of "
        "that code (`vafa programme show`)."
    )
    spans = (
        ", ".join(range_text(span) for span in own.ranges)
        or "none, so our members earn and spend at home alone"
    )
    return f"{config.merchant.id} is {own.status.name.lower()} in it. Our members' identifiers: {spans}."
