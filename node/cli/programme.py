"""`vafa programme`: what the merchant offers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import Parse, ParseError
from google.protobuf.timestamp_pb2 import Timestamp

from node.actors.programmes import Programmes
from node.cli.call import Call, asking, changing
from node.cli.connection import DEFAULT_CONFIG, CallFailed, ConfigOption, load, now
from node.ledger.earning import purchase_problem
from node.ledger.refusals import Refused
from node.programme.explain import explain
from node.proto.vafa.common.v1 import money_pb2, purchase_pb2
from node.proto.vafa.programme.v1 import programme_pb2
from node.proto.vafa.programme.v1 import programme_service_pb2 as pb
from node.proto.vafa.programme.v1.programme_service_pb2_grpc import ProgrammeServiceStub
from node.wire.programme import programme_from_proto
from node.wire.programme_toml import programme_from_toml, programme_to_toml
from node.wire.purchases import purchase_from

MAX_PAGE = 500

app = typer.Typer(help="What the merchant offers: purses, earning rules, activities.", no_args_is_help=True)

FileArgument = Annotated[
    Path, typer.Argument(help="A programme in TOML, as `vafa programme show` writes it.")
]


def _read(path: Path) -> programme_pb2.Programme:
    found = programme_from_toml(_text_of(path))
    if isinstance(found, tuple):
        for problem in found:
            print(f"{path}: {problem.path}: {problem.message}", file=sys.stderr)
        raise typer.Exit(1)
    return found


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CallFailed(f"{path} is no UTF-8 text. Save it as such.") from None


@app.command("show")
@asking
def show_programme(
    call: Call, version: Annotated[int, typer.Option(help="0: the one in force now.")] = 0
) -> None:
    """Show a version as a file that can be changed and published again."""
    answer = call.ask(ProgrammeServiceStub, "GetProgramme", pb.GetProgrammeRequest(version=version))
    call.show(answer, lambda: programme_to_toml(answer.programme))


@app.command("list")
@asking
def list_programmes(call: Call) -> None:
    """List the versions, newest first."""
    answer = call.ask(ProgrammeServiceStub, "ListProgrammes", pb.ListProgrammesRequest(page_size=MAX_PAGE))
    rows = [f"{one.version:>4}  {one.effective_time.ToJsonString()}  {one.name}  ({one.author})"
            for one in answer.programmes]  # fmt: skip
    call.show(answer, lambda: "\n".join(rows))


@app.command()
@changing
def publish(
    call: Call,
    file: FileArgument,
    effective: Annotated[str, typer.Option(help="From when, RFC 3339 such as 2027-03-21T00:00:00Z.")] = "",
) -> None:
    """Publish a file as the next version. Versions are never changed afterwards."""
    draft = _read(file)
    draft.version = 0
    if effective:
        draft.effective_time.CopyFrom(_time(effective))
    elif draft.effective_time.ToMilliseconds() < now().ToMilliseconds():
        draft.ClearField("effective_time")  # of the version that the file was made from: in force at once
    answer = call.change(
        ProgrammeServiceStub, "PublishProgramme", pb.PublishProgrammeRequest(programme=draft)
    )
    since = answer.effective_time.ToJsonString()
    call.show(answer, lambda: f"Published version {answer.version}, in force from {since}.")


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
            message = Parse(_text_of(purchase), purchase_pb2.Purchase())
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
