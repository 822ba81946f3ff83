"""Windows: they only move forward, in their order, and never stop traffic."""

import itertools

import pytest

from node.coalition.directory import (
    CoalitionPurse,
    Directory,
    Partner,
    PartnerStatus,
    SettlementTerms,
    Window,
)
from node.settlement.windows import (
    TRANSITIONS,
    Circumstances,
    WindowEvent,
    WindowRefusal,
    WindowState,
    grace_over,
    pairs_of,
    partners_of,
    step,
    terms_of,
)

WINDOW = Window(number=3, open_time_ms=1_000, cut_time_ms=2_000)
DONE = Circumstances(now_ms=2_000, previous=WindowState.PENDING)


def test_a_window_is_closed_published_and_paid_in_this_order_and_no_other() -> None:
    state = WindowState.OPEN
    for event in (WindowEvent.CLOSE, WindowEvent.PUBLISH, WindowEvent.PAY):
        moved = step(WINDOW, state, event, DONE)
        assert isinstance(moved, WindowState)
        assert moved > state
        assert step(WINDOW, moved, event, DONE) is moved  # asked again, it is simply done
        state = moved
    assert state is WindowState.SETTLED
    for state, event in itertools.product(WindowState, WindowEvent):
        result = step(WINDOW, state, event, DONE)
        allowed = (state, event) in TRANSITIONS or state in [
            to for (_, done), to in TRANSITIONS.items() if done is event
        ]
        assert isinstance(result, WindowState) == allowed
        assert not isinstance(result, WindowState) or result >= state


@pytest.mark.parametrize(
    ("state", "event", "given", "refusal"),
    [
        (WindowState.OPEN, WindowEvent.CLOSE, Circumstances(1_999, None), WindowRefusal.BEFORE_CUT),
        (
            WindowState.OPEN,
            WindowEvent.CLOSE,
            Circumstances(2_000, WindowState.OPEN),
            WindowRefusal.EARLIER_WINDOW_OPEN,
        ),
        (
            WindowState.CLOSED,
            WindowEvent.PUBLISH,
            Circumstances(2_000, WindowState.CLOSED),
            WindowRefusal.EARLIER_WINDOW_UNSETTLED,
        ),
        (
            WindowState.CLOSED,
            WindowEvent.PUBLISH,
            Circumstances(2_000, None, closes_awaited=1),
            WindowRefusal.CLOSES_AWAITED,
        ),
        (WindowState.OPEN, WindowEvent.PUBLISH, DONE, WindowRefusal.NOT_CLOSED),
        (WindowState.CLOSED, WindowEvent.PAY, DONE, WindowRefusal.WRONG_STATE),
        (
            WindowState.PENDING,
            WindowEvent.PAY,
            Circumstances(2_000, None, payments_awaited=1),
            WindowRefusal.UNPAID,
        ),
    ],
)
def test_a_window_that_may_not_move_says_why(
    state: WindowState, event: WindowEvent, given: Circumstances, refusal: WindowRefusal
) -> None:
    assert step(WINDOW, state, event, given) is refusal


def test_the_operator_may_settle_without_closes_that_never_came() -> None:
    given = Circumstances(2_000, None, closes_awaited=5, without_missing=True)
    assert step(WINDOW, WindowState.CLOSED, WindowEvent.PUBLISH, given) is WindowState.PENDING


def _directory() -> Directory:
    partners = (
        Partner("c", "C", PartnerStatus.ACTIVE, from_window=3),
        Partner("a", "A", PartnerStatus.ACTIVE),
        Partner("b", "B", PartnerStatus.LEFT, last_window=3),
    )
    terms = (
        SettlementTerms(1, "IRR", 0, close_grace_seconds=10),
        SettlementTerms(4, "EUR", 2, close_grace_seconds=20),
    )
    return Directory("test", 1, 0, partners, CoalitionPurse("points"), settlement_terms=terms)


def test_who_has_joined_and_has_not_left_signs_closes() -> None:
    directory = _directory()
    assert [partners_of(directory, window) for window in (2, 3, 4)] == [
        ["a", "b"],
        ["a", "b", "c"],
        ["a", "c"],
    ]
    assert pairs_of(directory, 2) == [("a", "b"), ("b", "a")]


def test_a_window_is_settled_by_the_terms_of_its_time() -> None:
    directory = _directory()
    currencies = [terms.currency if (terms := terms_of(directory, n)) else None for n in (0, 1, 3, 4, 9)]
    assert currencies == [None, "IRR", "IRR", "EUR", "EUR"]
    assert not grace_over(directory, WINDOW, 11_999)
    assert grace_over(directory, WINDOW, 12_000)
