"""A settlement window's life at the operator, with its steps as data.

    OPEN     postings are stamped with it, by the home node's clock and the signed calendar
    CLOSED   its cut has passed: closes are taken
    PENDING  the statement is published: payments are awaited
    SETTLED  everything is paid

A window never goes back. Traffic never waits for one: at the cut the next window is simply the one that
postings are stamped with, and holds that are still open are captured into it.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from msgspec import Struct

from node.coalition.directory import Directory, Partner, SettlementTerms, Window


class WindowState(IntEnum):
    """Where a window is; the numbers are the protos'."""

    OPEN = 1
    CLOSED = 2
    PENDING = 3
    SETTLED = 4


class WindowEvent(StrEnum):
    """What moves a window on."""

    CLOSE = "close"
    PUBLISH = "publish"
    PAY = "pay"


class WindowRefusal(StrEnum):
    """Why a window does not move; the words are for the operator."""

    NOT_IN_CALENDAR = "the directory has no such window"
    NO_TERMS = "the directory has no settlement terms for this window"
    BEFORE_CUT = "its cut is still to come; traffic goes on and nothing was closed"
    EARLIER_WINDOW_OPEN = "an earlier window has not been closed; windows are closed in their order"
    EARLIER_WINDOW_UNSETTLED = "an earlier window has no statement yet; statements follow each other"
    CLOSES_AWAITED = "pairs have no close yet and their time to sign is not over"
    UNPAID = "payments are still awaited"
    NOT_CLOSED = "it is still open; it is closed first"
    WRONG_STATE = "it is not in the state for that"


TRANSITIONS: dict[tuple[WindowState, WindowEvent], WindowState] = {
    (WindowState.OPEN, WindowEvent.CLOSE): WindowState.CLOSED,
    (WindowState.CLOSED, WindowEvent.PUBLISH): WindowState.PENDING,
    (WindowState.PENDING, WindowEvent.PAY): WindowState.SETTLED,
}
"""From a state by an event to the next; whatever is not here is refused, or is done already."""


class Circumstances(Struct, frozen=True):
    """What the guards look at. Times in epoch milliseconds."""

    now_ms: int
    previous: WindowState | None
    """The state of the window before; None where there is none at this operator."""
    closes_awaited: int = 0
    """Pairs that have no close and may still send one."""
    payments_awaited: int = 0
    without_missing: bool = False
    """The operator settles although closes are awaited."""


def step(
    window: Window, state: WindowState, event: WindowEvent, given: Circumstances
) -> WindowState | WindowRefusal:
    """The state after `event`; the same state where it was done before; or why not."""
    if any(to is state and done is event for (_, done), to in TRANSITIONS.items()):
        return state
    after = TRANSITIONS.get((state, event))
    if after is None:
        return WindowRefusal.NOT_CLOSED if state is WindowState.OPEN else WindowRefusal.WRONG_STATE
    return _GUARDS[event](window, given) or after


def _may_close(window: Window, given: Circumstances) -> WindowRefusal | None:
    if given.now_ms < window.cut_time_ms:
        return WindowRefusal.BEFORE_CUT
    return WindowRefusal.EARLIER_WINDOW_OPEN if given.previous is WindowState.OPEN else None


def _may_publish(window: Window, given: Circumstances) -> WindowRefusal | None:
    if given.previous in (WindowState.OPEN, WindowState.CLOSED):
        return WindowRefusal.EARLIER_WINDOW_UNSETTLED
    awaited = given.closes_awaited and not given.without_missing
    return WindowRefusal.CLOSES_AWAITED if awaited else None


def _may_finish(window: Window, given: Circumstances) -> WindowRefusal | None:
    return WindowRefusal.UNPAID if given.payments_awaited else None


_GUARDS = {
    WindowEvent.CLOSE: _may_close,
    WindowEvent.PUBLISH: _may_publish,
    WindowEvent.PAY: _may_finish,
}


def terms_of(directory: Directory, window: int) -> SettlementTerms | None:
    """The settlement terms of a window: those with the highest `from_window` not above it."""
    known = [terms for terms in directory.settlement_terms if terms.from_window <= window]
    return max(known, key=lambda terms: terms.from_window, default=None)


def takes_part(partner: Partner, window: int) -> bool:
    """Whether a partner signs closes for a window: from its first on, until its last if it left."""
    return partner.from_window <= window and (not partner.last_window or window <= partner.last_window)


def partners_of(directory: Directory, window: int) -> list[str]:
    """The ids of the partners that sign closes for a window, in byte order."""
    return sorted(one.partner_id for one in directory.partners if takes_part(one, window))


def pairs_of(directory: Directory, window: int) -> list[tuple[str, str]]:
    """All ordered pairs (home, acquirer) of the partners of a window, in byte order."""
    ids = partners_of(directory, window)
    return [(home, acquirer) for home in ids for acquirer in ids if home != acquirer]


def grace_over(directory: Directory, window: Window, now_ms: int) -> bool:
    """Whether both sides' time to sign is over, so that one side may submit alone."""
    terms = terms_of(directory, window.number)
    grace_ms = (terms.close_grace_seconds if terms else 0) * 1000
    return now_ms >= window.cut_time_ms + grace_ms
