"""What is checked: the protocol under faults, and each shortcut under the smallest faults that show why it
is none.
"""

from __future__ import annotations

from typing import NamedTuple

from simulators.model.state import Faults, Rules


class Scenario(NamedTuple):
    """One check. A shortcut must break a promise, the protocol none."""

    name: str
    rules: Rules
    faults: Faults
    is_shortcut: bool = False


def _protocol(what: str, faults: Faults, **more: bool) -> tuple[Scenario, Scenario]:
    return (
        Scenario(f"a redemption, {what}", Rules(**more), faults),
        Scenario(f"an accrual, {what}", Rules(accrual=True, **more), faults),
    )


_SMALL = (
    *_protocol("no faults but the network's", Faults()),
    *_protocol("a restart of either side", Faults(home_restarts=1, acquirer_restarts=1)),
    *_protocol("an old backup of the home node's", Faults(home_rollbacks=1)),
    *_protocol("an old backup of the acquirer's", Faults(acquirer_rollbacks=1)),
    *_protocol("old backups of the home node's twice in a row", Faults(home_rollbacks=2)),
    *_protocol("an old backup of the home node's, another record, perhaps withheld", Faults(home_rollbacks=1),
               neighbour=True),
)  # fmt: skip

_MIDDLE = (
    *_protocol("a restart and an old backup of the home node's", Faults(home_restarts=1, home_rollbacks=1)),
    *_protocol("old backups of both", Faults(home_rollbacks=1, acquirer_rollbacks=1)),
    *_protocol("an old backup of the acquirer's, a neighbour", Faults(acquirer_rollbacks=1), neighbour=True),
)

PROTOCOL = (
    *_SMALL,
    *_MIDDLE,
    *_protocol("old backups of both, a restart", Faults(1, 1, 0, 1)),
    *_protocol("old backups of the home node's twice and of the acquirer's", Faults(0, 2, 0, 1)),
)

_BACKUP = Faults(home_rollbacks=1)


def _shortcut(name: str, faults: Faults = _BACKUP, **rules: bool) -> Scenario:
    return Scenario(name, Rules(**rules), faults, True)


SHORTCUTS = (
    _shortcut("the home node answers before the sync", Faults(), home_syncs_first=False),
    _shortcut("goods on AUTHORIZED", Faults(), goods_on_posted_only=False),
    _shortcut("goods when the acquirer signs CAPTURE", Faults(), goods_after_capture=True),
    _shortcut("POSTED does not count while cancelling", Faults(), posted_counts_while_cancelling=False),
    _shortcut(
        "an unsynced CAPTURE, forgotten, and then a CANCEL that ignores POSTED",
        Faults(acquirer_restarts=1),
        acquirer_syncs_first=False,
        posted_counts_while_cancelling=False,
    ),
    _shortcut("no HELLO after an old backup", hello=False),
    _shortcut("the epoch is raised only when a loss is noticed", epoch_at_every_start=False),
    _shortcut("HELLO is answered before the acquirer syncs", hello_syncs_first=False),
    _shortcut("HELLO tells nothing of what came to nothing", accrual=True, hello_tells_void=False),
    _shortcut("the acquirer takes old epochs", fence_to_acquirer=False),
    _shortcut("the home node takes old epochs", fence_to_home=False),
    _shortcut("a CANCEL of the unknown leaves no tombstone", Faults(), accrual=True, tombstones=False),
    _shortcut("a record counts though one before it is withheld", Faults(), neighbour=True, no_gaps=False),
    _shortcut("CANCEL is never answered", Faults(), answers_cancel=False),
    _shortcut(
        "a restored acquirer gives up before it has heard HELLO",
        Faults(acquirer_rollbacks=1),
        waits_before_giving_up=False,
    ),
    _shortcut(
        "a restored acquirer captures what a backup says is authorised",
        Faults(acquirer_rollbacks=1),
        captures_nothing_from_backup=False,
    ),
    _shortcut(
        "a restored acquirer sends a capture again that a backup knows of",
        Faults(acquirer_rollbacks=1),
        sends_no_capture_from_backup=False,
    ),
)

_BOTH = Faults(home_restarts=1, home_rollbacks=1, acquirer_rollbacks=1)

LONG_SHORTCUTS = (
    _shortcut(
        "a restored acquirer takes a HELLO that was on its way",
        _BOTH,
        hello_of_this_life=False,
    ),
    _shortcut(
        "an epoch that both sides have lost comes again", _BOTH, accrual=True, epoch_above_the_clock=False
    ),
)
"""Shortcuts that it takes many faults, and so many states, to see through."""

QUICK = (*_SMALL, *_MIDDLE, *SHORTCUTS)
