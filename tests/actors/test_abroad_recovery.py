"""What is lost, late, restarted or restored between two merchants' shards comes to one end."""

from __future__ import annotations

import asyncio

import pytest

from node.coalition.exchange import AcquirerState
from node.ledger.refusals import Reason
from node.storage.keyspace import Kind, PartitionMeta, partition_meta_key
from node.storage.store import Batch
from node.wire import coalition_store
from tests.actors.abroad_merchants import DAY_MS, Bazaar
from tests.actors.abroad_stories import opened, returns, spends, state
from tests.actors.harness import body_of, card, reason_of
from tests.actors.stored import PARTITIONS

DONE, FAILED = AcquirerState.DONE, AcquirerState.FAILED


@pytest.fixture
async def bazaar() -> Bazaar:
    return await opened()


# --- lost, late, restarted, restored
# --------------------------------------------------------------------------


@pytest.mark.parametrize("lost", range(6))
async def test_whichever_message_is_lost_both_sides_agree_in_the_end(bazaar: Bazaar, lost: int) -> None:
    code = await bazaar.saffron.asks_for_code(1, 300)
    await bazaar.saffron.spends("r1", 1, 300, code, True)
    await bazaar.pump(lambda at: at == lost)
    for _ in range(4):
        await bazaar.time_passes(10_000)
    assert await state(bazaar, "r1") is DONE
    assert await bazaar.nile.points(card(1)) == 700
    bazaar.assert_agreed()


async def test_a_restarted_home_node_says_nothing_before_hello_and_goes_on_after(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300, one_step=False)
    bazaar.nile.restart()
    await bazaar.saffron.captures("r1", 300)
    await bazaar.pump()
    assert await state(bazaar, "r1") is AcquirerState.CAPTURING
    await bazaar.nile.opens()
    await bazaar.pump()
    assert await state(bazaar, "r1") is DONE
    bazaar.assert_agreed()


async def test_a_restarted_acquirer_signs_nothing_on_a_lane_before_hello(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300, one_step=False)
    bazaar.saffron.restart()
    await bazaar.saffron.captures("r1", 300)
    assert bazaar.network == []
    assert not (await bazaar.saffron.asks_for_hello()).ready
    await bazaar.pump()
    assert await state(bazaar, "r1") is DONE
    assert (await bazaar.saffron.asks_for_hello()).ready == ("nile",)
    bazaar.assert_agreed()


async def test_a_home_node_over_an_old_backup_gets_its_records_back(bazaar: Bazaar) -> None:
    backup = bazaar.nile.backup()
    await spends(bazaar, "r1", 300)
    await bazaar.saffron.earns("r2", 1, 40)
    await bazaar.saffron.earns("r3", 2, 7)
    await bazaar.pump()
    await returns(bazaar, "r4", "r1", 100)
    for _ in range(2):  # twice in a row
        bazaar.nile.restore(backup)
        assert await bazaar.nile.points(card(1)) == 1_000
        await bazaar.nile.opens()
        await bazaar.pump()
        assert await bazaar.nile.points(card(1)) == 840
        assert await bazaar.nile.points(card(2)) == 7
        bazaar.assert_agreed()
    await returns(bazaar, "r5", "r1", 200)
    assert await bazaar.nile.points(card(1)) == 1_040
    bazaar.assert_agreed()


async def test_an_old_backup_without_the_member_opens_the_account_again(bazaar: Bazaar) -> None:
    backup = bazaar.nile.backup()
    await bazaar.nile.enrol(card(3))
    await bazaar.saffron.earns("r1", 3, 40)
    await bazaar.pump()
    accounts = bazaar.nile.accounts()
    bazaar.nile.restore(backup)
    await bazaar.nile.opens()
    await bazaar.pump()
    assert bazaar.nile.accounts().keys() == accounts.keys()
    bazaar.assert_agreed()


async def test_what_was_spent_abroad_and_at_home_after_an_old_backup_takes_the_purse_below_zero(
    bazaar: Bazaar,
) -> None:
    backup = bazaar.nile.backup()
    await spends(bazaar, "r1", 900)
    bazaar.nile.restore(backup)
    await bazaar.nile.redeems(card(1), 900)
    await bazaar.nile.opens()
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == -800
    bazaar.assert_agreed()


async def test_an_exchange_that_came_to_nothing_stays_void_at_a_home_node_that_forgot_it(
    bazaar: Bazaar,
) -> None:
    backup = bazaar.nile.backup()
    code = await bazaar.saffron.asks_for_code(1, 300)
    outcome = await bazaar.saffron.spends("r1", 1, 300, code)
    reserve = bazaar.network[-1]
    assert outcome.exchange is not None
    await bazaar.pump()
    await bazaar.saffron.cancels("r1")
    await bazaar.pump()
    bazaar.nile.restore(backup)
    await bazaar.nile.opens()
    await bazaar.pump()
    bazaar.network.append(reserve)  # it was on its way all the time
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 1_000
    assert await state(bazaar, "r1") is FAILED
    bazaar.assert_agreed()


async def test_an_acquirer_over_an_old_backup_gets_its_records_back(bazaar: Bazaar) -> None:
    backup = bazaar.saffron.backup()
    await spends(bazaar, "r1", 300)
    for number in range(2, 50):
        await bazaar.saffron.earns(f"r{number}", 1, number)
    await bazaar.pump()
    for _ in range(2):
        bazaar.saffron.restore(backup)
        await bazaar.saffron.asks_for_hello()
        await bazaar.pump()
        bazaar.assert_agreed()
        assert await state(bazaar, "r1") is DONE
    assert (
        await bazaar.saffron.spends("r1", 1, 301, "0")
    ).refused == 0  # the body of a lost request is unknown


async def test_a_home_node_far_behind_gets_its_records_back_in_rounds(bazaar: Bazaar) -> None:
    backup = bazaar.nile.backup()
    for number in range(100):
        await bazaar.saffron.earns(f"r{number}", 1, 1)
    await bazaar.pump()
    bazaar.nile.restore(backup)
    await bazaar.nile.opens()
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 1_100
    bazaar.assert_agreed()


async def test_a_record_that_arrives_in_one_batch_with_hello_comes_back_with_the_reply(
    bazaar: Bazaar,
) -> None:
    backup = bazaar.nile.backup()
    await bazaar.saffron.earns("r1", 1, 40)
    [(_, _, accrue)] = bazaar.network
    bazaar.network.clear()
    await bazaar.nile.exchanging.received("saffron", accrue)
    late = [carried for _, _, carried in bazaar.network]
    assert late, "a record is on its way"
    bazaar.network.clear()
    bazaar.nile.restore(backup)
    await bazaar.nile.opens()
    hellos = [carried for _, _, carried in bazaar.network]
    bazaar.network.clear()
    # The first goes to the shard at once; what comes while it works goes there together.
    arriving = [accrue, *late, *hellos]
    await asyncio.gather(*(bazaar.saffron.exchanging.received("nile", carried) for carried in arriving))
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 1_040
    assert await state(bazaar, "r1") is DONE
    bazaar.assert_agreed()


async def test_a_home_node_that_tells_two_histories_is_found_out_and_the_proof_is_kept(
    bazaar: Bazaar,
) -> None:
    backup = bazaar.nile.backup()
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    saffron = bazaar.saffron.backup()
    bazaar.saffron.restore([type(store)() for store in saffron])  # nobody remembers at first
    bazaar.nile.restore(backup)
    await bazaar.open()
    await bazaar.saffron.earns("r2", 1, 5)
    await bazaar.pump()
    bazaar.saffron.restore(saffron)
    await bazaar.saffron.asks_for_hello()
    await bazaar.pump()
    disputes = [*bazaar.nile.stored(Kind.LANE_DISPUTE), *bazaar.saffron.stored(Kind.LANE_DISPUTE)]
    assert disputes
    await bazaar.saffron.earns("r3", 2, 5)
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 1_005, "the lane stands still"


# --- after `vafa restore` -----------------------------------------------------------------------------------


def mark_restored(bazaar: Bazaar, without: tuple[str, ...] = ()) -> None:
    """What `vafa restore` leaves in every partition of the home node's."""
    for number in range(PARTITIONS):
        batch = Batch()
        mark = coalition_store.RESTORED.encode(coalition_store.Restored(1, without))
        batch.put(partition_meta_key(number, PartitionMeta.RESTORED), mark)
        bazaar.nile.stores[number % 2].write(batch)
        bazaar.nile.stores[number % 2].sync()
    bazaar.nile.restart()


async def test_restored_books_earn_at_once_and_spend_when_every_partner_has_shown_its_records(
    bazaar: Bazaar,
) -> None:
    backup = bazaar.nile.backup()
    await spends(bazaar, "r1", 900)
    bazaar.nile.restore(backup)
    mark_restored(bazaar)
    body_of(await bazaar.nile.buys(card(1), 5))
    assert reason_of(await bazaar.nile.redeems(card(1), 900)) is Reason.UNAVAILABLE
    await bazaar.nile.opens()
    await bazaar.pump()
    assert reason_of(await bazaar.nile.redeems(card(1), 900)) is Reason.INSUFFICIENT_BALANCE
    body_of(await bazaar.nile.redeems(card(1), 105))
    bazaar.nile.restart()
    assert reason_of(await bazaar.nile.redeems(card(1), 1)) is Reason.INSUFFICIENT_BALANCE
    bazaar.assert_agreed()


async def test_a_partner_that_is_left_out_is_not_waited_for(bazaar: Bazaar) -> None:
    mark_restored(bazaar, without=("saffron",))
    assert reason_of(await bazaar.nile.redeems(card(1), 5)) is None


async def test_void_exchanges_are_forgotten_after_the_retention_and_posted_ones_are_kept(
    bazaar: Bazaar,
) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.saffron.earns("r2", 77, 40)
    await bazaar.pump()
    await bazaar.time_passes(40 * DAY_MS)
    for node, kind in ((bazaar.nile, Kind.HOME_EXCHANGE), (bazaar.saffron, Kind.ACQUIRER_EXCHANGE)):
        assert len(list(node.stored(kind))) == 2
        for shard in node.shards:
            shard.forget_old_requests(b"")
        assert len(list(node.stored(kind))) == 1
    bazaar.assert_agreed()
