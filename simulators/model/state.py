"""What the model is made of: the two nodes, the messages that were ever sent, the faults that are left, the
rules.

One exchange is looked at, with at most one record of another beside it on the lane. A chain is a text of
its records in their order, "o" ours and "n" the neighbour's, so that a hash is the text up to it. The
network is the set of all messages ever sent: any of them may arrive at any time, again and again, or never.

Messages:
    (ASK,) (CAPTURE, epoch) (CANCEL,) (ACK, epoch)               acquirer to home; ASK is RESERVE or ACCRUE
    (AUTHORIZED, epoch) (VOIDED, epoch) (POSTED, epoch, chain)   home to acquirer; the chain up to the record
    (HELLO, epoch, id, chain, is of this life)                   home to acquirer
    (REPLY, epoch, id, prior epoch, chain, is void)              acquirer to home
"""

from __future__ import annotations

from typing import NamedTuple

from node.coalition.exchange import AcquirerState, HomeState

Message = tuple[object, ...]
"""(kind, ...) as above."""

SHUT, PROPOSED, READY = "shut", "proposed", "ready"

ASK, CAPTURE, CANCEL, ACK = "ASK", "CAPTURE", "CANCEL", "ACK"
AUTHORIZED, VOIDED, POSTED = "AUTHORIZED", "VOIDED", "POSTED"
HELLO, REPLY = "HELLO", "REPLY"


class HomeDisk(NamedTuple):
    """What the home node has of the exchange and its lane. `posted` is the epoch in which it was posted."""

    state: HomeState = HomeState.NONE
    epoch: int = 0
    chain: str = ""
    posted: int = 0


class Home(NamedTuple):
    """The home node: what is in memory, what is on the disk, and what will be said once it is synced.

    `asked`: a HELLO_REQUEST of the acquirer's present life has come.
    """

    mem: HomeDisk = HomeDisk()
    disk: HomeDisk = HomeDisk()
    phase: str = SHUT
    hello: int = 0
    asked: bool = False
    out: frozenset[Message] = frozenset()


class AcquirerDisk(NamedTuple):
    """What the acquirer has. `prior` is the epoch before the adopted one, `hello` the HELLO that adopted it,
    and `home_number` how many records that said the home node has. `returned`: it gives back what was posted.
    `from_backup`: the exchange is as an old backup had it, and a till may have let it go since.
    """

    state: AcquirerState = AcquirerState.NONE
    epoch: int = 0
    prior: int = 0
    hello: int = 0
    chain: str = ""
    voided: int = 0
    home_number: int = 0
    returned: bool = False
    from_backup: bool = False


class Acquirer(NamedTuple):
    """The acquirer. `heard`: HELLO came in this life of the process."""

    mem: AcquirerDisk = AcquirerDisk()
    disk: AcquirerDisk = AcquirerDisk()
    heard: bool = False
    out: frozenset[Message] = frozenset()


class Faults(NamedTuple):
    """What may still go wrong."""

    home_restarts: int = 0
    home_rollbacks: int = 0
    acquirer_restarts: int = 0
    acquirer_rollbacks: int = 0


class State(NamedTuple):
    """The whole. `fresh`: a request without a lane, once signed, would still be taken as new. `top`: no epoch
    that was ever said is higher; nobody knows it, but the clock stands above it. `let_go`: a till was told
    that its spend comes to nothing; nobody knows that once the acquirer has lost it.
    """

    home: Home = Home()
    acquirer: Acquirer = Acquirer()
    net: frozenset[Message] = frozenset()
    goods: bool = False
    let_go: bool = False
    fresh: bool = True
    hellos: int = 0
    top: int = 1
    faults: Faults = Faults()
    home_past: frozenset[HomeDisk] = frozenset((HomeDisk(),))
    acquirer_past: frozenset[AcquirerDisk] = frozenset((AcquirerDisk(),))
    fault: str = ""


class Rules(NamedTuple):
    """The protocol, all true; each one that is false is a shortcut, which the check must catch.

    `accrual`: the exchange is an earning, which the home node posts at once. `neighbour`: another exchange
    of the lane may be posted too.
    """

    accrual: bool = False
    neighbour: bool = False
    home_syncs_first: bool = True
    acquirer_syncs_first: bool = True
    goods_on_posted_only: bool = True
    goods_after_capture: bool = False
    posted_counts_while_cancelling: bool = True
    hello: bool = True
    epoch_at_every_start: bool = True
    epoch_above_the_clock: bool = True
    hello_syncs_first: bool = True
    hello_tells_void: bool = True
    fence_to_acquirer: bool = True
    fence_to_home: bool = True
    no_gaps: bool = True
    tombstones: bool = True
    hello_of_this_life: bool = True
    waits_before_giving_up: bool = True
    captures_nothing_from_backup: bool = True
    sends_no_capture_from_backup: bool = True
    answers_cancel: bool = True


def opened(faults: Faults) -> State:
    """Where a check begins: a lane that is open in epoch 1, and nothing has happened yet."""
    there, here = HomeDisk(epoch=1), AcquirerDisk(epoch=1, hello=1)
    return State(
        home=Home(there, there, READY, 1),
        acquirer=Acquirer(here, here, True),
        hellos=1,
        faults=faults,
        home_past=frozenset((there,)),
        acquirer_past=frozenset((here,)),
    )
