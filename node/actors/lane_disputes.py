"""What a shard keeps of a lane that was set aside, and whether it proves that somebody told two histories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from node.actors.turn import Opening
from node.actors.work import Work
from node.coalition import lanes
from node.coalition.envelopes import Message
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire import coalition_store as store
from node.wire.coalition import reopen
from node.wire.coalition_records import LANE_WISH, DisputeAnswer, LaneWish
from node.wire.commands import Answer, Op, done, encode

if TYPE_CHECKING:
    from node.actors.abroad import Abroad


class LaneDisputes:
    """Command LANE_DISPUTE: it only reads. The answer is a DisputeAnswer; with an empty `why`, no dispute."""

    def __init__(self, abroad: Abroad) -> None:
        self._abroad = abroad
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {Op.LANE_DISPUTE: self._look}

    def _look(self, opening: Opening) -> Answer | None:
        wish = LANE_WISH.decode(opening.command.body)
        role = Role.HOME if wish.home else Role.ACQUIRER
        (partner_id,) = wish.partner_ids
        number, work = opening.partition.number, opening.work
        data = work.get(keys.lane_dispute_key(number, role, partner_id, wish.lane))
        if data is None:
            return done(encode(DisputeAnswer()))
        record = store.DISPUTE.decode(data)
        candidates = [
            one for one in self._words(number, role, wish, record, work) if lanes.heads_said(one) is not None
        ]
        for one, other in combinations(candidates, 2):
            if lanes.is_fork_proof(one, other):
                proof = (store.envelope_bytes(one.envelope), store.envelope_bytes(other.envelope))
                return done(encode(DisputeAnswer(record.why, record.at_ms, record.number, proof)))
        return done(encode(DisputeAnswer(record.why, record.at_ms, record.number)))

    def _words(
        self, partition: int, role: Role, wish: LaneWish, record: store.DisputeRecord, work: Work
    ) -> Iterator[Message]:
        """Everything that the home node has signed about it: what came, the HELLO, the record here."""
        (partner_id,) = wish.partner_ids
        carried = reopen(record.received)
        came = [carried.message, *self._abroad.evidence(carried.evidence)]
        yield from came
        if role is Role.ACQUIRER:
            head = work.get(keys.lane_head_key(partition, role, partner_id, wish.lane))
            hello = None if head is None else store.ACQUIRER_LANE.decode(head).hello
            if hello is not None:
                yield self._abroad.read(hello)
        for at in {said[1] for said in map(lanes.heads_said, came) if said is not None}:
            data = work.get(keys.lane_record_key(partition, role, partner_id, wish.lane, at)) if at else None
            if data is not None:
                yield self._abroad.read(store.LANE_ENTRY.decode(data).posted)
