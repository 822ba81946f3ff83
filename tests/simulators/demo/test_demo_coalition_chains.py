"""Two merchants hold the same chain only where every record is the same, and every signature holds."""

from __future__ import annotations

from node.coalition.envelopes import Draft
from node.coalition.lanes import GENESIS, chain
from node.coalition.messages import Capture, MessageType, Posted, PostedCore, RecordKind
from node.wire.coalition import EnvelopeSealer, envelope_bytes
from node.wire.coalition_bodies import ENCODER
from node.wire.coalition_directory import sign_directory
from node.wire.coalition_frames import lane_record_bytes
from node.wire.coalition_trust import KnownDirectories
from simulators.demo.coalition.chains import EARNED, SPENT, Pair, judge
from simulators.demo.coalition.day import compare_told
from simulators.demo.figures import Figures
from tests.wire.coalition_parties import NOW_MS, signer
from tests.wire.coalition_terms import OPERATOR, SOUND

KNOWN = KnownDirectories([sign_directory(SOUND, OPERATOR)])
HOME = EnvelopeSealer(SOUND.coalition_id, "saffron", lambda _: signer(2))
ACQUIRER = EnvelopeSealer(SOUND.coalition_id, "nile", lambda _: signer(1))
STRANGER = EnvelopeSealer(SOUND.coalition_id, "nile", lambda _: signer(9))


def lane(*moved: tuple[RecordKind, int], acquirer: EnvelopeSealer = ACQUIRER) -> list[bytes]:
    """The records of one lane, signed by both."""
    made, previous = [], GENESIS
    for number, (kind, units) in enumerate(moved, 1):
        exchange_id = bytes((number,)) * 16
        draft = Draft(MessageType.CAPTURE, 3, 1, exchange_id, Capture(bytes(32), units))
        request = acquirer.seal(draft, "saffron", NOW_MS)
        core = PostedCore(exchange_id, kind, "points", units, 3, number, 1, 1, NOW_MS, request.hash)
        core_bytes = ENCODER.core(core)
        previous = chain(previous, request.header_bytes, core_bytes)
        posted = HOME.seal(
            Draft(MessageType.POSTED, 3, 1, exchange_id, Posted(core_bytes, core, previous, 9, b"")),
            "nile",
            NOW_MS,
        )
        made.append(lane_record_bytes(envelope_bytes(request), envelope_bytes(posted)))
    return made


def judged(held: list[bytes], mirrored: list[bytes]) -> Pair:
    pair = Pair("saffron", "nile")
    judge(pair, 3, held, mirrored, KNOWN)
    return pair


WHOLE = lane(
    (RecordKind.REDEMPTION, 40),
    (RecordKind.ACCRUAL, 30),
    (RecordKind.ACCRUAL_RETURN, 5),
    (RecordKind.REDEMPTION_RETURN, 10),
)


def test_the_same_records_on_both_sides_are_equal_and_net_to_what_they_moved() -> None:
    pair = judged(WHOLE, list(WHOLE))
    assert pair.equal
    assert (pair.lanes, pair.records, pair.signatures) == (1, 4, 8)
    assert pair.units == {EARNED: 25, SPENT: 30}


def test_a_side_that_holds_fewer_records_or_others_is_not_equal() -> None:
    assert "holds 4 records, the acquirer 3" in judged(WHOLE, WHOLE[:-1]).problems[0]
    other = lane((RecordKind.REDEMPTION, 41))
    assert judged(WHOLE[:1], other).problems == ["lane 3: record 1 differs"]


def test_a_signature_of_a_stranger_is_no_chain_even_where_both_hold_it() -> None:
    forged = lane((RecordKind.REDEMPTION, 40), acquirer=STRANGER)
    assert not judged(forged, forged).equal


def test_other_units_than_the_tills_were_told_of_are_a_problem() -> None:
    pair, figures = judged(WHOLE, WHOLE), Figures()
    figures.issued["points"], figures.redeemed["points"] = 25, 30
    compare_told(pair, figures)
    assert pair.equal
    figures.redeemed["points"] = 29
    compare_told(pair, figures)
    assert "told of 29 spent, both have signed 30" in pair.problems[0]
