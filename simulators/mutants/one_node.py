"""Shortcuts that a node must not take: the world of one node finds each of them."""

from __future__ import annotations

import asyncio
from typing import Any

from node.actors import partition, router, tills
from node.actors.delivery import Delivery
from node.actors.linking import Linking
from node.actors.member import MemberActor
from node.actors.router import Lane
from node.actors.work import Work
from node.ledger.decision import Accepted
from node.ledger.events import Tombstoned
from node.ledger.refusals import Reason, refuse
from node.storage.store import Batch
from node.wire.commands import Op, done
from simulators.mutants.mutant import Mutant
from simulators.mutants.patches import Patches
from simulators.sim.faults import FaultKind
from simulators.sim.shop import Shop


def answers_before_the_sync(patch: Patches) -> None:
    """The batch is synced with the next one."""

    def commit(work: Any) -> float:
        if work._changed:
            store = work._store
            if store.unsynced:
                store.sync()
            _write(store, work._changed)
        return 0.0

    patch.setattr(Work, "commit", commit)


def _write(store: Any, changed: dict[bytes, bytes]) -> None:
    batch = Batch()
    for key, value in changed.items():
        batch.put(key, value) if value else batch.delete(key)
    store.write(batch)


def writes_a_batch_in_two_parts(patch: Patches) -> None:
    """First the journal, then the rest, each of them synced."""

    def commit(work: Any) -> float:
        changed = list(work._changed.items())
        for part in (changed[: len(changed) // 2], changed[len(changed) // 2 :]):
            if part:
                _write(work._store, dict(part))
                work._store.sync()
        return 0.0

    patch.setattr(Work, "commit", commit)


def forgets_what_was_done(patch: Patches) -> None:
    """A request that comes again is done again."""
    known = Work.request_at

    def request_at(work: Any, key: bytes) -> Any:
        record = known(work, key)
        return None if record is not None and not record.reversed_unseen else record

    patch.setattr(Work, "request_at", request_at)


def forgets_tombstones(patch: Patches) -> None:
    """A request that was reversed before it arrived is done when it arrives."""
    reverse = tills.DECIDERS[Op.REVERSE]

    def without(*arguments: Any) -> Any:
        decision = reverse(*arguments)
        if isinstance(decision, Accepted) and isinstance(decision.events[0], Tombstoned):
            arguments[1].puts.clear()
        return decision

    patch.setitem(tills.DECIDERS, Op.REVERSE, without)


def calls_a_lost_batch_refused(patch: Patches) -> None:
    """The shard went with a batch in hand: whether it was done is not asked."""

    async def revived(lane: Any) -> bool:
        return False

    patch.setattr(Lane, "_revived", revived)
    patch.setattr(router, "_unknown", lambda: refuse(Reason.TRANSACTION_NOT_FOUND, "It was not done."))


def saves_no_account(patch: Patches) -> None:
    """What an account came to stays in memory."""
    save = MemberActor.save

    def sometimes(member: Any, work: Any) -> None:
        if member.state is None or member.state.last_sequence % 7:
            save(member, work)

    patch.setattr(MemberActor, "save", sometimes)


def drops_what_was_not_delivered(patch: Patches) -> None:
    """An outbox entry goes before what it asks for has been done."""

    async def take(self: Any, op: Op, dispatch: Any) -> bool:
        await asyncio.sleep(0)
        return True

    patch.setattr(Delivery, "_take", take)


def reverses_twice(patch: Patches) -> None:
    """What became of an entry is not noted."""
    patch.setattr(partition, "amend", lambda before, event, at_ms: before)


def leaves_claims_half_made(patch: Patches) -> None:
    """Nobody looks into what a crash left claimed."""

    async def sweep(linking: Any) -> int:
        await asyncio.sleep(0)
        return 0

    patch.setattr(Linking, "sweep", sweep)


def lets_units_go_before_they_arrive(patch: Patches) -> None:
    """A transfer is closed whatever the other account said."""

    async def receive(self: Any, dispatch: Any) -> Any:
        await asyncio.sleep(0)
        return done(b"")

    patch.setattr(Delivery, "_receive", receive)


LINES = {FaultKind.TILL_CUT: 1, FaultKind.TILL_LOSSY: 1}
"""What never arrived is what tombstones are about; of all kinds of faults few are of the lines."""

MUTANTS = (
    Mutant(answers_before_the_sync, "node", Shop),
    Mutant(writes_a_batch_in_two_parts, "node", Shop),
    Mutant(forgets_what_was_done, "node", Shop),
    Mutant(forgets_tombstones, "node", lambda seed: Shop(seed, weights=LINES)),
    Mutant(calls_a_lost_batch_refused, "node", Shop),
    Mutant(saves_no_account, "node", Shop),
    Mutant(drops_what_was_not_delivered, "node", Shop),
    Mutant(reverses_twice, "node", Shop),
    Mutant(leaves_claims_half_made, "node", Shop),
    Mutant(lets_units_go_before_they_arrive, "node", Shop),
)
"""Of the world `node`."""
