"""Partners between whom no stream stands still reach each other, message by message, and lose nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from node.peering import dialler
from node.peering.calls import speak_by_calls
from node.peering.link import UNDER_WAY
from node.peering.ports import PartnerEntry, Peers
from node.rpc.peer import PeerService
from node.wire.coalition_frames import MAX_FRAME_MESSAGES, answers_bytes
from tests.peering.ends import WAIT_SECONDS, End, carried, ends, introduce, until


class Between:
    """What stands between two nodes: streams pass, or are cut at once, perhaps only after they began."""

    def __init__(self) -> None:
        self.passes = False
        self.begins = False


@asynccontextmanager
async def without_streams(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[End, End, Between]]:
    """Nile, which only dials, and saffron, before which something lets no stream pass."""
    between, link = Between(), PeerService._link

    async def cut(self: PeerService, requests: object, context: Any) -> None:
        if between.passes:
            await link(self, requests, context)
        else:
            if between.begins:
                await context.send_initial_metadata(())
                await asyncio.sleep(0.05)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no streams here")

    monkeypatch.setattr(dialler, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(PeerService, "_link", cut)
    nile, saffron = End("nile"), End("saffron")
    try:
        await saffron.listen()
        await introduce((nile, saffron))
        yield nile, saffron, between
    finally:
        await nile.close()
        await saffron.close()


async def test_messages_go_by_calls_in_their_order_and_the_answers_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with without_streams(monkeypatch) as (nile, saffron, _):
        wanted = [f"پیام {number}" for number in range(50)]
        for text in wanted:
            assert await nile.links.send("saffron", carried("saffron", text))
        await until(lambda: len(saffron.acting.came) == len(wanted))
        assert saffron.texts("nile") == wanted
        assert nile.links.connected("saffron")
        assert "saffron" in nile.acting.greeted
        await until(lambda: len(nile.acting.came) == len(wanted))  # these ends answer with the same words
        assert nile.counted("vafa_peer_messages_total")["saffron", "called"] == len(wanted)


async def test_streams_that_are_cut_as_soon_as_they_began_do_not_keep_calls_from_being_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with without_streams(monkeypatch) as (nile, _, between):
        between.begins = True
        link = nile.links.link("saffron")
        assert link is not None
        await until(lambda: link.by_calls)


async def test_what_waits_at_the_partner_comes_with_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with without_streams(monkeypatch) as (nile, saffron, _):
        for number in range(MAX_FRAME_MESSAGES):
            assert await saffron.links.send("nile", carried("nile", str(number)))
        assert await nile.links.send("saffron", carried("saffron", "is there anything?"))
        await until(lambda: len(nile.acting.came) == MAX_FRAME_MESSAGES)
        assert await nile.links.send("saffron", carried("saffron", "and now?"))
        await until(lambda: len(nile.acting.came) == MAX_FRAME_MESSAGES + 2)
        assert {text for _, text in nile.acting.came} >= {str(n) for n in range(MAX_FRAME_MESSAGES)}
        assert saffron.links.waiting()["nile"] == (False, 0)


async def test_what_the_partner_has_no_room_for_waits_and_goes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with without_streams(monkeypatch) as (nile, saffron, _):
        await until(lambda: nile.links.connected("saffron"))
        link = saffron.links.link("nile")
        assert link is not None
        for _ in range(UNDER_WAY):
            await link._window.acquire()
        assert await nile.links.send("saffron", carried("saffron", "in a moment"))
        await until(lambda: saffron.counted("vafa_peer_refused_total")["nile", "OVERLOADED"] > 0)
        await until(lambda: not nile.links.connected("saffron"))
        assert nile.links.waiting()["saffron"] == (False, 1)
        for _ in range(UNDER_WAY):
            link._window.release()
        await until(lambda: saffron.texts("nile") == ["in a moment"])


async def test_a_stream_that_stands_again_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with without_streams(monkeypatch) as (nile, saffron, between):
        link = nile.links.link("saffron")
        assert link is not None
        await until(lambda: link.by_calls)
        between.passes = True
        # One that is cut may seem to stand for a moment to the side that dialled it, never to the other.
        await until(lambda: saffron.links.waiting()["nile"][0] and link.connected and not link.by_calls)
        assert await nile.links.send("saffron", carried("saffron", "by stream"))
        assert await saffron.links.send("nile", carried("nile", "by stream"))
        await until(lambda: saffron.texts("nile") == nile.texts("saffron") == ["by stream"])
        assert nile.counted("vafa_peer_messages_total")["saffron", "called"] == 0


class Silent:
    """A partner that hands its directory over and takes no message."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def unary(self, method: str, request: bytes) -> bytes | None:
        self.asked.append(method)
        return b""

    async def deliver(self, carried: bytes) -> None:
        self.asked.append("Deliver")


async def test_a_partner_that_takes_no_message_is_left_alone_until_it_is_tried_anew() -> None:
    async with ends("nile", "saffron", only_dialling=["nile", "saffron"]) as (nile, _):
        link, silent = nile.links.link("saffron"), Silent()
        assert link is not None
        link.outbox.put(carried("saffron", "a word"))
        await speak_by_calls(link, silent)
        assert silent.asked == ["GetDirectory", "Deliver"]
        assert not link.by_calls
        assert len(link.outbox) == 1, "it waits on"


@pytest.mark.parametrize("answer", [None, b"\xff\xff\xff", answers_bytes([]) + b"\x0a\x05ab"])
async def test_an_answer_that_cannot_be_read_is_none(
    answer: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unary(self: dialler.Dialler, method: str, request: bytes) -> bytes | None:
        return answer

    monkeypatch.setattr(dialler.Dialler, "unary", unary)
    async with ends("nile", "saffron", only_dialling=["nile", "saffron"]) as (nile, _):
        assert await nile.deliver("saffron", carried("saffron", "a word")) is None


async def test_calls_go_to_the_endpoint_that_was_dialled_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialler, "CALLS_AFTER", 1 << 30)
    async with without_streams(monkeypatch) as (nile, saffron, _):
        both = ("127.0.0.1:1", saffron.address)  # nobody listens at the first
        known = PartnerEntry("saffron", saffron.authority.certificate_pem, both)
        await nile.links.update(Peers("nile", {"saffron": known}))
        async with asyncio.timeout(WAIT_SECONDS):
            while await nile.links.fetch_directory("saffron") is None:  # noqa: ASYNC110 - a remote answer
                await asyncio.sleep(0.005)
