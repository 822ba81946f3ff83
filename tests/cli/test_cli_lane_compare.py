"""`vafa lane compare` says where a partner's side of a lane agrees, and fails where it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from node.cli import lane_compare
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc
from node.wire.coalition_directory import sign_directory
from tests.cli.cli_shop import Ran, run_vafa
from tests.wire.coalition_terms import OPERATOR, SOUND
from tests.wire.test_lane_lines import records

LANE = 3


class Node:
    """Saffron's node, whose lane 3 with nile has these records here and there."""

    def __init__(self) -> None:
        self.here, self.there = records(3), records(3)

    def GetCoalition(self, request: pb.GetCoalitionRequest, timeout: float) -> pb.GetCoalitionResponse:
        response = pb.GetCoalitionResponse()
        response.signed_directory.MergeFromString(sign_directory(SOUND, OPERATOR).data)
        return response

    def ListRecords(self, request: pb.ListRecordsRequest, timeout: float) -> pb.ListRecordsResponse:
        response = pb.ListRecordsResponse()
        held = self.there if request.from_partner else self.here
        if request.home and request.lane == LANE:
            for data in held[request.from_number - 1 :][: request.page_size]:
                response.records.add().MergeFromString(data)
        return response


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node()

    @contextmanager
    def connected(*_: object) -> Iterator[None]:
        yield None

    monkeypatch.setattr(lane_compare, "connected", connected)
    monkeypatch.setattr(
        lane_compare, "load", lambda _: SimpleNamespace(merchant=SimpleNamespace(id="saffron"))
    )
    monkeypatch.setattr(coalition_service_pb2_grpc, "CoalitionServiceStub", lambda channel: made)
    return made


def lane_of(ran: Ran, home_id: str = "saffron") -> str:
    (line,) = [one for one in ran.out.splitlines() if f"members of {home_id}, lane  {LANE}:" in one]
    return line


def test_lanes_that_agree_are_said_to_whoever_has_more(node: Node) -> None:
    ran = run_vafa("lane", "compare", "nile")
    assert (ran.status, ran.err) == (0, "")
    assert lane_of(ran).endswith("4 records, the same on both sides")
    node.there = node.there[:3]
    assert lane_of(run_vafa("lane", "compare", "nile")).endswith("3 records are the same, 1 more here")
    node.here = node.here[:1]
    assert lane_of(run_vafa("lane", "compare", "nile")).endswith("1 records are the same, 2 more there")


def test_a_partner_that_holds_another_history_is_named_by_its_record(node: Node) -> None:
    node.there = records(1)
    ran = run_vafa("lane", "compare", "nile")
    assert ran.status == 1
    assert "DIFFERS at record 2; the 1 before it are the same" in lane_of(ran)
    assert "1 lane(s) differ" in ran.err
    ran = run_vafa("lane", "compare", "nile", "--json")
    (found,) = [one for one in map(json.loads, ran.out.splitlines()) if one["differs"]]
    assert (found["home_id"], found["lane"], found["differs"], found["same"]) == ("saffron", LANE, 2, 1)


def test_more_records_than_a_page_has_are_compared_to_the_end(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.cli.lane_records.PAGE", 2)
    assert lane_of(run_vafa("lane", "compare", "nile")).endswith("4 records, the same on both sides")


@pytest.mark.parametrize("partner", ["saffron", "nobody"])
def test_who_is_no_partner_is_not_compared(node: Node, partner: str) -> None:
    ran = run_vafa("lane", "compare", partner)
    assert ran.status == 1
    assert f"There is no partner {partner}" in ran.err
