"""`vafa lane compare`: whether a partner holds the records of both directions as this node does."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated

import typer

from node.cli.connection import (
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    JsonOption,
    connected,
    load,
)
from node.cli.join import JoinRefused
from node.cli.lane_records import known_directories, lane_records
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc
from node.wire.lane_lines import Compared, compare, lane_lines


def compare_with(
    partner: Annotated[str, typer.Argument(help="The partner's id.")],
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """Ask a partner for its side of all lanes, and compare; exit status 1 where the two differ.

    What one side has and the other lacks is no difference: it is on its way. The partner must be connected.
    """
    own_id, differing = load(config).merchant.id, 0
    with connected(config, address, certificate) as channel:
        stub = coalition_service_pb2_grpc.CoalitionServiceStub(channel)
        known = known_directories(stub)
        if own_id == partner or not known.partitions_of(partner):
            raise JoinRefused(f"There is no partner {partner} in the directory that the node follows.")
        for home in (True, False):
            home_id, acquirer_id = (own_id, partner) if home else (partner, own_id)
            for lane in range(known.partitions_of(home_id)):
                own, other = (
                    lane_lines(
                        lane_records(stub, partner, home, lane, from_partner=theirs),
                        known,
                        home_id,
                        acquirer_id,
                        from_start=True,
                    )
                    for theirs in (False, True)
                )
                found = compare(own, other)
                differing += bool(found.differs)
                typer.echo(_json(home_id, lane, found) if json else compared_line(home_id, lane, found))
    if differing:
        text = f"{differing} lane(s) differ. Keep a backup, and show this to {partner}: `vafa lane show` has"
        typer.echo(f"{text} what is here, and `vafa lane proof` what proves two histories.", err=True)
        raise typer.Exit(1)


def compared_line(home_id: str, lane: int, found: Compared) -> str:
    """How a lane of a home node's members stands on its two sides, for people."""
    said = f"members of {home_id}, lane {lane:>2}: "
    if found.differs:
        said += f"DIFFERS at record {found.differs}; the {found.same} before it are the same"
        said += f"; {found.problem}" if found.problem else ""
    elif found.own == found.other:
        said += f"{found.same} records, the same on both sides"
    else:
        more = "here" if found.own > found.other else "there"
        said += f"{found.same} records are the same, {abs(found.own - found.other)} more {more}"
    return said


def _json(home_id: str, lane: int, found: Compared) -> str:
    return jsonlib.dumps(
        {
            "home_id": home_id,
            "lane": lane,
            "own": found.own,
            "partner": found.other,
            "same": found.same,
            "differs": found.differs,
            "problem": found.problem,
        }
    )
