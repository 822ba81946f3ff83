"""A rain of absurd messages on every method: nothing falls, nothing moves unless it was answered OK.

A sample of what `python -m simulators.faults.fuzz` does at length.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.proto.vafa.pos.v1 import earning_pb2
from node.wire.commands import Op
from simulators.faults.absurd import bodies
from simulators.faults.fuzz import Fell, Fuzzing, examples_for
from simulators.faults.methods import ALL, Method
from simulators.local_node import LocalNode
from simulators.operations import timestamp
from simulators.purchases import card_identifier
from tests.rpc.shop import sale

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = max(1, settings.default.max_examples // 4) if settings.default else 15


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fuzzing]:
    """A node that is fuzzed; in the end it still works, and its books are right."""
    node = LocalNode(tmp_path_factory.mktemp("fuzz"), shards=2)
    await node.start()
    fuzzing = Fuzzing(node)
    yield fuzzing
    await fuzzing.prepare()  # members are enrolled, and earn, as if nothing had happened
    assert fuzzing.outcomes["OK"] > 0
    await fuzzing.close()
    await node.stop()
    assert node.check().problems == []


@pytest_asyncio.fixture(loop_scope="module")
async def fuzzing(fuzzed: Fuzzing) -> Fuzzing:
    """The same node with members that are well."""
    await fuzzed.prepare()
    return fuzzed


@pytest.mark.parametrize("method", [one for one in ALL if examples_for(one, 100) == 100], ids=str)
@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
)
@given(data=st.data())
async def test_no_message_makes_a_method_fall_or_move_what_it_refuses(
    fuzzing: Fuzzing, method: Method, data: st.DataObject
) -> None:
    await fuzzing.send(method, data.draw(bodies(method.request, fuzzing.known)))


@pytest.mark.parametrize("method", [one for one in ALL if examples_for(one, 100) < 100], ids=str)
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_no_message_makes_a_method_fall_that_is_slow_by_nature(
    fuzzing: Fuzzing, method: Method, data: st.DataObject
) -> None:
    await fuzzing.send(method, data.draw(bodies(method.request, fuzzing.known)))


async def test_a_fault_that_a_message_finds_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fuzz itself at work: on a node with a bug, and on one that moves what it refuses."""
    node = LocalNode(tmp_path, shards=1)
    await node.start()
    fuzzing = Fuzzing(node)
    try:
        await fuzzing.prepare()
        method = next(one for one in ALL if one.path.endswith("/Accrue"))

        def decide(*arguments: object) -> object:
            raise ZeroDivisionError

        monkeypatch.setitem(node.shards[0].host.shard._desk.deciders, Op.ACCRUE, decide)
        request = earning_pb2.AccrueRequest(
            request_id="bug-1",
            identifier=card_identifier(fuzzing.known.cards[0]),
            occurred_time=timestamp(node.now_ms()),
            purchase=sale(100),
        )
        with pytest.raises(Fell, match="ACCOUNT_QUARANTINED"):
            await fuzzing.send(method, request.SerializeToString())
        with pytest.raises(Fell, match="moved"):
            fuzzing.judge(method, "INVALID_ARGUMENT", {**fuzzing.books(), ("member", "points"): 1})
    finally:
        await fuzzing.close()
        await node.stop()
