"""A load passes only when nothing failed, every bound held and the books are clean, and says why when not."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.load_manifest import LoadManifest
from bench.load_run import Bounds, Outcome, run_locust, verdict
from node.proto.vafa.common.v1.balance_pb2 import PURSE_KIND_POINTS
from simulators.scripted_node import ScriptedNode

_GOOD = Outcome(
    Counter(Accrue=800, Redeem=100, Return=100),
    Counter(),
    {"Accrue": 40.0, "Redeem": 30.0, "Return": 50.0},
    250.0,
    "",
)
_BOUNDS = Bounds(p99_ms=500.0, calls_per_second=200.0, failed_share=0.0)


def test_a_load_within_all_bounds_with_clean_books_passes() -> None:
    assert verdict(_GOOD, _BOUNDS, "clean") == []


@pytest.mark.parametrize(
    ("outcome", "books", "why"),
    [
        (replace(_GOOD, failures=Counter(Redeem=1)), "clean", "1 of 1,000 calls failed"),
        (replace(_GOOD, calls_per_second=199.0), "clean", "Only 199 calls/s"),
        (replace(_GOOD, p99_ms={**_GOOD.p99_ms, "Return": 501.0}), "clean", "Return: the p99 is 501 ms"),
        (replace(_GOOD, p99_ms={"Accrue": float("nan")}), "clean", "Accrue: the p99"),
        (replace(_GOOD, calls=Counter(Accrue=1000, Redeem=5)), "clean", "Return was never called"),
        (_GOOD, "partition 3 does not sum to zero", "partition 3 does not sum to zero"),
    ],
)
def test_each_bound_that_does_not_hold_fails_the_load_and_is_named(
    outcome: Outcome, books: str, why: str
) -> None:
    [reason] = verdict(outcome, _BOUNDS, books)
    assert why in reason


def test_a_share_of_failures_may_be_allowed_but_no_more_than_that() -> None:
    one_percent = replace(_BOUNDS, failed_share=0.01)
    assert verdict(replace(_GOOD, failures=Counter(Accrue=10)), one_percent, "clean") == []
    assert len(verdict(replace(_GOOD, failures=Counter(Accrue=11)), one_percent, "clean")) == 1


def _keep_manifest(node: ScriptedNode, directory: Path, tills: int, calls: int) -> Path:
    certificates = directory / "certificates"
    certificates.mkdir()
    manifest = LoadManifest(node.address, certificates, tills, 5, "IRR", calls)
    for number in range(tills):
        manifest.keep_certificate(number, node.certificate(f"till-{number}", "store-1"))
    path = directory / "manifest.json"
    manifest.write(path)
    assert LoadManifest.read(path) == manifest
    return path


@pytest.mark.slow
async def test_tills_earn_spend_and_take_back_with_certificates_of_their_own(
    scripted_node: ScriptedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = ScriptedNode._execute

    def with_balance(self: ScriptedNode, kind: str, request: Any) -> Any:
        answer = execute(self, kind, request)
        answer.balances.add(purse="points", kind=PURSE_KIND_POINTS, spendable=100)
        return answer

    monkeypatch.setattr(ScriptedNode, "_execute", with_balance)
    manifest = _keep_manifest(scripted_node, tmp_path, tills=6, calls=20)
    outcome = await asyncio.to_thread(run_locust, manifest, 6, 120.0)
    assert outcome.failures.total() == 0
    assert outcome.calls == {"Accrue": 96, "Redeem": 12, "Return": 12}
    assert len(scripted_node.executed) == outcome.calls.total()
    assert all(0 < p99_ms < 10_000 for p99_ms in outcome.p99_ms.values())
