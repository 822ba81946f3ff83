"""How a node stands with a partner: what its own people see, and are told before anything is refused."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from node.actors.standing import CapUse, Standing, Standings
from node.telemetry import Figures
from node.wire.lane_states import LaneState
from tests.actors.abroad_merchants import DIRECTORY, NILE, SAFFRON, Bazaar, Merchant
from tests.actors.abroad_stories import opened, spends
from tests.actors.stored import PARTITIONS

CAP = DIRECTORY.cap(NILE, SAFFRON)


@pytest.fixture
async def bazaar() -> Bazaar:
    return await opened()


async def standing(merchant: Merchant) -> Standing:
    (found,) = await Standings(merchant.exchanging, Figures()).look()
    return found


async def test_both_see_the_same_debt_and_how_much_of_the_caps_it_uses(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300)
    await bazaar.saffron.earns("r2", 1, 40)
    await bazaar.pump()
    nile, saffron = await standing(bazaar.nile), await standing(bazaar.saffron)
    assert nile.own == saffron.partner == CapUse(CAP, 260)
    assert nile.partner == saffron.own == CapUse(CAP, 0)
    assert nile.own.percent == 260 * 100 // CAP
    assert nile.partner.percent == 0


async def test_a_hold_counts_before_it_is_captured(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300, one_step=False)
    assert (await standing(bazaar.nile)).own.used_units == 300
    assert (await standing(bazaar.saffron)).partner.used_units == 300


async def test_lanes_are_shut_until_hello_and_open_after_it(bazaar: Bazaar) -> None:
    before = await standing(bazaar.nile)
    assert [lane.is_open for lane in before.lanes if lane.home] == [True] * PARTITIONS
    bazaar.nile.restart()
    assert not any(lane.is_open for lane in (await standing(bazaar.nile)).lanes)
    await bazaar.open()
    after = await standing(bazaar.nile)
    assert all(lane.is_open for lane in after.lanes if lane.home)
    epochs = [lane.epoch for lane in before.lanes if lane.home]
    assert all(lane.epoch > old for lane, old in zip(after.lanes, epochs, strict=False))


async def test_what_the_home_node_has_not_answered_is_counted_with_its_age(bazaar: Bazaar) -> None:
    assert (await standing(bazaar.saffron)).waiting == 0
    begun_ms = bazaar.saffron.now_ms
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.saffron.earns("r2", 2, 40)
    bazaar.saffron.now_ms += 90_000
    found = await standing(bazaar.saffron)
    assert (found.waiting, found.oldest_ms) == (2, begun_ms)
    assert found.own.used_units == 80  # what waits counts already
    await bazaar.saffron.sends_what_is_due()
    bazaar.nile.now_ms = bazaar.saffron.now_ms
    await bazaar.pump()
    assert (await standing(bazaar.saffron)).waiting == 0


@pytest.mark.parametrize("minutes", [-7, 3])
async def test_a_partner_whose_clock_is_wrong_is_seen_by_what_it_signs(bazaar: Bazaar, minutes: int) -> None:
    assert (await standing(bazaar.saffron)).clock_ahead_ms == 0
    for node in (bazaar.nile, bazaar.saffron):  # what was heard before is forgotten in time
        node.now_ms += 2_000_000
    bazaar.nile.now_ms += minutes * 60_000
    for _ in range(2):
        bazaar.nile.restart()
        await bazaar.nile.opens()
        await bazaar.pump()
        for node in (bazaar.nile, bazaar.saffron):
            node.now_ms += 700_000
    assert (await standing(bazaar.saffron)).clock_ahead_ms == minutes * 60_000


# --- alerts ------------------------------------------------------------------------------------------------


def near(percent: int, *, partner: int = 0) -> Standing:
    return Standing(SAFFRON, (), CapUse(1_000, percent * 10), CapUse(1_000, partner * 10))


def alerts(figures: Figures) -> dict[str, float]:
    series = figures.snapshot().get("vafa_cap_alerts_total", [])
    return {labels[1]: value for labels, value in series if isinstance(value, float | int)}


async def test_a_cap_that_comes_near_is_told_once_at_each_step_whoever_owes(bazaar: Bazaar) -> None:
    figures = Figures()
    standings = Standings(bazaar.nile.exchanging, figures)
    with capture_logs() as said:
        for percent in (10, 79, 80, 85, 95, 96, 50, 81):
            standings.tell(near(percent))
        standings.tell(near(0, partner=100))
    told = [(one["debtor"], one["percent"]) for one in said if one["event"] == "cap_nearly_reached"]
    assert told == [("own", 80), ("own", 90), ("own", 80), ("partner", 100)]
    assert alerts(figures) == {"80": 2, "90": 1, "100": 1}


async def test_an_acquirer_is_warned_of_what_it_will_owe_before_it_is_refused(bazaar: Bazaar) -> None:
    figures = Figures()
    standings = Standings(bazaar.saffron.exchanging, figures)
    await bazaar.saffron.earns("r1", 1, CAP * 85 // 100)
    await bazaar.pump()
    for one in await standings.look():
        standings.tell(one)
    assert alerts(figures) == {"80": 1}
    gauges = dict(figures.snapshot()["vafa_cap_used_ratio"])
    assert gauges[NILE, "own"] == 0.85


async def test_a_share_of_a_cap_that_is_used_up_is_no_alert_while_the_whole_is_not(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", CAP // PARTITIONS // 10)  # most of the members' balance; a tenth of a share
    figures = Figures()
    standings = Standings(bazaar.nile.exchanging, figures)
    for one in await standings.look():
        standings.tell(one)
    assert alerts(figures) == {}


async def test_a_lane_that_is_set_aside_is_not_counted_among_those_that_wait(bazaar: Bazaar) -> None:
    figures = Figures()
    lanes = (LaneState(SAFFRON, True, 0, is_open=True), LaneState(SAFFRON, True, 1),
             LaneState(SAFFRON, False, 2, dispute="forked"))  # fmt: skip
    nothing = CapUse(1, 0)
    Standings(bazaar.nile.exchanging, figures).tell(Standing(SAFFRON, lanes, nothing, nothing))
    snapshot = figures.snapshot()
    assert snapshot["vafa_lanes_shut"] == snapshot["vafa_lanes_set_aside"] == [((SAFFRON,), 1)]


def test_nothing_may_be_owed_without_a_cap() -> None:
    assert CapUse(0, 1).percent == 100
    assert CapUse(0, 0).percent == CapUse(10, -5).percent == 0
