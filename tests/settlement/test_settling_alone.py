"""Closes that came too late or from one side alone hold up nobody; what is not so is not taken over."""

import pytest

from bench.settlement_records import window_start
from node.settlement.documents import CloseBasis, SignedClose
from node.settlement.peer_messages import Said
from tests.settlement.settled_weeks import DAY_MS, Week, bases_of
from tests.settlement.settling_pair import Bazaar


async def test_a_close_that_both_signed_and_the_operator_never_got_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    week, deliver = Week(), Bazaar.deliver
    week.shop(1)
    week.at(window_start(2) + 1)

    async def answer_lost(self: Bazaar, sender: str, receiver: str, said: Said) -> Said | None:
        answer = await deliver(self, sender, receiver, said)
        return None if receiver == "m002" else answer

    with monkeypatch.context() as patch:
        patch.setattr(Bazaar, "deliver", answer_lost)
        await week.keepers["m000"].look()  # m002 signs, and m000 never hears of it
    signed = week.bazaar.merchants["m002"].agreed(1, ("m000", "m002"))
    assert signed is not None
    assert signed.close.record_count
    week.bazaar.away.add("m002")
    week.at(window_start(2) + 2 * DAY_MS)
    await week.look()
    assert bases_of(await week.settled(1))["m000", "m002"] is CloseBasis.HOME_ALONE
    week.bazaar.away.clear()
    await week.look()
    assert week.bazaar.merchants["m002"].has_statement(1)
    week.shop(2)
    week.at(window_start(3) + 1)
    await week.look()
    statement = await week.settled(2)
    assert set(bases_of(statement).values()) == {CloseBasis.AGREED}
    assert all(merchant.has_statement(2) for merchant in week.bazaar.merchants.values())


async def test_a_close_by_one_side_alone_that_own_records_do_not_give_is_not_taken_over() -> None:
    week = Week()
    week.shop(1)
    week.bazaar.away.add("m002")
    week.at(window_start(2) + 2 * DAY_MS)
    await week.look()
    statement = await week.settled(1)
    pair = next(
        line.close.pair
        for line in statement.lines
        if isinstance(line, SignedClose)
        and line.close.basis is CloseBasis.ACQUIRER_ALONE
        and line.close.lanes
    )
    lane = next(key[2] for key in week.world.records if key[:2] == pair)
    week.bazaar.lanes["m002"].held[*pair, lane] = week.world.records[*pair, lane][:1]
    week.bazaar.away.clear()
    await week.keepers["m002"].look()
    assert not week.bazaar.merchants["m002"].has_statement(1)
    week.bazaar.lanes["m002"].held.clear()
    await week.keepers["m002"].look()
    assert week.bazaar.merchants["m002"].has_statement(1)


async def test_a_partner_that_has_not_taken_a_statement_over_yet_is_in_no_dispute() -> None:
    week = Week()
    week.shop(1)
    week.at(window_start(2) + 1)
    await week.look()
    week.books.close_window(1, week.now_ms)
    week.books.settle(1, week.now_ms)
    home, acquirer = next(key[:2] for key in week.world.records)
    await week.keepers[home].look()
    assert week.bazaar.merchants[home].has_statement(1)
    assert not week.bazaar.merchants[acquirer].has_statement(1)
    week.at(window_start(3) + 1)
    await week.bazaar.merchants[home].close_with(acquirer, 2)
    assert week.bazaar.merchants[home].mismatches(2) == []
    await week.keepers[acquirer].look()
    assert await week.bazaar.merchants[home].close_with(acquirer, 2) is not None
