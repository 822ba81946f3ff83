"""Two merchants' real shards close a window: over signed messages, from records that shopping left in their
lanes.
"""

import asyncio

import pytest
from msgspec.structs import replace

from node.actors.settling_keeper import SettlingKeeper
from node.actors.settling_lanes import ShardLanes
from node.actors.settling_mending import Mending
from node.actors.settling_ports import SettlingFault
from node.coalition.exchange import AcquirerState
from node.coalition.lanes import chain
from node.coalition.messages import ExchangeReason, MessageType, Posted, RecordKind
from node.settlement.documents import CloseBasis, MismatchClass, Net, SignedClose
from node.settlement.statement import WindowInput
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.storage.keyspace import Kind
from node.storage.store import Batch
from node.wire.coalition_bodies import ENCODER
from node.wire.settlement_publish import publish
from node.wire.settlement_scan import hash_of
from tests.actors.abroad_merchants import _OPERATOR, DAY_MS, DIRECTORY, NILE, SAFFRON, Bazaar
from tests.actors.harness import card
from tests.actors.stored import PARTITIONS
from tests.settlement.settled_bazaar import TERMS, HeardOperator, Nobody, Settler, cut, lose_last, pumped
from verifier.signatures import load_directory
from verifier.statement import verify


@pytest.fixture
async def bazaar() -> Bazaar:
    bazaar = Bazaar()
    for number in range(1, 9):
        await bazaar.nile.enrol(card(number))
        await bazaar.nile.buys(card(number), 1_000)
    await bazaar.open()
    for number in range(1, 9):
        await bazaar.saffron.earns(f"e{number}", number, 40 + number)
    await bazaar.pump()
    code = await bazaar.saffron.asks_for_code(1, 500)
    await bazaar.pump()
    await bazaar.saffron.spends("s1", 1, 25, code, True)
    await bazaar.pump()
    return bazaar


async def test_what_members_did_abroad_is_closed_by_both_and_netted(bazaar: Bazaar) -> None:
    nile, saffron = Settler(bazaar.nile), Settler(bazaar.saffron)
    await cut(bazaar)
    signed = await pumped(bazaar, nile.settling.close_with(SAFFRON, 1))
    back = await pumped(bazaar, saffron.settling.close_with(NILE, 1))
    assert isinstance(signed, SignedClose)
    assert isinstance(back, SignedClose)
    assert {one.kind: (one.record_count, one.units) for one in signed.close.sums} == {
        RecordKind.ACCRUAL: (8, sum(40 + number for number in range(1, 9))),
        RecordKind.REDEMPTION: (1, 25),
    }
    assert back.close.record_count == 0
    directory = nile._directory()
    from node.wire.coalition_directory import sign_directory

    body = sign_directory(directory, _OPERATOR)
    data = publish(
        directory, body.body, TERMS, 1, WindowInput((signed, back)), _OPERATOR, now_ms=bazaar.nile.now_ms
    )
    for settler in (nile, saffron):
        assert all(one.agrees for one in settler.settling.adopt(data))
    report = verify(data, *load_directory(body.data))
    assert report.sound, report.checks
    statement = nile.settling.statement(1)
    assert statement is not None
    owed = 8 * 44.5 * 0.9 - 25  # saffron owes for what was earned, less what was spent
    nets = {line.party_id: line.payable for line in statement.lines if isinstance(line, Net)}
    assert nets == {"nile": round(owed), "saffron": -round(owed), "operator": 0}


async def test_trading_goes_on_while_a_window_is_closed_and_the_next_one_takes_it_up(bazaar: Bazaar) -> None:
    nile, saffron = Settler(bazaar.nile), Settler(bazaar.saffron)
    await cut(bazaar)
    closing = asyncio.ensure_future(nile.settling.close_with(SAFFRON, 1))
    await bazaar.saffron.earns("later", 2, 11)
    signed = await pumped(bazaar, closing)
    assert signed is not None
    assert sum(one.units for one in signed.close.sums if one.kind is RecordKind.ACCRUAL) == sum(
        40 + number for number in range(1, 9)
    )
    bazaar.assert_agreed()
    assert (await saffron.settling.compute((NILE, SAFFRON), 1)) == signed.close


async def test_what_a_silent_acquirer_had_acknowledged_the_home_node_hands_in_alone_after_a_restart_too(
    bazaar: Bazaar,
) -> None:
    pair = (NILE, SAFFRON)
    whole = await Settler(bazaar.nile).settling.compute(pair, 1)
    acknowledged = {one.lane: one.to_number for one in whole.lanes}
    await bazaar.nile.ticks()
    await bazaar.pump()
    await bazaar.saffron.earns("unheard", 3, 9)
    await bazaar.pump(loses=lambda at: at >= 1)  # POSTED is on its way, and is never acknowledged
    bazaar.nile.restart()
    bazaar.nile.exchanging.links = Nobody()  # type: ignore[assignment]  # a double
    nile = Settler(bazaar.nile)
    now_ms = bazaar.nile.now_ms = bazaar.nile.now_ms + DAY_MS + 3_700_000
    operator = HeardOperator(nile, now_ms)
    lanes = ShardLanes(bazaar.nile.exchanging)
    await SettlingKeeper(nile.settling, lanes, lambda: operator, nile._directory, lambda: now_ms).look()
    ours = next(one for one in operator.taken if one.close.pair == pair)
    assert ours.close.basis is CloseBasis.HOME_ALONE
    assert {one.lane: one.to_number for one in ours.close.lanes} == acknowledged
    now = await nile.settling.compute(pair, 1)
    assert now.record_count == ours.close.record_count + 1


async def test_what_is_acknowledged_after_the_cut_is_kept_beside_what_was_before_it(bazaar: Bazaar) -> None:
    lanes = ShardLanes(bazaar.nile.exchanging)
    close = await Settler(bazaar.nile).settling.compute((NILE, SAFFRON), 1)
    before = {one.lane: one.to_number for one in close.lanes}
    await cut(bazaar)  # its markers are of the next window, and are acknowledged too
    for lane, number in before.items():
        assert (await lanes.acked(SAFFRON, lane, 1))[0] == number
        assert (await lanes.acked(SAFFRON, lane, 2))[0] > number
    assert await lanes.acked(SAFFRON, next(at for at in range(PARTITIONS) if at not in before), 2) == (0, b"")


async def test_a_cap_that_is_used_up_is_free_again_once_what_was_owed_is_settled_and_paid(
    bazaar: Bazaar,
) -> None:
    most = DIRECTORY.cap(SAFFRON, NILE) // PARTITIONS  # what one of nile's partitions lets saffron owe
    await bazaar.saffron.earns("large", 1, most - 500)
    await bazaar.pump()
    await bazaar.saffron.earns("over", 1, 600)
    await bazaar.pump()
    assert (await bazaar.saffron.looks("over")).reason is ExchangeReason.CAP_EXCEEDED
    home, acquirer = ShardLanes(bazaar.nile.exchanging), ShardLanes(bazaar.saffron.exchanging)
    owed = (await home.usage(SAFFRON))[0].acquirer_owes
    assert owed == (await acquirer.usage(NILE))[1].acquirer_owes - 600 > most - 500  # the last one waits
    close = await Settler(bazaar.nile).settling.compute((NILE, SAFFRON), 1)
    for lane in close.lanes:  # the windows are paid one after another
        await home.settled(SAFFRON, lane.lane, 1, home=True)
        await acquirer.settled(NILE, lane.lane, 1, home=False)
    for _ in range(2):  # told twice, it counts once
        for lane in close.lanes:
            await home.settled(SAFFRON, lane.lane, lane.to_number, home=True)
            await acquirer.settled(NILE, lane.lane, lane.to_number, home=False)
        assert (await home.usage(SAFFRON))[0].acquirer_owes == 0
        assert (await acquirer.usage(NILE))[1].acquirer_owes == 600
    bazaar.nile.restart()
    bazaar.saffron.restart()
    await bazaar.open()
    assert (await ShardLanes(bazaar.nile.exchanging).usage(SAFFRON))[0].acquirer_owes == 0
    await bazaar.time_passes(600_000)
    assert (await bazaar.saffron.looks("over")).state is AcquirerState.DONE
    assert (await ShardLanes(bazaar.nile.exchanging).usage(SAFFRON))[0].acquirer_owes == 600
    bazaar.assert_agreed()


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize(
    ("role", "mismatch"),
    [
        (Role.HOME, MismatchClass.MISSING_AT_HOME),
        (Role.ACQUIRER, MismatchClass.MISSING_AT_ACQUIRER),
    ],
)
async def test_records_that_one_side_has_lost_are_held_back_fetched_from_the_other_and_settled_next_time(
    bazaar: Bazaar, role: Role, mismatch: MismatchClass, most: int
) -> None:
    await cut(bazaar)
    loser = bazaar.nile if role is Role.HOME else bazaar.saffron
    before = await Settler(bazaar.nile).settling.compute((NILE, SAFFRON), 1)
    lane, left = lose_last(loser, role, most)
    bazaar.nile.restart()  # what is found lies on the disk of both, whenever either starts anew
    bazaar.saffron.restart()
    await bazaar.open()
    bazaar.nile.now_ms += 3_600_000
    bazaar.saffron.now_ms += 3_600_000
    nile, saffron = Settler(bazaar.nile), Settler(bazaar.saffron)
    signed = await pumped(bazaar, nile.settling.close_with(SAFFRON, 1))
    assert signed is not None
    [held] = signed.close.disputed
    assert (held.lane, held.agreed_number, held.mismatch) == (lane, left, mismatch)
    for settler, at in ((nile, bazaar.nile), (saffron, bazaar.saffron)):
        fetched = await pumped(bazaar, Mending(settler.settling, ShardLanes(at.exchanging)).look(1))
        assert fetched == (most if at is loser else 0)
    bazaar.assert_agreed()
    assert await nile.settling.compute((NILE, SAFFRON), 1) == before
    assert await saffron.settling.compute((NILE, SAFFRON), 1) == before


async def test_nothing_but_the_lost_record_itself_is_put_back(bazaar: Bazaar) -> None:
    lanes = ShardLanes(bazaar.saffron.exchanging)
    lane, left = lose_last(bazaar.saffron, Role.ACQUIRER, 1)
    (whole,) = await ShardLanes(bazaar.nile.exchanging).entries(SAFFRON, lane, [left + 1], home=True)
    (other,) = await ShardLanes(bazaar.nile.exchanging).entries(SAFFRON, lane, [left], home=True)
    assert whole is not None
    assert other is not None
    body = ENCODER.read(MessageType.POSTED, whole.posted.body)
    assert isinstance(body, Posted)
    core = replace(body.core, units=body.core.units + 1)
    core_bytes = ENCODER.core(core)
    (before,) = await lanes.entries(NILE, lane, [left], home=False)
    assert before is not None
    header = whole.request.header if whole.request else b""
    forged_body = replace(
        body, core=core, core_bytes=core_bytes, hash=chain(hash_of(before), header, core_bytes)
    )
    forged = replace(whole, posted=replace(whole.posted, body=ENCODER.body(forged_body)))
    assert not await lanes.mend(NILE, lane, forged, home=False)
    assert not await lanes.mend(NILE, (lane + 1) % PARTITIONS, whole, home=False)
    assert await lanes.mend(NILE, lane, whole, home=False)
    assert await lanes.mend(NILE, lane, whole, home=False)  # again it is simply there
    bazaar.assert_agreed()


async def test_a_home_clock_that_is_set_back_posts_nothing_into_a_window_that_it_has_closed(
    bazaar: Bazaar,
) -> None:
    nile, _ = Settler(bazaar.nile), Settler(bazaar.saffron)
    for number in range(9, 25):  # members on lanes that have no record yet
        await bazaar.nile.enrol(card(number))
    bazaar.nile.now_ms += DAY_MS + 1_000  # no tick yet: the close itself is the first to know of the cut
    bazaar.saffron.now_ms += DAY_MS + 1_000
    signed = await pumped(bazaar, nile.settling.close_with(SAFFRON, 1))
    assert signed is not None
    bazaar.nile.now_ms -= 60_000
    bazaar.nile.restart()  # what the lanes were told is on the disk
    bazaar.saffron.restart()
    await bazaar.open()
    for number in range(1, 25):
        await bazaar.saffron.earns(f"late {number}", number, 5)
        await bazaar.pump()
        assert (await bazaar.saffron.looks(f"late {number}")).state is AcquirerState.DONE
    bazaar.assert_agreed()
    assert await Settler(bazaar.saffron).settling.compute((NILE, SAFFRON), 1) == signed.close
    later = await Settler(bazaar.nile).settling.compute((NILE, SAFFRON), 2)
    assert sum(one.units for one in later.sums if one.kind is RecordKind.ACCRUAL) > 8 * 5


async def test_a_hold_that_is_open_at_the_cut_is_captured_into_the_next_window(bazaar: Bazaar) -> None:
    nile = Settler(bazaar.nile)
    before = await nile.settling.compute((NILE, SAFFRON), 1)
    bazaar.nile.now_ms += 60_000
    bazaar.saffron.now_ms += 60_000
    left_ms = DIRECTORY.windows[0].cut_time_ms - bazaar.nile.now_ms
    await bazaar.time_passes(left_ms - 120_000)
    code = await bazaar.saffron.asks_for_code(2, 500)
    await bazaar.pump()
    await bazaar.saffron.spends("held", 2, 70, code)
    await bazaar.pump()
    await bazaar.time_passes(180_000)
    await bazaar.saffron.captures("held", 70)
    await bazaar.pump()
    assert (await bazaar.saffron.looks("held")).state is AcquirerState.DONE
    assert (await nile.settling.compute((NILE, SAFFRON), 1)).sums == before.sums
    both = await nile.settling.compute((NILE, SAFFRON), 2)
    spent = {one.kind: one.units for one in both.sums}[RecordKind.REDEMPTION]
    assert spent == {one.kind: one.units for one in before.sums}[RecordKind.REDEMPTION] + 70


async def test_records_that_were_changed_on_the_disk_are_never_signed_over(bazaar: Bazaar) -> None:
    nile = Settler(bazaar.nile)
    await cut(bazaar)
    for store in bazaar.nile.stores:
        for key, value in list(store.scan(b"\x00", b"\x40")):
            if key[1] == Kind.LANE_RECORD:
                broken = bytearray(value)
                broken[broken.find(b"points") - 20] ^= 1
                batch = Batch()
                batch.put(key, bytes(broken))
                store.write(batch)
                partition, role, partner, lane, _ = keys.parse_lane_record(key)
                assert (role, partner, lane) == (Role.HOME, SAFFRON, partition)
                with pytest.raises(SettlingFault):
                    await nile.settling.compute((NILE, SAFFRON), 1)
                return
