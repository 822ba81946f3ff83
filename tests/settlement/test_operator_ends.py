"""However an operator's process ends, no window stays open in which nothing is awaited any more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from bench.settlement_records import make_coalition
from node.actors.operator_books import OperatorBooks
from node.actors.operator_money import NotDone
from node.settlement.documents import Payment
from node.settlement.payments import Booked
from node.settlement.windows import WindowState
from node.storage.memory import MemoryStore
from node.wire.settlement_store import WindowRecord
from tests.settlement.settlement_world import World
from tests.settlement.test_operator_books import CUT, Operator
from tests.settlement.test_operator_payments import LATE, _payments, _published


class ProcessEnds(Exception):
    """The operator's process is killed."""


def _ends_after_its_first_sync(
    operator: Operator, work: Callable[[OperatorBooks], object], monkeypatch: pytest.MonkeyPatch
) -> WindowState:
    """The state of the window after `work` was cut off by the end of the process, and books opened anew."""
    sync, written = MemoryStore.sync, MemoryStore.write
    synced = []

    def once(store: MemoryStore) -> None:
        sync(store)
        synced.append(store)

    def alive(store: MemoryStore, *batch: object) -> None:
        if synced:
            raise ProcessEnds
        written(store, *batch)  # type: ignore[arg-type]  # what it was called with

    with monkeypatch.context() as patched:
        patched.setattr(MemoryStore, "sync", once)
        patched.setattr(MemoryStore, "write", alive)
        with contextlib.suppress(ProcessEnds):
            work(operator.again())
    assert synced, "it has written something"
    record = operator.again().window(1)
    assert isinstance(record, WindowRecord)
    return record.state


def test_a_statement_without_payments_settles_its_window_in_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = Operator(World(coalition=make_coalition(3)))
    operator.collect(1, CUT)
    operator.books.close_window(1, CUT)
    state = _ends_after_its_first_sync(operator, lambda books: books.settle(1, CUT), monkeypatch)
    assert state is WindowState.SETTLED


def _only_payment() -> tuple[Operator, Payment]:
    operator, statement = _published(2)
    [payment] = _payments(statement)
    return operator, payment


def test_the_last_payment_that_is_reported_settles_its_window_in_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator, payment = _only_payment()
    booked = Booked(payment.reference, payment.amount, "B1")
    state = _ends_after_its_first_sync(
        operator,
        lambda books: books.payments.report("r", 1, payment.creditor_id, [booked], CUT),
        monkeypatch,
    )
    assert state is WindowState.SETTLED


def test_the_last_payment_that_the_operator_marks_settles_its_window_in_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator, payment = _only_payment()
    state = _ends_after_its_first_sync(
        operator,
        lambda books: books.payments.confirm("c", 1, payment.reference, payment.amount, "B1", CUT),
        monkeypatch,
    )
    assert state is WindowState.SETTLED


def test_a_default_that_leaves_the_others_nothing_to_pay_settles_the_window_in_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator, payment = _only_payment()
    state = _ends_after_its_first_sync(
        operator,
        lambda books: books.payments.default("d", 1, payment.debtor_id, "has not paid", LATE),
        monkeypatch,
    )
    assert state is WindowState.SETTLED


def test_a_report_that_comes_again_is_told_the_window_as_it_is_kept() -> None:
    operator, statement = _published(2)
    [payment] = _payments(statement)

    def reports(request_id: str, amount: int, name: str) -> WindowState:
        booked = Booked(payment.reference, amount, name)
        found = operator.again().payments.report(request_id, 1, payment.creditor_id, [booked], CUT)
        assert not isinstance(found, NotDone), found
        kept = operator.again().window(1)
        assert isinstance(kept, WindowRecord)
        assert found[1].state is kept.state
        return kept.state

    first, less = payment.amount - 40, payment.amount - 50
    assert reports("r1", first, "b") is WindowState.PENDING
    assert reports("r2", less, "b") is WindowState.PENDING  # the bank says the same booking otherwise
    assert reports("r3", 40, "a") is WindowState.PENDING
    assert reports("r1", first, "b") is WindowState.PENDING
    assert reports("r4", first, "b") is WindowState.SETTLED
