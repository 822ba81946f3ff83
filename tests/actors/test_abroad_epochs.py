"""An epoch of a lane is used once, also where both sides have forgotten that it was."""

from __future__ import annotations

from node.coalition.messages import MessageType
from node.storage.keyspace import Kind
from node.wire.coalition import reopen
from tests.actors.abroad_merchants import NILE
from tests.actors.abroad_stories import opened
from tests.actors.harness import card
from tests.actors.stored import PARTITIONS


def is_record(carried: bytes) -> bool:
    return reopen(carried).message.header.type is MessageType.POSTED


async def test_a_record_of_a_life_that_both_sides_have_lost_is_not_taken_when_it_arrives() -> None:
    bazaar = await opened()
    nile, saffron = bazaar.nile, bazaar.saffron
    backups = nile.backup(), saffron.backup()
    await bazaar.time_passes(1_000)
    await saffron.earns("r1", 1, 40)
    await bazaar.pump(lambda at: at == 1)  # what it has posted does not arrive
    nile.restart()
    await nile.opens()
    while not (late := [one for _, _, one in bazaar.network if is_record(one)]):
        sender, _, carried = bazaar.network.pop(0)
        await {NILE: saffron}.get(sender, nile).exchanging.received(sender, carried)
    bazaar.network.clear()
    nile.restore(backups[0])
    saffron.restore(backups[1])
    await bazaar.time_passes(1_000)
    await saffron.asks_for_hello()
    asked = bazaar.network.copy()
    bazaar.network.clear()
    for sender, _, carried in asked:
        await nile.exchanging.received(sender, carried)
    for sender, _, carried in bazaar.network.copy():
        await saffron.exchanging.received(sender, carried)  # HELLO, whose replies wait
    await saffron.exchanging.received(NILE, late[0])
    assert list(saffron.stored(Kind.LANE_RECORD)) == []
    await bazaar.pump()
    bazaar.assert_agreed()
    assert (nile.position(), saffron.position()) == (0, 0)


async def test_a_home_node_whose_epoch_lies_behind_opens_the_lane_above_it_with_one_more_hello() -> None:
    bazaar = await opened()
    backup = bazaar.nile.backup()
    bazaar.nile.now_ms += 90_000  # its clock was ahead
    bazaar.nile.restart()
    await bazaar.nile.opens()
    await bazaar.pump()
    bazaar.nile.restore(backup)
    bazaar.nile.now_ms -= 90_000
    await bazaar.nile.opens()
    said = await bazaar.pump()
    assert said < 6 * PARTITIONS, "a HELLO, a reply, a HELLO above it, a reply, and no more on each lane"
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 1_040
    bazaar.assert_agreed()
