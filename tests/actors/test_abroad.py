"""Members of one merchant's at another's tills: real shards on both sides, all messages signed and
verified.
"""

from __future__ import annotations

import pytest

from node.coalition.exchange import AcquirerState
from node.coalition.messages import ExchangeReason
from node.identity.coalition_secrets import CoalitionSecrets
from node.wire.coalition_records import ExchangeWish
from node.wire.commands import Op
from tests.actors.abroad_merchants import DAY_MS, MASTER, Bazaar
from tests.actors.abroad_stories import opened, returns, spends, state
from tests.actors.harness import card

DONE, FAILED = AcquirerState.DONE, AcquirerState.FAILED


@pytest.fixture
async def bazaar() -> Bazaar:
    return await opened()


# --- as it should be
# ------------------------------------------------------------------------------------------


async def test_a_member_earns_at_another_merchants_till(bazaar: Bazaar) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    assert await state(bazaar, "r1") is DONE
    assert await bazaar.nile.points(card(1)) == 1_040
    assert bazaar.nile.position() == -40
    bazaar.assert_agreed()


async def test_a_member_spends_with_the_code_that_the_home_node_sent(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300)
    assert await state(bazaar, "r1") is DONE
    assert await bazaar.nile.points(card(1)) == 700
    assert bazaar.nile.codes[-1].acquirer_id == "saffron"
    bazaar.assert_agreed()


async def test_an_authorization_is_captured_in_part_and_the_rest_comes_back(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300, one_step=False)
    assert await state(bazaar, "r1") is AcquirerState.AUTHORIZED
    assert await bazaar.nile.points(card(1)) == 700
    await bazaar.saffron.captures("r1", 120)
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 880
    bazaar.assert_agreed()


async def test_a_void_gives_the_hold_back(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300, one_step=False)
    await bazaar.saffron.cancels("r1")
    await bazaar.pump()
    assert await state(bazaar, "r1") is FAILED
    assert await bazaar.nile.points(card(1)) == 1_000
    bazaar.assert_agreed()


async def test_goods_come_back_of_a_spend_and_of_an_earning(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300)
    await bazaar.saffron.earns("r2", 1, 40)
    await bazaar.pump()
    await returns(bazaar, "r3", "r1", 100)
    await returns(bazaar, "r4", "r2", 15)
    assert await state(bazaar, "r3") is await state(bazaar, "r4") is DONE
    assert await bazaar.nile.points(card(1)) == 1_000 - 300 + 40 + 100 - 15
    assert (await returns(bazaar, "r5", "r1", 201)).refused == ExchangeReason.RETURN_EXCEEDS_POSTED
    bazaar.assert_agreed()


async def test_a_till_that_reverses_what_is_done_gives_everything_back(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300)
    await bazaar.saffron.cancels("r1")
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 1_000
    await bazaar.saffron.cancels("r1")
    await bazaar.pump()
    assert bazaar.nile.position() == 0
    bazaar.assert_agreed()


async def test_a_tills_retry_is_the_same_exchange(bazaar: Bazaar) -> None:
    for _ in range(3):
        await bazaar.saffron.earns("r1", 1, 40)
        await bazaar.pump()
    assert (await bazaar.saffron.earns("r1", 1, 41)).refused == ExchangeReason.CONFLICT
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 1_040
    bazaar.assert_agreed()


async def test_what_the_till_is_told_holds_neither_identifier_nor_code(bazaar: Bazaar) -> None:
    outcome = await spends(bazaar, "r1", 300, one_step=False)
    assert outcome.exchange is not None
    assert outcome.exchange.secretly.identifier == ""
    assert (await bazaar.saffron.looks("r1")).secretly.proof == b""


async def test_nothing_of_a_member_is_kept_at_the_acquirer_once_the_exchange_has_ended(
    bazaar: Bazaar,
) -> None:
    await spends(bazaar, "r1", 300)
    shown = card(1).value.encode()
    code = bazaar.nile.codes[-1].code.encode()
    assert not any(shown in value or code in value for _, value in bazaar.saffron.everything())


async def test_what_is_kept_of_a_member_while_an_exchange_is_open_lies_sealed_and_opens_after_a_restart(
    bazaar: Bazaar,
) -> None:
    code = await bazaar.saffron.asks_for_code(1, 300)
    await bazaar.pump()
    await bazaar.saffron.spends("r1", 1, 300, code, True)
    await bazaar.saffron.earns("r2", 1, 40)
    bazaar.network.clear()  # nothing arrives: both stay open
    shown = card(1).value.encode()
    assert not any(shown in value or code.encode() in value for _, value in bazaar.saffron.everything())
    bazaar.saffron.restore(bazaar.saffron.backup())
    await bazaar.saffron.asks_for_hello()
    await bazaar.pump()
    await bazaar.time_passes(60_000)
    assert await state(bazaar, "r1") is await state(bazaar, "r2") is DONE
    assert await bazaar.nile.points(card(1)) == 740
    bazaar.assert_agreed()


async def test_windows_are_cut_in_every_lane_with_records(bazaar: Bazaar) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    await bazaar.time_passes(2 * DAY_MS)
    assert len(bazaar.nile.lane_records()) == 2
    bazaar.assert_agreed()
    await bazaar.saffron.earns("r2", 1, 2)
    await bazaar.pump()
    assert len(bazaar.nile.lane_records()) == 3
    bazaar.assert_agreed()


# --- refused
# --------------------------------------------------------------------------------------------------


async def test_a_wrong_code_spends_nothing_and_the_right_one_once(bazaar: Bazaar) -> None:
    code = await bazaar.saffron.asks_for_code(1, 300)
    wrong = str((int(code) + 1) % 1_000_000).zfill(6)
    for request_id, shown, units in (("r1", wrong, 300), ("r2", code, 300), ("r3", code, 300)):
        await bazaar.saffron.spends(request_id, 1, units, shown, True)
        await bazaar.pump()
    assert [await state(bazaar, one) for one in ("r1", "r2", "r3")] == [FAILED, DONE, FAILED]
    assert (await bazaar.saffron.looks("r3")).reason is ExchangeReason.PROOF_REFUSED
    assert await bazaar.nile.points(card(1)) == 700
    bazaar.assert_agreed()


async def test_a_code_spends_no_more_than_the_words_in_which_it_was_sent(bazaar: Bazaar) -> None:
    code = await bazaar.saffron.asks_for_code(1, 300)
    await bazaar.saffron.spends("r1", 1, 301, code, True)
    await bazaar.pump()
    assert await state(bazaar, "r1") is FAILED
    await bazaar.saffron.spends("r2", 1, 300, code, True)
    await bazaar.pump()
    assert await state(bazaar, "r2") is FAILED, (
        "a proof is used up by the first RESERVE, whatever becomes of it"
    )
    bazaar.assert_agreed()


async def test_nobody_gets_a_code_for_a_card_that_nobody_carries(bazaar: Bazaar) -> None:
    assert await bazaar.saffron.asks_for_code(77, 300) == ""


async def test_a_card_that_nobody_carries_neither_earns_nor_spends(bazaar: Bazaar) -> None:
    await bazaar.saffron.earns("r1", 77, 40)
    await bazaar.saffron.spends("r2", 77, 40, "123456")
    await bazaar.pump()
    for request_id in ("r1", "r2"):
        assert (await bazaar.saffron.looks(request_id)).reason is ExchangeReason.MEMBER_NOT_FOUND
    bazaar.assert_agreed()


async def test_more_than_the_balance_is_declined(bazaar: Bazaar) -> None:
    await spends(bazaar, "r0", 1_000)
    await spends(bazaar, "r1", 1)
    assert (await bazaar.saffron.looks("r1")).reason is ExchangeReason.INSUFFICIENT_BALANCE
    bazaar.assert_agreed()


async def test_both_sides_refuse_to_go_beyond_the_cap(bazaar: Bazaar) -> None:
    assert (await bazaar.saffron.earns("r1", 1, 80_001)).refused == ExchangeReason.CAP_EXCEEDED
    await bazaar.saffron.earns("r2", 1, 10_001)  # more than the even slice of the member's partition
    await bazaar.pump()
    assert await state(bazaar, "r2") is AcquirerState.QUEUED
    await bazaar.saffron.earns("r3", 1, 9_000)
    await bazaar.pump()
    assert await state(bazaar, "r3") is DONE
    bazaar.nile.assert_proved()


async def test_an_account_that_was_set_aside_answers_when_it_is_released(bazaar: Bazaar) -> None:
    account_id = bytes.fromhex((await bazaar.nile.member(card(1))).account_id)
    await bazaar.nile.set_aside(account_id)
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    assert await state(bazaar, "r1") is AcquirerState.QUEUED
    await bazaar.nile.release(account_id)
    await bazaar.time_passes(120_000)
    assert await state(bazaar, "r1") is DONE
    bazaar.assert_agreed()


async def test_what_a_partner_has_no_command_for_is_told_so() -> None:
    bazaar = Bazaar()
    exchange_id = CoalitionSecrets(MASTER).exchange_id("shop/till", "r1")
    wish = ExchangeWish("nile", exchange_id, 5)
    outcome = await bazaar.saffron.does(Op.ACQUIRER_CAPTURE, bazaar.saffron.partners, wish)
    assert outcome.refused == ExchangeReason.UNKNOWN_EXCHANGE
