"""An acquirer asks again and again, and who refuses it every time is asked more and more rarely."""

from __future__ import annotations

from node.coalition.acquirer_facts import RETRY_MAX_MS
from node.coalition.envelopes import Draft
from node.coalition.exchange import AcquirerState
from node.coalition.messages import LANE_UNKNOWN, ExchangeReason, MessageType, Voided
from tests.coalition.exchange_parts import NILE, SAFFRON, Sent, exchange_id, seal
from tests.coalition.exchange_world import World

ONE, TWO = exchange_id(1), exchange_id(2)


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


def test_an_acquirer_that_has_started_anew_says_that_its_lane_waits_for_hello() -> None:
    world = World.open()
    world.saffron.restart()
    world.say([*world.saffron.spend(ONE, 40), *world.saffron.earn(TWO, 40)])
    world.settle()
    assert world.saffron.refusals == [ExchangeReason.LANE_NOT_READY] * 2
    assert world.saffron.state(ONE) is AcquirerState.INTENT
    assert world.saffron.state(TWO) is AcquirerState.QUEUED
    world.say(world.nile.asked(world.saffron.life))
    world.pass_time(RETRY_MAX_MS)
    for one in (ONE, TWO):
        world.say(world.saffron.on_time(one))
    world.settle()
    assert world.saffron.state(TWO) is AcquirerState.DONE


def test_a_word_on_no_lane_is_no_sign_of_a_lane_that_waits() -> None:
    world = World.open()
    world.saffron.earn(ONE, 40)
    body = Voided(world.saffron.exchanges[ONE].body_hash, ExchangeReason.CANCELLED)
    draft = Draft(MessageType.VOIDED, LANE_UNKNOWN, 0, ONE, body)
    world.saffron.receive(Sent(SAFFRON, seal(draft, NILE, SAFFRON, 1)))
    assert world.saffron.refusals == []
    assert world.saffron.state(ONE) is AcquirerState.QUEUED
