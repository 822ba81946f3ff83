"""A member's redemption is proved to be counted; a dispute is told so that finance understands it."""

import random

import pytest

from node.coalition.messages import PostedCore, RecordKind
from node.settlement.documents import DisputedLane, MismatchClass, SignedHead
from node.settlement.reports import DisputeFacts, HeldBack, dispute_report
from node.settlement.statement import WindowInput
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_lines import ReadStatement, read_signed_statement
from node.wire.settlement_proofs import Counted, NotCounted, check_proof, prove
from node.wire.settlement_scan import entry_of, hash_of
from node.wire.settlement_signing import operator_signed
from tests.settlement.settlement_world import World, busy_world

PAIR = ("m001", "m002")


def _settled() -> tuple[World, ReadStatement]:
    world = busy_world()
    world.trade(*PAIR, 9, 1, 20)
    return world, read_signed_statement(world.settle(1, WindowInput(world.all_closes(1))))


def hashes_of(records: list[bytes]) -> list[bytes]:
    return [hash_of(entry_of(record)) for record in records]


def _proof(world: World, statement: ReadStatement, number: int) -> bytes:
    records = world.records[(*PAIR, 9)]
    previous = hashes_of(records)[number - 2] if number > 1 else bytes(32)
    return prove(statement, PAIR, 9, hashes_of(records), records[number - 1], previous)


def _check(world: World, proof: bytes) -> Counted | str:
    def signed(head: SignedHead) -> bool:
        return operator_signed(head, [world.coalition.operator.public_uri])

    return check_proof(proof, signed, world.open)


def test_each_record_of_a_window_is_proved_to_be_counted() -> None:
    world, statement = _settled()
    for number in range(1, 22):
        counted = _check(world, _proof(world, statement, number))
        assert isinstance(counted, Counted), counted
        assert (counted.posted.core.number, counted.lane, counted.window) == (number, 9, 1)
        assert (counted.home_id, counted.acquirer_id) == PAIR


def test_a_changed_proof_proves_nothing() -> None:
    world, statement = _settled()
    proof = _proof(world, statement, 11)
    honest = _check(world, proof)
    chance = random.Random(3)
    for _ in range(300):
        changed = bytearray(proof)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        try:
            result = _check(world, bytes(changed))
        except DocumentUnreadable:
            continue
        # What is left is a change of the acquirer's request beyond its header, which the proof does not
        # speak of.
        assert isinstance(result, str) or result == honest


def test_a_record_that_the_statement_does_not_count_is_not_proved() -> None:
    world, statement = _settled()
    maker, records = world.makers[(*PAIR, 9)], world.records[(*PAIR, 9)]
    late = next(iter(maker.records(1, 1)))
    with pytest.raises(NotCounted, match="does not count record 22"):
        prove(statement, PAIR, 9, hashes_of(records), late, bytes(32))
    with pytest.raises(NotCounted, match="not those that the statement counts"):
        prove(statement, PAIR, 9, hashes_of(records[:-1]), records[0], bytes(32))
    with pytest.raises(NotCounted, match="no close"):
        prove(statement, ("m001", "nobody"), 9, [], records[0], bytes(32))


@pytest.mark.parametrize("mismatch", list(MismatchClass))
def test_a_dispute_is_told_with_names_amounts_and_what_to_do(mismatch: MismatchClass) -> None:
    core = PostedCore(bytes(16), RecordKind.REDEMPTION, "points", 1_500, 3, 105, 7, 2, 1, bytes(32))
    facts = DisputeFacts(
        "saffron",
        "nile",
        7,
        DisputedLane(3, 104, 107, 104, mismatch),
        "IRR",
        home_core=core,
        home_rest=HeldBack(3, -1_234_567_500_000),
        acquirer_rest=HeldBack(0, 0),
    )
    text = dispute_report(facts, {"saffron": "زعفران", "nile": "Nile Market"})
    assert "Members of زعفران at Nile Market, window 7, lane 3." in text
    assert "up to number 104" in text
    assert "record 105: 1,500 points spent" in text
    assert "Nile Market shows no record 105" in text
    assert "زعفران owes Nile Market 1,234,567.5 IRR" in text
    assert "Meaning:" in text
    assert "To do:" in text
