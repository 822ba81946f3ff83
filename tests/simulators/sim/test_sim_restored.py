"""Disks that are put back in the simulation: what the node knows of it, and what is not asked of it."""

from __future__ import annotations

import pytest

from node.storage.keyspace import PartitionMeta, partition_meta_key
from simulators.sim import lane_checks
from simulators.sim.bazaar import Restored
from simulators.sim.checks import Books
from simulators.sim.faults import Fault, FaultKind
from simulators.sim.world import quiet


@pytest.fixture
def world() -> Restored:
    """A quiet coalition in which everybody has shopped, and of which each node has a backup of before."""
    made = Restored(3, weights={FaultKind.TILL_LOSSY: 1})
    with quiet():
        for node in made.nodes:
            made.outside.call_soon(node.start)
        made.loop.run_until_time(5)
        for node in made.nodes:
            node.back_up()
        made.loop.run_until(made.outside.spawn(made.live()), 3_600)
    return made


def put_back(world: Restored, at: int, *, marked: bool) -> None:
    """The node of that place comes back on its newest backup."""
    draw = next(
        draw
        for draw in range(1_000)
        if draw % 3 == at and draw // 3 % 3 == 0 and (draw // 3 // 3 % 4 > 0) == marked
    )
    world.strike(Fault(0.0, FaultKind.ROLLBACK, 1.0, draw))


def marks(world: Restored, at: int) -> list[bytes]:
    """What says of the node's partitions that they were restored."""
    found = []
    for number, store in Books(world.nodes[at]).partitions():
        value = store.get(partition_meta_key(number, PartitionMeta.RESTORED))
        found += [] if value is None else [value]
    return found


@pytest.mark.parametrize("marked", [True, False])
def test_a_node_knows_of_a_restore_and_not_of_a_snapshot_that_was_put_back(
    world: Restored, marked: bool
) -> None:
    put_back(world, 0, marked=marked)
    assert (len(marks(world, 0)) == world.nodes[0].plan.partitions) == marked
    assert world.nodes[0].unaware == (not marked)
    assert marks(world, 1) == []


def test_what_one_side_still_has_is_not_lost_and_its_backups_stay(world: Restored) -> None:
    backups = [list(node.backups) for node in world.nodes]
    put_back(world, 0, marked=True)
    assert world.lost == set()
    assert [node.backups for node in world.nodes] == backups


def test_what_both_sides_have_lost_is_known_and_no_backup_with_it_is_put_back(world: Restored) -> None:
    with quiet():
        for node in world.nodes:
            node.back_up()
        world.loop.run_until_time(world.loop.time() + 5)
    full = lane_checks.recorded(Books(node) for node in world.partners)
    for node in world.nodes:
        assert len(node.backups) == 2
        node.backups.append(node.backups[0])  # the newest is the old one again
    for at in range(3):
        put_back(world, at, marked=True)
    left = lane_checks.recorded(Books(node) for node in world.partners)
    assert len(left) < len(full)
    assert world.lost == set(full.values()) - set(left.values()) != set()
    gone = full.keys() - left.keys()
    for node in world.nodes:
        assert node.backups
        assert not any(gone & lane_checks.backed_up(one).keys() for one in node.backups)
