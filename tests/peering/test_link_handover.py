"""Two connections with one partner become one and nothing is lost; a frame is worked on as it comes."""

import asyncio

import grpc

from node.peering.channels import dial, link_call
from node.peering.connection import Connection
from node.peering.link import AT_ONCE, UNDER_WAY, PeerLink
from node.telemetry import Figures
from node.wire.coalition_frames import Frame, frame_bytes
from tests.peering.ends import WAIT_SECONDS, Acting, carried, ends, until


async def test_a_second_connection_takes_over_and_nothing_on_the_first_is_lost() -> None:
    async with ends("nile", "saffron", only_dialling=["saffron"]) as (nile, saffron):
        await until(lambda: saffron.links.connected("nile") and nile.links.connected("saffron"))
        await saffron.listen()
        wanted = [f"message {number}" for number in range(3 * UNDER_WAY)]
        for end in (nile, saffron):
            end.acting.gate.clear()  # work stands still: most of what comes lies on the connection, unread
        for sender, receiver in ((nile, saffron), (saffron, nile)):
            for text in wanted:
                assert await sender.links.send(receiver.partner_id, carried(receiver.partner_id, text))
        await until(lambda: nile.acting.under_way == saffron.acting.under_way == UNDER_WAY)
        # As when both have dialled at once: the smaller id's connection comes while the other one is in use.
        channel = dial(saffron.entry(), saffron.address, nile.identity)
        call = link_call(channel)
        await call.initial_metadata()
        link = nile.links.link("saffron")
        assert link is not None
        running = asyncio.create_task(link.run(Connection(call, "nile", call.cancel, call.done_writing)))
        kept = saffron.links.link("nile")
        assert kept is not None
        await until(lambda: not kept.admits("saffron"))
        for end in (nile, saffron):
            end.acting.gate.set()
        await until(lambda: len(nile.acting.came) + len(saffron.acting.came) == 2 * len(wanted))
        assert sorted(nile.texts("saffron")) == sorted(saffron.texts("nile")) == sorted(wanted)
        assert not nile.links.admits("saffron")  # what stands is nile's own
        assert not running.done()
        call.cancel()
        await running
        await channel.close()


class SilentPipe:
    """A connection on which nothing comes."""

    async def read(self) -> object:
        return await asyncio.Event().wait()

    async def write(self, message: bytes) -> None:
        raise AssertionError("nothing is sent here")


class OneFrame:
    """A connection on which one frame comes."""

    def __init__(self, frame: Frame) -> None:
        self._frames = [frame_bytes(frame)]

    async def read(self) -> object:
        return self._frames.pop() if self._frames else None

    async def write(self, message: bytes) -> None:
        raise AssertionError("nothing is sent here")


async def test_the_first_messages_of_a_frame_are_on_their_way_before_the_last_are_looked_at() -> None:
    steps: list[tuple[str, bytes]] = []

    async def act(partner_id: str, message: bytes) -> None:
        steps.append(("begun", message))
        await asyncio.sleep(0)
        steps.append(("on its way", message))

    frame = Frame(tuple(carried("nile", str(number)) for number in range(8 * AT_ONCE)))
    link = PeerLink("nile", "saffron", Acting(), act, Figures())
    await link.run(Connection(OneFrame(frame), "saffron", lambda: None))
    await link.close()
    first, last = frame.carried[0], frame.carried[-1]
    assert steps.index(("on its way", first)) < steps.index(("begun", last))
    assert [message for step, message in steps if step == "begun"] == list(frame.carried)


async def test_the_dialler_of_a_connection_that_is_replaced_says_that_nothing_more_comes_on_it() -> None:
    link = PeerLink("nile", "saffron", Acting(), lambda *_: asyncio.sleep(0), Figures())
    finished = asyncio.Event()

    async def finish() -> None:
        finished.set()

    first = asyncio.create_task(link.run(Connection(SilentPipe(), "saffron", lambda: None, finish)))
    await until(lambda: link.connected)
    second = asyncio.create_task(link.run(Connection(SilentPipe(), "nile", lambda: None)))
    async with asyncio.timeout(WAIT_SECONDS):
        await finished.wait()
    await link.close()
    for task in (first, second):
        task.cancel()


async def test_a_connection_that_would_not_be_kept_is_turned_away_before_anything_is_said_on_it() -> None:
    async with ends("nile", "saffron", only_dialling=["nile"]) as (nile, saffron):
        await until(lambda: nile.links.connected("saffron"))
        await nile.listen()
        channel = dial(nile.entry(), nile.address, saffron.identity)
        call = link_call(channel)
        assert await call.code() is grpc.StatusCode.ALREADY_EXISTS
        assert nile.links.connected("saffron")
        await channel.close()
