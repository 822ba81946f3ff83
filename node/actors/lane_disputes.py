"""What a shard keeps of a lane that was set aside, and whether it proves that somebody told two histories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from node.actors.turn import Opening
from node.actors.work import Work
from node.coalition import lanes
from node.coalition.envelopes import Message
from node.coalition.forks import MAX_LINKS, ForkWords, Link
from node.coalition.messages import Posted
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
        found = self._proof(number, role, wish, record, work)
        if found is None:
            return done(encode(DisputeAnswer(record.why, record.at_ms, record.number)))
        proof = (store.envelope_bytes(found.first.envelope), store.envelope_bytes(found.second.envelope))
        return done(
            encode(DisputeAnswer(record.why, record.at_ms, record.number, proof, found.links, found.before))
        )

    def _proof(
        self, partition: int, role: Role, wish: LaneWish, record: store.DisputeRecord, work: Work
    ) -> ForkWords | None:
        """Two words of the home node's that contradict each other, if there are."""
        words = self._words(partition, role, wish, record, work)
        candidates = [one for one in words if lanes.heads_said(one) is not None]
        pairs = (ForkWords(one, other) for one, other in combinations(candidates, 2))
        found = next((one for one in pairs if one.holds), None)
        if found is not None or role is not Role.ACQUIRER:
            return found
        chained = (self._through(partition, wish, one, candidates, work) for one in candidates)
        return next((one for one in chained if one is not None), None)

    def _through(
        self, partition: int, wish: LaneWish, other: Message, candidates: Sequence[Message], work: Work
    ) -> ForkWords | None:
        """Whether the chain that is kept here contradicts a word about a record below its head: what the home
        node has signed in that word's epoch about a later record says what the earlier one holds.
        """
        said = lanes.heads_said(other)
        assert said is not None, "candidates say something"
        epoch, number, _ = said
        start, end = keys.lane_records_range(partition, Role.ACQUIRER, wish.partner_ids[0], wish.lane, number)
        links: list[Link] = []
        before = lanes.GENESIS if not number else b""
        for key, data in work.scan(start, end, MAX_LINKS + 1):
            entry = store.LANE_ENTRY.decode(data)
            posted = self._abroad.read(entry.posted)
            body = posted.body
            assert isinstance(body, Posted), "a record is a POSTED"
            if keys.parse_lane_record(key)[4] == number:
                before = body.hash
                continue
            links.append(Link(entry.request.header if entry.request else b"", body.core_bytes))
            for first in (posted, *candidates):
                words = ForkWords(first, other, tuple(links), before)
                if first.header.epoch == epoch and words.holds:
                    return words
        return None

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
