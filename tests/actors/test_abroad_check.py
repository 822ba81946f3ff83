"""`vafa check` proves what a node keeps of a coalition."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from node.coalition.caps import Usage
from node.coalition.exchange import AcquirerState, HomeState
from node.storage.check import Findings, check_store
from node.storage.coalition_keys import Role, lane_dispute_key
from node.storage.keyspace import Kind, kind_range
from node.storage.store import Batch
from node.wire import coalition_store
from tests.actors.abroad_merchants import Bazaar
from tests.actors.abroad_stories import opened
from tests.actors.stored import PARTITIONS

DONE, FAILED = AcquirerState.DONE, AcquirerState.FAILED


@pytest.fixture
async def bazaar() -> Bazaar:
    return await opened()


# --- `vafa check` -------------------------------------------------------------------------------------------


def problems(bazaar: Bazaar) -> list[str]:
    """What `vafa check` says of the home node."""
    found = Findings(problems=[], books={})
    for at, store in enumerate(bazaar.nile.stores):
        found.add(check_store(store, [number for number in range(PARTITIONS) if number % 2 == at]))
    return found.problems


def gone(data: bytes) -> None:
    """Nothing is left."""


def other_request(data: bytes) -> bytes:
    """A record whose request is not the one that the chain binds."""
    entry = coalition_store.LANE_ENTRY.decode(data)
    assert entry.request is not None
    forged = replace(entry.request, header=entry.request.header + b"\x00")
    return coalition_store.LANE_ENTRY.encode(replace(entry, request=forged))


def other_position(data: bytes) -> bytes:
    """A lane that counts what its records do not say."""
    record = coalition_store.HOME_LANE.decode(data)
    return coalition_store.HOME_LANE.encode(replace(record, usage=Usage(position=5)))


def reserved_again(data: bytes) -> bytes:
    """An exchange that is posted, and says that it holds units."""
    exchange = coalition_store.HOME_EXCHANGE.decode(data)
    return coalition_store.HOME_EXCHANGE.encode(replace(exchange, state=HomeState.RESERVED))


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (Kind.LANE_RECORD, gone, "the head says record 1"),
        (Kind.LANE_RECORD, other_request, "the chain breaks at record 1"),
        (Kind.LANE_HEAD, other_position, "says that 5 are owed, its records -40"),
        (Kind.HOME_EXCHANGE, gone, "and the lane's records do not agree"),
        (Kind.HOME_EXCHANGE, reserved_again, "as reserved"),
    ],
)
async def test_a_check_finds_lanes_that_do_not_agree_with_themselves_or_the_books(
    bazaar: Bazaar, kind: Kind, change: Callable[[bytes], bytes | None], words: str
) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    assert problems(bazaar) == []
    number = next(key[0] for key, _ in bazaar.nile.stored(Kind.LANE_RECORD))
    store = bazaar.nile.stores[number % 2]
    ((key, data),) = store.scan(*kind_range(number, kind))
    batch = Batch()
    if (changed := change(data)) is None:
        batch.delete(key)
    else:
        batch.put(key, changed)
    store.write(batch)
    found = problems(bazaar)
    assert any(words in problem for problem in found), found


async def test_a_check_of_the_acquirer_finds_what_is_under_way_and_never_due(bazaar: Bazaar) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    number = bazaar.saffron.partners
    store = bazaar.saffron.stores[number % 2]
    batch = Batch()
    batch.delete_range(*kind_range(number, Kind.EXCHANGE_DUE))
    store.write(batch)
    found = check_store(store, [number]).problems
    assert any("missing from what is due" in problem for problem in found), found


async def test_a_check_names_a_lane_that_was_set_aside(bazaar: Bazaar) -> None:
    batch = Batch()
    record = coalition_store.DisputeRecord("forked", 1, 0, bytes(32), b"x")
    batch.put(lane_dispute_key(1, Role.HOME, "saffron", 1), coalition_store.DISPUTE.encode(record))
    bazaar.nile.stores[1].write(batch)
    assert any("saffron is set aside (forked)" in problem for problem in problems(bazaar))
