"""Closes that are none, or that the wrong ones have signed: refused by name, whoever signs the statement."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from bench.settlement_records import LaneMaker, window_start
from node.proto.vafa.coalition.v1 import envelope_pb2, lane_pb2
from node.proto.vafa.coalition.v1.directory_pb2 import Key
from node.proto.vafa.settlement.v1.close_pb2 import PairClose
from node.proto.vafa.settlement.v1.statement_pb2 import Statement, StatementLine
from node.settlement.merkle import root_of
from node.wire.coalition import PAYLOAD_TYPE
from node.wire.settlement_signing import CLOSE_TYPE, signed_by
from tests.verifier.changed_statement import (
    PAIRS,
    in_line,
    report,
    resigned,
    statements,
)
from verifier.signatures import load_directory
from verifier.statement import verify


def test_a_prepaid_balance_that_does_not_go_on_from_where_it_stood_is_refused_by_name() -> None:
    def more(statement: Statement) -> None:
        for at, raw in enumerate(statement.lines):
            line = StatementLine.FromString(raw)
            if line.HasField("prepaid"):
                for name in ("opening", "closing"):
                    amount = int.from_bytes(getattr(line.prepaid, name), "big", signed=True) + 1
                    setattr(line.prepaid, name, amount.to_bytes(16, "big", signed=True))
                statement.lines[at] = line.SerializeToString()

    assert report(resigned(more)) == ["prepaid balances go on from where they stood"]


def _with_key(partner: str, change: Callable[[Key], object]) -> list[str]:
    """What is wrong where the directory says another time of a partner's key."""
    world, first, data = statements()
    directory, raw, keys = load_directory(world.coalition.signed.data)
    change(next(one for one in directory.partners if one.partner_id == partner).keys[0])
    return [what for good, what in verify(data, directory, raw, keys, first).checks if not good]


def test_a_key_whose_time_was_over_at_the_cut_signs_no_close() -> None:
    wrong = _with_key("m001", lambda key: key.not_after.FromMilliseconds(window_start(3)))
    assert "the close of m000 with m001 is sound and signed" in wrong
    assert _with_key("m001", lambda key: key.not_after.FromMilliseconds(window_start(3) + 1)) == []


def test_what_a_silent_side_said_counts_only_by_a_key_that_was_valid_when_it_said_it() -> None:
    wrong = _with_key("m002", lambda key: key.not_before.FromMilliseconds(window_start(3)))
    assert "the close of m000 with m002 is sound and signed" in wrong
    assert "the close of m001 with m002 is sound and signed" not in wrong


@pytest.mark.parametrize(("home", "lane"), [("m001", 2), ("m000", 3)])
def test_what_a_silent_side_said_to_others_or_of_another_lane_proves_nothing(home: str, lane: int) -> None:
    world, _, _ = statements()

    def bought(line: StatementLine) -> None:
        end = PairClose.FromString(line.close.close).lanes[0]
        maker = LaneMaker(world.coalition, home, "m002", lane)
        maker.number, maker.hash = end.to_number, end.end_hash
        line.close.evidence[0].envelope.ParseFromString(maker.head_ack(2))

    wrong = report(resigned(partial(in_line, at=1, change=bought)))
    assert wrong == ["the close of m000 with m002 is sound and signed"]


@pytest.mark.parametrize(("header_lane", "sound"), [(2, True), (3, False)])
def test_what_a_silent_side_said_in_a_message_that_names_two_lanes_proves_nothing(
    header_lane: int, sound: bool
) -> None:
    world, _, _ = statements()

    def named(line: StatementLine) -> None:
        envelope = line.close.evidence[0].envelope
        header = envelope_pb2.Header.FromString(envelope.header)
        said = lane_pb2.HeadAck.FromString(envelope.body).head
        assert (header.lane, said.lane) == (2, 2)
        header.lane = header_lane  # the body goes on to name the close's lane, and where it ends
        envelope.header = header.SerializeToString()
        envelope.signature = world.coalition.signers["m002"].sign(PAYLOAD_TYPE, envelope.header)

    wrong = report(resigned(partial(in_line, at=1, change=named)))
    assert wrong == ([] if sound else ["the close of m000 with m002 is sound and signed"])


def _disputed(close: PairClose) -> None:
    dispute = close.disputed.add()
    dispute.lane, dispute.agreed_number = close.lanes[0].lane, close.lanes[0].to_number - 1


def _empty(close: PairClose) -> None:
    close.lanes[0].to_number, close.record_count = close.lanes[0].from_number - 1, 0
    del close.sums[:]


def _twice(close: PairClose) -> None:
    close.lanes.add().CopyFrom(close.lanes[0])
    close.record_count *= 2
    close.record_root = root_of([one.record_root for one in close.lanes])


def _from_nothing(close: PairClose) -> None:
    close.lanes[0].from_number, close.record_count = 0, close.lanes[0].to_number + 1


UNSOUND: dict[str, Callable[[PairClose], object]] = {
    "sums in another order": lambda close: close.sums.reverse(),
    "a lane twice": _twice,
    "a lane from before its first record": _from_nothing,
    "a lane without records that moves its hash": _empty,
    "another root": lambda close: setattr(close, "record_root", bytes(32)),
    "a record more": lambda close: setattr(close, "record_count", close.record_count + 1),
    "sums of more records": lambda close: setattr(close.sums[0], "record_count", 1_000),
    "a sum of less than nothing": lambda close: setattr(close.sums[0], "units", b"\xff" * 16),
    "a sum of no records": lambda close: setattr(close.sums[0], "record_count", 0),
    "a dispute elsewhere than at the end": _disputed,
    "a basis that there is not": lambda close: setattr(close, "basis", 9),
    "another window": lambda close: setattr(close, "window", 1),
}
SIGNERS = [("m000", "m000"), ("m001", "m000"), ("m000",), ("m000", "m002"), ("m000", "m001", "m001"), ()]


def _signed_anew(change: Callable[[PairClose], object], signers: tuple[str, ...]) -> list[str]:
    """What is wrong where a close of m000 with m001 was changed, and these sign it."""
    world, _, _ = statements()

    def changed(line: StatementLine) -> None:
        close = PairClose.FromString(line.close.close)
        assert (close.home_id, close.acquirer_id) == PAIRS[0]
        change(close)
        line.close.close = close.SerializeToString()
        del line.close.signatures[:]
        for who in signers:
            signature = signed_by(world.coalition.signers[who], who, CLOSE_TYPE, line.close.close)
            line.close.signatures.add(
                signer_id=who, public_key=signature.public_key, signature=signature.signature
            )

    return report(resigned(partial(in_line, at=0, change=changed)))


@pytest.mark.parametrize("change", UNSOUND.values(), ids=list(UNSOUND))
def test_a_close_that_is_none_is_refused_by_name_though_both_have_signed_it(
    change: Callable[[PairClose], object],
) -> None:
    assert _signed_anew(lambda close: None, PAIRS[0]) == []
    assert "the close of m000 with m001 is sound and signed" in _signed_anew(change, PAIRS[0])


@pytest.mark.parametrize("signers", SIGNERS)
def test_a_close_that_others_have_signed_is_refused_by_name(signers: tuple[str, ...]) -> None:
    assert "the close of m000 with m001 is sound and signed" in _signed_anew(lambda close: None, signers)
