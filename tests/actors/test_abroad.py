"""Members of one merchant's at another's tills: real shards on both sides, all messages signed and
verified.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from node.coalition.caps import Usage
from node.coalition.exchange import AcquirerState, HomeState
from node.coalition.messages import ExchangeReason, ReturnAbroad, SaleTerms
from node.identity.coalition_secrets import CoalitionSecrets
from node.ledger.refusals import Reason
from node.storage.check import Findings, check_store
from node.storage.coalition_keys import Role, lane_dispute_key
from node.storage.keyspace import Kind, PartitionMeta, kind_range, partition_meta_key
from node.storage.store import Batch
from node.wire import coalition_store
from node.wire.coalition_records import ExchangeWish, Outcome
from node.wire.commands import Op
from tests.actors.abroad_merchants import DAY_MS, MASTER, Bazaar
from tests.actors.harness import body_of, card, reason_of
from tests.actors.stored import PARTITIONS

DONE, FAILED = AcquirerState.DONE, AcquirerState.FAILED


@pytest.fixture
async def bazaar() -> Bazaar:
    bazaar = Bazaar()
    await bazaar.nile.enrol(card(1))
    await bazaar.nile.enrol(card(2))
    await bazaar.nile.buys(card(1), 1_000)
    await bazaar.open()
    return bazaar


async def spends(bazaar: Bazaar, request_id: str, units: int, *, one_step: bool = True) -> Outcome:
    """A member with a fresh code spends at saffron's till."""
    bazaar.nile.now_ms += 60_000
    bazaar.saffron.now_ms += 60_000
    code = await bazaar.saffron.asks_for_code(1, 1_000)
    await bazaar.pump()
    outcome = await bazaar.saffron.spends(request_id, 1, units, code, one_step)
    await bazaar.pump()
    return outcome


async def returns(bazaar: Bazaar, request_id: str, original: str, units: int) -> Outcome:
    known = await bazaar.saffron.looks(original)
    terms = SaleTerms("shop", "till", bazaar.saffron.now_ms, b"")
    body = ReturnAbroad(known.exchange_id, known.number, units, terms)
    outcome = await bazaar.saffron.begins(request_id, body, lane=known.lane)
    await bazaar.pump()
    return outcome


async def state(bazaar: Bazaar, request_id: str) -> AcquirerState:
    return (await bazaar.saffron.looks(request_id)).state


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


# --- lost, late, restarted, restored
# --------------------------------------------------------------------------


@pytest.mark.parametrize("lost", range(6))
async def test_whichever_message_is_lost_both_sides_agree_in_the_end(bazaar: Bazaar, lost: int) -> None:
    code = await bazaar.saffron.asks_for_code(1, 300)
    await bazaar.saffron.spends("r1", 1, 300, code, True)
    await bazaar.pump(lambda at: at == lost)
    for _ in range(4):
        await bazaar.time_passes(10_000)
    assert await state(bazaar, "r1") is DONE
    assert await bazaar.nile.points(card(1)) == 700
    bazaar.assert_agreed()


async def test_a_restarted_home_node_says_nothing_before_hello_and_goes_on_after(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300, one_step=False)
    bazaar.nile.restart()
    await bazaar.saffron.captures("r1", 300)
    await bazaar.pump()
    assert await state(bazaar, "r1") is AcquirerState.CAPTURING
    await bazaar.nile.opens()
    await bazaar.pump()
    assert await state(bazaar, "r1") is DONE
    bazaar.assert_agreed()


async def test_a_restarted_acquirer_signs_nothing_on_a_lane_before_hello(bazaar: Bazaar) -> None:
    await spends(bazaar, "r1", 300, one_step=False)
    bazaar.saffron.restart()
    await bazaar.saffron.captures("r1", 300)
    assert bazaar.network == []
    assert not (await bazaar.saffron.asks_for_hello()).ready
    await bazaar.pump()
    assert await state(bazaar, "r1") is DONE
    assert (await bazaar.saffron.asks_for_hello()).ready == ("nile",)
    bazaar.assert_agreed()


async def test_a_home_node_over_an_old_backup_gets_its_records_back(bazaar: Bazaar) -> None:
    backup = bazaar.nile.backup()
    await spends(bazaar, "r1", 300)
    await bazaar.saffron.earns("r2", 1, 40)
    await bazaar.saffron.earns("r3", 2, 7)
    await bazaar.pump()
    await returns(bazaar, "r4", "r1", 100)
    for _ in range(2):  # twice in a row
        bazaar.nile.restore(backup)
        assert await bazaar.nile.points(card(1)) == 1_000
        await bazaar.nile.opens()
        await bazaar.pump()
        assert await bazaar.nile.points(card(1)) == 840
        assert await bazaar.nile.points(card(2)) == 7
        bazaar.assert_agreed()
    await returns(bazaar, "r5", "r1", 200)
    assert await bazaar.nile.points(card(1)) == 1_040
    bazaar.assert_agreed()


async def test_an_old_backup_without_the_member_opens_the_account_again(bazaar: Bazaar) -> None:
    backup = bazaar.nile.backup()
    await bazaar.nile.enrol(card(3))
    await bazaar.saffron.earns("r1", 3, 40)
    await bazaar.pump()
    accounts = bazaar.nile.accounts()
    bazaar.nile.restore(backup)
    await bazaar.nile.opens()
    await bazaar.pump()
    assert bazaar.nile.accounts().keys() == accounts.keys()
    bazaar.assert_agreed()


async def test_what_was_spent_abroad_and_at_home_after_an_old_backup_takes_the_purse_below_zero(
    bazaar: Bazaar,
) -> None:
    backup = bazaar.nile.backup()
    await spends(bazaar, "r1", 900)
    bazaar.nile.restore(backup)
    await bazaar.nile.redeems(card(1), 900)
    await bazaar.nile.opens()
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == -800
    bazaar.assert_agreed()


async def test_an_exchange_that_came_to_nothing_stays_void_at_a_home_node_that_forgot_it(
    bazaar: Bazaar,
) -> None:
    backup = bazaar.nile.backup()
    code = await bazaar.saffron.asks_for_code(1, 300)
    outcome = await bazaar.saffron.spends("r1", 1, 300, code)
    reserve = bazaar.network[-1]
    assert outcome.exchange is not None
    await bazaar.pump()
    await bazaar.saffron.cancels("r1")
    await bazaar.pump()
    bazaar.nile.restore(backup)
    await bazaar.nile.opens()
    await bazaar.pump()
    bazaar.network.append(reserve)  # it was on its way all the time
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 1_000
    assert await state(bazaar, "r1") is FAILED
    bazaar.assert_agreed()


async def test_an_acquirer_over_an_old_backup_gets_its_records_back(bazaar: Bazaar) -> None:
    backup = bazaar.saffron.backup()
    await spends(bazaar, "r1", 300)
    for number in range(2, 50):
        await bazaar.saffron.earns(f"r{number}", 1, number)
    await bazaar.pump()
    for _ in range(2):
        bazaar.saffron.restore(backup)
        await bazaar.saffron.asks_for_hello()
        await bazaar.pump()
        bazaar.assert_agreed()
        assert await state(bazaar, "r1") is DONE
    assert (
        await bazaar.saffron.spends("r1", 1, 301, "0")
    ).refused == 0  # the body of a lost request is unknown


async def test_a_home_node_far_behind_gets_its_records_back_in_rounds(bazaar: Bazaar) -> None:
    backup = bazaar.nile.backup()
    for number in range(100):
        await bazaar.saffron.earns(f"r{number}", 1, 1)
    await bazaar.pump()
    bazaar.nile.restore(backup)
    await bazaar.nile.opens()
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 1_100
    bazaar.assert_agreed()


async def test_a_home_node_that_tells_two_histories_is_found_out_and_the_proof_is_kept(
    bazaar: Bazaar,
) -> None:
    backup = bazaar.nile.backup()
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    saffron = bazaar.saffron.backup()
    bazaar.saffron.restore([type(store)() for store in saffron])  # nobody remembers at first
    bazaar.nile.restore(backup)
    await bazaar.open()
    await bazaar.saffron.earns("r2", 1, 5)
    await bazaar.pump()
    bazaar.saffron.restore(saffron)
    await bazaar.saffron.asks_for_hello()
    await bazaar.pump()
    disputes = [*bazaar.nile.stored(Kind.LANE_DISPUTE), *bazaar.saffron.stored(Kind.LANE_DISPUTE)]
    assert disputes
    await bazaar.saffron.earns("r3", 2, 5)
    await bazaar.pump()
    assert await bazaar.nile.points(card(1)) == 1_005, "the lane stands still"


# --- `vafa check` -------------------------------------------------------------------------------------------


def problems(bazaar: Bazaar) -> list[str]:
    """What `vafa check` says of the home node."""
    found = Findings(problems=[], books={})
    for at, store in enumerate(bazaar.nile.stores):
        found.add(check_store(store, [number for number in range(PARTITIONS) if number % 2 == at]))
    return found.problems


def gone(data: bytes) -> None:
    """Nothing is left."""


def other_request(data: bytes) -> bytes:
    """A record whose request is not the one that the chain binds."""
    entry = coalition_store.LANE_ENTRY.decode(data)
    assert entry.request is not None
    forged = replace(entry.request, header=entry.request.header + b"\x00")
    return coalition_store.LANE_ENTRY.encode(replace(entry, request=forged))


def other_position(data: bytes) -> bytes:
    """A lane that counts what its records do not say."""
    record = coalition_store.HOME_LANE.decode(data)
    return coalition_store.HOME_LANE.encode(replace(record, usage=Usage(position=5)))


def reserved_again(data: bytes) -> bytes:
    """An exchange that is posted, and says that it holds units."""
    exchange = coalition_store.HOME_EXCHANGE.decode(data)
    return coalition_store.HOME_EXCHANGE.encode(replace(exchange, state=HomeState.RESERVED))


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (Kind.LANE_RECORD, gone, "the head says record 1"),
        (Kind.LANE_RECORD, other_request, "the chain breaks at record 1"),
        (Kind.LANE_HEAD, other_position, "says that 5 are owed, its records -40"),
        (Kind.HOME_EXCHANGE, gone, "and the lane's records do not agree"),
        (Kind.HOME_EXCHANGE, reserved_again, "as reserved"),
    ],
)
async def test_a_check_finds_lanes_that_do_not_agree_with_themselves_or_the_books(
    bazaar: Bazaar, kind: Kind, change: Callable[[bytes], bytes | None], words: str
) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    assert problems(bazaar) == []
    number = next(key[0] for key, _ in bazaar.nile.stored(Kind.LANE_RECORD))
    store = bazaar.nile.stores[number % 2]
    ((key, data),) = store.scan(*kind_range(number, kind))
    batch = Batch()
    if (changed := change(data)) is None:
        batch.delete(key)
    else:
        batch.put(key, changed)
    store.write(batch)
    found = problems(bazaar)
    assert any(words in problem for problem in found), found


async def test_a_check_of_the_acquirer_finds_what_is_under_way_and_never_due(bazaar: Bazaar) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    number = bazaar.saffron.partners
    store = bazaar.saffron.stores[number % 2]
    batch = Batch()
    batch.delete_range(*kind_range(number, Kind.EXCHANGE_DUE))
    store.write(batch)
    found = check_store(store, [number]).problems
    assert any("missing from what is due" in problem for problem in found), found


async def test_a_check_names_a_lane_that_was_set_aside(bazaar: Bazaar) -> None:
    batch = Batch()
    record = coalition_store.DisputeRecord("forked", 1, 0, bytes(32), b"x")
    batch.put(lane_dispute_key(1, Role.HOME, "saffron", 1), coalition_store.DISPUTE.encode(record))
    bazaar.nile.stores[1].write(batch)
    assert any("saffron is set aside (forked)" in problem for problem in problems(bazaar))


# --- after `vafa restore` -----------------------------------------------------------------------------------


def mark_restored(bazaar: Bazaar, without: tuple[str, ...] = ()) -> None:
    """What `vafa restore` leaves in every partition of the home node's."""
    for number in range(PARTITIONS):
        batch = Batch()
        mark = coalition_store.RESTORED.encode(coalition_store.Restored(1, without))
        batch.put(partition_meta_key(number, PartitionMeta.RESTORED), mark)
        bazaar.nile.stores[number % 2].write(batch)
        bazaar.nile.stores[number % 2].sync()
    bazaar.nile.restart()


async def test_restored_books_earn_at_once_and_spend_when_every_partner_has_shown_its_records(
    bazaar: Bazaar,
) -> None:
    backup = bazaar.nile.backup()
    await spends(bazaar, "r1", 900)
    bazaar.nile.restore(backup)
    mark_restored(bazaar)
    body_of(await bazaar.nile.buys(card(1), 5))
    assert reason_of(await bazaar.nile.redeems(card(1), 900)) is Reason.UNAVAILABLE
    await bazaar.nile.opens()
    await bazaar.pump()
    assert reason_of(await bazaar.nile.redeems(card(1), 900)) is Reason.INSUFFICIENT_BALANCE
    body_of(await bazaar.nile.redeems(card(1), 105))
    bazaar.nile.restart()
    assert reason_of(await bazaar.nile.redeems(card(1), 1)) is Reason.INSUFFICIENT_BALANCE
    bazaar.assert_agreed()


async def test_a_partner_that_is_left_out_is_not_waited_for(bazaar: Bazaar) -> None:
    mark_restored(bazaar, without=("saffron",))
    assert reason_of(await bazaar.nile.redeems(card(1), 5)) is None


async def test_void_exchanges_are_forgotten_after_the_retention_and_posted_ones_are_kept(
    bazaar: Bazaar,
) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.saffron.earns("r2", 77, 40)
    await bazaar.pump()
    await bazaar.time_passes(40 * DAY_MS)
    for node, kind in ((bazaar.nile, Kind.HOME_EXCHANGE), (bazaar.saffron, Kind.ACQUIRER_EXCHANGE)):
        assert len(list(node.stored(kind))) == 2
        for shard in node.shards:
            shard.forget_old_requests(b"")
        assert len(list(node.stored(kind))) == 1
    bazaar.assert_agreed()
