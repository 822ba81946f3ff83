"""Visits every reachable state, and says which promises are broken, each with the shortest way there."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from node.coalition.exchange import ENDED, AcquirerState, HomeState
from simulators.model.state import READY, Faults, Home, Rules, State, opened
from simulators.model.steps import steps
from simulators.model.tidy import tidied

MAX_STATES = 5_000_000

GOODS_UNPAID = "goods were handed over and the home node has not posted the exchange"
FAILED_BUT_POSTED = "the acquirer has let the exchange go and the home node posted it"
GOODS_BUT_FAILED = "goods were handed over and the acquirer has let the exchange go"
GOODS_GIVEN_BACK = "goods were handed over and the acquirer gives back what paid for them"
CHAINS_DIFFER = "the two chains are not one"
NEVER_ENDS = "the exchange does not end once faults stop"


class Report(Struct):
    """What a check found: states visited, and by promise the way to where it is broken."""

    states: int = 0
    violations: dict[str, list[str]] = {}


def broken(state: State) -> str:
    """The promise that a state breaks, empty where it breaks none.

    Between a rollback and HELLO the home node does not know what it owes, and says nothing: it is asked
    once the lane is open.
    """
    home, own = state.home, state.acquirer
    if state.fault:
        return state.fault
    if state.goods and own.disk.state is AcquirerState.FAILED:
        return GOODS_BUT_FAILED
    if state.goods and own.disk.returned:
        return GOODS_GIVEN_BACK
    if home.phase != READY:
        return ""
    if state.goods and home.disk.state is not HomeState.POSTED:
        return GOODS_UNPAID
    failed = own.disk.state is AcquirerState.FAILED
    if failed and ("o" in own.disk.chain or (_is_posted(home) and home.disk.posted >= own.disk.voided)):
        return FAILED_BUT_POSTED
    shorter, longer = sorted((home.disk.chain, own.disk.chain), key=len)
    return "" if longer.startswith(shorter) else CHAINS_DIFFER


def _is_posted(home: Home) -> bool:
    return home.disk.state is HomeState.POSTED


def has_ended(state: State) -> bool:
    """Whether nothing is left to do: both agree, durably, and the acquirer has every record."""
    home, own = state.home, state.acquirer
    quiet = own.mem == own.disk and home.mem == home.disk and home.phase == READY
    if not quiet or own.disk.chain != home.disk.chain:
        return False
    if own.disk.state is AcquirerState.NONE:  # a restored acquirer of which no till has asked again
        return home.disk.state is not HomeState.POSTED
    done = own.disk.state is AcquirerState.DONE
    return own.disk.state in ENDED and done == (home.disk.state is HomeState.POSTED)


def check(
    rules: Rules, faults: Faults, *, liveness: bool = True, first: bool = False, max_states: int = MAX_STATES
) -> Report:
    """Every state that can be reached with at most these faults. Stops at the first way to each broken
    promise.
    """
    start = tidied(opened(faults), rules)
    came_from: dict[State, tuple[State | None, str]] = {start: (None, "")}
    without_faults: dict[State, list[State]] = {}
    report = Report(violations={})
    queue = deque([start])
    while queue:
        state = queue.popleft()
        wrong = broken(state)
        if wrong:
            report.violations.setdefault(wrong, _way(came_from, state))
            if first:
                break
            continue
        for step in steps(state, rules):
            if step.state == state:
                continue
            if not step.is_fault and liveness:
                without_faults.setdefault(step.state, []).append(state)
            if step.state not in came_from:
                came_from[step.state] = (state, step.what)
                queue.append(step.state)
        if len(came_from) > max_states:
            raise MemoryError(f"more than {max_states} states; allow fewer faults")
    report.states = len(came_from)
    if liveness and not report.violations:
        stuck = _never_ends(came_from, without_faults)
        if stuck is not None:
            report.violations[NEVER_ENDS] = _way(came_from, stuck)
    return report


def _never_ends(
    came_from: dict[State, tuple[State | None, str]], without_faults: dict[State, list[State]]
) -> State | None:
    """A state from which no way without faults leads to an end; None where there is none."""
    ends = {state for state in came_from if has_ended(state)}
    queue = deque(ends)
    while queue:
        for before in without_faults.get(queue.popleft(), ()):
            if before not in ends:
                ends.add(before)
                queue.append(before)
    return next((state for state in came_from if state not in ends), None)


def _way(came_from: dict[State, tuple[State | None, str]], state: State) -> list[str]:
    """What happened, in order."""
    way: list[str] = []
    at: State | None = state
    while at is not None:
        at, what = came_from[at]
        if what:
            way.append(what)
    return way[::-1]
