"""What an acquirer may do, and what it may not, after its disk was put back to an old backup."""

from __future__ import annotations

import copy

import pytest

from node.coalition.envelopes import Draft
from node.coalition.exchange import AcquirerState, HomeState
from node.coalition.home_facts import HomeExchange
from node.coalition.messages import LANE_UNKNOWN, Cancel, ExchangeReason, MessageType
from tests.coalition.exchange_parts import NILE, SAFFRON, exchange_id, seal
from tests.coalition.exchange_saffron import Saffron
from tests.coalition.exchange_world import World

ONE = exchange_id(1)


@pytest.fixture
def world() -> World:
    return World.open()


def restore(world: World, backup: Saffron) -> None:
    """Saffron's process ends, and comes back on a backup; the lane is shut."""
    life, now_ms = world.saffron.life, world.saffron.now_ms
    world.saffron = copy.deepcopy(backup)
    world.saffron.life, world.saffron.now_ms = life, now_ms
    world.nile.partners = world.saffron.records
    world.saffron.restart()


def captured_since_a_backup(world: World) -> tuple[Saffron, bytes]:
    """A spend of which 250 were captured after the backup; the backup, and the capture's own name."""
    capture = exchange_id(2)
    world.say(world.saffron.spend(ONE, 300))
    world.settle()
    backup = copy.deepcopy(world.saffron)
    world.say(world.saffron.capture(ONE, 250, capture))
    world.settle()
    return backup, capture


def test_a_spend_that_was_captured_since_the_backup_is_not_given_up_before_hello_has_shown_it(
    world: World,
) -> None:
    asked = world.saffron.spend(ONE, 300, one_step=True)
    backup = copy.deepcopy(world.saffron)
    world.say(asked)
    world.settle()
    assert ONE in world.saffron.goods
    restore(world, backup)
    world.pass_time(400_000)
    again = world.saffron.on_time(ONE)
    assert [sent.type for sent in again] == [MessageType.RESERVE]
    assert world.saffron.state(ONE) is AcquirerState.INTENT
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.DONE
    assert world.saffron.given_back == []
    world.assert_agreed()


def test_a_spend_that_nobody_answers_is_given_up_once_hello_has_shown_that_it_was_not_posted(
    world: World,
) -> None:
    world.saffron.spend(ONE, 300)
    restore(world, copy.deepcopy(world.saffron))
    world.pass_time(400_000)
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    given_up = world.saffron.on_time(ONE)
    assert [sent.type for sent in given_up] == [MessageType.CANCEL]
    world.say(given_up)
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    world.assert_agreed()


def test_a_decline_ends_what_a_restored_acquirer_cancels_without_knowing_what_it_had_asked(
    world: World,
) -> None:
    backup = copy.deepcopy(world.saffron)
    world.say(world.saffron.spend(ONE, 5_000))
    world.settle()
    assert world.saffron.exchanges[ONE].reason is ExchangeReason.PROOF_LIMIT
    restore(world, backup)
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    world.say(world.saffron.cancel(ONE))
    world.settle()
    assert world.nile.exchanges[ONE].said is MessageType.DECLINED
    assert world.nile.exchanges[ONE].state is HomeState.VOIDED
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    world.assert_agreed()


def test_the_end_of_a_hold_ends_what_a_restored_acquirer_cancels_without_knowing_what_it_had_asked(
    world: World,
) -> None:
    backup = copy.deepcopy(world.saffron)
    world.say(world.saffron.spend(ONE, 300))
    world.settle()
    restore(world, backup)
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    world.say(world.saffron.cancel(ONE))
    world.settle()
    assert world.nile.exchanges[ONE].said is MessageType.VOIDED
    assert world.nile.usage.reserved == 0
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    world.assert_agreed()


def test_a_capture_that_was_reversed_on_a_disk_that_had_forgotten_it_is_given_back(world: World) -> None:
    backup, capture = captured_since_a_backup(world)
    restore(world, backup)
    world.say(world.saffron.cancel(capture))
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.DONE
    assert world.saffron.exchanges[ONE].capture_reference == capture
    assert world.saffron.given_back == [(ONE, 250)]


def test_a_spend_in_one_step_that_a_till_let_go_since_the_backup_is_not_captured(world: World) -> None:
    asked = world.saffron.spend(ONE, 300, one_step=True)
    backup = copy.deepcopy(world.saffron)
    world.saffron.cancel(ONE)
    world.pass_time(1_000)
    restore(world, backup)
    world.saffron.generation += 1
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    world.say(asked)  # it was on its way, and is answered
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    assert world.nile.account.purse("coalition").spendable == 1_000
    world.assert_agreed()


def test_what_was_asked_before_the_restore_is_let_go_as_soon_as_hello_shows_that_it_was_not_posted(
    world: World,
) -> None:
    world.saffron.spend(ONE, 300)
    world.pass_time(1_000)
    restore(world, copy.deepcopy(world.saffron))
    world.saffron.generation += 1
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    assert [sent.type for sent in world.saffron.on_time(ONE)] == [MessageType.CANCEL]


def test_a_capture_that_a_till_let_go_since_the_backup_is_not_sent_again(world: World) -> None:
    world.say(world.saffron.spend(ONE, 300))
    world.settle()
    world.saffron.capture(ONE, 300)  # it is lost
    backup = copy.deepcopy(world.saffron)
    world.saffron.cancel(ONE)
    world.pass_time(1_000)
    restore(world, backup)
    world.saffron.generation += 1
    assert world.saffron.on_time(ONE) == [], "before HELLO it may have been posted"
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    world.say(world.saffron.on_time(ONE))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.FAILED
    assert world.nile.account.purse("coalition").spendable == 1_000
    world.assert_agreed()


def test_a_reversal_that_a_second_restore_has_forgotten_comes_back_beside_the_record(world: World) -> None:
    backup, capture = captured_since_a_backup(world)
    restore(world, backup)
    world.say(world.saffron.cancel(capture))
    world.settle()  # the home node has heard of it; the lane is still shut, so the record has not come
    assert world.nile.exchanges[capture].state is HomeState.VOIDED
    restore(world, backup)
    assert capture not in world.saffron.exchanges
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.DONE
    assert world.saffron.given_back == [(ONE, 250)]


def posted_and_lost(world: World) -> Saffron:
    """A spend that was captured, of which saffron has not heard; the backup of that moment."""
    world.say(world.saffron.spend(ONE, 300))
    world.settle()
    world.say(world.saffron.capture(ONE, 300))
    world.deliver(world.network.pop(0))
    world.network.clear()
    assert world.nile.exchanges[ONE].state is HomeState.POSTED
    return copy.deepcopy(world.saffron)


def test_a_reversal_that_the_home_node_has_heard_of_is_not_lost_with_a_disk(world: World) -> None:
    backup = posted_and_lost(world)
    world.say(world.saffron.cancel(ONE))
    world.deliver(world.network.pop(0))
    world.network.clear()
    restore(world, backup)
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.DONE
    assert world.saffron.given_back == [(ONE, 300)]


def test_a_record_alone_gives_nothing_back(world: World) -> None:
    backup = posted_and_lost(world)
    restore(world, backup)
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.DONE
    assert world.saffron.given_back == []
    world.assert_agreed()


def test_a_cancel_of_a_history_that_a_restore_has_ended_gives_nothing_back(world: World) -> None:
    asked = world.saffron.spend(ONE, 300)
    backup = copy.deepcopy(world.saffron)
    world.say(asked)
    world.deliver(world.network.pop(0))
    world.network.clear()
    late = world.saffron.cancel(ONE)  # it is held up on its way
    world.pass_time(1_000)
    restore(world, backup)
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    world.say(asked)
    world.settle()
    backup = copy.deepcopy(world.saffron)
    world.say(world.saffron.capture(ONE, 300))
    world.settle()
    assert ONE in world.saffron.goods
    world.say(late)
    world.settle()
    assert world.nile.exchanges[ONE].cancel is not None
    restore(world, backup)
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.DONE
    assert world.saffron.given_back == []


def test_a_cancel_that_the_home_node_has_signed_itself_gives_nothing_back(world: World) -> None:
    backup, capture = captured_since_a_backup(world)
    restore(world, backup)
    forged = seal(Draft(MessageType.CANCEL, LANE_UNKNOWN, 0, capture, Cancel(b"")), NILE, SAFFRON, 1)
    world.nile.exchanges[capture] = HomeExchange(
        SAFFRON, capture, HomeState.VOIDED, 1, cancel=forged.envelope
    )
    world.say(world.nile.asked(world.saffron.life))
    world.settle()
    assert world.saffron.state(ONE) is AcquirerState.DONE
    assert world.saffron.given_back == []
