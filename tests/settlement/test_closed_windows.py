"""A home node that posts into a window that is closed, or not there yet: the acquirer does not take it."""

from __future__ import annotations

from itertools import count

import pytest
from msgspec.structs import replace

from node.actors.settling_lanes import ShardLanes
from node.coalition import home_posting
from node.coalition.envelopes import Message
from node.coalition.home_facts import HomeFacts
from node.settlement.documents import DisputedLane, MismatchClass
from node.storage.keyspace import Kind, partition_of
from tests.actors.abroad_merchants import DIRECTORY, NILE, SAFFRON, Bazaar
from tests.actors.harness import card
from tests.actors.stored import PARTITIONS
from tests.settlement.settled_bazaar import Settler, cut, pumped
from tests.settlement.test_settling_over_lanes import bazaar

__all__ = ["bazaar"]  # the fixture: two merchants whose members have shopped

INTO_WINDOW_1_MS = -120_000
"""From a minute after its cut, where `_cut` leaves the clocks."""
SKEW_MS = DIRECTORY.bounds.window_skew_seconds * 1000


async def _posts(
    bazaar: Bazaar, monkeypatch: pytest.MonkeyPatch, *, ahead_ms: int = 0, window: int = 0
) -> list[str]:
    """The home node posts on a lane without records, as if its clock were another; why lanes are disputed.

    `window`: at least, whatever that clock says.
    """
    used = {key[0] for key, _ in bazaar.nile.stored(Kind.LANE_RECORD)}
    for number in count(100 * len(used)):
        account_id = bytes.fromhex(await bazaar.nile.enrol(card(number)))
        if partition_of(account_id, PARTITIONS) not in used:
            break

    def posted(message: Message, facts: HomeFacts, move: home_posting.Move) -> object:
        lane = replace(facts.lane, window=window)
        return home_posting.posted(message, replace(facts, now_ms=facts.now_ms + ahead_ms, lane=lane), move)

    with monkeypatch.context() as patched:
        patched.setattr("node.coalition.home.posted", posted)
        bazaar.saffron.outcomes.clear()
        await bazaar.saffron.earns(f"late {number}", number, 7)
        await bazaar.pump()
    return [one.dispute for one in bazaar.saffron.outcomes if one.dispute]


async def test_a_record_into_a_window_whose_close_both_have_signed_sets_its_lane_aside(
    bazaar: Bazaar, monkeypatch: pytest.MonkeyPatch
) -> None:
    nile, saffron = Settler(bazaar.nile), Settler(bazaar.saffron)
    await cut(bazaar)
    assert (
        await _posts(bazaar, monkeypatch, ahead_ms=INTO_WINDOW_1_MS) == []
    )  # it was on its way; the close has it
    signed = await pumped(bazaar, nile.settling.close_with(SAFFRON, 1))
    assert signed is not None
    assert signed.close.record_count == 10
    assert await _posts(bazaar, monkeypatch, ahead_ms=INTO_WINDOW_1_MS) == ["wrong_window"]
    bazaar.saffron.restore(bazaar.saffron.backup())  # a start later that is still so
    await bazaar.saffron.asks_for_hello()
    await bazaar.pump()
    assert await _posts(bazaar, monkeypatch, ahead_ms=INTO_WINDOW_1_MS) == ["wrong_window"]
    assert (await saffron.settling.compute((NILE, SAFFRON), 1)) == signed.close


async def test_a_record_that_a_close_does_not_have_keeps_the_acquirer_from_signing_it(bazaar: Bazaar) -> None:
    saffron = Settler(bazaar.saffron)
    await cut(bazaar)
    close = await saffron.settling.compute((NILE, SAFFRON), 1)
    lanes = ShardLanes(bazaar.saffron.exchanging)
    assert await lanes.shut(close, ())
    assert not await lanes.shut(replace(close, window=2, lanes=()), ())


async def test_what_is_carried_forward_may_still_come_when_the_window_is_closed(
    bazaar: Bazaar, monkeypatch: pytest.MonkeyPatch
) -> None:
    saffron = Settler(bazaar.saffron)
    await cut(bazaar)
    close = await saffron.settling.compute((NILE, SAFFRON), 1)
    carried = tuple(
        DisputedLane(lane, 0, 1, 0, MismatchClass.MISSING_AT_ACQUIRER) for lane in range(PARTITIONS)
    )
    assert await ShardLanes(bazaar.saffron.exchanging).shut(replace(close, disputed=carried), ())
    assert await _posts(bazaar, monkeypatch, ahead_ms=INTO_WINDOW_1_MS) == []


@pytest.mark.parametrize(
    ("ahead_ms", "window", "why"),
    [
        (0, 0, []),
        (SKEW_MS - 1_000, 0, []),
        (SKEW_MS + 1_000, 0, ["wrong_window"]),  # from a time that has not come
        (0, 2, ["wrong_window"]),  # into a window that opens only tomorrow
    ],
)
async def test_a_record_whose_time_lies_beyond_the_skew_outside_its_window_sets_its_lane_aside(
    bazaar: Bazaar, monkeypatch: pytest.MonkeyPatch, ahead_ms: int, window: int, why: list[str]
) -> None:
    assert await _posts(bazaar, monkeypatch, ahead_ms=ahead_ms, window=window) == why
