"""The operator of a simulated coalition: the real books on a simulated disk; the process dies at times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from node.actors.operator_books import OperatorBooks
from node.actors.operator_money import NotDone
from node.actors.operator_payments import PaymentsNow
from node.coalition.directory import OPERATOR_ID
from node.coalition.envelopes import Message
from node.proto.vafa.settlement.v1 import statement_pb2
from node.settlement.documents import SignedClose
from node.settlement.payments import unpaid
from node.settlement.windows import WindowState, terms_of
from node.wire.coalition import Opener, Unopened
from node.wire.coalition_trust import KnownDirectories
from node.wire.settlement_fields import read_wide, wide
from node.wire.settlement_lines import (
    head_of,
    read_signed_statement,
    signed_statement_bytes,
    statement_bytes,
)
from node.wire.settlement_signing import sign_close, sign_head
from simulators.settlement.acts import Act, ActKind
from simulators.sim.coalition import OPERATOR, SIGNERS
from simulators.sim.disk import Disk
from simulators.sim.loop import SimLoop
from simulators.sim.process import Ended, Process
from simulators.sim.trace import Trace

LOOK_SECONDS = 2.0
CALL_SECONDS = 8.0
DELAY_SECONDS = (0.005, 0.4)
AWAY_SECONDS = (1.0, 15.0)
LOSS = 0.1
"""Calls of which the question or the answer is lost, while faults begin."""
ENDS_AT_A_STEP = 0.008
PAYING_SECONDS = 80.0
"""So long after everything else is calm the operator ends at times, and calls are lost, where it is paid. It
is over before the last windows are cut: what one side then hands in alone has no window to follow it.
"""
DEFAULT_MS = 12_000
"""So long after a payment was due the operator waits before it declares somebody in default."""
TIMES_SHOWN = 2
"""So often each merchant is shown a statement with a moved net before the honest one."""

T = TypeVar("T")


class Refused(Exception):
    """What the operator said."""


class Away(Exception):
    """Nobody answered."""


class SimOperator:
    """The operator through all its lives."""

    def __init__(
        self,
        loop: SimLoop,
        known: KnownDirectories,
        clock_ms: Callable[[], int],
        seed: int,
        trace: Trace,
        acts: list[Act],
        happens: Callable[[Act], None],
        calm_at_seconds: float,
    ) -> None:
        self.known = known
        self.clock_ms = clock_ms
        self.chance = random.Random(f"{seed}/operator")
        self.paying_chance = random.Random(f"{seed}/operator/paying")
        """Apart, so that payments leave what happens before them as it is."""
        self.all_told: Callable[[int, PaymentsNow], bool] = lambda number, now: False
        """Whether it has been told of all money that moved of a window; until then nobody is in default."""
        self.disk = Disk(self.chance)
        self.process: Process | None = None
        self.other: dict[tuple[ActKind, int], bytes] = {}
        """Statements that the operator signed beside the one in its books, by act and window."""
        self.broken: list[str] = []
        """What must never happen to it: a fault, a close that it took though it must not."""
        self.when_it_is_paid: Callable[[], None] = lambda: None
        self._shown: dict[tuple[str, int], int] = {}
        self._loop, self._trace, self._happens, self._calm_at = loop, trace, happens, calm_at_seconds
        self._acts = {(act.kind, act.window): act for act in acts}
        self._opener = Opener("operator", lambda: known)
        self._supervisor = Process(loop, "operator/supervisor")
        self._paying = False
        self._pays_from_ms = clock_ms() + int(calm_at_seconds * 1_000)

    # --- its life -------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process over what the disk holds."""
        process = self.process = Process(self._loop, "operator")
        store = self.disk.open(self._step)
        self.books = OperatorBooks(store, lambda: self.known, lambda: OPERATOR, self.open)
        process.spawn(self._live())

    def end(self, *, power: bool) -> None:
        """Ends the process; it comes back after a while."""
        assert self.process is not None
        self._trace.fault("operator", "operator's power cut" if power else "operator killed")
        self.process.end()
        self.process = None
        if power:
            self.disk.cut_power()
        else:
            self.disk.let_go()
        self._supervisor.call_later(self.chance.uniform(*AWAY_SECONDS), self.start)

    def _step(self, step: str) -> None:
        chance = self.paying_chance if self._paying else self.chance
        if self._rough and chance.random() < ENDS_AT_A_STEP:
            self._paying = False
            self.end(power=chance.random() < 0.5)
            raise Ended

    @property
    def _rough(self) -> bool:
        return self._loop.time() < self._calm_at + PAYING_SECONDS * self._paying

    @property
    def paying(self) -> bool:
        """Whether anybody pays yet: once the shops have closed, and what they disturb each other with."""
        return self._loop.time() >= self._calm_at

    def _when_paying(self, work: Callable[[], T]) -> T:
        """What is done about payments, with the mishaps of that time."""
        self._paying = True
        try:
            return work()
        finally:
            self._paying = False

    def open(self, envelope: bytes) -> Message | None:
        """An envelope of whomever's, verified."""
        found = self._opener.evidence(envelope)
        return None if isinstance(found, Unopened) else found

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now_ms, directory = self.clock_ms(), self.known.newest
            for window in directory.windows:
                number = window.number
                if window.cut_time_ms > now_ms or terms_of(directory, number) is None:
                    break
                if self.books.statement_bytes(number) is not None:
                    continue
                self.books.close_window(number, now_ms)
                done = self.books.settle(number, now_ms)
                if isinstance(done, NotDone):
                    break
                self._trace.note("operator", f"statement {number}", self.books.statement_bytes(number) or b"")
            if self.paying:
                self.when_it_is_paid()
                self._when_paying(partial(self._defaults, now_ms))

    def _defaults(self, now_ms: int) -> None:
        """Declares in default whoever has not paid in time, one after another."""
        for window in self.known.newest.windows:
            record = self.books.window(window.number)
            if isinstance(record, NotDone) or record.state is not WindowState.PENDING:
                continue
            now = self.books.payments.now(window.number)
            assert isinstance(now, PaymentsNow)
            due_ms = max(now.due_ms, self._pays_from_ms)
            if now_ms < due_ms + DEFAULT_MS or not self.all_told(window.number, now):
                continue
            late = sorted({one.payment.debtor_id for one in now.payments if unpaid(one)} - {OPERATOR_ID})
            if late:
                self._trace.fault(late[0], "in default", f"window {window.number}")
                done = self.books.payments.default(
                    f"default {window.number} {late[0]}", window.number, late[0], "has not paid", now_ms
                )
                if isinstance(done, NotDone):
                    self.broken.append(f"it could not declare {late[0]} in default: {done.text}")

    # --- what merchants ask ---------------------------------------------------------------------

    async def call(self, work: Callable[[OperatorBooks], T], *, pays: bool = False) -> T:
        """Something done in the operator's process, about payments or not; raises Away where the question or
        answer is lost.
        """
        chance = self.paying_chance if pays else self.chance
        rough_until = self._calm_at + PAYING_SECONDS * pays
        await asyncio.sleep(chance.uniform(*DELAY_SECONDS))
        process = self.process
        if process is None or (self._loop.time() < rough_until and chance.random() < LOSS):
            await asyncio.sleep(CALL_SECONDS)
            raise Away
        asked = (lambda: self._when_paying(lambda: work(self.books))) if pays else lambda: work(self.books)
        task = process.spawn(_done(asked))
        done, _ = await asyncio.wait({task}, timeout=CALL_SECONDS)
        await asyncio.sleep(chance.uniform(*DELAY_SECONDS))
        if not done or not process.alive or (self._loop.time() < rough_until and chance.random() < LOSS):
            raise Away
        if (fault := task.exception()) is not None:
            self.broken.append(f"a fault: {fault!r}")
        return task.result()

    def statement(self, books: OperatorBooks, window: int, asker: str) -> bytes | None:
        """The statement as it is shown to this merchant."""
        data = books.statement_bytes(window)
        if data is None:
            return None
        moved = self._acts.get((ActKind.MOVED_NET, window))
        times = self._shown[asker, window] = self._shown.get((asker, window), 0) + 1
        if moved is not None and times <= TIMES_SHOWN:
            other = self.other[moved.kind, window] = _moved(data)
            self._happens(moved)
            return other
        two = self._acts.get((ActKind.TWO_STATEMENTS, window))
        if two is not None and asker == two.who:
            other = self.other[two.kind, window] = _later(data)
            self._happens(two)
            return other
        return data

    def submit(self, books: OperatorBooks, signed: SignedClose, asker: str) -> NotDone | None:
        """Takes a close; before it one of its own making, where the merchant tries that."""
        act = self._acts.get((ActKind.OVERSTATED, signed.close.window))
        if act is not None and act.who == asker and signed.close.sums and not act.over:
            act.over = True
            self._happens(act)
            sums = tuple(replace(one, units=one.units + 1_000) for one in signed.close.sums)
            close = replace(signed.close, sums=sums)
            forged = sign_close(close, SIGNERS[asker], asker)
            signatures = tuple(
                replace(forged.signatures[0], signer_id=one.signer_id) for one in signed.signatures
            )
            if books.submit(replace(forged, signatures=signatures), self.clock_ms()) is None:
                self.broken.append(
                    f"it took a close of {' with '.join(close.pair)} that {asker} signed for both"
                )
        return books.submit(signed, self.clock_ms())


async def _done(work: Callable[[], T]) -> T:
    return work()


def _moved(data: bytes) -> bytes:
    """The statement with money moved from one net to another, signed by the operator all the same."""
    read = read_signed_statement(data)
    lines, by = [], [7, -7]
    for raw in read.line_bytes:
        line = statement_pb2.StatementLine.FromString(raw)
        if line.HasField("net") and by:
            line.net.payable = wide(read_wide(line.net.payable, "net") + by.pop())
        lines.append(line.SerializeToString())
    body = statement_bytes(read.facts, lines)
    return signed_statement_bytes(body, sign_head(head_of(read.facts, body, lines), OPERATOR))


def _later(data: bytes) -> bytes:
    """Another statement of the same closes."""
    read = read_signed_statement(data)
    facts = replace(read.facts, publish_time_ms=read.facts.publish_time_ms + 1)
    body = statement_bytes(facts, read.line_bytes)
    return signed_statement_bytes(body, sign_head(head_of(facts, body, read.line_bytes), OPERATOR))
