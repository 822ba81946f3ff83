"""What must be true of payments when all is quiet: what counts as paid is what the bank moved, debts end, and
a suspension lasts as long as they do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from node.actors.operator_books import OperatorBooks
from node.actors.operator_money import NotDone
from node.actors.operator_parts import Parts
from node.actors.operator_payments import PaymentsNow
from node.actors.operator_positions import positions
from node.settlement.documents import Obligation, Payment
from node.settlement.payments import PaymentNow, PaymentState
from node.settlement.windows import WindowState
from node.storage.settlement_keys import Item, item_key
from node.wire.settlement_store import RELIEVED
from simulators.settlement.bank import SimBank
from simulators.settlement.merchant import SettlingNode
from simulators.settlement.operator import SimOperator
from simulators.sim.coalition import OPERATOR

QUIET_MS = 40_000
"""So long after money moved everybody has read of it, and the operator has been told."""


class Paid:
    """Payments as the operator's disk has them, beside what the bank moved. `violations` fills `counts`."""

    def __init__(
        self, operator: SimOperator, bank: SimBank, merchants: Sequence[SettlingNode], now_ms: int
    ) -> None:
        self.counts: Counter[str] = Counter()
        known = operator.known
        self._books = OperatorBooks(operator.disk.read(), lambda: known, lambda: OPERATOR, operator.open)
        self._parts = Parts(self._books.store)
        self._bank, self._merchants, self._now_ms = bank, merchants, now_ms
        self._windows = [one.number for one in known.newest.windows]

    def violations(self) -> Iterator[str]:
        """Everything that is not as it must be, in the windows of which all was told."""
        owing: set[tuple[str, int]] = set()
        loud: set[int] = set()
        settled = 0
        for number in self._windows:
            now = self._books.payments.now(number)
            if isinstance(now, NotDone):
                break
            debts = self._debts(number, now)
            owing |= {(debtor, number) for debtor, _ in debts}
            record = self._books.window(number)
            assert not isinstance(record, NotDone)
            if record.state is WindowState.SETTLED and settled == number - 1:
                settled = number
            if self._bank.newest_ms(number) + QUIET_MS > self._now_ms:
                loud.add(number)
                continue
            self.counts["windows of which all payments were looked at"] += 1
            self.counts["windows paid"] += record.state is WindowState.SETTLED
            yield from (f"window {number}: {what}" for what in self._window(number, now, debts))
            awaited = [one for one in now.payments if one.state is not PaymentState.REPLACED]
            made = all(self._moved(number, one.payment) == one.payment.amount for one in awaited)
            if made != (record.state is WindowState.SETTLED):
                are = "are" if made else "are not"
                yield f"window {number} is {record.state.name}, and its payments {are} made"
        yield from self._suspended(owing, loud)
        yield from self._relieved(settled)

    def _moved(self, number: int, payment: Payment) -> int:
        return self._bank.came(number, payment.debtor_id, payment.creditor_id, payment.reference)

    def _window(self, number: int, now: PaymentsNow, debts: dict[tuple[str, str], int]) -> Iterator[str]:
        for one in now.payments:
            counts, moved = self._counted(number, one), self._moved(number, one.payment)
            self.counts["payments that are what the bank moved"] += counts == moved
            if counts != moved:
                yield f"of {one.payment.reference} {counts} counts as paid, and the bank moved {moved}"
        standing = {(one.debtor_id, one.creditor_id): one.amount for one in now.standing}
        if standing != debts:
            yield f"after a default there stands {standing}, and by the bank {debts} is left"

    def _counted(self, number: int, one: PaymentNow) -> int:
        if one.state is PaymentState.PAID:
            return one.payment.amount
        return self._parts.total(number, one.payment.reference)

    def _debts(self, number: int, now: PaymentsNow) -> dict[tuple[str, str], int]:
        """What is left between those in default and others, by the statement and the bank alone."""
        statement = self._books.statement(number)
        assert statement is not None
        defaulted = {one.partner_id for one in now.defaulted}
        owed = {
            (one.first_id, one.second_id): one.payable
            for one in statement.lines
            if isinstance(one, Obligation)
        }
        for one in self._bank.moved:
            if one.window == number:
                owed.setdefault((min(one.debtor_id, one.creditor_id), max(one.debtor_id, one.creditor_id)), 0)
        left = {}
        for (first, second), amount in owed.items():
            if {first, second} & defaulted:
                came = self._bank.came(number, first, second)
                rest = amount - came
                self.counts["debts after a default: ended"] += bool(came) and not rest
                if rest:
                    left[(first, second) if rest > 0 else (second, first)] = abs(rest)
        return left

    def _suspended(self, owing: set[tuple[str, int]], loud: set[int]) -> Iterator[str]:
        """Who is in default is suspended for as long as it owes something, and no longer."""
        for position in positions(self._books):
            who = position.partner_id
            wanted = {
                number
                for one, number in owing
                if one == who and who in {two.partner_id for two in self._books.payments.defaulted(number)}
            }
            if (set(position.defaulted_windows) ^ wanted) - loud:
                yield f"{who} is suspended for windows {position.defaulted_windows}, and owes in {wanted}"
            if position.suspend != bool(position.defaulted_windows):
                yield f"{who} is{'' if position.suspend else ' not'} to be suspended: {position}"

    def _relieved(self, settled: int) -> Iterator[str]:
        """What was paid has come off the caps at every merchant, and nothing else has."""
        quiet = [
            one for one in range(1, settled + 1) if self._bank.newest_ms(one) + 2 * QUIET_MS <= self._now_ms
        ]
        for node in self._merchants:
            data = node.control.read().get(item_key(Item.RELIEVED))
            found = 0 if data is None else RELIEVED.decode(data).window
            self.counts["windows taken off a merchant's caps"] += found
            if not max(quiet, default=0) <= found <= settled:
                yield f"{node.plan.merchant} has taken windows up to {found} off its caps, {settled} are paid"
