"""Whole weeks of a coalition, by itself: closes, statements, disputes, partners that fall silent; the
verifier agrees.
"""

import pytest
from msgspec.structs import replace

from bench.settlement_records import Coalition, make_coalition, window_start
from node.actors.operator_money import NotDone
from node.actors.settling_keeper import LOOK_SECONDS
from node.coalition.directory import PartnerStatus
from node.settlement.documents import (
    CloseBasis,
    MismatchClass,
    MissingClose,
    Net,
    Payment,
    SignedClose,
)
from node.wire.coalition_directory import sign_directory
from node.wire.settlement import read_mismatch_bytes
from node.wire.settlement_store import WindowRecord
from tests.settlement.settled_weeks import DAY_MS, Week, bases_of, close_of
from tests.settlement.test_settling import LANE, diverge


async def test_weeks_settle_by_themselves_and_every_merchant_takes_every_statement_over() -> None:
    week = Week()
    for window in (1, 2, 3):
        week.shop(window)
        week.at(window_start(window + 1) + 1)
        await week.look()
        statement = await week.settled(window)
        assert set(bases_of(statement).values()) == {CloseBasis.AGREED}
        assert len(bases_of(statement)) == 6
        for merchant in week.bazaar.merchants.values():
            assert merchant.statement(window) is not None


async def test_before_the_cut_nobody_does_anything() -> None:
    week = Week()
    week.shop(1)
    week.at(window_start(2) - 1)
    await week.look()
    assert week.bazaar.asked == []
    assert week.books.closes(1) == []


async def test_a_partner_away_at_the_cut_that_comes_back_in_time_is_settled_like_the_others() -> None:
    week = Week()
    week.shop(1)
    week.at(window_start(2) + 1)
    week.bazaar.away.add("m002")
    await week.look()
    assert len(week.books.closes(1)) == 2
    week.bazaar.away.clear()
    await week.look()
    statement = await week.settled(1)
    assert set(bases_of(statement).values()) == {CloseBasis.AGREED}


async def test_a_partner_that_never_signs_is_settled_by_what_it_had_signed_and_the_rest_waits_for_it() -> (
    None
):
    week = Week()
    week.shop(1)
    week.bazaar.away.add("m002")
    week.at(window_start(2) + 2 * DAY_MS)
    await week.look()
    statement = await week.settled(1)
    bases = bases_of(statement)
    # What the silent one posted as home node, its partners hold with its signature.
    for partner in ("m000", "m001"):
        assert bases["m002", partner] is CloseBasis.ACQUIRER_ALONE
    missing = {(one.home_id, one.acquirer_id) for one in statement.lines if isinstance(one, MissingClose)}
    alone_by_home = {pair for pair, basis in bases.items() if basis is CloseBasis.HOME_ALONE}
    assert missing | alone_by_home == {("m000", "m002"), ("m001", "m002")}
    # The next week it is back, and all that waited is settled.
    week.bazaar.away.clear()
    week.shop(2)
    week.at(window_start(3) + 1)
    await week.look()
    later = await week.settled(2)
    assert set(bases_of(later).values()) == {CloseBasis.AGREED}
    for pair in missing:
        close = next(
            one.close for one in later.lines if isinstance(one, SignedClose) and one.close.pair == pair
        )
        assert all(lane.from_number == 1 for lane in close.lanes)


async def test_a_silent_acquirer_is_settled_by_what_it_had_acknowledged_and_the_rest_waits_for_it() -> None:
    week = Week(2)
    week.world.trade("m000", "m001", 3, 1, 5, cut=False)
    week.world.acknowledge("m000", "m001", 3, 1)
    week.world.trade("m000", "m001", 3, 1, 4)  # POSTED, and nobody said that they arrived
    week.world.trade("m000", "m001", 6, 1, 2)  # a lane on which nothing was acknowledged
    week.bazaar.away.add("m001")
    week.at(window_start(2) + 2 * DAY_MS)
    await week.look()
    statement = await week.settled(1)
    close = close_of(statement, "m000", "m001")
    assert close.basis is CloseBasis.HOME_ALONE
    assert [(one.lane, one.from_number, one.to_number) for one in close.lanes] == [(3, 1, 5)]
    week.bazaar.away.clear()
    week.at(window_start(3) + 1)
    await week.look()  # who was away takes the statement over
    await week.look()
    later = close_of(await week.settled(2), "m000", "m001")
    assert later.basis is CloseBasis.AGREED
    assert [(one.lane, one.from_number) for one in later.lanes] == [(3, 6), (6, 1)]


async def test_what_was_acknowledged_in_a_later_window_proves_nothing_of_an_earlier_one() -> None:
    week = Week(2)
    week.world.trade("m000", "m001", 3, 1, 5)
    week.world.trade("m000", "m001", 3, 2, 5)
    week.world.acknowledge("m000", "m001", 3, 2)
    week.bazaar.away.add("m001")
    week.at(window_start(2) + 2 * DAY_MS)
    await week.look()
    assert close_of(await week.settled(1), "m000", "m001").lanes == ()
    week.at(window_start(3) + 2 * DAY_MS)
    await week.look()
    [lane] = close_of(await week.settled(2), "m000", "m001").lanes
    assert (lane.from_number, lane.to_number) == (1, week.world.acks["m000", "m001", 3][-1][1])


async def test_who_leaves_signs_until_its_last_window_and_nothing_of_it_is_awaited_afterwards() -> None:
    made = make_coalition(3)
    partners = tuple(
        replace(one, status=PartnerStatus.LEFT, last_window=1) if one.partner_id == "m002" else one
        for one in made.directory.partners
    )
    directory = replace(made.directory, partners=partners)
    signed = sign_directory(directory, made.operator)
    week = Week(coalition=Coalition(made.signers, made.operator, directory, signed))
    week.shop(1)
    week.world.trade("m002", "m000", 5, 1, 20)
    week.bazaar.lanes["m000"].held["m002", "m000", 5] = week.world.records["m002", "m000", 5][:12]
    week.at(window_start(2) + 2 * DAY_MS)
    await week.look()
    statement = await week.settled(1)
    assert len(bases_of(statement)) == 6
    [held] = close_of(statement, "m002", "m000").disputed  # what is left of it is between these two
    assert held.agreed_number == 12
    week.bazaar.away.add("m002")
    week.shop(2)
    week.at(window_start(3) + 1)
    await week.look()
    later = await week.settled(2)  # without waiting for anybody's time to sign
    assert set(bases_of(later)) == {("m000", "m001"), ("m001", "m000")}
    assert not [line for line in later.lines if isinstance(line, MissingClose)]
    assert "m002" not in {line.party_id for line in later.lines if isinstance(line, Net)}


async def test_one_dispute_holds_up_nothing_else_and_reaches_the_operator() -> None:
    week = Week()
    week.world.trade("m000", "m001", 4, 1, 30)
    week.world.trade("m001", "m002", 0, 1, 5)
    week.bazaar.lanes["m001"].held["m000", "m001", 4] = week.world.records["m000", "m001", 4][:17]
    week.at(window_start(2) + 2 * DAY_MS)
    await week.look()
    statement = await week.settled(1)
    assert set(bases_of(statement).values()) == {CloseBasis.AGREED}
    assert len(list(week.books.mismatches(1))) == 1
    close = next(
        one.close
        for one in statement.lines
        if isinstance(one, SignedClose) and one.close.pair == ("m000", "m001")
    )
    assert [(one.lane, one.agreed_number) for one in close.disputed] == [(4, 17)]


@pytest.mark.parametrize("mismatch", list(MismatchClass))
async def test_each_kind_of_mismatch_survives_a_restart_of_both_nodes_and_the_operator_and_is_settled_later(
    mismatch: MismatchClass,
) -> None:
    week = Week(2)
    home, acquirer, lane = LANE
    week.world.trade(*LANE, 1, 30)
    diverge(week.bazaar, mismatch, 11)
    week.at(window_start(2) + 2 * DAY_MS)
    await week.keepers[home].look()
    week.restart()
    await week.look()
    week.restart()
    [reported] = [read_mismatch_bytes(data) for data in week.books.mismatches(1)]
    assert (reported.mismatch, reported.agreed_number) == (mismatch, 10)
    for own_id in (home, acquirer):  # both have signed the same, and still have it
        signed = week.bazaar.merchants[own_id].agreed(1, (home, acquirer))
        assert signed is not None
        assert [(one.lane, one.mismatch) for one in signed.close.disputed] == [(lane, mismatch)]
    statement = await week.settled(1)
    assert [(one.lane, one.to_number) for one in close_of(statement, home, acquirer).lanes] == [(lane, 10)]
    week.restart()
    for lanes in week.bazaar.lanes.values():
        lanes.held.clear()  # people have put it right, where no node could by itself
    week.at(window_start(3) + 1)
    await week.look()
    later = close_of(await week.settled(2), home, acquirer)
    assert later.disputed == ()
    assert [(one.from_number, one.to_number) for one in later.lanes] == [(11, 31)]


async def test_what_a_node_has_lost_it_fetches_from_the_other_side_before_the_next_window() -> None:
    week = Week(2)
    week.world.trade(*LANE, 1, 30)
    diverge(week.bazaar, MismatchClass.MISSING_AT_ACQUIRER, 11)
    week.at(window_start(2) + 2 * DAY_MS)
    await week.look()
    await week.settled(1)
    assert week.bazaar.lanes[LANE[1]].records(LANE[0], LANE[2], home=False) == week.world.records[LANE]
    week.at(window_start(3) + 1)
    await week.look()
    assert close_of(await week.settled(2), LANE[0], LANE[1]).disputed == ()


async def test_a_restart_in_the_middle_of_a_week_loses_nothing() -> None:
    week = Week()
    week.shop(1)
    week.at(window_start(2) + 1)
    await week.keepers["m000"].look()
    week.restart()
    await week.look()
    assert len(bases_of(await week.settled(1))) == 6


async def test_looks_come_quickly_while_a_window_gets_on_and_seldom_while_somebody_is_silent() -> None:
    week = Week()
    keeper = week.keepers["m000"]
    week.shop(1)
    week.at(window_start(2) - 5_000)
    await keeper.look()
    assert keeper.pause_seconds() == 5.0  # until the cut, and not half a minute later
    week.at(window_start(2))
    week.bazaar.away.update(("m001", "m002"))
    waits = []
    for _ in range(8):
        await keeper.look()
        waits.append(keeper.pause_seconds())
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, LOOK_SECONDS, LOOK_SECONDS, LOOK_SECONDS]
    week.bazaar.away.clear()
    await keeper.look()
    assert keeper.pause_seconds() == 1.0


async def test_what_is_paid_is_taken_off_the_caps_once_and_what_stands_with_one_in_default_is_not() -> None:
    week = Week(4)
    week.shop(1)
    week.at(window_start(2) + 1)
    await week.look()
    statement = await week.settled(1)
    await week.look()
    assert all(not lanes.paid for lanes in week.bazaar.lanes.values())
    payments = [line for line in statement.lines if isinstance(line, Payment)]
    debtor = payments[0].debtor_id
    record = week.books.payments.default("d", 1, debtor, "no answer", week.now_ms)
    assert isinstance(record, WindowRecord), record
    for reference in record.payments:
        now = week.books.payments.now(1)
        assert not isinstance(now, NotDone)
        amount = next(one.payment.amount for one in now.payments if one.payment.reference == reference)
        week.books.payments.confirm(reference, 1, reference, amount, "", week.now_ms)
    week.restart()  # which forgets nothing of it
    await week.look()
    await week.look()
    for own_id, lanes in week.bazaar.lanes.items():
        settled = [
            (*close.pair, lane.lane, lane.to_number)
            for close in (line.close for line in statement.lines if isinstance(line, SignedClose))
            if own_id in close.pair and debtor not in close.pair
            for lane in close.lanes
        ]
        assert sorted(lanes.paid) == sorted(settled)


@pytest.mark.parametrize("seed", range(5))
async def test_weeks_with_faults_always_net_to_zero_and_verify(seed: int) -> None:
    import random

    chance = random.Random(seed)
    week = Week(chance.randrange(2, 5))
    ids = sorted(week.bazaar.merchants)
    for window in (1, 2, 3):
        week.shop(window)
        week.bazaar.away = set(chance.sample(ids, chance.randrange(2)))
        for (home, acquirer, lane), made in week.world.records.items():
            if chance.random() < 0.2 and len(made) > 3:
                side = chance.choice((home, acquirer))
                settled = week.bazaar.merchants[side].starts((home, acquirer)).lanes
                known = next((one.number for one in settled if one.lane == lane), 0)
                keep = chance.randrange(known, len(made)) if known < len(made) else len(made)
                week.bazaar.lanes[side].held[home, acquirer, lane] = made[:keep]
        week.at(window_start(window + 1) + 2 * DAY_MS)
        await week.look()
        await week.settled(window)
        week.bazaar.away.clear()
        for lanes in week.bazaar.lanes.values():
            lanes.held.clear()
        await week.look()
