"""What merchants say to each other about windows comes to an end, however late a message arrives."""

import asyncio

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from node.actors import settling_lanes
from node.actors.settling_ports import LanesUnavailable
from node.settlement.peer_messages import HashesWish, Said
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.storage.keyspace import Kind
from node.storage.store import Batch
from node.wire.coalition_store import LANE_ENTRY
from tests.actors.abroad_merchants import NILE, SAFFRON, Bazaar, Merchant
from tests.actors.harness import card
from tests.settlement.settled_bazaar import Settler, cut, pumped


async def test_an_answer_that_comes_after_nobody_waits_for_it_any_more_is_let_go() -> None:
    bazaar = Bazaar()
    await bazaar.open()
    nile, _ = Settler(bazaar.nile), Settler(bazaar.saffron)
    asking = asyncio.ensure_future(nile.settling.exchange_heads(SAFFRON))
    while not bazaar.network:  # noqa: ASYNC110 - the question goes out within a few turns of the loop
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert await bazaar.pump(bound=20) == 2


def _breaks(merchant: Merchant) -> int:
    """The body of the merchant's first record as acquirer is no message any more; gives its lane."""
    for store in merchant.stores:
        for key, data in store.scan(b"\x00", b"\x40"):
            if key[1] == Kind.LANE_RECORD and keys.parse_lane_record(key)[1] is Role.ACQUIRER:
                entry = LANE_ENTRY.decode(data)
                batch = Batch()
                broken = replace(entry, posted=replace(entry.posted, body=b"\xff" * 7))
                batch.put(key, LANE_ENTRY.encode(broken))
                store.write(batch)
                store.sync()
                return keys.parse_lane_record(key)[3]
    raise AssertionError("there is no such record")


async def _shopped() -> Bazaar:
    bazaar = Bazaar()
    await bazaar.nile.enrol(card(1))
    await bazaar.open()
    await bazaar.saffron.earns("e1", 1, 40)
    await bazaar.pump()
    return bazaar


async def test_broken_records_leave_a_question_without_answer_and_end_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settling_lanes, "ANSWER_SECONDS", 0.2)
    bazaar = await _shopped()
    nile, _ = Settler(bazaar.nile), Settler(bazaar.saffron)
    await cut(bazaar)
    lane = _breaks(bazaar.saffron)
    with capture_logs() as logged:
        assert await pumped(bazaar, nile.settling.close_with(SAFFRON, 1)) is None
        wish = HashesWish(1, NILE, SAFFRON, lane, (1,))
        assert await pumped(bazaar, nile.settling.partners.ask(SAFFRON, wish)) is None
    asked = [one["asked"] for one in logged if one["event"] == "settlement_no_answer"]
    assert asked == ["Propose", "HashesWish"]
    assert all(one["why"] for one in logged if one["event"] == "settlement_no_answer")
    assert (
        await pumped(bazaar, nile.settling.exchange_heads(SAFFRON)) == []
    )  # what needs no record is answered


async def test_a_shard_that_is_away_leaves_a_question_for_later_and_ends_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settling_lanes, "ANSWER_SECONDS", 0.2)
    bazaar = await _shopped()
    nile, saffron = Settler(bazaar.nile), Settler(bazaar.saffron)
    await cut(bazaar)

    async def away(partner_id: str, said: Said) -> Said | None:
        raise LanesUnavailable("a shard does not answer")

    saffron.voice.answer = away
    with capture_logs() as logged:
        assert await pumped(bazaar, nile.settling.close_with(SAFFRON, 1)) is None
    assert [one["event"] for one in logged if "asked" in one] == ["settlement_answer_waits"]
    saffron.voice.answer = saffron.settling.answer
    assert await pumped(bazaar, nile.settling.close_with(SAFFRON, 1)) is not None
