"""Shares of a cap move to the partition that needs them; no crash makes them more than the cap."""

from __future__ import annotations

import pytest

from node.actors.cap_leases import CapLeases
from node.actors.exchanging import Exchanging
from node.coalition.caps import Slice
from node.coalition.exchange import AcquirerState
from node.coalition.leases import LeaseView
from node.coalition.messages import ExchangeReason
from node.ledger.refusals import Refused
from node.wire.coalition_records import LaneWish, Outcome
from node.wire.commands import Op
from tests.actors.abroad_merchants import SAFFRON, Bazaar, Merchant
from tests.actors.abroad_stories import opened, spends, state
from tests.actors.harness import card
from tests.actors.stored import PARTITIONS

CAP = 80_000
EVEN = CAP // PARTITIONS


class Cut(Exception):
    """The gateway ends here."""


class Wire:
    """The gateway of a node, ended before or after its step number `at`; the step itself is done or not."""

    def __init__(self, node: Merchant, at: int, done: bool) -> None:
        self.own_id = node.own_id
        self.directories = node.directories
        self.router = node.router
        self._real: Exchanging = node.exchanging
        self._at, self._done = at, done
        self.steps = 0

    async def do(self, op: Op, partition: int, body: bytes) -> Outcome | Refused:
        if op is Op.LEASE_LOOK:
            return await self._real.do(op, partition, body)
        self.steps += 1
        if self.steps == self._at and not self._done:
            raise Cut
        outcome = await self._real.do(op, partition, body)
        if self.steps == self._at:
            raise Cut
        return outcome


def of(node: Merchant) -> CapLeases:
    return CapLeases(node.exchanging)


async def views(node: Merchant) -> list[LeaseView]:
    body = LaneWish((node.partner,))
    return [(await node.does(Op.LEASE_LOOK, at, body)).leases[0] for at in range(PARTITIONS)]


async def slices(node: Merchant) -> list[int]:
    return [view.slices.home_units for view in await views(node)]


@pytest.fixture
async def bazaar() -> Bazaar:
    return await opened()


def kept(node: Merchant) -> CapLeases:
    """Leases that hear what outcomes say is short, as in `LaneKeeper.note`."""
    leases, before = of(node), node.exchanging.noted

    def note(partition: int, outcome: Outcome, by_home: bool) -> None:
        before(partition, outcome, by_home)
        leases.want(partition, outcome.short)

    node.exchanging.noted = note
    return leases


async def test_a_member_may_spend_the_whole_cap_from_one_partition(bazaar: Bazaar) -> None:
    leases = kept(bazaar.nile)
    await bazaar.nile.buys(card(1), CAP + 5_000)
    spent = 0
    for at in range(200):
        if spent == CAP:
            break
        units = min(1_000, CAP - spent)
        await spends(bazaar, f"r{at}", units)
        spent += units if await state(bazaar, f"r{at}") is AcquirerState.DONE else 0
        await leases.move_wanted()
        assert sum(await slices(bazaar.nile)) <= CAP
    assert spent == CAP
    assert (await spends(bazaar, "last", 1)).refused == ExchangeReason.CAP_EXCEEDED
    bazaar.assert_agreed()


async def test_a_refusal_for_want_of_a_slice_brings_the_slice(bazaar: Bazaar) -> None:
    leases = kept(bazaar.nile)
    await bazaar.saffron.earns("r1", 1, 3 * EVEN)
    await bazaar.pump()
    assert await state(bazaar, "r1") is AcquirerState.QUEUED
    await leases.move_wanted()
    await bazaar.time_passes(120_000)
    assert await state(bazaar, "r1") is AcquirerState.DONE
    bazaar.assert_agreed()


@pytest.mark.parametrize("done", [False, True])
async def test_a_crash_between_any_two_steps_of_a_move_loses_nothing_for_long(done: bool) -> None:
    at, finished = 0, False
    while not finished:
        at += 1
        bazaar = await opened()
        nile = bazaar.nile
        cut = Wire(nile, at, done)
        try:
            await CapLeases(cut).move(SAFFRON, 0, Slice(3 * EVEN, 3 * EVEN))  # type: ignore[arg-type]  # a double
            finished = True
        except Cut:
            assert sum(await slices(nile)) <= CAP
        nile.restore(nile.stores)
        assert sum(await slices(nile)) <= CAP
        await of(nile).sweep()
        assert sum(await slices(nile)) == CAP, "the sweep finishes what was cut short"
        await of(nile).sweep()
        await of(nile).move(SAFFRON, 0, Slice(CAP, CAP))
        assert await slices(nile) == [CAP, *[0] * (PARTITIONS - 1)]
    assert at > 4, "there was something to cut"


async def test_a_move_for_one_that_comes_late_and_again_moves_nothing(bazaar: Bazaar) -> None:
    nile = bazaar.nile
    sent: list[tuple[Op, int, bytes]] = []
    real = nile.exchanging.do

    async def do(op: Op, partition: int, body: bytes) -> Outcome | Refused:
        sent.append((op, partition, body))
        return await real(op, partition, body)

    nile.exchanging.do = do  # type: ignore[method-assign, assignment]  # a double
    await of(nile).move(SAFFRON, 0, Slice(2 * EVEN, 0))
    after = await slices(nile)
    assert after[0] == 3 * EVEN
    assert sum(after) == CAP
    for op, partition, body in sent:
        await real(op, partition, body)
    assert await slices(nile) == after


async def test_after_an_old_backup_a_sweep_makes_the_shares_the_cap_again(bazaar: Bazaar) -> None:
    nile = bazaar.nile
    old = nile.backup()
    await of(nile).move(SAFFRON, 0, Slice(2 * EVEN, EVEN))
    await of(nile).move(SAFFRON, 3, Slice(2 * EVEN, EVEN))
    after_restore = []
    for one in range(len(old)):
        stores = nile.backup()
        stores[one] = old[one]
        nile.restore(stores)
        after_restore.append(sum(await slices(nile)))
        await of(nile).sweep()
        assert sum(await slices(nile)) == CAP
    assert after_restore != [CAP] * len(old), "an old backup has forgotten moves"
    nile.assert_proved()


async def test_nobody_gives_what_its_own_members_have_spent(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 700)
    spender = next(at for at, view in enumerate(await views(bazaar.nile)) if view.usage.position)
    taker = (spender + 1) % PARTITIONS
    await of(bazaar.nile).move(SAFFRON, taker, Slice(CAP, 0))
    assert (await slices(bazaar.nile))[spender] == 700
    assert (await slices(bazaar.nile))[taker] == CAP - 700 - 1, "a part of a unit is nobody's"


async def test_a_spend_above_one_partitions_share_waits_a_moment_for_others_shares_with_its_proof(
    bazaar: Bazaar,
) -> None:
    leases = kept(bazaar.nile)
    await bazaar.nile.buys(card(1), CAP)
    code = await bazaar.saffron.asks_for_code(1, 4 * EVEN)
    await bazaar.saffron.spends("r1", 1, 4 * EVEN, code, True)
    await bazaar.pump()
    assert await state(bazaar, "r1") is AcquirerState.INTENT  # it was not declined
    await leases.move_wanted()
    await bazaar.time_passes(1_000)
    assert await state(bazaar, "r1") is AcquirerState.DONE
    bazaar.assert_agreed()


async def test_a_spend_for_which_there_are_no_shares_is_declined_while_its_till_still_waits(
    bazaar: Bazaar,
) -> None:
    await bazaar.nile.buys(card(1), CAP)
    code = await bazaar.saffron.asks_for_code(1, 4 * EVEN)
    await bazaar.saffron.spends("r1", 1, 4 * EVEN, code, True)
    await bazaar.pump()
    for _ in range(7):  # nobody moves anything
        await bazaar.time_passes(1_000)
    found = await bazaar.saffron.looks("r1")
    assert (found.state, found.reason) == (AcquirerState.FAILED, ExchangeReason.CAP_EXCEEDED)
    assert await bazaar.nile.points(card(1)) == 1_000 + CAP


async def test_an_earning_above_one_partitions_share_arrives_in_a_moment(bazaar: Bazaar) -> None:
    leases = kept(bazaar.nile)
    await bazaar.saffron.earns("r1", 1, 4 * EVEN)
    await bazaar.pump()
    await leases.move_wanted()
    await bazaar.time_passes(1_000)
    assert await state(bazaar, "r1") is AcquirerState.DONE
    bazaar.assert_agreed()
