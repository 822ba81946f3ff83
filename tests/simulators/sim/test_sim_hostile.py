"""Whoever forges, replays, re-routes, truncates or withholds between merchants makes and loses nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from node.coalition.messages import MessageType
from node.wire.coalition import reopen
from simulators.sim.bazaar import Bazaar
from simulators.sim.coalition import MERCHANTS

Tap = Callable[[Bazaar, random.Random, str, str, bytes], Sequence[bytes]]


class Calm(Bazaar):
    """Nothing goes wrong but what the tap does."""

    faults = (0, 0)
    visits = 6


def forges(world: Bazaar, chance: random.Random, sender: str, receiver: str, carried: bytes) -> list[bytes]:
    """One bit is another: of what is signed, of the signature, or of what travels beside it."""
    forged = bytearray(carried)
    forged[chance.randrange(len(forged))] ^= 1 << chance.randrange(8)
    return [bytes(forged), carried]


def truncates(
    world: Bazaar, chance: random.Random, sender: str, receiver: str, carried: bytes
) -> list[bytes]:
    """Only the beginning arrives, and then the whole."""
    return [carried[: chance.randrange(len(carried))], carried]


def replays(world: Bazaar, chance: random.Random, sender: str, receiver: str, carried: bytes) -> list[bytes]:
    """Everything comes again, much later and in any order."""
    for _ in range(2):
        world.outside.call_later(chance.uniform(0, 200), world.network.inject, sender, receiver, carried)
    return [carried]


def reroutes(world: Bazaar, chance: random.Random, sender: str, receiver: str, carried: bytes) -> list[bytes]:
    """Everything goes to the third merchant too, and back to its own sender."""
    (third,) = set(MERCHANTS) - {sender, receiver}
    world.network.inject(sender, third, carried)
    world.network.inject(receiver, sender, carried)
    return [carried]


def withholds_records(
    world: Bazaar, chance: random.Random, sender: str, receiver: str, carried: bytes
) -> list[bytes]:
    """Two of three POSTED never arrive; the acquirer asks until they do."""
    posted = reopen(carried).message.header.type is MessageType.POSTED
    return [] if posted and chance.random() < 0.66 else [carried]


@pytest.mark.parametrize(
    "tap", [forges, truncates, replays, reroutes, withholds_records], ids=lambda tap: tap.__name__
)
def test_nothing_is_made_or_lost_by_a_partner_that(tap: Tap) -> None:
    world = Calm(3)
    chance, seen = random.Random(3), []

    def watch(sender: str, receiver: str, carried: bytes) -> Sequence[bytes]:
        seen.append(carried)
        return tap(world, chance, sender, receiver, carried)

    world.network.tap = watch
    outcome = world.run()
    assert outcome.violations == ()
    assert len(seen) > 100
    spends = list(world.spends())
    assert any(one.goods for one in spends)
