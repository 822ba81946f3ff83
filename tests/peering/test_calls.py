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
from node.rpc.peer import PeerService
from node.wire.coalition_frames import MAX_FRAME_MESSAGES, answers_bytes
from tests.peering.ends import End, carried, ends, introduce, until


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
        await until(lambda: nile.links.connected("saffron"))
        between.passes = True
        await until(lambda: nile.links.waiting()["saffron"][0])
        link = nile.links.link("saffron")
        assert link is not None
        await until(lambda: not link.by_calls)
        assert await nile.links.send("saffron", carried("saffron", "by stream"))
        assert await saffron.links.send("nile", carried("nile", "by stream"))
        await until(lambda: saffron.texts("nile") == nile.texts("saffron") == ["by stream"])
        assert nile.counted("vafa_peer_messages_total")["saffron", "called"] == 0


@pytest.mark.parametrize("answer", [None, b"\xff\xff\xff", answers_bytes([]) + b"\x0a\x05ab"])
async def test_a_partner_that_answers_nothing_readable_is_not_spoken_to_until_it_is_tried_anew(
    answer: bytes | None,
) -> None:
    async with ends("nile", "saffron", only_dialling=["nile", "saffron"]) as (nile, _):
        link = nile.links.link("saffron")
        assert link is not None
        asked = []

        async def call(method: str, request: bytes) -> bytes | None:
            asked.append(method)
            return b"" if method == "GetDirectory" else answer

        link.outbox.put(carried("saffron", "a word"))
        await speak_by_calls(link, call)
        assert asked == ["GetDirectory", "Deliver"]
        assert not link.by_calls
