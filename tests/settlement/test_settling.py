"""Merchants that settle: both sign the same bytes; whatever differs is found, named, kept, and held back
alone.
"""

import pytest
from msgspec.structs import replace

from bench.settlement_records import LaneMaker, window_start
from node.coalition.messages import MessageType, RecordKind
from node.proto.vafa.coalition.v1.exchange_pb2 import LaneRecord
from node.proto.vafa.settlement.v1 import dispute_pb2
from node.settlement.documents import DisputedLane, MismatchClass, SignedClose
from node.settlement.peer_messages import HashesWish, Heads, Propose, RecordWish, SignedLaneHashes
from node.settlement.statement import WindowInput, carried_from
from node.settlement.windows import pairs_of
from node.storage.settlement_keys import Item, item_range
from node.storage.store import Batch
from node.wire.settlement import read_equivocation, read_mismatch
from node.wire.settlement_lines import read_signed_statement
from node.wire.settlement_publish import head_hash
from node.wire.settlement_scan import entry_of, hash_of
from node.wire.settlement_signing import sign_head
from tests.settlement.settlement_world import World, busy_world
from tests.settlement.settling_pair import Bazaar

CUT = window_start(2)
GRACE_OVER = CUT + 86_400_000
HOME, ACQUIRER = PAIR = ("m000", "m001")
LANE = (*PAIR, 4)


def _two(records: int = 300) -> Bazaar:
    world = World(2)
    world.trade(*LANE, 1, records)
    world.trade(*PAIR, 9, 1, 5)
    return Bazaar(world, CUT)


async def _all(bazaar: Bazaar, window: int) -> tuple[SignedClose, ...]:
    closes = []
    for home, acquirer in pairs_of(bazaar.world.coalition.directory, window):
        signed = await bazaar.merchants[home].close_with(acquirer, window)
        assert signed is not None
        closes.append(signed)
    return tuple(closes)


async def test_two_merchants_sign_the_same_close_and_each_keeps_it() -> None:
    bazaar = _two()
    signed = await bazaar.merchants[HOME].close_with(ACQUIRER, 1)
    assert signed is not None
    assert [one.signer_id for one in signed.signatures] == [HOME, ACQUIRER]
    assert bazaar.opened(ACQUIRER).agreed(1, PAIR) == signed
    assert bazaar.opened(HOME).agreed(1, PAIR) == signed
    asked = len(bazaar.asked)
    assert await bazaar.merchants[HOME].close_with(ACQUIRER, 1) == signed
    assert len(bazaar.asked) == asked  # what is signed is not asked for again


async def test_the_same_proposal_again_gets_the_same_signatures() -> None:
    bazaar = _two()
    signed = await bazaar.merchants[HOME].close_with(ACQUIRER, 1)
    lost = Batch()
    lost.delete_range(*item_range(Item.CLOSE))
    bazaar.stores[HOME].write(lost)
    assert await bazaar.opened(HOME).close_with(ACQUIRER, 1) == signed


async def test_weeks_follow_each_other_from_statement_to_statement() -> None:
    world = busy_world(3)
    bazaar = Bazaar(world, CUT)
    head, carried = b"", dict[tuple[str, str], int]()
    for window in (1, 2, 3):
        bazaar.now_ms = window_start(window + 1)
        given = WindowInput(await _all(bazaar, window), carried=carried)
        data = world.settle(window, given, previous_head_hash=head)
        for merchant in bazaar.merchants.values():
            assert all(one.agrees for one in merchant.adopt(data)), window
            assert all(one.agrees for one in merchant.adopt(data))
        for number, pair in enumerate(pairs_of(world.coalition.directory, window)):
            world.trade(*pair, number % 4, window + 1, 3)
        read = read_signed_statement(data)
        head = head_hash(read)
        carried = carried_from(read.lines, same_currency=True, partners=world.coalition.ids)


async def test_a_window_is_not_signed_before_its_cut_by_the_acquirers_clock() -> None:
    bazaar = _two()
    bazaar.now_ms = CUT - 1
    assert await bazaar.merchants[HOME].close_with(ACQUIRER, 1) is None
    assert bazaar.merchants[ACQUIRER].agreed(1, PAIR) is None


async def test_records_on_their_way_are_waited_for_and_then_signed() -> None:
    bazaar = _two()
    whole = bazaar.world.records[LANE]
    bazaar.lanes[ACQUIRER].held[LANE] = whole[:-2]
    assert await bazaar.merchants[HOME].close_with(ACQUIRER, 1) is None
    bazaar.lanes[ACQUIRER].held[LANE] = whole
    assert await bazaar.merchants[HOME].close_with(ACQUIRER, 1) is not None


def _forked(bazaar: Bazaar, at: int) -> list[bytes]:
    """What the acquirer holds where the home node signed another history from record `at` on."""
    maker = LaneMaker(bazaar.world.coalition, *LANE)
    for _ in range(at - 1):
        maker.record(1, RecordKind.ACCRUAL, MessageType.ACCRUE, 1)
    kept = bazaar.world.records[LANE][: at - 1]
    maker.hash = hash_of(entry_of(kept[-1]))
    return [*kept, *(maker.record(1, RecordKind.REDEMPTION, MessageType.CAPTURE, 7) for _ in range(5))]


def _unsigned(record: bytes) -> bytes:
    message = LaneRecord.FromString(record)
    message.posted.signature = bytes(64)
    return message.SerializeToString()


def diverge(bazaar: Bazaar, mismatch: MismatchClass, at: int) -> None:
    """From record `at` on the two sides of LANE hold different things."""
    whole = bazaar.world.records[LANE]
    match mismatch:
        case MismatchClass.MISSING_AT_ACQUIRER:
            bazaar.lanes[ACQUIRER].held[LANE] = whole[: at - 1]
        case MismatchClass.MISSING_AT_HOME:
            bazaar.lanes[HOME].held[LANE] = whole[: at - 1]
        case MismatchClass.FORK:
            bazaar.lanes[ACQUIRER].held[LANE] = _forked(bazaar, at)
        case MismatchClass.UNSIGNED:
            forked = _forked(bazaar, at)
            bazaar.lanes[ACQUIRER].held[LANE] = [*forked[: at - 1], *map(_unsigned, forked[at - 1 :])]


@pytest.mark.parametrize("at", [2, 150, 300])
@pytest.mark.parametrize("mismatch", list(MismatchClass))
async def test_each_kind_of_mismatch_is_found_named_kept_and_held_back_alone(
    mismatch: MismatchClass, at: int
) -> None:
    bazaar = _two()
    bazaar.now_ms = GRACE_OVER  # what is still missing then does not come any more
    diverge(bazaar, mismatch, at)
    signed = await bazaar.merchants[HOME].close_with(ACQUIRER, 1)
    assert signed is not None
    [held] = signed.close.disputed
    assert (held.lane, held.agreed_number, held.mismatch) == (4, at - 1, mismatch)
    assert {one.lane: one.to_number for one in signed.close.lanes} == {4: at - 1, 9: 6}
    # The evidence survives a restart, with the signed bytes of both sides.
    [kept] = [data for _, data in bazaar.opened(HOME).store.scan(*item_range(Item.MISMATCH))]
    found = read_mismatch(dispute_pb2.Mismatch.FromString(kept))
    assert (found.mismatch, found.agreed_number) == (mismatch, at - 1)
    assert bool(found.home_record) is (mismatch is not MismatchClass.MISSING_AT_HOME)
    assert bool(found.acquirer_record) is (mismatch is not MismatchClass.MISSING_AT_ACQUIRER)
    # The statement settles the rest, and the next window takes up what was held back once it is there again.
    other = bazaar.world.signed(bazaar.world.close((ACQUIRER, HOME), 1))
    data = bazaar.world.settle(1, WindowInput((signed, other)))
    for merchant in bazaar.merchants.values():
        assert all(one.agrees for one in merchant.adopt(data))
    bazaar.lanes[HOME].held.clear()
    bazaar.lanes[ACQUIRER].held.clear()
    bazaar.now_ms = window_start(3)
    later = await bazaar.merchants[HOME].close_with(ACQUIRER, 2)
    assert later is not None
    assert [one.from_number for one in later.close.lanes] == [at]
    assert later.close.disputed == ()


async def test_a_search_asks_little_and_a_partner_that_stops_answering_gets_no_signature() -> None:
    bazaar = _two()
    bazaar.now_ms = GRACE_OVER
    bazaar.lanes[ACQUIRER].held[LANE] = bazaar.world.records[LANE][:150]
    assert await bazaar.merchants[HOME].close_with(ACQUIRER, 1) is not None
    questions = [said for _, _, said in bazaar.asked if isinstance(said, HashesWish)]
    assert 0 < len(questions) <= 3
    silent = _two()
    silent.away.add(ACQUIRER)
    assert await silent.merchants[HOME].close_with(ACQUIRER, 1) is None


async def test_a_home_node_cannot_make_up_a_dispute_to_hold_back_what_it_owes() -> None:
    bazaar = _two()
    bazaar.now_ms = GRACE_OVER
    made_up = (DisputedLane(4, 10, 301, 12, MismatchClass.MISSING_AT_ACQUIRER),)
    close = await bazaar.merchants[HOME].compute(PAIR, 1, made_up)
    signed = bazaar.merchants[HOME].alone(close)
    answer = await bazaar.deliver(HOME, ACQUIRER, Propose(signed))
    assert getattr(answer, "agreed", None) is None


async def test_an_old_record_shown_in_another_place_accuses_nobody_of_a_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bazaar = _two()
    bazaar.now_ms = GRACE_OVER
    whole = bazaar.world.records[LANE]
    diverge(bazaar, MismatchClass.UNSIGNED, 100)

    async def record(partner_id: str, wish: RecordWish) -> bytes:
        return whole[98]  # it has both signatures, for the place before

    monkeypatch.setattr(bazaar.merchants[ACQUIRER].disputes, "record", record)
    await bazaar.merchants[HOME].close_with(ACQUIRER, 1)
    [found] = bazaar.merchants[HOME].mismatches(1)
    assert (found.agreed_number, found.mismatch) == (99, MismatchClass.UNSIGNED)
    assert found.acquirer_record == whole[98]


async def test_a_third_merchant_learns_nothing_of_a_lane_that_is_not_its_own() -> None:
    bazaar = Bazaar(busy_world(3), CUT)
    wish = HashesWish(1, "m000", "m001", 0, (1, 2))
    assert await bazaar.deliver("m002", "m001", wish) is None
    assert await bazaar.deliver("m000", "m001", RecordWish("m002", "m001", 0, 1)) is not None
    shown = await bazaar.deliver("m000", "m001", RecordWish("m002", "m001", 0, 1))
    assert getattr(shown, "record", b"x") == b""


async def test_hashes_are_signed_by_who_says_them() -> None:
    bazaar = _two()
    answer = await bazaar.deliver(HOME, ACQUIRER, HashesWish(1, *PAIR, 4, (1, 400)))
    assert isinstance(answer, SignedLaneHashes)
    assert answer.signature.signer_id == ACQUIRER
    assert [bool(digest) for _, digest in answer.hashes.hashes] == [True, False]


async def test_two_statements_for_one_window_are_caught_when_merchants_compare_and_the_proof_is_kept() -> (
    None
):
    world = busy_world(3)
    bazaar = Bazaar(world, CUT)
    closes = await _all(bazaar, 1)
    shown = world.settle(1, WindowInput(closes))
    hidden = _other_statement(world, closes)
    bazaar.merchants["m000"].adopt(shown)
    assert all(one.agrees for one in bazaar.merchants["m001"].adopt(hidden))
    [proof] = await bazaar.merchants["m000"].exchange_heads("m001")
    assert proof.window == 1
    for own_id in ("m000", "m001"):
        [kept] = bazaar.opened(own_id).equivocations()
        assert {read_equivocation(kept).first.head_bytes, read_equivocation(kept).second.head_bytes} == {
            read_signed_statement(shown).head.head_bytes,
            read_signed_statement(hidden).head.head_bytes,
        }
    assert any(
        "another statement of this window" in one.what and not one.agrees
        for one in bazaar.merchants["m000"].adopt(hidden)
    )


async def test_heads_that_the_operator_did_not_sign_prove_nothing() -> None:
    world = busy_world(3)
    bazaar = Bazaar(world, CUT)
    closes = await _all(bazaar, 1)
    bazaar.merchants["m000"].adopt(world.settle(1, WindowInput(closes)))
    head = read_signed_statement(_other_statement(world, closes)).head
    forged = replace(head, signature=replace(head.signature, signature=bytes(64)))
    by_a_merchant = sign_head(head.head, world.coalition.signers["m001"])
    assert bazaar.merchants["m000"].compare_heads(Heads((forged, by_a_merchant))) == []
    assert bazaar.opened("m000").equivocations() == []
    assert len(bazaar.merchants["m000"].compare_heads(Heads((head,)))) == 1


def _other_statement(world: World, closes: tuple[SignedClose, ...]) -> bytes:
    world.starts.clear()
    return world.settle(1, WindowInput(closes, carried={("m000", "m001"): 1}))
