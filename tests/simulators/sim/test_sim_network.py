"""The simulated network: what it does to messages, and that links behave as the real ones do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence

import pytest

from node.telemetry import PEER_REFUSED, Figures
from node.wire.coalition_frames import RecordsWish
from simulators.sim.loop import SimLoop, new_loop
from simulators.sim.network import OUTBOX_MESSAGES, UNDER_WAY, WITHHELD_SECONDS, Network, SimLinks, Weather
from simulators.sim.process import Process
from simulators.sim.trace import Trace


class Partner:
    """A node that notes what comes, and answers."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.connections: list[str] = []

        self.at_work = self.most_at_work = 0

    async def received(self, partner_id: str, carried: bytes) -> None:
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        await asyncio.sleep(0.5)
        self.at_work -= 1
        self.came.append(carried)

    async def answered(self, partner_id: str, carried: bytes) -> Sequence[bytes]:
        return [b"answer to " + carried]

    async def lane_records(self, partner_id: str, wish: RecordsWish) -> Sequence[bytes]:
        return [b"record %d" % wish.from_number]

    async def connected(self, partner_id: str) -> None:
        self.connections.append(partner_id)


class Two:
    """Two nodes, linked."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.trace = Trace(loop.time)
        self.network = Network(loop, random.Random(1), self.trace)
        self.a, self.b, self.figures = Partner(), Partner(), Figures()
        self.links_a = self.start("a", self.a)
        self.links_b = self.start("b", self.b)
        loop.run_until_time(10)

    def start(self, name: str, partner: Partner) -> SimLinks:
        return self.network.join(name, Process(self.loop, name), partner, self.figures)

    def send(self, count: int) -> list[bool]:
        async def work() -> list[bool]:
            return [await self.links_a.send("b", b"%d" % number) for number in range(count)]

        return self.loop.run_until(self.links_a.process.spawn(work()), self.loop.time() + 1)

    def later(self, seconds: float) -> None:
        self.loop.run_until_time(self.loop.time() + seconds)


@pytest.fixture
def two() -> Iterator[Two]:
    loop = new_loop(1)
    yield Two(loop)
    loop.close()


def test_in_good_weather_everything_arrives_once(two: Two) -> None:
    assert all(two.send(50))
    two.later(1)
    assert sorted(two.b.came) == sorted(b"%d" % number for number in range(50))
    assert (two.a.connections, two.b.connections) == (["b"], ["a"])


@pytest.mark.parametrize(
    ("weather", "is_so"),
    [
        (Weather(loss=0.3), lambda came: 100 < len(came) < 180 and len(set(came)) == len(came)),
        (Weather(duplicate=0.3), lambda came: 220 < len(came) < 300 and len(set(came)) == 200),
        (Weather(delay_seconds=(0, 30)), lambda came: came != sorted(came, key=int) and len(came) == 200),
    ],
    ids=["loss", "repetition", "disorder"],
)
def test_bad_weather_loses_repeats_and_reorders(
    two: Two, weather: Weather, is_so: Callable[[list[bytes]], bool]
) -> None:
    two.network.weather = weather
    two.send(200)
    two.later(40)
    assert is_so(two.b.came)


def test_what_a_relay_withholds_comes_long_after_also_when_its_sender_has_ended(two: Two) -> None:
    two.network.weather = Weather(withheld=0.5)
    two.send(200)
    two.network.left("a")
    two.later(1)
    assert 60 < len(two.b.came) < 140
    two.later(WITHHELD_SECONDS[1])
    assert sorted(two.b.came) == sorted(b"%d" % number for number in range(200))


def test_a_cut_may_be_one_way_and_what_was_sent_before_it_was_noticed_is_gone(two: Two) -> None:
    two.network.cut("a", "b")
    assert all(two.send(3))
    two.later(20)
    assert two.b.came == []
    assert not two.links_a.connected("b")
    assert not two.links_b.connected("a")  # a stream needs both ways


def test_messages_for_a_partner_that_is_away_wait_in_a_bounded_outbox_and_arrive_when_it_is_back(
    two: Two,
) -> None:
    two.network.cut("b", "a")
    two.later(20)
    assert two.send(OUTBOX_MESSAGES + 5).count(False) == 5
    two.network.mend("b", "a")
    two.later(20)
    assert len(two.b.came) == OUTBOX_MESSAGES
    assert two.a.connections == ["b", "b"]


def test_a_partner_that_was_never_there_takes_nothing(two: Two) -> None:
    async def work() -> bool:
        return await two.links_a.send("nobody", b"1")

    assert not two.loop.run_until(two.links_a.process.spawn(work()), 100)


def test_nothing_arrives_in_a_process_that_has_ended_and_the_next_one_is_told_of_its_partners(
    two: Two,
) -> None:
    two.send(5)
    two.links_b.process.end()
    two.network.left("b")
    two.later(20)
    assert two.b.came == []
    assert not two.links_a.connected("b")
    again = Partner()
    two.start("b", again)
    two.send(5)
    two.later(20)
    assert again.connections == ["a"]
    assert len(again.came) == 5


async def delivered(two: Two) -> Sequence[bytes] | None:
    """A message that a hands b in a call of its own, as a hostile partner may."""
    return await two.network.call("a", "b", lambda there: there.answered("a", b"x"))


def test_calls_go_both_ways_and_are_lost_with_the_way(two: Two) -> None:
    async def ask() -> tuple[Sequence[bytes] | None, Sequence[bytes] | None]:
        wish = RecordsWish("b", "a", 0, 7)
        return await delivered(two), await two.links_a.list_records("b", wish)

    spawn = two.links_a.process.spawn
    assert two.loop.run_until(spawn(ask()), 100) == ([b"answer to x"], [b"record 7"])
    two.network.cut("b", "a")
    assert two.loop.run_until(spawn(ask()), 200) == (None, None)


def test_a_flood_is_worked_on_within_its_bound_and_single_calls_beyond_it_are_refused_by_name(
    two: Two,
) -> None:
    two.send(3 * UNDER_WAY)
    two.later(0.2)
    assert two.loop.run_until(two.links_a.process.spawn(delivered(two)), 100) is None
    assert two.figures.snapshot()[PEER_REFUSED.name] == [(("a", "OVERLOADED"), 1.0)]
    two.later(5)
    assert len(two.b.came) == 3 * UNDER_WAY
    assert two.b.most_at_work == UNDER_WAY


def test_a_tap_sees_what_is_sent_and_decides_what_arrives(two: Two) -> None:
    two.network.tap = lambda sender, receiver, carried: [b"forged", carried] if carried != b"1" else []
    two.send(2)
    two.later(1)
    assert sorted(two.b.came) == [b"0", b"forged"]
