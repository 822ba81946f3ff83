"""Whoever forges, replays, re-routes, truncates or withholds between merchants makes and loses nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from node.coalition.messages import Posted
from node.wire.coalition import reopen
from simulators.sim.bazaar import Bazaar
from simulators.sim.coalition import MERCHANTS

Tap = Callable[[Bazaar, random.Random, str, str, bytes], Sequence[bytes]]


class Calm(Bazaar):
    """Nothing goes wrong but what the tap does."""

    faults = (0, 0)
    visits = 6

    def __init__(self, seed: int) -> None:
        self.posted: Counter[tuple[str, str, int, int]] = Counter()
        super().__init__(seed)


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
    """Every record is withheld twice; the acquirer asks until it comes."""
    message = reopen(carried).message
    if not isinstance(message.body, Posted):
        return [carried]
    assert isinstance(world, Calm)
    record = (sender, receiver, message.header.lane, message.body.core.number)
    world.posted[record] += 1
    return [carried] if world.posted[record] > 2 else []


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
