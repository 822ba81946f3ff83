"""`vafa programme`: what the merchant offers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import Parse, ParseError
from google.protobuf.timestamp_pb2 import Timestamp

from node.actors.programmes import Programmes
from node.cli.connection import (
    DEADLINE_SECONDS,
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    JsonOption,
    connected,
    load,
    new_request_id,
    now,
    show,
)
from node.ledger.earning import purchase_problem
from node.ledger.refusals import Refused
from node.programme.explain import explain
from node.proto.vafa.common.v1 import money_pb2, purchase_pb2
from node.proto.vafa.programme.v1 import programme_pb2, programme_service_pb2_grpc
from node.proto.vafa.programme.v1 import programme_service_pb2 as pb
from node.wire.programme import programme_from_proto
from node.wire.programme_toml import programme_from_toml, programme_to_toml
from node.wire.purchases import purchase_from

app = typer.Typer(help="What the merchant offers: purses, earning rules, activities.", no_args_is_help=True)

FileArgument = Annotated[
    Path, typer.Argument(help="A programme in TOML, as `vafa programme show` writes it.")
]


def _read(path: Path) -> programme_pb2.Programme:
    found = programme_from_toml(path.read_text(encoding="utf-8"))
    if isinstance(found, tuple):
        for problem in found:
            print(f"{path}: {problem.path}: {problem.message}", file=sys.stderr)
        raise typer.Exit(1)
    return found


@app.command("show")
def show_programme(
    version: Annotated[int, typer.Option(help="0: the one in force now.")] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """Show a version as a file that can be changed and published again."""
    with connected(config, address, certificate) as channel:
        stub = programme_service_pb2_grpc.ProgrammeServiceStub(channel)
        answer = stub.GetProgramme(pb.GetProgrammeRequest(version=version), timeout=DEADLINE_SECONDS)
    show(answer, json, lambda: programme_to_toml(answer.programme))


@app.command("list")
def list_programmes(
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """List the versions, newest first."""
    with connected(config, address, certificate) as channel:
        stub = programme_service_pb2_grpc.ProgrammeServiceStub(channel)
        answer = stub.ListProgrammes(pb.ListProgrammesRequest(page_size=500), timeout=DEADLINE_SECONDS)
    rows = [f"{one.version:>4}  {one.effective_time.ToJsonString()}  {one.name}  ({one.author})"
            for one in answer.programmes]  # fmt: skip
    show(answer, json, lambda: "\n".join(rows))


@app.command()
def publish(
    file: FileArgument,
    effective: Annotated[str, typer.Option(help="From when, RFC 3339 such as 2027-03-21T00:00:00Z.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a file as the next version. Versions are never changed afterwards."""
    draft = _read(file)
    draft.version = 0
    if effective:
        draft.effective_time.CopyFrom(_time(effective))
    elif draft.effective_time.ToMilliseconds() < now().ToMilliseconds():
        draft.ClearField("effective_time")  # of the version that the file was made from: in force at once
    with connected(config, address, certificate) as channel:
        stub = programme_service_pb2_grpc.ProgrammeServiceStub(channel)
        request = pb.PublishProgrammeRequest(request_id=new_request_id(), programme=draft)
        answer = stub.PublishProgramme(request, timeout=DEADLINE_SECONDS)
    since = answer.effective_time.ToJsonString()
    show(answer, json, lambda: f"Published version {answer.version}, in force from {since}.")


@app.command()
def preview(
    file: FileArgument,
    total: Annotated[int, typer.Option(help="The purchase's total in minor units.")] = 0,
    purchase: Annotated[Path | None, typer.Option(help="A whole purchase as JSON of the proto.")] = None,
    at: Annotated[str, typer.Option(help="When it happens, RFC 3339; empty is now.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Say what a purchase would earn under a file, rule by rule and why. Needs no running node."""
    installed = load(config)
    message = purchase_pb2.Purchase(total=money_pb2.Money(currency=installed.merchant.currency, minor=total))
    if purchase is not None:
        try:
            message = Parse(purchase.read_text(encoding="utf-8"), purchase_pb2.Purchase())
        except ParseError as wrong:
            raise typer.BadParameter(f"{purchase}: {wrong}") from None
    draft = programme_from_proto(_read(file))
    if isinstance(draft, tuple):
        for problem in draft:
            print(f"{file}: {problem.path}: {problem.message}", file=sys.stderr)
        raise typer.Exit(1)
    sale = purchase_from(message, "")
    refused = sale if isinstance(sale, Refused) else purchase_problem(sale, installed.merchant.currency)
    if refused is not None or isinstance(sale, Refused):
        print(f"The purchase is refused: {refused.message if refused else ''}", file=sys.stderr)
        raise typer.Exit(1)
    versions = Programmes([draft], tz=installed.merchant.time_zone, currency=installed.merchant.currency)
    occurred_ms = (_time(at) if at else now()).ToMilliseconds()
    edition = versions.at(occurred_ms)
    for found in explain(edition.compiled, sale, None, occurred_ms):
        print(f"{'yes' if found.applied else 'no ':<4} {found.rule:<32} {found.units:>10}  {found.reason}")
    for award in edition.compiled.evaluate(sale, None, occurred_ms):
        print(f"earns {award.units} {award.purse} by {award.rule}")


def _time(text: str) -> Timestamp:
    stamp = Timestamp()
    try:
        stamp.FromJsonString(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no RFC 3339 time such as 2027-03-21T00:00:00Z") from None
    return stamp
