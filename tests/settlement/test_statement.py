"""Statements: a merchant redoes them from its own records, and an operator that signs two is caught."""

import pytest
from msgspec.structs import replace

from bench.settlement_records import LaneMaker, make_coalition, window_start
from node.coalition.directory import Key, SettlementTerms
from node.settlement.documents import (
    CloseBasis,
    LaneEvidence,
    MissingClose,
    MissingReason,
    Net,
    Obligation,
    SignedClose,
)
from node.settlement.equivocation import compare, conflicts
from node.settlement.netting import RateUnknown
from node.settlement.statement import WindowInput, carried_from, compose
from node.wire.settlement import (
    close_bytes,
    equivocation_bytes,
    read_equivocation,
    read_signed_close,
    signed_close_message,
)
from node.wire.settlement_lines import read_signed_statement
from node.wire.settlement_publish import Finding, head_hash, own_bytes, recheck
from node.wire.settlement_signing import close_problem, operator_signed
from tests.settlement.settlement_world import World, busy_world

NOW = window_start(2) + 1_000


def _recheck(world: World, data: bytes, **options: object) -> list[Finding]:
    uris = [world.coalition.operator.public_uri]
    own = options.pop("own", {})
    return recheck(data, world.coalition.directory, uris, world.open, own, **options)  # type: ignore[arg-type]  # as the test gives them


def _wrong(found: list[Finding]) -> list[str]:
    return [one.what for one in found if not one.agrees]


def _problem(world: World, signed: SignedClose) -> str | None:
    window = world.coalition.directory.window(signed.close.window)
    assert window is not None
    return close_problem(world.coalition.directory, window, signed, NOW, world.open)


def test_a_merchant_redoes_the_statement_from_its_own_records() -> None:
    world = busy_world()
    mine = {pair: close for pair, close in own_bytes(world.all_closes(1)).items() if "m001" in pair}
    data = world.settle(1, WindowInput(world.all_closes(1)))
    found = _recheck(world, data, own=mine, carried={})
    assert _wrong(found) == []
    assert sum("m001" in one.what and "our own records" in one.what for one in found) == 4


def test_a_merchant_sees_which_close_is_not_what_its_records_give() -> None:
    world = busy_world()
    closes = world.all_closes(1)
    mine = own_bytes(closes) | {("m002", "m001"): close_bytes(world.close(("m002", "m001"), 1, until={0: 2}))}
    found = _recheck(world, world.settle(1, WindowInput(closes)), own=mine)
    assert _wrong(found) == ["m002 with m001: the published close is NOT what our own records give"]


def test_a_statement_with_wrong_rests_or_without_a_pair_is_found() -> None:
    world = busy_world()
    closes = world.all_closes(1)
    data = world.settle(1, WindowInput(closes, carried={("m000", "m001"): 77}))
    assert _wrong(_recheck(world, data, carried={})) == [
        "what was carried over is what the statement before left"
    ]
    world.starts.clear()
    short = world.settle(1, WindowInput(closes[1:]))
    assert _wrong(_recheck(world, short)) == ["every pair of its partners is in it, once"]


def test_a_pair_left_out_does_not_change_what_any_other_pair_owes() -> None:
    world = busy_world(4)
    closes = world.all_closes(1)
    terms = world.coalition.directory.settlement_terms[0]
    whole = compose(world.coalition.directory, terms, 1, WindowInput(closes))
    gone = closes[-1].close.pair
    missing = (MissingClose(*gone, MissingReason.NOBODY_SENT),)
    rest = compose(world.coalition.directory, terms, 1, WindowInput(closes[:-1], missing=missing))
    pair = tuple(sorted(gone))
    debts = [
        {(one.first_id, one.second_id): one for one in lines if isinstance(one, Obligation)}
        for lines in (whole, rest)
    ]
    assert {key: one for key, one in debts[0].items() if key != pair} == {
        key: one for key, one in debts[1].items() if key != pair
    }
    assert sum(line.payable for line in rest if isinstance(line, Net)) == 0


def test_rests_are_carried_until_the_currency_changes_or_a_partner_leaves() -> None:
    world = busy_world()
    read = read_signed_statement(world.settle(1, WindowInput(world.all_closes(1))))
    ids = world.coalition.ids
    carried = carried_from(read.lines, same_currency=True, partners=ids)
    assert len(carried) == 3
    assert carried_from(read.lines, same_currency=False, partners=ids) == {}
    assert set(carried_from(read.lines, same_currency=True, partners=ids[:2])) == {("m000", "m001")}


def test_a_rate_without_a_worth_in_the_currency_stops_the_statement() -> None:
    world = World(coalition=make_coalition(2, terms=SettlementTerms(1, "EUR", 2)))
    world.trade("m000", "m001", 0, 1, 3)
    with pytest.raises(RateUnknown):
        world.settle(1, WindowInput(world.all_closes(1)))


# --- who signed what ---------------------------------------------------------------------------------------


def test_a_close_is_taken_with_the_right_signatures_and_no_others() -> None:
    world = World(2)
    world.trade("m000", "m001", 0, 1, 3)
    signed = world.signed(world.close(("m000", "m001"), 1))
    assert _problem(world, signed) is None
    assert read_signed_close(signed_close_message(signed)) == signed
    first, second = signed.signatures
    for signatures in (
        (first,),
        (second, first),
        (first, first),
        (),
        (replace(first, signature=bytes(64)), second),
    ):
        assert _problem(world, replace(signed, signatures=signatures)) is not None
    other = world.signed(world.close(("m001", "m000"), 1))
    assert _problem(world, replace(signed, signatures=other.signatures)) is not None
    late = world.signed(world.close(("m000", "m001"), 2))
    assert _problem(world, replace(signed, close_bytes=late.close_bytes)) is not None


def test_a_key_counts_if_it_was_valid_after_the_cut_and_not_if_its_time_was_over() -> None:
    world = World(2)
    signed = world.signed(world.close(("m000", "m001"), 1))
    cut = window_start(2)
    for key_ends, good in ((cut - 1, False), (cut, False), (cut + 1, True)):
        partner = world.coalition.directory.partners[0]
        keys = (Key(partner.keys[0].uri, 1, key_ends),)
        partners = (replace(partner, keys=keys), *world.coalition.directory.partners[1:])
        directory = replace(world.coalition.directory, partners=partners)
        window = directory.window(1)
        assert window is not None
        problem = close_problem(directory, window, signed, NOW, world.open)
        assert (problem is None) is good


@pytest.mark.parametrize("basis", [CloseBasis.HOME_ALONE, CloseBasis.ACQUIRER_ALONE])
def test_one_side_alone_shows_what_the_silent_side_signed_or_is_refused(basis: CloseBasis) -> None:
    world = World(2)
    world.trade("m000", "m001", 3, 1, 4)
    close = world.close(("m000", "m001"), 1, basis=basis)
    alone = world.signed(close)
    proven = replace(alone, evidence=world.evidence(close, 1))
    assert _problem(world, proven) is None
    assert _problem(world, alone) is not None
    longer = world.close(("m000", "m001"), 1, basis=basis, until={3: 3})
    assert _problem(world, replace(world.signed(longer), evidence=proven.evidence)) is not None
    wrong_lane = (LaneEvidence(4, proven.evidence[0].envelope),)
    assert _problem(world, replace(proven, evidence=wrong_lane)) is not None
    assert _problem(world, replace(proven, evidence=(LaneEvidence(3, b"garbage"),))) is not None


def test_one_side_cannot_prove_by_its_own_words() -> None:
    world = World(2)
    world.trade("m000", "m001", 3, 1, 4)
    home = world.close(("m000", "m001"), 1, basis=CloseBasis.HOME_ALONE)
    by_acquirer = world.close(("m000", "m001"), 1, basis=CloseBasis.ACQUIRER_ALONE)
    own_words = world.evidence(by_acquirer, 1)  # POSTED, which the home node itself signed
    assert _problem(world, replace(world.signed(home), evidence=own_words)) is not None


def test_what_somebody_else_signed_proves_nothing_about_a_silent_side() -> None:
    world = World(3)
    world.trade("m000", "m001", 3, 1, 4)
    close = world.close(("m000", "m001"), 1, basis=CloseBasis.HOME_ALONE)
    third = LaneMaker(world.coalition, "m000", "m002", 3)
    third.number, third.hash = close.lanes[0].to_number, close.lanes[0].end_hash
    bought = (LaneEvidence(3, third.head_ack(1)),)
    assert _problem(world, replace(world.signed(close), evidence=bought)) is not None


def test_a_zero_close_needs_no_evidence() -> None:
    world = World(2)
    close = world.close(("m000", "m001"), 1, basis=CloseBasis.HOME_ALONE)
    assert _problem(world, world.signed(close)) is None


# --- two statements for one window -------------------------------------------------------------------------


def test_an_operator_that_shows_two_statements_is_caught_by_two_merchants_that_compare() -> None:
    world = busy_world()
    closes = world.all_closes(1)
    shown = read_signed_statement(world.settle(1, WindowInput(closes))).head
    world.starts.clear()
    hidden = read_signed_statement(world.settle(1, WindowInput(closes, carried={("m000", "m001"): 10}))).head
    [proof] = compare([shown], [hidden])
    read = read_equivocation(equivocation_bytes(proof))
    assert read == proof
    assert read.window == 1
    uris = [world.coalition.operator.public_uri]
    assert all(operator_signed(head, uris) for head in (read.first, read.second))
    assert not operator_signed(replace(read.first, head_bytes=read.second.head_bytes), uris)
    assert not operator_signed(read.first, [world.coalition.signers["m000"].public_uri])


def test_heads_of_other_windows_and_the_same_head_prove_nothing() -> None:
    world = busy_world()
    first = read_signed_statement(world.settle(1, WindowInput(world.all_closes(1))))
    given = WindowInput(world.all_closes(2))
    second = read_signed_statement(world.settle(2, given, previous_head_hash=head_hash(first))).head
    assert not conflicts(first.head, second)
    assert compare([first.head, second], [first.head, second]) == []
