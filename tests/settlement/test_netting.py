"""Netting: nothing is rounded twice, and whatever is owed, the nets add up to zero."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.coalition.directory import (
    CoalitionPurse,
    Directory,
    Fee,
    FeeSide,
    Rate,
    RestatedRate,
    SettlementTerms,
)
from node.coalition.messages import RecordKind
from node.settlement import fees, netting
from node.settlement.documents import (
    OPERATOR_ID,
    WIDE_MAX,
    CloseBasis,
    CloseSum,
    Correction,
    Net,
    PairClose,
)

RIAL = SettlementTerms(from_window=1, currency="IRR", currency_exponent=0)
HUNDREDTHS = SettlementTerms(from_window=1, currency="IRR", currency_exponent=2)
VALUES = {1: netting.UnitValue(accrual_micro=700_001, redemption_micro=650_003)}


def _close(home: str, acquirer: str, *sums: CloseSum) -> PairClose:
    count = sum(entry.record_count for entry in sums)
    return PairClose("test", 1, home, acquirer, CloseBasis.AGREED, (), sums, count, b"")


def _sum(kind: RecordKind, units: int, records: int = 1) -> CloseSum:
    return CloseSum(kind, "points", 1, records, units)


@given(st.integers(2, 200), st.integers(0, 2**32), st.sampled_from([0, 1, 2, 3, 6]))
def test_nets_of_any_debts_between_up_to_200_merchants_add_up_to_zero(
    merchants: int, seed: int, exponent: int
) -> None:
    chance = random.Random(seed)
    ids = [f"m{number:03}" for number in range(merchants)]
    scale = netting.scale_of(SettlementTerms(1, "IRR", exponent))
    owed: dict[tuple[str, str], int] = {}
    carried: dict[tuple[str, str], int] = {}
    for _ in range(merchants * 4):
        debtor, creditor = chance.sample(ids, 2)
        netting.add_debt(owed, debtor, creditor, chance.randrange(-(10**20), 10**20))
        netting.add_debt(carried, debtor, creditor, chance.randrange(-scale // 2, scale // 2 + 1))
    lines = netting.obligations(owed, carried, [], scale)
    results = netting.nets(lines, ids)
    assert sum(net.payable for net in results) == 0
    assert len(results) == merchants
    for line in lines:
        assert line.payable * scale + line.residual_micro == line.traded_micro + line.carried_micro
        assert 2 * abs(line.residual_micro) <= scale


def test_rounding_each_net_by_itself_would_miss_zero() -> None:
    """Why the pair is rounded and not the net."""
    owed = {("a", "b"): 400_000, ("a", "c"): 400_000}
    exact = {"a": -800_000, "b": 400_000, "c": 400_000}
    assert sum(netting.round_half_even(micro, 1_000_000)[0] for micro in exact.values()) != 0
    lines = netting.obligations(owed, {}, [], 1_000_000)
    assert sum(net.payable for net in netting.nets(lines, exact)) == 0


@given(st.integers(-(10**30), 10**30), st.sampled_from([1, 10, 10_000, 1_000_000]))
def test_it_does_not_matter_from_which_side_a_debt_is_rounded(micro: int, scale: int) -> None:
    units, rest = netting.round_half_even(micro, scale)
    assert netting.round_half_even(-micro, scale) == (-units, -rest)
    assert units * scale + rest == micro


@pytest.mark.parametrize(
    ("micro", "units"),
    [(500_000, 0), (1_500_000, 2), (2_500_000, 2), (-500_000, 0), (-1_500_000, -2), (500_001, 1)],
)
def test_halves_go_to_the_even_side(micro: int, units: int) -> None:
    assert netting.round_half_even(micro, 1_000_000)[0] == units


def test_what_rounding_left_over_is_paid_once_enough_has_gathered() -> None:
    carried: dict[tuple[str, str], int] = {}
    paid = 0
    for _ in range(10):
        [line] = netting.obligations({("a", "b"): 300_000}, carried, [], 1_000_000)
        paid += line.payable
        carried = {("a", "b"): line.residual_micro}
    assert paid == 3
    assert carried == {("a", "b"): 0}


def test_a_residual_stays_on_record_while_the_pair_rests() -> None:
    [line] = netting.obligations({}, {("a", "b"): 300_000}, [], 1_000_000)
    assert (line.traded_micro, line.payable, line.residual_micro) == (0, 0, 300_000)


def test_earning_abroad_costs_the_acquirer_and_spending_pays_it() -> None:
    closes = [
        _close("home", "shop", _sum(RecordKind.ACCRUAL, 10), _sum(RecordKind.REDEMPTION, 4)),
        _close("shop", "home", _sum(RecordKind.ACCRUAL, 1)),
    ]
    # shop owes home for what home's members earned there; home owes shop for what they spent there.
    expected = -(10 * 700_001) + 4 * 650_003 + 700_001
    assert netting.traded(closes, VALUES) == {("home", "shop"): expected}


def test_a_full_return_undoes_the_debt_to_the_last_micro_unit() -> None:
    close = _close(
        "home",
        "shop",
        _sum(RecordKind.ACCRUAL, 10),
        _sum(RecordKind.ACCRUAL_RETURN, 10),
        _sum(RecordKind.REDEMPTION, 7),
        _sum(RecordKind.REDEMPTION_RETURN, 7),
    )
    assert netting.traded([close], VALUES) == {("home", "shop"): 0}


def test_an_old_rate_in_another_currency_counts_only_as_restated() -> None:
    rates = (Rate(1, 0, 5, 4, "EGP"), Rate(2, 10, 700, 600, "IRR"))
    directory = Directory("test", 1, 0, (), CoalitionPurse("points"), rates)
    assert set(netting.unit_values(directory, RIAL)) == {2}
    restated = SettlementTerms(1, "IRR", 0, restated_rates=(RestatedRate(1, 55, 44),))
    assert netting.unit_values(directory, restated)[1] == netting.UnitValue(55, 44)
    with pytest.raises(netting.RateUnknown):
        netting.worth(_sum(RecordKind.ACCRUAL, 1), {})


def test_a_correction_enters_the_pairs_sum_before_it_is_rounded() -> None:
    correction = Correction(of_window=1, debtor_id="b", creditor_id="a", micro=300_000)
    [line] = netting.obligations({("a", "b"): 800_000}, {}, [correction], 1_000_000)
    assert (line.traded_micro, line.payable, line.residual_micro) == (800_000, 0, 500_000)


def test_sums_beyond_64_bits_are_kept_and_beyond_128_are_faults() -> None:
    trillions = 10**13 * 10**6 * 199
    [line] = netting.obligations({("a", "b"): trillions}, {}, [], 1_000_000)
    assert line.payable == 10**13 * 199
    with pytest.raises(netting.AmountTooWide):
        netting.obligations({("a", "b"): WIDE_MAX + 1}, {}, [], 1_000_000)


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=40), st.booleans(), st.integers(0, 5))
def test_payments_meet_every_net_and_are_few(amounts: list[int], by_agent: bool, prepaid: int) -> None:
    ids = [f"m{number:02}" for number in range(len(amounts))]
    results = [Net(party, units) for party, units in zip(ids, amounts, strict=True)]
    results.append(Net(OPERATOR_ID, -sum(amounts)))
    ahead = frozenset(ids[:prepaid])
    made = netting.payments(results, prepaid=ahead, by_agent=by_agent, coalition_id="c", window=7)
    got = dict.fromkeys([*ids, OPERATOR_ID], 0)
    for payment in made:
        assert payment.amount > 0
        got[payment.debtor_id] -= payment.amount
        got[payment.creditor_id] += payment.amount
    for net in results:
        if net.party_id != OPERATOR_ID:
            assert got[net.party_id] == (0 if net.party_id in ahead else net.payable)
    assert len({payment.reference for payment in made}) == len(made)
    if not by_agent:
        assert len(made) <= len(results) - 1
    else:
        assert all(OPERATOR_ID in (payment.debtor_id, payment.creditor_id) for payment in made)


def test_a_payments_reference_fits_the_field_of_the_bank_and_stays_unique() -> None:
    assert len(netting.reference("c" * 60, 12_345, 678)) == netting.REFERENCE_LENGTH
    assert netting.reference("c" * 60, 1, 1) != netting.reference("c" * 60, 1, 2)


def test_fees_are_lines_of_their_own_and_the_operator_is_a_party_of_the_nets() -> None:
    terms = SettlementTerms(
        1,
        "IRR",
        0,
        fees=(
            Fee("membership", window_micro=5_000_000),
            Fee("commission", volume_ppm=10_000, record_micro=7, side=FeeSide.ACQUIRER),
            Fee("special", partner_id="shop", window_micro=-1_000_000),
        ),
    )
    close = _close(
        "home", "shop", _sum(RecordKind.ACCRUAL, 1000, records=3), _sum(RecordKind.ACCRUAL_RETURN, 100)
    )
    done = fees.activities([close], VALUES)
    lines = fees.fee_lines(terms, ["home", "shop"], done)
    by_name = {(line.partner_id, line.code): line.micro for line in lines}
    volume = 900 * 700_001
    assert by_name == {
        ("home", "membership"): 5_000_000,
        ("shop", "membership"): 5_000_000,
        ("shop", "commission"): 4 * 7 + netting.round_half_even(volume * 10_000, 1_000_000)[0],
        ("shop", "special"): -1_000_000,
    }
    owed = netting.traded([close], VALUES) | fees.owed_to_operator(lines)
    obligations = netting.obligations(owed, {}, [], 1_000_000)
    results = netting.nets(obligations, ["home", "shop", OPERATOR_ID])
    assert sum(net.payable for net in results) == 0
    assert next(net.payable for net in results if net.party_id == OPERATOR_ID) > 0


def test_hundredths_are_paid_where_the_directory_says_so() -> None:
    assert netting.scale_of(HUNDREDTHS) == 10_000
    [line] = netting.obligations({("a", "b"): 1_234_567}, {}, [], netting.scale_of(HUNDREDTHS))
    assert (line.payable, line.residual_micro) == (123, 4_567)
