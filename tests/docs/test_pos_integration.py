"""What docs/pos-integration.md tells a vendor is what the node does."""

from __future__ import annotations

import re
from pathlib import Path

from node.ledger.refusals import Reason
from node.proto.vafa.common.v1 import identifier_pb2, refusal_pb2
from node.proto.vafa.pos.v1 import earning_pb2
from node.wire.refusals import ACTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "pos-integration.md").read_text(encoding="utf-8")


def _bytes_shown() -> bytes:
    found = re.search(r"```hex\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    rows = (re.match(r"\s*((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:\s{2,}|$)", row) for row in found[1].splitlines())
    return bytes.fromhex("".join(row[1] for row in rows if row is not None))


def test_the_bytes_on_the_page_are_the_accrual_that_it_describes() -> None:
    shown = _bytes_shown()

    request = earning_pb2.AccrueRequest.FromString(shown)

    assert f"these {len(shown)} bytes" in PAGE
    assert request.request_id == "t1-000017"
    assert request.identifier.kind == identifier_pb2.IDENTIFIER_KIND_PHONE
    assert request.identifier.value == "۰۹۱۲۱۲۳۴۵۶۷"
    assert request.occurred_time.ToJsonString() == "2026-11-23T09:30:00Z"
    assert request.purchase.receipt_number == "R-1042"
    assert (request.purchase.total.currency, request.purchase.total.minor) == ("IRR", 1_250_000)
    assert request.SerializeToString(deterministic=True) == shown


def test_every_reason_has_the_action_that_the_page_says() -> None:
    table = PAGE.split("<!-- refusals")[1]
    said = {
        reason: action
        for action, reasons in re.findall(
            r"^\| (RETRY|ASK|VOID) \|[^|]*\| ([A-Z_, ]+) \|$", table, re.MULTILINE
        )
        for reason in reasons.split(", ")
    }

    for reason in Reason:
        action = refusal_pb2.TillAction.Name(ACTIONS[reason]).removeprefix("TILL_ACTION_")
        assert said.get(reason.name, "SHOW") == action, reason.name
