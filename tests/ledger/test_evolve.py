"""An account follows from its journal alone: what each event makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger import events as ev
from node.ledger.account import COUNTER_DAYS, Account, Counter, Purse, Taken
from node.ledger.awards import Award
from node.ledger.evolve import apply_entry, credit, earliest_due_ms, evolve, forgive, restore
from node.ledger.lots import NEVER_MS, Lot, LotMissing, add_all, total
from node.ledger.purchase import Activity
from node.ledger.transactions import Entry, TransactionKind
from tests.ledger.ledger_shop import Shop, award, day
from tests.ledger.ledger_world import check_purse

some_lots = st.lists(
    st.builds(Lot, st.integers(0, 9), st.integers(50, 60), st.integers(0, 20)), max_size=6
).map(tuple)


@given(some_lots, st.integers(0, 30), st.integers(0, 30), st.integers(0, 20))
def test_what_comes_in_makes_good_what_is_below_zero_before_anything_can_be_spent(
    lots: tuple[Lot, ...], debt: int, made_good: int, at_ms: int
) -> None:
    owing = Purse(debt=debt, spendable=-debt)

    purse = credit(owing, lots, at_ms)
    check_purse(purse)
    assert purse.owned == total(lots) - debt
    assert purse.pending == sum(lot.units for lot in lots if lot.available_ms > at_ms)

    purse = forgive(purse, made_good)
    check_purse(purse)
    assert purse.owned == total(lots) - debt + made_good


def test_debt_that_was_repaid_meanwhile_comes_back_as_units_that_never_expire() -> None:
    assert forgive(Purse(debt=3, spendable=-3), 5) == Purse(lots=(Lot(2, NEVER_MS),), spendable=2)


def test_making_good_does_not_eat_the_lots_that_come_back_with_it() -> None:
    """Else a reversal would trade units that expire soon for units that never do."""
    owing = Purse(debt=50, spendable=-50)

    back = restore(owing, Taken("points", (Lot(100, day(3)),), 50), day(1))

    assert back == Purse(lots=(Lot(100, day(3)),), spendable=100)


def test_what_was_spendable_when_it_was_taken_is_spendable_when_it_comes_back() -> None:
    back = restore(Purse(), Taken("points", (Lot(5, 90, available_ms=60),)), at_ms=50)

    assert (back.spendable, back.pending) == (5, 0)


def test_an_entry_is_counted_and_dated_and_says_what_is_due_next() -> None:
    awards = (
        Award("rule", "points", 5, available_ms=70, expires_ms=90),
        Award("rule", "cash", 5, available_ms=60, expires_ms=80),
    )
    event = ev.ActivityEarned(Activity("survey"), awards)
    entry = Entry(9, TransactionKind.ACTIVITY, b"a", 50, 50, "t", "r", 1, 0, (event,))

    account = apply_entry(Account(b"a"), entry)

    assert (account.entries, account.last_sequence, account.due_ms) == (1, 9, 60)


def test_the_next_thing_due_is_a_maturity_an_expiry_or_the_end_of_a_hold() -> None:
    shop = Shop()
    assert shop.account.due_ms == NEVER_MS

    shop.earn(award(5, 9), award(5, 8, "cash"))
    assert shop.account.due_ms == day(8)
    shop.earn(award(5, 20, available_ms=day(3)))
    assert shop.account.due_ms == day(3)
    hold = shop.authorize(seconds=60, points=5)
    assert shop.account.due_ms == day(0) + 60_000
    shop.capture(hold)
    assert shop.account.due_ms == day(3) == earliest_due_ms(shop.account)


def test_counters_add_up_within_a_local_day_and_are_dropped_after_sixty() -> None:
    def count(account: Account, day: int, units: int) -> Account:
        awards = (Award("rule", "points", units, counter="cap", day=day),)
        return evolve(account, ev.ActivityEarned(Activity("survey"), awards), 50)

    account = count(count(count(Account(b"a"), 1_000, 5), 1_000, 6), 1_001, 7)
    assert account.counters == (Counter("cap", 1_000, 11), Counter("cap", 1_001, 7))

    account = count(account, 1_000 + COUNTER_DAYS, 1)
    assert account.counted("cap", 1_000) == 11, "a late sale of that day may still come"
    account = count(account, 1_001 + COUNTER_DAYS, 1)
    assert account.counted("cap", 1_000) == 0
    assert account.counted("cap", 1_001) == 7

    account = count(account, 1_002, 3)
    assert account.counted("cap", 1_002) == 3, "a late day is counted, it does not push newer days out"
    assert account.counted("cap", 1_001 + COUNTER_DAYS) == 1


def test_days_further_behind_than_counters_are_kept_are_known_as_forgotten_also_after_a_reversal() -> None:
    newest = Award("rule", "points", 5, counter="cap", day=1_061)
    account = evolve(Account(b"a"), ev.ActivityEarned(Activity("survey"), (newest,)), 50)
    assert (account.forgot(1_000), account.forgot(1_001)) == (True, False)
    undone = evolve(account, ev.Reversed(1, freed=(Counter("cap", 1_061, 5),)), 60)
    assert undone.counted("cap", 1_061) == 0
    assert undone.forgot(1_000), "what was dropped for that day does not come back"


def test_caps_of_two_rules_count_apart_on_the_same_day() -> None:
    awards = tuple(Award(name, "points", 5, counter=name, day=1_000) for name in ("x", "y", "x"))

    account = evolve(Account(b"a"), ev.ActivityEarned(Activity("survey"), awards), 50)

    assert (account.counted("x", 1_000), account.counted("y", 1_000)) == (10, 5)


def test_two_awards_of_one_purse_both_arrive() -> None:
    event = ev.ActivityEarned(Activity("survey"), (award(5, 9), award(7, 9), award(1, 9, "cash")))

    account = evolve(Account(b"a"), event, day(0))

    assert account.purse("points").lots == (Lot(12, day(9)),)
    assert account.purse("cash").spendable == 1


def test_the_state_before_is_never_touched() -> None:
    before = evolve(Account(b"a"), ev.Credited("points", (Lot(5, 90),), "issued"), 50)
    kept = before.purse("points")

    evolve(before, ev.Expired("points", (Lot(5, 90),)), 90)
    evolve(before, ev.ActivityEarned(Activity("survey"), (award(5),)), 50)

    assert before.purses == {"points": kept}
    assert kept == Purse(lots=(Lot(5, 90),), spendable=5)


@pytest.mark.parametrize(
    "event",
    [
        ev.Expired("points", (Lot(6, 90),)),
        ev.Spent((Taken("points", (Lot(5, 91),)),)),
        ev.Matured("points", (Lot(1, 90),)),
        ev.Debited("points", "adjusted", (), (Lot(1, 90),)),
    ],
    ids=lambda event: event.name,
)
def test_a_journal_that_takes_what_the_account_does_not_hold_is_a_fault(event: ev.AnyEvent) -> None:
    account = evolve(Account(b"a"), ev.Credited("points", (Lot(5, 90),), "issued"), 50)

    with pytest.raises(LotMissing):
        evolve(account, event, 60)


def test_a_journal_that_closes_a_hold_twice_is_a_fault() -> None:
    with pytest.raises(AssertionError, match="hold that is not open"):
        evolve(Account(b"a"), ev.HoldClosed(7), 50)


def test_events_that_concern_other_records_leave_the_account_as_it_is() -> None:
    account = Account(b"a", purses={"points": Purse((Lot(5),), spendable=5)})

    for event in (ev.Tombstoned("till", "r"), ev.Claimed(3, b"a"), ev.Adjusted("ann", "why"), ev.Returned(3)):
        assert evolve(account, event, 50) is account


def test_many_purses_of_many_lots_stay_apart() -> None:
    account = Account(b"a")
    for number in range(300):
        lots = (Lot(1, 1_000 + number),)
        account = evolve(account, ev.Credited(f"p{number % 2}", lots, "issued"), 50)

    for code in ("p0", "p1"):
        check_purse(account.purse(code))
        assert account.purse(code).spendable == 150
    assert account.purse("p0").lots == add_all((), [Lot(1, 1_000 + number) for number in range(0, 300, 2)])
