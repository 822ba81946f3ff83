"""What one merchant asks the simulated operator, over calls of which some are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from node.actors.operator_books import OperatorBooks
from node.actors.operator_money import NotDone
from node.settlement.documents import Mismatch, SignedClose
from node.settlement.windows import WindowState
from node.wire.settlement import mismatch_message
from node.wire.settlement_alone import AloneCheck
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_rpc import WindowShown
from node.wire.settlement_scan import entry_of
from simulators.settlement.operator import Away, Refused, SimOperator

T = TypeVar("T")


class OperatorLine:
    """`settling_keeper.Operator` for one merchant."""

    def __init__(self, operator: SimOperator, own_id: str) -> None:
        self._operator = operator
        self._own_id = own_id

    async def submit(self, signed: SignedClose) -> bool:
        """Hands a close in."""
        return await self._ask(lambda books: self._operator.submit(books, signed, self._own_id))

    async def submit_alone(self, signed: SignedClose, records: Iterable[bytes]) -> bool:
        """Hands a close in with its records, which the operator looks at as its service does."""
        shown = list(records)

        def work(books: OperatorBooks) -> NotDone | str | None:
            refusal = books.close_refusal(signed, self._operator.clock_ms())
            if refusal is not None:
                return refusal
            check = AloneCheck(signed, books.directory)
            try:
                problem = check.add([entry_of(one) for one in shown]) or check.end()
            except DocumentUnreadable as wrong:
                problem = str(wrong)
            return problem or self._operator.submit(books, signed, self._own_id)

        return await self._ask(work)

    async def report(self, found: Mismatch) -> bool:
        """Tells of a mismatch."""
        data = mismatch_message(found).SerializeToString()
        pair = (found.home_id, found.acquirer_id)
        return await self._ask(lambda books: books.keep_mismatch(found.window, pair, found.lane, data))

    async def _ask(self, work: Callable[[OperatorBooks], NotDone | str | None]) -> bool:
        try:
            refusal = await self._operator.call(work)
        except Away:
            return False
        if refusal:
            raise Refused(refusal if isinstance(refusal, str) else refusal.text)
        return True

    async def statement(self, window: int) -> bytes | None:
        """A statement, as it is shown to this merchant."""
        try:
            return await self._operator.call(
                lambda books: self._operator.statement(books, window, self._own_id)
            )
        except Away:
            return None

    async def windows(self, from_number: int) -> list[WindowShown] | None:
        """The windows as the operator has them, once it is paid."""

        def work(books: OperatorBooks) -> list[WindowShown]:
            found = books.windows(self._operator.clock_ms(), from_number)
            published = WindowState.PENDING
            return [
                WindowShown(one.number, one.cut_time_ms, record.state, record.state >= published)
                for one, record in found
            ]

        return await self._about_payments(work)

    async def defaulted(self, window: int) -> frozenset[str] | None:
        """Who is in default of a window."""
        return await self._about_payments(
            lambda books: frozenset(one.partner_id for one in books.payments.defaulted(window))
        )

    async def _about_payments(self, work: Callable[[OperatorBooks], T]) -> T | None:
        if not self._operator.paying:
            return None
        try:
            return await self._operator.call(work, pays=True)
        except Away:
            return None
