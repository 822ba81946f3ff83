"""What was found where records part reaches the operator, whatever is lost on the way."""

from __future__ import annotations

from bench.settlement_records import window_start
from node.actors.settling_reports import Reports
from node.settlement.documents import Mismatch, MismatchClass
from node.storage.memory import MemoryStore
from tests.settlement.settled_weeks import DAY_MS, NearOperator, Refused, Week
from tests.settlement.test_settling import LANE, diverge


def _found(number: int = 10) -> Mismatch:
    return Mismatch("c", 1, "a", "b", 4, number, bytes(32), 30, 30, MismatchClass.FORK, b"", b"")


class DeafOperator(NearOperator):
    """An operator that is told `lost` times in vain: the question or the answer does not arrive."""

    def __init__(self, week: Week, *, arrives: bool) -> None:
        super().__init__(week)
        self.lost, self.told, self.refuses = 0, 0, False
        self._arrives = arrives

    async def report(self, found: Mismatch) -> bool:
        self.told += 1
        if self.refuses:
            raise Refused("not now")
        if self.lost:
            self.lost -= 1
            if self._arrives:
                await super().report(found)
            return False
        return await super().report(found)


def _parted(operator: DeafOperator, week: Week) -> None:
    week.world.trade(*LANE, 1, 30)
    diverge(week.bazaar, MismatchClass.FORK, 11)
    week.at(window_start(2) + 2 * DAY_MS)
    _through(operator, week)


def _through(operator: DeafOperator, week: Week) -> None:
    for keeper in week.keepers.values():
        keeper._operator = lambda: operator


async def test_a_report_that_is_lost_is_told_again_after_a_restart_and_after_its_window_was_settled() -> None:
    week = Week(2)
    operator = DeafOperator(week, arrives=False)
    operator.lost = 1_000
    _parted(operator, week)
    await week.look()
    await week.settled(1)
    await week.look()
    assert list(week.books.mismatches(1)) == []
    week.restart()
    _through(operator, week)
    operator.lost = 0
    await week.look()
    assert len(list(week.books.mismatches(1))) == 1
    told = operator.told
    week.restart()
    _through(operator, week)
    await week.look()
    assert operator.told == told  # the operator has it


async def test_a_report_of_which_only_the_answer_was_lost_is_told_again_and_kept_once() -> None:
    week = Week(2)
    operator = DeafOperator(week, arrives=True)
    operator.lost = 1
    _parted(operator, week)
    await week.look()
    await week.look()
    assert operator.told == 2
    assert len(list(week.books.mismatches(1))) == 1


async def test_a_report_that_is_refused_holds_up_no_close_and_is_told_again() -> None:
    week = Week(2)
    operator = DeafOperator(week, arrives=True)
    operator.refuses = True
    _parted(operator, week)
    await week.look()
    await week.settled(1)
    operator.refuses = False
    await week.look()
    assert len(list(week.books.mismatches(1))) == 1


def test_what_is_found_anew_while_the_first_report_is_on_its_way_is_told_too() -> None:
    store = MemoryStore()
    reports = Reports(store)
    reports.keep(_found())
    [first] = reports.untold()
    reports.keep(_found(12))
    reports.told(first)
    assert list(Reports(store).untold()) == [_found(12)]
    reports.told(_found(12))
    reports.keep(_found(12))  # the same search once more
    assert list(reports.untold()) == []
    assert reports.of_window(1) == [_found(12)]
