"""How far an acquirer has signed that it has come on a lane, kept for the day on which it falls silent.

What it signed is the evidence of a close by the home node alone, which ends at a record that the acquirer has
acknowledged. An acknowledgement stands for all records before it, so the newest of each window is enough; it
is kept by the window of the record that it names, since a window is closed after the next one has begun.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from node.actors.home_lanes import Life
from node.actors.turn import Opening
from node.coalition.envelopes import Message
from node.coalition.messages import MessageType, Posted
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire import coalition_store as store
from node.wire.commands import Answer, Op, done
from node.wire.settlement_wishes import ACK, ACKED, NO_ACK, AckRecord

if TYPE_CHECKING:
    from node.actors.abroad import Abroad

KEPT_WINDOWS = 16
"""Of so many windows the acknowledgements are kept: a partner that is silent for longer has long been left
out."""


class HomeAcks:
    """The newest acknowledgement of each window, for all lanes of a shard on which this node is at home."""

    def __init__(self, abroad: Abroad) -> None:
        self._abroad = abroad
        self._kept: dict[tuple[int, str], int] = {}
        self._noted: dict[tuple[int, str], tuple[bytes, bytes]] = {}
        self.ops: dict[int, Callable[[Opening], Answer | None]] = {Op.LANE_ACKED: self._look}

    def keep(self, opening: Opening, life: Life, message: Message, number: int) -> None:
        """Keeps a HEAD_ACK or HELLO_REPLY that says record `number`, whose hash there is ours.

        It costs no sync of its own: the shard's next batch makes it durable, or `lasting` within half a
        minute.
        """
        if not number or self._kept.get((life.partition, life.partner_id)) == number:
            return
        window = self._window_of(opening, life, number)
        self._kept[life.partition, life.partner_id] = number
        key = keys.lane_ack_key(life.partition, life.partner_id, life.partition, window)
        value = ACK.encode(AckRecord(number, store.envelope_bytes(message.envelope)))
        self._noted[life.partition, life.partner_id] = key, value
        opening.work.note(key, value)
        if window >= KEPT_WINDOWS:
            old = keys.lane_ack_key(life.partition, life.partner_id, life.partition, window - KEPT_WINDOWS)
            if opening.work.get(old) is not None:
                opening.work.delete(old)

    def lasting(self, opening: Opening, partner_id: str) -> None:
        """An idle moment: what was only noted of a lane becomes durable, with a sync where it must."""
        noted = self._noted.pop((opening.partition.number, partner_id), None)
        if noted is not None:
            opening.work.put(*noted)

    def _window_of(self, opening: Opening, life: Life, number: int) -> int:
        lane = life.record.lane
        if number == lane.number:
            return lane.window
        key = keys.lane_record_key(life.partition, Role.HOME, life.partner_id, life.partition, number)
        data = opening.work.get(key)
        assert data is not None, "the caller has compared the hash of this record"
        body = self._abroad.encoder.read(MessageType.POSTED, store.LANE_ENTRY.decode(data).posted.body)
        assert isinstance(body, Posted)
        return body.core.window

    def _look(self, opening: Opening) -> Answer | None:
        """The newest acknowledgement of a record of a window, or of one before it."""
        wish = ACKED.decode(opening.command.body)
        partition = opening.partition.number
        span = keys.lane_acks_range(partition, wish.partner_id, partition, wish.window)
        found = [data for _, data in opening.work.scan(*span, 2 * KEPT_WINDOWS)]
        return done(found[-1] if found else NO_ACK)
