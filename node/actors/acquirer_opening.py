"""How the acquirer answers HELLO, and asks for it where it has started itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.actors.acquirer_books import AcquirerBooks
from node.actors.acquirer_lanes import Partner
from node.actors.turn import Opening
from node.coalition import lanes
from node.coalition.envelopes import Draft, Envelope, Message
from node.coalition.exchange import AcquirerState
from node.coalition.lanes import MAX_LISTED_IDS, NONCE_BYTES, AcquirerLane
from node.coalition.messages import LANE_UNKNOWN, ExchangeReason, Hello, HelloRequest, LaneHead, MessageType
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.wire import coalition_store as store
from node.wire.coalition import carried_bytes
from node.wire.coalition_records import LANE_WISH, Said
from node.wire.commands import Answer

if TYPE_CHECKING:
    from node.actors.abroad import Abroad
    from node.actors.acquirer import AcquirerSide

MAX_SHOWN_RECORDS = 31
"""Records beside one HELLO_REPLY: two envelopes each, within what a message may carry."""

_VOID = frozenset({AcquirerState.CANCELLING, AcquirerState.FAILED})


class AcquirerOpening:
    """HELLO and HELLO_REQUEST, for all home nodes of a shard's partitions."""

    def __init__(self, abroad: Abroad, side: AcquirerSide, books: AcquirerBooks) -> None:
        self._abroad = abroad
        self._side = side
        self._books = books
        self._nonce = abroad.entropy(NONCE_BYTES)
        """Of this life: a HELLO that was on its way before it is not taken."""

    def ask(self, opening: Opening) -> Answer | None:
        """Says HELLO_REQUEST to each of the partners for the lanes that are not open; repeats HEAD_ACK
        where the home node has said that it holds more.

        A lane that is set aside is not opened, and nobody waits for it. But what the home node holds on it is
        not known here, so a partner with one is not caught up with after a restore.
        """
        for partner_id in LANE_WISH.decode(opening.command.body).partner_ids:
            partner = self._books.lanes.partner(opening.partition.number, partner_id, opening.work)
            entry = self._abroad.directory.partner(partner_id)
            numbers = [lane for lane in range(entry.partitions if entry else 0) if lane not in partner.heard]
            unheard = [lane for lane in (self._lane(partner, at) for at in numbers) if not lane.disputed]
            if unheard:
                heads = tuple(lane.head for lane in unheard)
                draft = Draft(
                    MessageType.HELLO_REQUEST, LANE_UNKNOWN, 0, b"", HelloRequest(heads, self._nonce)
                )
                message = self._abroad.seal(draft, partner_id, opening.work.clock_ms)
                opening.says.append(Said(partner_id, carried_bytes(message)))
                continue
            behind = [lane.lane for lane in partner.lanes.values() if lane.behind and not lane.disputed]
            for lane in behind:
                opening.turn.acks[opening.partition.number, partner_id, lane] = None
            if not behind:
                opening.ready.append(partner_id)
            if entry is not None and partner.is_caught_up(entry.partitions):
                self._abroad.marks.caught_up(opening.partition.number, partner_id, opening.work)
        return None

    def greeted(self, opening: Opening, partner: Partner, message: Message) -> None:
        """HELLO: the epoch is adopted, durably, and the reply shows everything that the home node may have
        lost.
        """
        hello = message.body
        assert isinstance(hello, Hello)
        before = self._lane(partner, message.header.lane)
        if before.disputed:
            opening.refused = ExchangeReason.BROKEN_CHAIN
            return
        heard = before.lane in partner.heard
        if not lanes.is_of_this_life(hello, heard, self._nonce):
            return  # our own HELLO_REQUEST brings another
        taken = lanes.on_hello(before, message)
        if isinstance(taken, ExchangeReason):
            opening.refused = taken
            return
        lane, prior = taken
        self._books.lanes.keep(partner, lane, None, opening.work)
        if lane.disputed:
            self._books.dispute(opening, partner, lane, "forked")
            return
        adopted = prior < message.header.epoch
        if adopted:
            partner.heard.add(lane.lane)
        voided, waiting = self._listed(opening, partner, lane.lane)
        draft = lanes.hello_reply(lane, prior, hello.nonce, voided, waiting)
        sealed = self._abroad.seal(draft, partner.partner_id, opening.work.clock_ms)
        evidence = self._lost(opening, partner, lane, hello.head) if adopted else self._proof(lane)
        opening.says.append(Said(partner.partner_id, carried_bytes(sealed, evidence=evidence)))
        if adopted and lane.behind:
            opening.turn.acks[opening.partition.number, partner.partner_id, lane.lane] = None
        elif adopted:
            self._side.send_waiting(opening, partner, lane.lane, (*voided, *waiting))

    def _lane(self, partner: Partner, lane: int) -> AcquirerLane:
        return partner.lanes.get(lane) or AcquirerLane(partner.partner_id, lane)

    def _listed(self, opening: Opening, partner: Partner, lane: int) -> tuple[list[bytes], list[bytes]]:
        """Exchanges of this lane, or of none yet, that came to nothing a short time ago or are being
        cancelled, and those that wait for the home node. All of them are in the index of what is due.
        """
        voided: list[bytes] = []
        waiting: list[bytes] = []
        start, end = keys.exchange_due_range(opening.partition.number, 1 << 62)
        for key, value in opening.work.scan(start, end, 2 * MAX_LISTED_IDS):
            _, _, partner_id, exchange_id = keys.parse_exchange_due(key)
            if partner_id != partner.partner_id or value[1] - 1 not in (LANE_UNKNOWN, lane):
                continue
            (voided if AcquirerState(value[0]) in _VOID else waiting).append(exchange_id)
        return voided, waiting

    def _lost(self, opening: Opening, partner: Partner, lane: AcquirerLane, head: LaneHead) -> list[bytes]:
        """The records that follow the home node's head, each as POSTED and then the request."""
        if head.number >= lane.number:
            return []
        start, end = keys.lane_records_range(
            opening.partition.number, Role.ACQUIRER, partner.partner_id, lane.lane, head.number + 1
        )
        shown: list[Envelope] = []
        for _, data in opening.work.scan(start, end, MAX_SHOWN_RECORDS):
            entry = store.LANE_ENTRY.decode(data)
            shown.append(entry.posted)
            if entry.request is not None:
                shown.append(entry.request)
        return [store.envelope_bytes(envelope) for envelope in shown]

    def _proof(self, lane: AcquirerLane) -> list[bytes]:
        """The home node's own word for the epoch that it has forgotten."""
        return [] if lane.hello is None else [store.envelope_bytes(lane.hello)]
