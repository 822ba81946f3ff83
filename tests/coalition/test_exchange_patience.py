"""An acquirer asks again and again, and who refuses it every time is asked more and more rarely."""

from __future__ import annotations

from node.coalition.acquirer_facts import RETRY_MAX_MS
from node.coalition.exchange import AcquirerState
from node.coalition.messages import ExchangeReason
from tests.coalition.exchange_parts import exchange_id
from tests.coalition.exchange_world import World

ONE = exchange_id(1)


def test_a_home_node_that_is_never_ready_is_asked_once_a_minute_in_the_end() -> None:
    world = World.open()
    world.nile.ready = False
    world.say(world.saffron.earn(ONE, 40))
    pauses = []
    for _ in range(12):
        world.settle()
        pauses.append(world.saffron.exchanges[ONE].due_ms - world.saffron.now_ms)
        world.pass_time(pauses[-1])
        world.say(world.saffron.on_time(ONE))
    assert world.saffron.exchanges[ONE].state is AcquirerState.QUEUED
    assert set(world.nile.refusals) == {ExchangeReason.LANE_NOT_READY}
    assert pauses[0] < 1_000
    assert pauses[-1] >= RETRY_MAX_MS // 2
