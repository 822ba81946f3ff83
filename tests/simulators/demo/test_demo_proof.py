"""The demo calls books clean only when the check says so and the running node had told the same."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from node.proto.vafa.admin.v1 import admin_service_pb2
from simulators.demo.figures import Figures
from simulators.demo.proof import CLEAN, prove
from simulators.launch import NodeUnderTest

TOLD = [admin_service_pb2.PurseTotals(purse="points", issued=100, redeemed=40, breakage=5, outstanding=55)]


def figures(issued: int = 100, redeemed: int = 40) -> Figures:
    return Figures(issued=Counter(points=issued), redeemed=Counter(points=redeemed))


def found(**changes: Any) -> dict[str, Any]:
    totals = {"purse": "points", "issued": 100, "redeemed": 40, "breakage": 5, "outstanding": 55}
    return {"clean": True, "findings": [], "totals": [{**totals, **changes}]}


def checked(tmp_path: Path, stdout: str, status: int) -> NodeUnderTest:
    class Stopped(NodeUnderTest):
        def vafa(self, *arguments: str) -> subprocess.CompletedProcess[str]:
            assert arguments[0] == "check"
            return subprocess.CompletedProcess(arguments, status, stdout, "a word on the error stream")

    return Stopped(tmp_path, "shop")


def test_a_clean_check_that_agrees_with_the_node_is_clean(tmp_path: Path) -> None:
    assert prove(checked(tmp_path, json.dumps(found()), 0), TOLD, figures()) == CLEAN


def test_points_that_expired_in_between_are_no_disagreement(tmp_path: Path) -> None:
    assert (
        prove(checked(tmp_path, json.dumps(found(breakage=15, outstanding=45)), 0), TOLD, figures()) == CLEAN
    )


@pytest.mark.parametrize("changes", [{"issued": 99}, {"redeemed": 41}, {"outstanding": 54}])
def test_other_totals_than_the_node_told_are_not_clean(tmp_path: Path, changes: dict[str, int]) -> None:
    assert "the running node told" in prove(
        checked(tmp_path, json.dumps(found(**changes)), 0), TOLD, figures()
    )


def test_findings_are_passed_on(tmp_path: Path) -> None:
    answer = json.dumps({**found(), "clean": False, "findings": ["entry 17 does not replay"]})
    assert prove(checked(tmp_path, answer, 1), TOLD, figures()) == "entry 17 does not replay"


@pytest.mark.parametrize("answer", ["", "vafa: the store is locked", "[]", '{"findings": []}'])
def test_a_check_that_cannot_be_read_is_not_clean(tmp_path: Path, answer: str) -> None:
    assert prove(checked(tmp_path, answer, 1), TOLD, figures()) != CLEAN


def test_a_status_that_contradicts_the_words_is_not_clean(tmp_path: Path) -> None:
    assert prove(checked(tmp_path, json.dumps(found()), 1), TOLD, figures()) != CLEAN


@pytest.mark.parametrize(("issued", "redeemed"), [(101, 40), (100, 39)])
def test_books_that_hold_other_points_than_the_tills_were_told_of_are_not_clean(
    tmp_path: Path, issued: int, redeemed: int
) -> None:
    proof = prove(checked(tmp_path, json.dumps(found()), 0), TOLD, figures(issued, redeemed))
    assert "the tills were told" in proof
