"""`vafa lane`: what two merchants have signed to each other, record by record."""

from __future__ import annotations

import json as jsonlib
from datetime import UTC, datetime
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
    load,
)
from node.cli.connection import show as show_message
from node.cli.join import JoinRefused
from node.cli.lane_compare import compare_with
from node.cli.lane_proof import proof, verify_proof
from node.cli.lane_records import known_directories, lane_records
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc
from node.wire.lane_lines import LaneLine, lane_lines

app = typer.Typer(help="Lanes with partners: the records that both sides have signed.", no_args_is_help=True)

app.command("compare")(compare_with)
app.command("proof")(proof)
app.command("verify-proof")(verify_proof)


@app.command("list")
def list_(
    partner: Annotated[str, typer.Argument(help="One partner; else all of them.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """Show how it stands with partners: lanes, what is owed beside the caps, what waits for an answer."""
    with connected(config, address, certificate) as channel:
        stub = coalition_service_pb2_grpc.CoalitionServiceStub(channel)
        known_directories(stub)
        answer = stub.GetCoalition(pb.GetCoalitionRequest(), timeout=DEADLINE_SECONDS)
    links = [link for link in answer.links if partner in ("", link.partner_id)]
    if not links:
        raise JoinRefused(f"There is no partner {partner} in the directory that the node follows.")
    if json:
        shown = pb.GetCoalitionResponse(links=links)
        show_message(shown, True, lambda: "")
        return
    for link in links:
        typer.echo("\n".join(standing_lines(link)))


def standing_lines(link: pb.PartnerLink) -> list[str]:
    """How it stands with one partner, for people."""
    state = "connected" if link.connected else "not connected"
    lines = [
        f"{link.partner_id}  {state}",
        f"  we owe      {max(0, link.used_units):>12} of at most {link.cap_units}",
        f"  they owe us {max(0, link.partner_used_units):>12} of at most {link.partner_cap_units}",
    ]
    if link.waiting_exchanges:
        since = _moment(link.oldest_exchange_time.ToMilliseconds())
        lines.append(f"  {link.waiting_exchanges} exchanges wait for an answer, the oldest since {since}")
    for home, said in ((True, "our members at their tills"), (False, "their members at our tills")):
        lanes = [lane for lane in link.lanes if lane.home is home]
        records = sum(lane.number for lane in lanes)
        opened = sum(lane.open for lane in lanes)
        lines.append(f"  {said}: {len(lanes)} lanes, {opened} open, {records} records")
        for lane in lanes:
            if lane.dispute:
                lines.append(f"    lane {lane.lane} is SET ASIDE at record {lane.number}: {lane.dispute}")
            elif lane.missing_records:
                lines.append(f"    lane {lane.lane}: {lane.missing_records} records are not acknowledged yet")
    return lines


@app.command()
def show(
    partner: Annotated[str, typer.Argument(help="The partner's id.")],
    abroad: Annotated[
        bool, typer.Option("--abroad", help="The partner's members at our tills; else ours at theirs.")
    ] = False,
    lane: Annotated[int, typer.Option(help="One lane, a partition of the home node; -1: all of them.")] = -1,
    first: Annotated[int, typer.Option("--from", help="From which number on.")] = 1,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """Print the records of lanes with a partner; exit status 1 where one does not hold.

    Each is verified here: the home node's signature, the acquirer's, and that its hash follows.
    """
    own_id = load(config).merchant.id
    home_id, acquirer_id = (partner, own_id) if abroad else (own_id, partner)
    broken = 0
    with connected(config, address, certificate) as channel:
        stub = coalition_service_pb2_grpc.CoalitionServiceStub(channel)
        known = known_directories(stub)
        partitions = known.partitions_of(home_id)
        if not partitions or not known.partitions_of(acquirer_id):
            raise JoinRefused(
                f"{home_id} and {acquirer_id} are not both in the directory that the node follows."
            )
        for number in range(partitions) if lane < 0 else (lane,):
            records = lane_records(stub, partner, not abroad, number, first)
            for line in lane_lines(records, known, home_id, acquirer_id, from_start=first <= 1):
                broken += bool(line.problems)
                typer.echo(_json(number, line) if json else _text(number, line))
    if broken:
        typer.echo(f"{broken} record(s) do not hold. Keep a backup, and show them to {partner}.", err=True)
        raise typer.Exit(1)


def _text(lane: int, line: LaneLine) -> str:
    core = line.core
    verdict = "both signatures hold" if not line.problems else "; ".join(line.problems).upper()
    if core is None:
        return f"{lane:>2}  {verdict}"
    when = _moment(core.post_time_ms)
    kind = core.kind.name.lower()
    if not line.problems and not line.acquirer_key:
        verdict = "signature holds"
    return (
        f"{lane:>2} {core.number:>6}  {when}  {kind:<18} {core.units:>10} {core.purse}  window {core.window} "
        f"rate {core.rate_version}  {line.hash.hex()[:16]}  {verdict}"
    )


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _json(lane: int, line: LaneLine) -> str:
    core = line.core
    said = {"lane": lane, "problems": list(line.problems)}
    if core is not None:
        said |= {
            "number": core.number,
            "kind": core.kind.name,
            "units": core.units,
            "purse": core.purse,
            "window": core.window,
            "rate_version": core.rate_version,
            "post_time_ms": core.post_time_ms,
            "exchange_id": core.exchange_id.hex(),
            "epoch": line.epoch,
            "hash": line.hash.hex(),
            "home_key": line.home_key,
            "acquirer_key": line.acquirer_key,
        }
    return jsonlib.dumps(said)
