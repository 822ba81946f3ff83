"""A record that a shard has lost of a lane, put back from the other side's copy.

The head and the records around it say what it must be: nothing else is taken, whoever shows it. Records
beyond the head are not lost but have never come; those the exchange itself sends again.
"""

from __future__ import annotations

from collections.abc import Callable

from node.actors.turn import Opening
from node.actors.work import Work
from node.coalition.lanes import GENESIS, AcquirerLane, HomeLane, chain
from node.coalition.messages import MessageType, Posted
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire.coalition_bodies import ENCODER
from node.wire.coalition_store import ACQUIRER_LANE, HOME_LANE, LANE_ENTRY, LaneEntry
from node.wire.commands import Answer, Op, done, encode
from node.wire.settlement_wishes import MEND, MendWish


class LaneMending:
    """Command LANE_MEND; the answer says whether the record is there now."""

    def __init__(self) -> None:
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {Op.LANE_MEND: self._mend}

    def _mend(self, opening: Opening) -> Answer | None:
        wish, work = MEND.decode(opening.command.body), opening.work
        lane = _Lane(work, opening.partition.number, wish)
        body = _posted(wish.entry)
        number = body.core.number
        if lane.entry(number) is not None:
            return done(encode(True))
        if not 0 < number <= lane.head.number or body.core.lane != wish.lane:
            return done(encode(False))
        before = lane.hash_at(number - 1)
        if before is None or body.hash != chain(before, _header(wish.entry), body.core_bytes):
            return done(encode(False))
        if not lane.leads_on(number, body.hash):
            return done(encode(False))
        work.put(lane.key(number), LANE_ENTRY.encode(wish.entry))
        return done(encode(True))


class _Lane:
    """A lane as the store has it."""

    def __init__(self, work: Work, partition: int, wish: MendWish) -> None:
        self._work, self._partition, self._wish = work, partition, wish
        self._role = Role.HOME if wish.home else Role.ACQUIRER
        self.head: HomeLane | AcquirerLane = HomeLane(wish.partner_id, wish.lane)
        data = work.get(keys.lane_head_key(partition, self._role, wish.partner_id, wish.lane))
        if data is not None:
            self.head = HOME_LANE.decode(data).lane if wish.home else ACQUIRER_LANE.decode(data)

    def key(self, number: int) -> bytes:
        wish = self._wish
        return keys.lane_record_key(self._partition, self._role, wish.partner_id, wish.lane, number)

    def entry(self, number: int) -> LaneEntry | None:
        data = self._work.get(self.key(number))
        return None if data is None else LANE_ENTRY.decode(data)

    def hash_at(self, number: int) -> bytes | None:
        if number == 0:
            return GENESIS
        entry = self.entry(number)
        return None if entry is None else _posted(entry).hash

    def leads_on(self, number: int, digest: bytes) -> bool:
        """Whether what follows fits: the head, or the next record. Where that one is lost too, the head will
        tell once it is back.
        """
        if number == self.head.number:
            return digest == self.head.hash
        after = self.entry(number + 1)
        if after is None:
            return True
        body = _posted(after)
        return body.hash == chain(digest, _header(after), body.core_bytes)


def _posted(entry: LaneEntry) -> Posted:
    body = ENCODER.read(MessageType.POSTED, entry.posted.body)
    assert isinstance(body, Posted), "the type says what the body is"
    return body


def _header(entry: LaneEntry) -> bytes:
    return entry.request.header if entry.request is not None else b""
