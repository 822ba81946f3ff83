"""Records for people: what holds is said to hold, and whatever was changed is named."""

from __future__ import annotations

from itertools import chain as chain_of
from itertools import repeat

from node.coalition.envelopes import Draft
from node.coalition.lanes import GENESIS, chain
from node.coalition.messages import Capture, MessageType, Posted, PostedCore, RecordKind
from node.identity.signers import Signer
from node.proto.vafa.coalition.v1 import exchange_pb2
from node.wire.coalition import EnvelopeSealer, envelope_bytes
from node.wire.coalition_bodies import ENCODER
from node.wire.coalition_directory import sign_directory
from node.wire.coalition_frames import lane_record_bytes
from node.wire.coalition_trust import KnownDirectories
from node.wire.lane_lines import Compared, LaneLine, compare, lane_lines
from tests.wire.coalition_parties import NOW_MS, signer
from tests.wire.coalition_terms import OPERATOR, SOUND

KNOWN = KnownDirectories([sign_directory(SOUND, OPERATOR)])


def sealer(partner_id: str, key: Signer) -> EnvelopeSealer:
    return EnvelopeSealer(SOUND.coalition_id, partner_id, lambda _: key)


HOME, ACQUIRER = sealer("saffron", signer(2)), sealer("nile", signer(1))


def records(count: int, *, acquirer: EnvelopeSealer = ACQUIRER, home: EnvelopeSealer = HOME) -> list[bytes]:
    """A lane of redemptions, and a cut after them."""
    made, previous = [], GENESIS
    for number in range(1, count + 2):
        cut = number > count
        exchange_id = b"" if cut else bytes((number,)) * 16
        request = None
        if not cut:
            draft = Draft(MessageType.CAPTURE, 3, 1, exchange_id, Capture(bytes(32), number))
            request = acquirer.seal(draft, "saffron", NOW_MS)
        core = PostedCore(
            exchange_id, RecordKind.CUT if cut else RecordKind.REDEMPTION, "points", 0 if cut else number,
            3, number, 1, 1, NOW_MS, request.hash if request else b"",
        )  # fmt: skip
        core_bytes = ENCODER.core(core)
        previous = chain(previous, request.header_bytes if request else b"", core_bytes)
        body = Posted(core_bytes, core, previous, 9, b"")
        posted = home.seal(Draft(MessageType.POSTED, 3, 1, exchange_id, body), "nile", NOW_MS)
        made.append(lane_record_bytes(envelope_bytes(request) if request else b"", envelope_bytes(posted)))
    return made


def shown(made: list[bytes], *, from_start: bool = True) -> list[LaneLine]:
    return list(lane_lines(made, KNOWN, "saffron", "nile", from_start=from_start))


def problems(made: list[bytes]) -> list[str]:
    return [problem for line in shown(made) for problem in line.problems]


def test_a_whole_lane_holds_from_its_first_record_to_its_cut() -> None:
    lines = shown(records(3))
    assert [line.problems for line in lines] == [()] * 4
    assert [line.core.number for line in lines if line.core] == [1, 2, 3, 4]
    assert lines[0].home_key == signer(2).public_uri
    assert lines[0].acquirer_key == signer(1).public_uri
    assert lines[3].acquirer_key == ""


def test_a_part_of_a_lane_holds_from_where_it_begins() -> None:
    assert [line.problems for line in shown(records(3)[1:], from_start=False)] == [()] * 3


def test_what_is_missing_or_swapped_is_named() -> None:
    made = records(3)
    assert any("hash does not follow" in problem for problem in problems([made[0], *made[2:]]))
    assert any("follows number 1" in problem for problem in problems([made[0], *made[2:]]))
    assert any("hash does not follow" in problem for problem in problems(made[1:]))


def test_a_signature_of_anybody_else_is_named() -> None:
    stranger = sealer("nile", signer(9))
    assert "the acquirer's signature: BAD_SIGNATURE" in problems(records(1, acquirer=stranger))
    assert "the home node's signature: BAD_SIGNATURE" in problems(
        records(1, home=sealer("saffron", signer(9)))
    )
    assert "it is of other merchants" in problems(records(1, home=sealer("zagros", signer(3))))


def test_a_record_without_its_request_or_that_is_none_is_named() -> None:
    record = exchange_pb2.LaneRecord.FromString(records(1)[0])
    record.ClearField("request")
    assert "the acquirer's request is missing" in problems([record.SerializeToString()])
    assert problems([b"\xff\xff"]) == ["it is no record"]


def test_two_sides_of_a_lane_agree_or_one_has_more() -> None:
    made = shown(records(3))
    assert compare(made, made) == Compared(4, 4, 4)
    assert compare(made, made[:2]) == Compared(4, 2, 2)
    assert compare([], made) == Compared(0, 4, 0)


def test_two_histories_of_a_lane_differ_where_the_second_one_begins() -> None:
    one, other = shown(records(4)), shown(records(2))  # the second has a cut where the first goes on
    assert compare(one, other) == Compared(3, 3, 2, 3)


def test_after_a_record_that_does_not_hold_nothing_more_is_read() -> None:
    made = records(3)
    endless = lane_lines(
        chain_of([made[0], made[2]], repeat(made[0])), KNOWN, "saffron", "nile", from_start=True
    )
    found = compare(shown(made), endless)
    assert (found.same, found.differs) == (1, 2)
    assert found.problem
