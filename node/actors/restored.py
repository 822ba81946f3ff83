"""What `vafa restore` leaves in every partition: that partners may hold what is missing here, until they have
shown it, and since when.

As a home node the partition opens spending once every partner has answered HELLO. As an acquirer it cannot
tell its tills what became of a request that it does not know, before the member's home node has shown on all
its lanes what it posted. And a spend from before the restore that it does not know it never begins: a till
may have taken it back, and what it was told is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from msgspec.structs import replace

from node.actors.work import Work
from node.coalition.directory import Directory, PartnerStatus
from node.storage.keyspace import PartitionMeta, partition_meta_key
from node.wire import coalition_store as store
from node.wire.coalition_store import Restored


class RestoredMarks:
    """The marks of a shard's partitions. `directory` gives the newest one, `own_id` is this node's."""

    def __init__(self, directory: Callable[[], Directory], own_id: str) -> None:
        self._directory = directory
        self._own_id = own_id
        self._marks: dict[int, Restored | None] = {}

    def spending_waits(self, number: int, work: Work) -> bool:
        """Whether a partition may not spend yet: what was spent abroad may be missing."""
        mark = self._mark(number, work)
        return mark is not None and not mark.opened and bool(self._waited_for(mark))

    def lane_opened(self, number: int, ready: Container[str], work: Work) -> None:
        """A lane has been opened; those to `ready` are. The last of them all ends the waiting."""
        mark = self._mark(number, work)
        if mark is None or mark.opened:
            return
        if all(partner_id in ready for partner_id in self._waited_for(mark)):
            self._keep(number, replace(mark, opened=True), work)

    def is_unsure(self, number: int, home_id: str, work: Work) -> bool:
        """Whether exchanges with a home node may be missing in the partition that keeps them."""
        mark = self._mark(number, work)
        return mark is not None and home_id in self._waited_for(mark) and home_id not in mark.shown

    def caught_up(self, number: int, home_id: str, work: Work) -> None:
        """A home node has shown all that it posted for this node."""
        mark = self._mark(number, work)
        if mark is not None and home_id not in mark.shown:
            self._keep(number, replace(mark, shown=(*mark.shown, home_id)), work)

    def generation(self, number: int, work: Work) -> int:
        """The generation of the partition's store since it was last restored; 0 where it never was."""
        mark = self._mark(number, work)
        return 0 if mark is None else max(mark.generation, 1)  # a mark of an older node's has none

    def is_before(self, number: int, occurred_ms: int, work: Work) -> bool:
        """Whether something occurred before the partition was restored: it may have come then, and have been
        taken back, and nobody here would know.
        """
        mark = self._mark(number, work)
        return mark is not None and 0 < occurred_ms < mark.at_ms

    def _keep(self, number: int, mark: Restored, work: Work) -> None:
        self._marks[number] = mark
        work.put(partition_meta_key(number, PartitionMeta.RESTORED), store.RESTORED.encode(mark))

    def _mark(self, number: int, work: Work) -> Restored | None:
        if number not in self._marks:
            data = work.get(partition_meta_key(number, PartitionMeta.RESTORED))
            self._marks[number] = None if data is None else store.RESTORED.decode(data)
        return self._marks[number]

    def _waited_for(self, mark: Restored) -> set[str]:
        """The partners that may hold what a restored partition lacks."""
        partners = (one for one in self._directory().partners if one.status is not PartnerStatus.LEFT)
        return {one.partner_id for one in partners} - {self._own_id, *mark.without}
