"""Two pure nodes and the network between them.

A test decides what of `network` arrives, how often and in what order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from node.coalition.exchange import AcquirerState, HomeState
from tests.coalition.exchange_nile import Nile
from tests.coalition.exchange_parts import NILE, SAFFRON, Sent
from tests.coalition.exchange_saffron import Saffron


@dataclass
class World:
    """Both nodes with a network that keeps everything it was given."""

    nile: Nile = field(default_factory=Nile)
    saffron: Saffron = field(default_factory=Saffron)
    network: list[Sent] = field(default_factory=list)

    @classmethod
    def open(cls, balance: int = 1_000) -> World:
        """A member with points, a code on its way, and a lane that has been opened."""
        world = cls()
        world.nile.partners = world.saffron.records
        world.nile.give(balance)
        world.nile.send_code()
        world.say(world.nile.asked(world.saffron.life))
        world.settle()
        assert world.nile.ready
        return world

    def say(self, sent: list[Sent]) -> None:
        self.network.extend(sent)

    def deliver(self, sent: Sent) -> list[Sent]:
        """One message arrives; what is said goes to the network."""
        node: Any = self.nile if sent.to == NILE else self.saffron
        said: list[Sent] = node.receive(sent)
        self.say(said)
        return said

    def settle(self, bound: int = 200) -> None:
        """Everything on the network arrives, in order, until nothing is said any more."""
        for _ in range(bound):
            if not self.network:
                return
            self.deliver(self.network.pop(0))
        raise AssertionError("the two never stop talking")

    def pass_time(self, ms: int) -> None:
        self.nile.now_ms += ms
        self.saffron.now_ms += ms

    def check(self) -> None:
        """What holds at all times, whatever was lost, doubled or reordered."""
        nile, saffron = self.nile, self.saffron
        assert set(nile.books.sums().values()) <= {0}
        assert set(saffron.books.sums().values()) <= {0}
        assert not saffron.disputes
        assert saffron.lane.number <= nile.lane.number or not nile.ready
        common = range(1, min(saffron.lane.number, nile.lane.number) + 1)
        assert all(saffron.records[number] == nile.records[number] for number in common)
        for exchange in saffron.goods:
            assert nile.exchanges[exchange].state is HomeState.POSTED
        for exchange, known in saffron.exchanges.items():
            if known.state is AcquirerState.FAILED:
                there = nile.exchanges.get(exchange)
                assert there is None or there.state is not HomeState.POSTED
        assert nile.usage.reserved >= 0
        assert saffron.usage.reserved >= 0

    def assert_agreed(self) -> None:
        """What holds once everything has been answered."""
        self.check()
        nile, saffron = self.nile, self.saffron
        assert all(known.ended for known in saffron.exchanges.values())
        assert (saffron.lane.number, saffron.lane.hash) == (nile.lane.number, nile.lane.hash)
        assert nile.lane.acked == nile.lane.number
        assert saffron.usage.position == nile.usage.position
        assert saffron.usage.reserved == saffron.usage.queued == 0
        owed = sum(units for (book, _), units in nile.books.units.items() if book.endswith(f":{SAFFRON}"))
        assert owed == nile.usage.position
        there = sum(units for (book, _), units in saffron.books.units.items() if book.endswith(f":{NILE}"))
        assert there == -owed
