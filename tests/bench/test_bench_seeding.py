"""Members that a bench writes before the node starts are members like any other, and the books hold."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.load import LoadFailed, Target, drive_stream, drive_unary
from bench.messages import AccrualMaker, card_number
from bench.raw import batches_of_run
from bench.seeding import seed
from bench.subject import ACCRUE, SUBMIT, SUBMIT_STREAM
from node.identity.caller import Role
from node.installation import CONFIG_NAME
from simulators.local_node import LocalNode

MEMBERS = 40


@pytest.fixture
def seeded(tmp_path: Path) -> LocalNode:
    """A stopped node of two shards with members, seeded in two goes."""
    node = LocalNode(tmp_path, shards=2, settings={"currency": "IRR", "currency_exponent": 0})
    for members in (range(15), range(15, MEMBERS)):
        seed(node.directory / CONFIG_NAME, members, now_ms=time.time_ns() // 1_000_000)
    return node


def _maker(members: range) -> AccrualMaker:
    cards = [card_number(member) for member in members]
    return AccrualMaker(cards, occurred_ms=time.time_ns() // 1_000_000)


async def test_every_seeded_member_earns_on_every_path_and_the_books_are_clean(seeded: LocalNode) -> None:
    found = seeded.check()
    assert (found.problems, found.accounts) == ([], MEMBERS)
    await seeded.start()
    try:
        till = seeded.certificate(Role.TILL, "till-1", "store-1")
        maker = _maker(range(MEMBERS))

        def target(method: str) -> Target:
            return Target("node", seeded.addresses.address, method, till)

        unary = await drive_unary(target(ACCRUE), maker.accruals(300), in_flight=32, seconds=60)
        assert unary.insist("unary").work == 300
        streamed = await drive_stream(
            target(SUBMIT_STREAM), maker.streamed(100), streams=2, in_flight=16, seconds=60
        )
        assert streamed.insist("stream").work == 100
        # What the raw limit writes anew is what this run wrote: each accrual once, whatever its batch.
        runs = batches_of_run(seeded.config.storage.directory, maker.tag.encode())
        assert sum(run.accruals for run in runs) == 400
        batched = await drive_unary(
            target(SUBMIT), maker.batches(3, 50), in_flight=2, seconds=60, accruals_per_call=50
        )
        assert batched.insist("batch").work == 150
        stranger = _maker(range(MEMBERS, MEMBERS + 1)).accruals(1)
        unknown = await drive_unary(target(ACCRUE), stranger, in_flight=1, seconds=60)
        with pytest.raises(LoadFailed, match="NOT_FOUND"):
            unknown.insist("a stranger")
    finally:
        await seeded.stop()
    assert seeded.check().problems == []
