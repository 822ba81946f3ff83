"""Earning and spending abroad between two nodes, told as short stories."""

from __future__ import annotations

import pytest

from node.coalition import acquirer
from node.coalition.acquirer_facts import HOLD_SLACK_MS, NOTHING_SECRET
from node.coalition.exchange import AcquirerState, HomeState
from node.coalition.messages import ExchangeReason, MessageType
from tests.coalition.exchange_parts import CODE, DAY_MS, exchange_id
from tests.coalition.exchange_world import World

ONE, TWO, THREE = exchange_id(1), exchange_id(2), exchange_id(3)


@pytest.fixture
def world() -> World:
    return World.open()


def spendable(world: World) -> int:
    return world.nile.account.purse("coalition").spendable


def test_a_member_spends_at_another_merchants_till(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.AUTHORIZED
    assert world.saffron.exchanges[ONE].balance_units == 700
    world.say(world.saffron.capture(ONE, 250))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.DONE
    assert spendable(world) == 750
    assert world.nile.usage.position == 250
    world.assert_agreed()


def test_spending_in_one_step_captures_as_soon_as_it_is_authorized(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300, one_step=True))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.DONE
    assert world.saffron.exchanges[ONE].posted_units == 300
    world.assert_agreed()


def test_a_member_earns_at_another_merchants_till(world: World) -> None:
    world.say(world.saffron.earn(ONE, 40))
    world.settle()
    assert spendable(world) == 1_040
    assert world.nile.usage.position == -40
    world.assert_agreed()


def test_a_void_gives_the_whole_hold_back(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300))
    world.settle()
    world.say(world.saffron.cancel(ONE))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    assert spendable(world) == 1_000
    world.assert_agreed()


def test_goods_that_come_back_undo_a_spend_up_to_what_was_posted(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300, one_step=True))
    world.settle()
    world.say(world.saffron.return_(TWO, ONE, 100))
    world.settle()
    assert spendable(world) == 800
    world.saffron.return_(THREE, ONE, 201)
    assert world.saffron.refusals == [ExchangeReason.RETURN_EXCEEDS_POSTED]
    world.assert_agreed()


def test_goods_that_come_back_undo_an_earning_as_far_as_it_can_be_taken(world: World) -> None:
    world.say(world.saffron.earn(ONE, 40))
    world.settle()
    world.say(world.saffron.return_(TWO, ONE, 40))
    world.settle()
    assert spendable(world) == 1_000
    assert world.nile.usage.position == 0
    world.assert_agreed()


def test_a_capture_that_comes_too_late_is_void_by_the_home_nodes_clock_alone(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300))
    world.settle()
    world.nile.now_ms += 900_000
    world.say(world.saffron.capture(ONE, 300))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    assert world.saffron.exchanges[ONE].reason is ExchangeReason.HOLD_EXPIRED
    assert spendable(world) == 1_000
    world.assert_agreed()


def test_an_authorization_that_nobody_captures_is_let_go_by_itself(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300))
    world.settle()
    world.pass_time(900_000 + HOLD_SLACK_MS)
    world.say(world.saffron.on_time(ONE))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    assert world.nile.usage.reserved == 0
    world.assert_agreed()


def test_a_request_that_nobody_answers_is_given_up_and_can_never_succeed_later(world: World) -> None:
    lost = world.saffron.spend(ONE, 300)
    world.pass_time(300_000)
    cancelled = world.saffron.on_time(ONE)
    assert [sent.type for sent in cancelled] == [MessageType.CANCEL]
    world.say(cancelled)
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    world.say(lost)
    world.settle()
    assert world.nile.exchanges[ONE].state is HomeState.VOIDED
    assert spendable(world) == 1_000
    world.assert_agreed()


def test_a_capture_is_repeated_for_ever_and_never_given_up(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300))
    world.settle()
    first = world.saffron.capture(ONE, 300)
    for _ in range(40):
        world.pass_time(60_000)
        again = world.saffron.on_time(ONE)
        assert [sent.message for sent in again] == [sent.message for sent in first]
    assert world.saffron.state(ONE) is AcquirerState.CAPTURING


def test_a_cancel_that_crosses_its_capture_ends_in_goods_given_back(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300))
    world.settle()
    world.say(world.saffron.capture(ONE, 300))
    world.say(world.saffron.cancel(ONE))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.DONE
    assert world.saffron.given_back == [(ONE, 300)]
    world.say(world.saffron.return_(TWO, ONE, 300))
    world.settle()
    assert spendable(world) == 1_000
    world.assert_agreed()


def test_a_reversal_of_what_this_node_never_heard_of_makes_it_void_at_the_home_node(world: World) -> None:
    world.say(world.saffron.cancel(ONE))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    assert world.nile.exchanges[ONE].state is HomeState.VOIDED
    world.assert_agreed()


def test_a_till_that_reverses_what_is_done_gives_back_all_that_has_not_come_back(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300, one_step=True))
    world.settle()
    world.say(world.saffron.return_(TWO, ONE, 100))
    world.settle()
    step = acquirer.cancel(world.saffron.exchanges[ONE], world.saffron.facts())
    assert step.give_back == 200
    assert step.exchange is None


def test_a_retry_of_a_till_is_the_same_exchange_and_another_body_is_a_conflict(world: World) -> None:
    first = world.saffron.spend(ONE, 300)
    assert world.saffron.spend(ONE, 300) == []
    assert world.saffron.spend(ONE, 301) == []
    assert world.saffron.refusals == [ExchangeReason.CONFLICT]
    world.say(first)
    world.settle()
    assert world.saffron.exchanges[ONE].units == 300


def test_identifier_proof_and_salt_are_dropped_when_the_exchange_ends(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300, one_step=True))
    assert world.saffron.exchanges[ONE].secretly.proof == CODE.encode()
    world.settle()
    kept = world.saffron.exchanges[ONE]
    assert kept.secretly == NOTHING_SECRET
    assert CODE not in repr(kept)


def test_the_first_record_of_a_new_window_follows_a_cut_marker(world: World) -> None:
    world.say(world.saffron.earn(ONE, 40))
    world.settle()
    world.pass_time(2 * DAY_MS)
    world.say(world.saffron.earn(TWO, 2))
    world.settle()
    assert world.nile.lane.number == 3
    assert (world.nile.lane.window, world.saffron.lane.window) == (2, 2)
    assert world.nile.records[2][1] is None
    assert world.nile.exchanges[TWO].rate_version == 2
    world.assert_agreed()


def test_a_return_in_a_later_window_is_at_the_originals_rate(world: World) -> None:
    world.say(world.saffron.earn(ONE, 40))
    world.settle()
    world.pass_time(2 * DAY_MS)
    world.say(world.saffron.return_(TWO, ONE, 40))
    world.settle()
    assert world.saffron.exchanges[TWO].rate_version == 1
    assert world.saffron.lane.window == 2
    world.assert_agreed()


def test_an_earning_that_waited_for_days_is_signed_anew_and_taken(world: World) -> None:
    old = world.saffron.earn(ONE, 40)
    world.pass_time(20 * DAY_MS)
    world.say(old)
    world.settle()
    assert spendable(world) == 1_000
    assert world.nile.refusals == [ExchangeReason.STALE]
    world.say(world.saffron.on_time(ONE))
    world.settle()
    assert spendable(world) == 1_040
    world.assert_agreed()


def test_an_earning_beyond_the_lateness_bound_is_declined_for_good(world: World) -> None:
    world.saffron.earn(ONE, 40)
    world.pass_time(31 * DAY_MS)
    world.say(world.saffron.on_time(ONE))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    assert world.saffron.exchanges[ONE].reason is ExchangeReason.STALE
    world.assert_agreed()
