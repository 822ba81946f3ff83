"""A hold for a partner ends by the home node's own clock, whether or not the partner ever asks again."""

from __future__ import annotations

import pytest

from node.coalition.exchange import AcquirerState, HomeState
from node.coalition.home_facts import HomeExchange
from node.coalition.messages import ExchangeReason
from node.storage.check import check_store
from node.storage.keyspace import Kind, kind_range
from node.storage.store import Batch
from node.wire import coalition_store
from tests.actors.abroad_merchants import Bazaar
from tests.actors.abroad_stories import opened, spends, state
from tests.actors.harness import card

HOLD_MS = 900_000


@pytest.fixture
async def bazaar() -> Bazaar:
    return await opened()


def at_home(bazaar: Bazaar) -> HomeExchange:
    """The one exchange at nile."""
    ((_, data),) = bazaar.nile.stored(Kind.HOME_EXCHANGE)
    return coalition_store.HOME_EXCHANGE.decode(data)


def reserved(bazaar: Bazaar) -> int:
    """What nile counts as held against its cap towards saffron."""
    heads = [
        data
        for key, data in bazaar.nile.stored(Kind.LANE_HEAD)
        if key[2] == 1  # Role.HOME
    ]
    return sum(coalition_store.HOME_LANE.decode(data).usage.reserved for data in heads)


async def test_a_hold_that_a_restored_acquirer_has_forgotten_ends_and_no_longer_counts_against_the_cap(
    bazaar: Bazaar,
) -> None:
    backup = bazaar.saffron.backup()
    await spends(bazaar, "r1", 300, one_step=False)
    bazaar.saffron.restore(backup)
    await bazaar.saffron.asks_for_hello()
    await bazaar.pump()
    await bazaar.time_passes(HOLD_MS - 1_000)
    assert (at_home(bazaar).state, reserved(bazaar)) == (HomeState.RESERVED, 300)
    await bazaar.time_passes(1_000)
    assert (at_home(bazaar).state, at_home(bazaar).reason) == (HomeState.VOIDED, ExchangeReason.HOLD_EXPIRED)
    assert reserved(bazaar) == 0
    assert list(bazaar.nile.stored(Kind.HOLD_DUE)) == []
    assert await bazaar.nile.points(card(1)) == 1_000
    bazaar.assert_agreed()


async def test_whoever_captures_after_such_an_end_hears_that_it_is_void(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300, one_step=False)
    bazaar.nile.now_ms += HOLD_MS
    bazaar.saffron.now_ms += HOLD_MS
    await bazaar.nile.ticks()
    await bazaar.saffron.captures("r1", 300)
    await bazaar.pump()
    assert await state(bazaar, "r1") is AcquirerState.FAILED
    assert (await bazaar.saffron.looks("r1")).reason is ExchangeReason.HOLD_EXPIRED
    bazaar.assert_agreed()


async def test_a_home_node_over_an_old_backup_ends_no_hold_before_hello_has_shown_what_it_posted(
    bazaar: Bazaar,
) -> None:
    await spends(bazaar, "r1", 300, one_step=False)
    backup = bazaar.nile.backup()
    await bazaar.saffron.captures("r1", 300)
    await bazaar.pump()
    bazaar.nile.restore(backup)
    bazaar.nile.now_ms += HOLD_MS
    bazaar.saffron.now_ms += HOLD_MS
    await bazaar.nile.ticks()
    assert at_home(bazaar).state is HomeState.RESERVED
    await bazaar.nile.opens()
    await bazaar.pump()
    assert at_home(bazaar).state is HomeState.POSTED
    await bazaar.nile.ticks()
    assert list(bazaar.nile.stored(Kind.HOLD_DUE)) == []
    bazaar.assert_agreed()


async def test_a_hold_that_was_captured_or_let_go_is_in_no_index(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300)
    await spends(bazaar, "r2", 200, one_step=False)
    assert len(list(bazaar.nile.stored(Kind.HOLD_DUE))) == 1
    await bazaar.saffron.cancels("r2")
    await bazaar.pump()
    assert list(bazaar.nile.stored(Kind.HOLD_DUE)) == []


async def test_a_check_finds_a_hold_that_nothing_ends(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300, one_step=False)
    number = next(key[0] for key, _ in bazaar.nile.stored(Kind.HOLD_DUE))
    store = bazaar.nile.stores[number % 2]
    assert check_store(store, [number]).problems == []
    batch = Batch()
    batch.delete_range(*kind_range(number, Kind.HOLD_DUE))
    store.write(batch)
    (problem,) = check_store(store, [number]).problems
    assert "holds units, and nothing ends that" in problem
