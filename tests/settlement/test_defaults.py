"""A debtor that does not pay: the others settle without it, and its debts stand between two."""

import random
from collections.abc import Sequence

import pytest

from node.settlement.defaults import StandingDebt, Unwound, standing_reference, without
from node.settlement.documents import OPERATOR_ID, Line, Net, Obligation, Payment
from node.settlement.netting import REFERENCE_LENGTH, nets, payments


def _owes(first: str, second: str, amount: int) -> Obligation:
    return Obligation(first, second, amount, 0, amount, 0)


def _stands(debtor: str, creditor: str, amount: int) -> StandingDebt:
    return StandingDebt(debtor, creditor, amount, standing_reference("test", 7, debtor, creditor))


def _statement(
    obligations: Sequence[Obligation], parties: Sequence[str], *, by_agent: bool = False
) -> list[Line]:
    results = nets(obligations, [*parties, OPERATOR_ID])
    moves = payments(results, prepaid=frozenset(), by_agent=by_agent, coalition_id="test", window=7)
    return [*obligations, *results, *moves]


def _without(
    lines: Sequence[Line], defaulted: Sequence[str], paid: Sequence[Payment] = (), *, by_agent: bool = False
) -> Unwound:
    made = sum(isinstance(line, Payment) for line in lines)
    return without(
        lines, defaulted, paid, by_agent=by_agent, coalition_id="test", window=7, first_number=made + 1
    )


def test_the_others_pay_what_they_owe_each_other_and_the_rest_stands_between_two() -> None:
    # a owes b 100 and c 20; b owes c 30: in the net a pays 120, b gets 70, c gets 50.
    lines = _statement([_owes("a", "b", 100), _owes("a", "c", 20), _owes("b", "c", 30)], "abc")
    found = _without(lines, ["a"])
    assert {one.party_id: one.payable for one in found.nets} == {"b": -30, "c": 30, OPERATOR_ID: 0}
    assert [(one.debtor_id, one.creditor_id, one.amount) for one in found.payments] == [("b", "c", 30)]
    assert [one.reference for one in found.payments] == ["test-7-3"]
    assert found.standing == (_stands("a", "b", 100), _stands("a", "c", 20))


def test_what_was_paid_already_is_not_paid_twice() -> None:
    lines = _statement([_owes("a", "b", 100), _owes("c", "d", 40), _owes("b", "d", 10)], "abcd")
    paid = [Payment("c", "d", 40, "test-7-1")]
    found = _without(lines, ["a"], paid)
    assert [(one.debtor_id, one.creditor_id, one.amount) for one in found.payments] == [("b", "d", 10)]


def test_what_the_one_in_default_had_paid_to_somebody_counts_between_those_two() -> None:
    lines = _statement([_owes("a", "b", 100), _owes("a", "c", 20)], "abc")
    found = _without(lines, ["a"], [Payment("a", "b", 100, "test-7-1")])
    assert found.standing == (_stands("a", "c", 20),)
    # In a net a debt takes a way round: who got more than it was owed by the one in default owes it back.
    found = _without(lines, ["a"], [Payment("a", "b", 120, "test-7-1")])
    assert found.standing == (_stands("a", "c", 20), _stands("b", "a", 20))


@pytest.mark.parametrize("by_agent", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_whoever_is_in_default_the_rest_comes_to_zero_and_everybody_is_met(seed: int, by_agent: bool) -> None:
    chance = random.Random(seed)
    parties = [f"m{number}" for number in range(chance.randrange(2, 9))]
    obligations = [
        _owes(one, other, chance.randrange(-500, 500)) for one in parties for other in parties if one < other
    ]
    lines = _statement(obligations, parties, by_agent=by_agent)
    moves = [line for line in lines if isinstance(line, Payment)]
    paid = [one for one in moves if chance.random() < 0.4]
    defaulted = set(chance.sample(parties, chance.randrange(1, len(parties))))
    found = _without(lines, sorted(defaulted), paid, by_agent=by_agent)
    assert sum(one.payable for one in found.nets) == 0
    got = {one.party_id: 0 for one in found.nets}
    for made in (*paid, *found.payments):
        if made.debtor_id in got and made.creditor_id in got:
            got[made.debtor_id] -= made.amount
            got[made.creditor_id] += made.amount
    assert got == {one.party_id: one.payable for one in found.nets}
    assert min([1, *(pay.amount for pay in found.payments), *(debt.amount for debt in found.standing)]) > 0
    # Nothing of a debt is lost: what stands, less what was paid, is what the statement says.
    stands = {(one.debtor_id, one.creditor_id): one.amount for one in found.standing}
    for owed in obligations:
        if {owed.first_id, owed.second_id} & defaulted:
            between = sum(
                move.amount if move.debtor_id == owed.first_id else -move.amount
                for move in paid
                if {move.debtor_id, move.creditor_id} == {owed.first_id, owed.second_id}
            )
            forth = stands.get((owed.first_id, owed.second_id), 0)
            back = stands.get((owed.second_id, owed.first_id), 0)
            assert forth - back == owed.payable - between


def test_a_statement_line_that_nobody_owes_changes_nothing() -> None:
    lines = [*_statement([_owes("a", "b", 5)], "ab"), Net("c", 0)]
    assert _without(lines, ["c"]).standing == ()


def test_what_stands_between_two_has_one_reference_in_both_directions_that_every_bank_takes() -> None:
    pairs = [(f"merchant-{one}", f"merchant-{other}") for one in range(30) for other in range(one)]
    references = [standing_reference("a-coalition-with-a-name-that-is-long", 1_234, *pair) for pair in pairs]
    assert len(set(references)) == len(pairs)
    assert all(len(one) <= REFERENCE_LENGTH for one in references)
    assert references[7] == standing_reference("a-coalition-with-a-name-that-is-long", 1_234, *pairs[7][::-1])
    assert references[7] != standing_reference("a-coalition-with-a-name-that-is-long", 1_235, *pairs[7])
