"""What can go wrong in the model: a process ends, or comes back on an old backup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from node.coalition.exchange import AcquirerState
from simulators.model.state import HELLO, READY, Acquirer, AcquirerDisk, Home, HomeDisk, Rules, State

MAY_CAPTURE = (AcquirerState.INTENT, AcquirerState.AUTHORIZED, AcquirerState.CAPTURING)
"""Where a spend may yet be captured."""


class Step(NamedTuple):
    """One thing that can happen. `is_fault`: it need not, once faults stop."""

    what: str
    state: State
    is_fault: bool = False


def mishaps(state: State, rules: Rules) -> Iterator[Step]:
    """A process ends, and its disk has what was synced, or all, or is an old backup's.

    What both have lost nobody has: one side is restored only while the other has what it must show.
    """
    left, home, own = state.faults, state.home, state.acquirer
    if left.home_restarts:
        fewer = state._replace(faults=left._replace(home_restarts=left.home_restarts - 1))
        for disk in {home.disk, home.mem}:
            yield Step("home restarts", _home_on(fewer, disk), True)
    if left.home_rollbacks and (not state.goods or "o" in own.disk.chain or not rules.goods_on_posted_only):
        fewer = state._replace(faults=left._replace(home_rollbacks=left.home_rollbacks - 1))
        for disk in state.home_past:
            yield Step("home is restored", _home_on(fewer, disk), True)
    if left.acquirer_restarts:
        fewer = state._replace(faults=left._replace(acquirer_restarts=left.acquirer_restarts - 1))
        for disk_ in {own.disk, own.mem}:
            yield Step("acquirer restarts", _acquirer_on(fewer, disk_, rules), True)
    if left.acquirer_rollbacks and home.phase == READY and (not state.goods or "o" in home.disk.chain):
        fewer = state._replace(faults=left._replace(acquirer_rollbacks=left.acquirer_rollbacks - 1))
        for disk_ in state.acquirer_past:
            yield Step("acquirer is restored", _acquirer_on(fewer, disk_, rules, is_backup=True), True)


def _home_on(state: State, disk: HomeDisk) -> State:
    return state._replace(home=Home(disk, disk))


def _acquirer_on(state: State, disk: AcquirerDisk, rules: Rules, *, is_backup: bool = False) -> State:
    """A new life: no HELLO that was said before is of it."""
    if is_backup and disk.state in MAY_CAPTURE:
        disk = disk._replace(from_backup=True)
    net = frozenset((*message[:4], False) if message[0] == HELLO else message for message in state.net)
    home = state.home._replace(asked=False)
    return state._replace(acquirer=Acquirer(disk, disk, not rules.hello), net=net, home=home)
