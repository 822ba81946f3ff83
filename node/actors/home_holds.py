"""Holds by which partners may spend: when each is over by this node's clock, and its end without being asked.

Most end by what their acquirer says. One that it never mentions again, because it came back from an old
backup and has forgotten it, would count against the cap for ever; its time is in an index, and an idle
moment of an open lane ends it. Before HELLO none is ended: the acquirer may hold our POSTED of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.actors.home_booking import seat_of
from node.actors.home_lanes import Life
from node.actors.turn import Opening
from node.coalition import home_words
from node.coalition.exchange import HomeState
from node.coalition.home_facts import HomeExchange
from node.storage import coalition_keys as keys

if TYPE_CHECKING:
    from node.actors.abroad import Abroad
    from node.actors.home import HomeSide

MAX_ENDED = 200
"""Holds that one idle moment of a lane looks at."""


class HomeHolds:
    """The index of holds that end, for all lanes of a shard on which this node is at home."""

    def __init__(self, abroad: Abroad, side: HomeSide) -> None:
        self._abroad = abroad
        self._side = side

    def keep(self, opening: Opening, exchange: HomeExchange) -> None:
        """Notes when a hold is over, or that there is none any more; in the batch of the exchange itself."""
        if not exchange.expires_ms:
            return
        key = keys.hold_due_key(
            opening.partition.number, exchange.partner_id, exchange.expires_ms, exchange.exchange_id
        )
        if exchange.state is HomeState.RESERVED:
            opening.work.put(key, b"\x01")
        else:
            opening.work.delete(key)

    def end(self, opening: Opening, life: Life) -> None:
        """Voids what is over on an open lane. An account that was set aside keeps its holds until people have
        looked at it.
        """
        assert opening.now_ms is not None, "the caller has looked at the clock"
        span = keys.hold_due_range(life.partition, life.partner_id, opening.now_ms)
        for key, _ in list(opening.work.scan(*span, MAX_ENDED)):
            known = self._side.exchange(opening, life, keys.parse_hold_due(key)[3])
            if known is None or known.state is not HomeState.RESERVED:
                opening.work.delete(key)
                continue
            seat = seat_of(self._abroad, opening, known.account_id)
            facts = self._side.facts(opening, life, seat)
            if seat.usable and home_words.hold_over(known, facts):
                self._side.take(opening, life, seat, home_words.end_hold(known, facts))
