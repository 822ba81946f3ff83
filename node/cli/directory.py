"""`vafa directory`: what the coalition's directory says, of a node, or of a file as it was handed over."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

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
from node.cli.join import JoinRefused
from node.coalition.directory import Directory
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc, directory_pb2
from node.wire.coalition_directory import (
    DIRECTORY_LABEL,
    SignedDirectory,
    Unreadable,
    read_directory,
    unarmoured,
)
from node.wire.coalition_terms import range_text

app = typer.Typer(help="The coalition's directory.", no_args_is_help=True)

SHOWN_WINDOWS = 3


@app.command("show")
def show_directory(
    file: Annotated[
        Path | None, typer.Argument(help="A directory as a file; else what the node follows.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """Show who takes part and on what terms, and how the links to partners stand."""
    if file is not None:
        try:
            signed = read_directory(unarmoured(DIRECTORY_LABEL, file.read_text(encoding="utf-8-sig")))
        except (Unreadable, UnicodeDecodeError) as wrong:
            raise JoinRefused(f"{file}: {wrong}") from None
        answer = pb.GetCoalitionResponse(
            signed_directory=directory_pb2.SignedDirectory.FromString(signed.data)
        )
    else:
        with connected(config, address, certificate) as channel:
            stub = coalition_service_pb2_grpc.CoalitionServiceStub(channel)
            answer = stub.GetCoalition(pb.GetCoalitionRequest(), timeout=DEADLINE_SECONDS)
        if not answer.HasField("signed_directory"):
            raise JoinRefused(
                "The node is in no coalition. `vafa join COALITION` makes a request to join one."
            )
        signed = read_directory(answer.signed_directory.SerializeToString(deterministic=True))
    if json:
        inner = directory_pb2.Directory.FromString(answer.signed_directory.directory)
        show(inner, True, lambda: "")
        return
    typer.echo("\n".join(_lines(signed, answer)))


def _lines(signed: SignedDirectory, answer: pb.GetCoalitionResponse) -> list[str]:
    directory = signed.directory
    links = {link.partner_id: link for link in answer.links}
    lines = [
        f"Coalition {directory.coalition_id}, version {directory.version}, {_day(directory.publish_time_ms)}",
        f"Signed by {signed.key_uri}",
    ]
    for partner in directory.partners:
        link = links.get(partner.partner_id)
        state = "" if link is None else ("  connected" if link.connected else "  not connected")
        waiting = f", {link.waiting_messages} waiting" if link is not None and link.waiting_messages else ""
        where = ", ".join(partner.endpoints) or (
            f"by {partner.relay_partner_id}" if partner.relay_partner_id else "only dials"
        )
        spans = " ".join(range_text(span) for span in partner.ranges)
        lines.append(
            f"  {partner.partner_id:<20} {partner.status.name.lower():<9} {where:<28} {spans}{state}{waiting}"
        )
    return lines + _terms(directory)


def _terms(directory: Directory) -> list[str]:
    lines = [
        f"Rate {rate.version} from {_day(rate.effective_time_ms)}: earned {rate.accrual_micro}, "
        f"spent {rate.redemption_micro} millionths of {rate.currency}"
        for rate in directory.rates
    ]
    windows = directory.windows
    lines += [
        f"Window {window.number}: {_day(window.open_time_ms)} until {_day(window.cut_time_ms)}"
        for window in windows[:SHOWN_WINDOWS]
    ]
    if len(windows) > SHOWN_WINDOWS:
        lines.append(f"… and {len(windows) - SHOWN_WINDOWS} more, until {_day(windows[-1].cut_time_ms)}")
    return lines


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
