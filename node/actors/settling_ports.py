"""What settling needs of the rest of a node: its lanes' records, and partners to talk to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from node.coalition.caps import Usage
from node.settlement.closes import LanePart, LaneStart
from node.settlement.documents import PairClose
from node.settlement.peer_messages import Said
from node.wire.coalition_store import LaneEntry


class LanesUnavailable(Exception):
    """A shard does not answer now; what was asked is to be asked again."""


class LaneBooks(Protocol):
    """A node's lanes with a partner, in either role. `home`: whether this node is the home node."""

    async def lanes(self, partner_id: str, *, home: bool) -> Sequence[int]:
        """The lanes that have records. May raise LanesUnavailable, as all of these."""
        ...

    async def part(
        self, partner_id: str, start: LaneStart, window: int, *, home: bool, until: int | None = None
    ) -> LanePart:
        """A lane's part of a close. A fault in its records raises SettlingFault: nobody signs over it."""
        ...

    async def entries(
        self, partner_id: str, lane: int, numbers: Sequence[int], *, home: bool
    ) -> Sequence[LaneEntry | None]:
        """Some records, None where there is none of that number."""
        ...

    async def acked(self, partner_id: str, lane: int, window: int) -> tuple[int, bytes]:
        """As home node: the newest record of a window, or before it, that the acquirer has signed to have,
        and the envelope in which it did; (0, b"") where there is none.
        """
        ...

    async def shut_home(self, partner_id: str, window: int) -> None:
        """As home node, before a close is computed: no record of its window is posted any more."""
        ...

    async def mend(self, partner_id: str, lane: int, entry: LaneEntry, *, home: bool) -> bool:
        """Puts a record back that this node has lost; whether it is there now."""
        ...

    async def settled(self, partner_id: str, lane: int, number: int, *, home: bool) -> None:
        """All records of a lane up to a number were settled and paid: they count against caps no more."""
        ...

    async def usage(self, partner_id: str) -> tuple[Usage, Usage]:
        """What counts against the caps with a partner: with this node at home, over all its partitions, and
        as acquirer.
        """
        ...

    async def shut(self, close: PairClose, starts: Sequence[LaneStart]) -> bool:
        """As acquirer, before a close is signed: its window takes no more records, in none of the lanes that
        it covers. False where a record came meanwhile that the close does not have. `starts` is where lanes
        stood before it.
        """
        ...


class SettlingFault(Exception):
    """Records of this node's own are not what they must be; the text is for who looks after it."""


class Asking(Protocol):
    """Partners, as far as windows are concerned."""

    async def ask(self, partner_id: str, said: Said) -> Said | None:
        """The partner's answer; None where none came in time."""
        ...
