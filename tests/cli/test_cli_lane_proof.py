"""`vafa lane proof` writes what the node keeps, and says in words where that proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.cli import lane_proof
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc
from node.wire.coalition_directory import DIRECTORY_LABEL, armoured
from tests.cli.cli_shop import Ran, run_vafa
from tests.wire.test_fork_proofs import SIGNED, hello, proof


class Node:
    """A node that says this of every lane."""

    def __init__(self) -> None:
        self.answer = pb.GetDisputeResponse()
        self.asked: list[pb.GetDisputeRequest] = []

    def GetDispute(self, request: pb.GetDisputeRequest, timeout: float) -> pb.GetDisputeResponse:
        self.asked.append(request)
        return self.answer


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node()

    @contextmanager
    def connected(*_: object) -> Iterator[None]:
        yield None

    monkeypatch.setattr(lane_proof, "connected", connected)
    monkeypatch.setattr(coalition_service_pb2_grpc, "CoalitionServiceStub", lambda channel: made)
    return made


def asked(out: Path) -> Ran:
    return run_vafa("lane", "proof", "saffron", "--lane", 3, "--out", out)


def test_the_proof_that_is_written_is_verified_by_anybody(node: Node, tmp_path: Path) -> None:
    node.answer = pb.GetDisputeResponse(why="forked", number=7)
    node.answer.fork_proof.MergeFromString(proof(hello(1), hello(2)))
    out, directory = tmp_path / "fork.proof", tmp_path / "a.directory"
    directory.write_text(armoured(DIRECTORY_LABEL, SIGNED.data), "utf-8")
    written = asked(out)
    assert written.status == 0, written.err
    assert (node.asked[0].partner_id, node.asked[0].lane, node.asked[0].home) == ("saffron", 3, False)
    assert run_vafa("lane", "verify-proof", out, "--directory", directory).status == 0
    before = out.read_bytes()
    again = asked(out)
    assert again.status == 1
    assert "exists already" in again.err
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (pb.GetDisputeResponse(), "is not set aside"),
        (pb.GetDisputeResponse(why="broken_chain"), "does not prove"),
    ],
)
def test_where_nothing_is_proven_nothing_is_written(
    node: Node, tmp_path: Path, answer: pb.GetDisputeResponse, words: str
) -> None:
    node.answer = answer
    refused = asked(tmp_path / "fork.proof")
    assert refused.status == 1
    assert words in refused.err
    assert not (tmp_path / "fork.proof").exists()
