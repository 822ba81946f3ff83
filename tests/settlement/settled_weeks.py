"""Whole weeks of a coalition in one process: its keepers, its operator, a clock."""

from collections.abc import Iterable

from bench.settlement_records import Coalition, make_coalition, window_start
from node.actors.operator_books import OperatorBooks
from node.actors.operator_money import NotDone
from node.actors.settling_keeper import SettlingKeeper
from node.settlement.documents import (
    CloseBasis,
    Mismatch,
    PairClose,
    SignedClose,
)
from node.settlement.windows import WindowState, pairs_of
from node.storage.memory import MemoryStore
from node.wire.coalition_trust import KnownDirectories
from node.wire.settlement import mismatch_message
from node.wire.settlement_alone import AloneCheck
from node.wire.settlement_lines import ReadStatement
from node.wire.settlement_rpc import WindowShown
from node.wire.settlement_scan import entry_of
from node.wire.settlement_store import WindowRecord
from tests.settlement.settlement_world import World
from tests.settlement.settling_pair import Bazaar
from verifier.signatures import load_directory
from verifier.statement import verify

DAY_MS = 86_400_000


class Refused(Exception):
    """What the operator said."""


class NearOperator:
    """The operator's books, reached without a network."""

    def __init__(self, week: "Week") -> None:
        self._week = week

    async def submit(self, signed: SignedClose) -> bool:
        refusal = self._week.books.submit(signed, self._week.now_ms)
        if refusal is not None:
            raise Refused(refusal.text)
        return True

    async def submit_alone(self, signed: SignedClose, records: Iterable[bytes]) -> bool:
        check = AloneCheck(signed, self._week.world.coalition.directory)
        assert check.add([entry_of(one) for one in records]) == ""
        assert check.end() == ""
        return await self.submit(signed)

    async def report(self, found: Mismatch) -> bool:
        data = mismatch_message(found).SerializeToString()
        self._week.books.keep_mismatch(found.window, (found.home_id, found.acquirer_id), found.lane, data)
        return True

    async def windows(self, from_number: int) -> list[WindowShown] | None:
        return [
            WindowShown(one.number, one.cut_time_ms, record.state, record.state > WindowState.CLOSED)
            for one, record in self._week.books.windows(self._week.now_ms, from_number)
        ]

    async def defaulted(self, window: int) -> frozenset[str] | None:
        return frozenset(one.partner_id for one in self._week.books.payments.defaulted(window))

    async def statement(self, window: int) -> bytes | None:
        return self._week.books.statement_bytes(window)


class Week:
    """A coalition whose weeks pass."""

    def __init__(self, merchants: int = 3, coalition: Coalition | None = None) -> None:
        self.world = World(coalition=coalition or make_coalition(merchants))
        self.now_ms = window_start(1)
        self.bazaar = Bazaar(self.world, self.now_ms)
        self._operators_store = MemoryStore()
        self.books = self.operator()
        self.keepers = {own_id: self.keeper(own_id) for own_id in self.bazaar.merchants}

    def operator(self) -> OperatorBooks:
        """The operator's books as they are after a start."""
        known = KnownDirectories([self.world.coalition.signed])
        return OperatorBooks(
            self._operators_store, lambda: known, lambda: self.world.coalition.operator, self.world.open
        )

    def restart(self) -> None:
        """Everybody's process starts anew: what counts is what is on the disks."""
        self.books = self.operator()
        for own_id in self.bazaar.merchants:
            self.bazaar.opened(own_id)
            self.keepers[own_id] = self.keeper(own_id)

    def keeper(self, own_id: str) -> SettlingKeeper:
        return SettlingKeeper(
            self.bazaar.merchants[own_id],
            self.bazaar.lanes[own_id],
            lambda: NearOperator(self),
            lambda: self.world.coalition.directory,
            lambda: self.now_ms,
            (Refused,),
        )

    def shop(self, window: int) -> None:
        for number, pair in enumerate(pairs_of(self.world.coalition.directory, window)):
            for lane in range(number % 3):
                self.world.trade(*pair, lane * 7, window, 2 + (number * window) % 5)

    def at(self, now_ms: int) -> None:
        self.now_ms = self.bazaar.now_ms = now_ms

    async def look(self) -> None:
        for own_id, keeper in self.keepers.items():
            if own_id not in self.bazaar.away:
                await keeper.look()

    async def settled(self, window: int) -> ReadStatement:
        closed = self.books.close_window(window, self.now_ms)
        assert isinstance(closed, WindowRecord), closed
        done = self.books.settle(window, self.now_ms)
        assert not isinstance(done, NotDone), done
        await self.look()
        statement = self.books.statement(window)
        assert statement is not None
        data, before = self.books.statement_bytes(window), self.books.statement_bytes(window - 1)
        assert data is not None
        report = verify(data, *load_directory(self.world.coalition.signed.data), before or b"")
        assert [what for good, what in report.checks if not good] == []
        return statement


def bases_of(statement: ReadStatement) -> dict[tuple[str, str], CloseBasis]:
    return {line.close.pair: line.close.basis for line in statement.lines if isinstance(line, SignedClose)}


def close_of(statement: ReadStatement, home: str, acquirer: str) -> PairClose:
    lines = [line.close for line in statement.lines if isinstance(line, SignedClose)]
    return next(close for close in lines if close.pair == (home, acquirer))
