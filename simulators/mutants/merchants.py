"""Shortcuts between merchants that a checked model found wanting: the worlds of a coalition find them too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from node.actors import abroad_spending
from node.actors.acquirer_lanes import Partner
from node.actors.home_lanes import Life
from node.actors.home_opening import HomeOpening
from node.actors.work import Work
from node.coalition import lanes
from node.coalition.envelopes import Draft, Message
from node.coalition.exchange import AcquirerState
from node.coalition.lanes import AcquirerLane, HomeLane
from node.coalition.messages import Hello, MessageType
from node.storage.coalition_keys import Role
from node.storage.keyspace import Kind
from node.storage.store import Batch
from simulators.mutants.mutant import Mutant
from simulators.mutants.patches import Patches
from simulators.sim.bazaar import Bazaar, Restored
from simulators.sim.faults import FaultKind

Concerns = Callable[[bytes], bool]


def _late_sync(patch: Patches, concerns: Concerns) -> None:
    """A batch with such a key is synced with the next one only."""

    def commit(work: Any) -> float:
        if work._changed:
            batch = Batch()
            for key, value in work._changed.items():
                batch.put(key, value) if value else batch.delete(key)
            if work._store.unsynced:
                work._store.sync()
            work._store.write(batch)
            if not any(concerns(key) for key in work._changed):
                work._store.sync()
        return 0.0

    patch.setattr(Work, "commit", commit)


def answers_before_the_sync(patch: Patches) -> None:
    """The home node says AUTHORIZED and POSTED before they are durable."""
    _late_sync(patch, lambda key: key[1] == Kind.HOME_EXCHANGE)


def sends_a_capture_unsynced(patch: Patches) -> None:
    """The acquirer sends what it has not made durable, and what it holds for DONE may be gone."""
    _late_sync(patch, lambda key: key[1] == Kind.ACQUIRER_EXCHANGE)


def answers_hello_before_the_sync(patch: Patches) -> None:
    """The acquirer answers HELLO, and tells of its head, before either is durable."""
    _late_sync(patch, lambda key: key[1] == Kind.LANE_HEAD and key[2] == Role.ACQUIRER)


def hands_goods_over_on_authorized(patch: Patches) -> None:
    """The till hands goods over when the units are held."""
    patch.setattr(abroad_spending, "_redeemed", abroad_spending._decided)


def hands_goods_over_on_its_own_capture(patch: Patches) -> None:
    """The till hands goods over when its own node has signed CAPTURE."""
    states = {AcquirerState.CAPTURING, AcquirerState.DONE, AcquirerState.FAILED, AcquirerState.CANCELLING}
    patch.setattr(abroad_spending, "_redeemed", lambda exchange: exchange.state in states)


def opens_lanes_without_hello(patch: Patches) -> None:
    """A lane that was open once is open after every start."""
    begin: Any = Life.__init__
    meet: Any = Partner.is_ready

    def born_ready(life: Any, *more: Any) -> None:
        begin(life, *more)
        life.ready = life.record.lane.epoch > 0

    def always_ready(partner: Any, lane: int, *more: Any) -> bool:
        known = partner.lanes.get(lane)
        return meet(partner, lane, *more) or (known is not None and known.epoch > 0)

    patch.setattr(Life, "__init__", born_ready)
    patch.setattr(Partner, "is_ready", always_ready)


def raises_the_epoch_only_when_a_loss_is_noticed(patch: Patches) -> None:
    """A lane is opened in the epoch that it had, unless the acquirer's records show that some were lost."""
    propose: Any = HomeOpening._propose
    reply: Any = HomeOpening.reply
    on_hello: Any = lanes.on_hello

    def as_it_was(opens: Any, opening: Any, life: Any, above: int = 0) -> None:
        lane = life.record.lane
        if above or not lane.epoch:
            propose(opens, opening, life, above)
            return
        with Patches() as same:
            same.setattr(lanes, "propose", in_the_same_epoch)
            propose(opens, opening, life)

    def in_the_same_epoch(lane: HomeLane, nonce: bytes, above: int, asked: bytes) -> tuple[HomeLane, Draft]:
        lane = replace(lane, nonce=nonce)
        return lane, Draft(MessageType.HELLO, lane.lane, lane.epoch, b"", Hello(lane.head, nonce, asked))

    def takes_it_again(lane: AcquirerLane, message: Message) -> Any:
        hello, epoch = message.body, message.header.epoch
        assert isinstance(hello, Hello)
        if epoch != lane.epoch or hello.nonce == lane.nonce:
            return on_hello(lane, message)
        return on_hello(replace(lane, epoch=epoch - 1), message)

    def notices(opens: Any, opening: Any, life: Any, carried: Any) -> None:
        before = life.record.lane.number
        reply(opens, opening, life, carried)
        if life.ready and life.record.lane.number > before:
            propose(opens, opening, life, life.record.lane.epoch)

    patch.setattr(HomeOpening, "_propose", as_it_was)
    patch.setattr(HomeOpening, "reply", notices)
    patch.setattr(lanes, "on_hello", takes_it_again)


class Powerless(Bazaar):
    """The power is cut again and again, at whichever step of a batch."""

    faults = (20, 40)


POWER = {FaultKind.POWER_AT_STEP: 1}


class ShortHolds(Restored):
    """Holds end soon, and messages are late: what was held is often void when it is captured."""

    hold_seconds_max = 60


LATE: dict[FaultKind, int] = {
    FaultKind.STORM: 6,
    FaultKind.BACKUP: 4,
    FaultKind.ROLLBACK: 6,
}
RELAYED: dict[FaultKind, int] = {
    FaultKind.WITHHELD: 6,
    FaultKind.BACKUP: 4,
    FaultKind.ROLLBACK: 4,
}
"""What a relay has kept comes after a node was put back."""


MUTANTS = (
    Mutant(answers_before_the_sync, "coalition", lambda seed: Powerless(seed, weights=POWER)),
    Mutant(sends_a_capture_unsynced, "coalition", lambda seed: Powerless(seed, weights=POWER)),
    Mutant(answers_hello_before_the_sync, "coalition", lambda seed: Powerless(seed, weights=POWER)),
    Mutant(hands_goods_over_on_authorized, "restored", lambda seed: ShortHolds(seed, weights=LATE)),
    Mutant(hands_goods_over_on_its_own_capture, "restored", lambda seed: ShortHolds(seed, weights=LATE)),
    Mutant(opens_lanes_without_hello, "restored", Restored),
    Mutant(
        raises_the_epoch_only_when_a_loss_is_noticed,
        "restored",
        lambda seed: Restored(seed, weights=RELAYED),
    ),
)
"""Of the worlds `coalition` and `restored`."""
