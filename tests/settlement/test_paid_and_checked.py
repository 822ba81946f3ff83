"""What counts as paid in the position is what `vafa check` proves from the records, on both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from node.actors.settling_lanes import ShardLanes
from node.actors.settling_position import pair_now
from node.storage import coalition_keys as keys
from node.storage.check import check_store
from node.storage.coalition_keys import Role
from node.storage.keyspace import Kind, kind_range
from node.storage.store import Batch
from node.wire import coalition_store
from tests.actors.abroad_merchants import NILE, SAFFRON, Bazaar, Merchant
from tests.actors.harness import card
from tests.actors.stored import PARTITIONS
from tests.settlement.settled_bazaar import Settler


async def _with_sales(lanes: ShardLanes) -> list[int]:
    """The lanes that begin with a sale: others have cut markers alone."""
    found = []
    for lane in await lanes.lanes(SAFFRON, home=True):
        (first,) = await lanes.entries(SAFFRON, lane, [1], home=True)
        if first is not None and first.request is not None:
            found.append(lane)
    return found


async def _paid() -> Bazaar:
    """Two records of members who earned 40 and 41 at saffron, the first of them settled and paid."""
    bazaar = Bazaar()
    await bazaar.nile.enrol(card(1))
    await bazaar.open()
    for number in (0, 1):
        await bazaar.saffron.earns(f"e{number}", 1, 40 + number)
        await bazaar.pump()
    home, acquirer = ShardLanes(bazaar.nile.exchanging), ShardLanes(bazaar.saffron.exchanging)
    (lane,) = await _with_sales(home)
    await home.settled(SAFFRON, lane, 1, home=True)
    await acquirer.settled(NILE, lane, 1, home=False)
    return bazaar


def _problems(merchant: Merchant) -> list[str]:
    return [
        problem
        for at, store in enumerate(merchant.stores)
        for problem in check_store(store, [one for one in range(PARTITIONS) if one % 2 == at]).problems
    ]


def _changes(merchant: Merchant, role: Role, change: Callable[[bytes], bytes]) -> None:
    for number in range(PARTITIONS):
        store = merchant.stores[number % 2]
        for key, data in list(store.scan(*kind_range(number, Kind.LANE_HEAD))):
            if keys.parse_lane_head(key)[1] is role:
                batch = Batch()
                batch.put(key, change(data))
                store.write(batch)


def _home(data: bytes) -> bytes:
    record = coalition_store.HOME_LANE.decode(data)
    if not record.usage.settled:
        return data
    return coalition_store.HOME_LANE.encode(replace(record, usage=replace(record.usage, settled=7)))


def _acquirer(data: bytes) -> bytes:
    record = coalition_store.PARTNER.decode(data)
    if not record.usage.settled:
        return data
    return coalition_store.PARTNER.encode(replace(record, usage=replace(record.usage, settled=7)))


async def test_what_is_left_to_be_paid_is_the_same_in_the_position_and_in_what_the_check_proves() -> None:
    bazaar = await _paid()
    settler = Settler(bazaar.nile)
    lanes = ShardLanes(bazaar.nile.exchanging)
    now = await pair_now(settler.settling, lanes, settler._directory(), SAFFRON, 1)
    assert (now.usage[0].acquirer_owes, now.usage[0].settled) == (41, -40)
    assert _problems(bazaar.nile) == _problems(bazaar.saffron) == []


@pytest.mark.parametrize(
    ("merchant", "role", "change"), [("nile", Role.HOME, _home), ("saffron", Role.PARTNER, _acquirer)]
)
async def test_a_check_finds_what_counts_as_paid_and_was_not(
    merchant: str, role: Role, change: Callable[[bytes], bytes]
) -> None:
    bazaar = await _paid()
    found: Merchant = getattr(bazaar, merchant)
    _changes(found, role, change)
    [problem] = _problems(found)
    assert "7 of what is owed" in problem
    assert problem.endswith("counts as paid, by the records -40")
