"""Who pays what and how, and who reads the bank's files: at once, in parts, bounced, late, or never."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from functools import partial

from node.actors.operator_between import as_payments
from node.actors.operator_books import OperatorBooks
from node.actors.operator_money import NotDone
from node.actors.operator_payments import PaymentsNow
from node.coalition.directory import OPERATOR_ID
from node.settlement.documents import Payment, StatementFacts
from node.settlement.payments import Booked, PaymentState
from node.settlement.windows import WindowState
from node.wire.settlement_camt import matched, read_bank_file
from simulators.settlement.bank import SimBank
from simulators.settlement.operator import Away, SimOperator
from simulators.sim.coalition import MERCHANTS

LOOK_SECONDS = 4.0
PAYS_WITHIN_SECONDS = 15.0
LATE_SECONDS = 15.0
AGAIN_IN = 8
"""At one look in so many a file is read that was read already."""


class How(StrEnum):
    """How a payment is made. The names are those of the reports."""

    WHOLE = "paid at once"
    PARTS = "paid in parts"
    BOUNCED = "paid after it was sent back"
    BOUNCED_PART = "paid in parts of which one was sent back first"
    LATE = "paid late, under its own reference"
    NEVER = "not paid before the default"


HONEST = (How.WHOLE, How.WHOLE, How.PARTS, How.PARTS, How.BOUNCED, How.BOUNCED_PART)


class Payers:
    """Everybody's finance: the merchants' and the operator's. It is outside of all processes that end."""

    def __init__(self, bank: SimBank, operator: SimOperator, seed: int) -> None:
        self.bank = bank
        self.counts: Counter[str] = Counter()
        self._operator = operator
        self._chance = random.Random(f"{seed}/payers")
        self._unwilling = self._chance.choice((*MERCHANTS, *[""] * 3))
        """Who may not pay in time in this seed."""
        self._planned: set[tuple[int, str, str]] = set()
        self._over: set[int] = set()
        """Windows of which nothing is left to pay."""
        self._late: set[tuple[int, str]] = set()
        """Windows in which somebody pays under a payment's own reference after its default."""
        self._read: dict[tuple[str, int], int] = {}
        """How many bookings a day's file had when it was read last, by owner."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def live(self) -> None:
        """Looks what is to be paid, and what has come."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for number, now in self._shown():
                for one in now.payments:
                    if one.state in (PaymentState.DUE, PaymentState.SAID):
                        self._plan(number, one.payment, self._how(number, one.payment))
                for debt in as_payments(now.standing).values():
                    pays = self._chance.choice((How.WHOLE, How.PARTS, How.NEVER))
                    # Money that comes twice for one debt, under two references, is for the two to settle.
                    late = (number, debt.debtor_id) in self._late
                    self._plan(number, debt, How.NEVER if late else pays, debt=True)
            for owner in (*MERCHANTS, OPERATOR_ID):
                await self._reads(owner)

    def all_told(self, number: int, now: PaymentsNow) -> bool:
        """Whether the operator has been told of everything that moved of a window.

        What is on its way while others come in a payment's place is not simulated: it counts for nothing,
        and the two have to agree on it.
        """
        return all(
            self.bank.came(number, one.payment.debtor_id, one.payment.creditor_id, one.payment.reference)
            == (one.booked if one.state is not PaymentState.SAID else 0)
            for one in now.payments
        )

    # --- paying ---------------------------------------------------------------------------------

    def _shown(self) -> list[tuple[int, PaymentsNow]]:
        """What there is to pay, window by window, as the operator's books have it in this moment.

        A payer who looked earlier could pay what others came in the place of meanwhile.
        """
        if self._operator.process is None:
            return []
        windows = [one.number for one in self._operator.known.newest.windows if one.number not in self._over]
        found = [(number, now) for number in windows if (now := self._now(number)) is not None]
        for number, now in found:
            record = self._operator.books.window(number)
            assert not isinstance(record, NotDone)
            if record.state is WindowState.SETTLED and not now.standing:
                self._over.add(number)
        return found

    def _now(self, number: int) -> PaymentsNow | None:
        now = self._operator.books.payments.now(number)
        return None if isinstance(now, NotDone) else now

    def _how(self, number: int, payment: Payment) -> How:
        if payment.debtor_id == self._unwilling and self._chance.random() < 0.7:
            how = self._chance.choice((How.LATE, How.NEVER))
            if how is How.LATE:
                self._late.add((number, payment.debtor_id))
            return how
        return self._chance.choice(HONEST)

    def _plan(self, number: int, payment: Payment, how: How, *, debt: bool = False) -> None:
        key = number, payment.reference, payment.debtor_id
        if key in self._planned:
            return
        self._planned.add(key)
        work = self._pays_debt if debt else self._pays
        task = asyncio.get_running_loop().create_task(work(number, payment, how))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pays(self, number: int, payment: Payment, how: How) -> None:
        if how is How.NEVER:
            self.counts[f"payments: {how}"] += 1
            return
        if how is How.LATE:
            await _until(lambda: self._in_default(number, payment), LATE_SECONDS)
        first = how in (How.BOUNCED, How.BOUNCED_PART)
        for amount in self._amounts(payment.amount, how):
            await asyncio.sleep(self._chance.uniform(0.0, PAYS_WITHIN_SECONDS / 3))
            if how is not How.LATE and not await self._still_due(number, payment):
                return
            if first:
                self.bank.move(number, payment, amount, bounces=True)
                await asyncio.sleep(self._chance.choice((0.0, PAYS_WITHIN_SECONDS / 3)))
                if not await self._still_due(number, payment):
                    return
                first = False
            self.bank.move(number, payment, amount)
        self.counts[f"payments: {how}"] += 1

    async def _pays_debt(self, number: int, debt: Payment, how: How) -> None:
        if how is How.NEVER:
            return
        for amount in self._amounts(debt.amount, how):
            await asyncio.sleep(self._chance.uniform(0.0, PAYS_WITHIN_SECONDS / 3))
            self.bank.move(number, debt, amount)
        self.counts["debts after a default: paid"] += 1

    def _amounts(self, amount: int, how: How) -> list[int]:
        if how not in (How.PARTS, How.BOUNCED_PART) or amount < 4:
            return [amount]
        part = amount // self._chance.randint(3, 4)
        return [part, part, amount - 2 * part]  # two that are alike but for the bank's name

    async def _still_due(self, number: int, payment: Payment) -> bool:
        await _until(lambda: self._operator.process is not None, LOOK_SECONDS)
        now = self._now(number)
        assert now is not None
        return any(one.payment == payment and one.state is not PaymentState.REPLACED for one in now.payments)

    def _in_default(self, number: int, payment: Payment) -> bool:
        now = None if self._operator.process is None else self._now(number)
        return now is not None and payment.debtor_id in {one.partner_id for one in now.defaulted}

    # --- reading --------------------------------------------------------------------------------

    async def _reads(self, owner: str) -> None:
        """Hands one file in: of a day that has something new, or now and then one that was read before."""
        movements = list(self.bank.of(owner))
        if not movements:
            return
        sizes = Counter(one.day for one in movements)
        fresh = [day for day, size in sorted(sizes.items()) if self._read.get((owner, day)) != size]
        if fresh:
            day = self._chance.choice(fresh)
            notices = [one for one in movements if one.day == day and not one.bounced]
            if notices and self._chance.random() < 0.5:
                await self._hands_in(owner, self.bank.notice(owner, self._chance.choice(notices)))
        elif self._chance.randrange(AGAIN_IN) == 0:
            day = self._chance.choice(sorted(sizes))
            self.counts["bank files read again"] += 1
        else:
            return
        if await self._hands_in(owner, self.bank.day_file(owner, day)):
            self._read[owner, day] = sizes[day]

    async def _hands_in(self, owner: str, file: bytes) -> bool:
        """Tells the operator of a file, window by window; whether all of it was answered."""
        bookings = read_bank_file(file)
        references = {one.reference for one in bookings}
        windows = sorted({one.window for one in self.bank.moved if one.reference in references})
        try:
            for number in windows:
                facts, payments, standing = await self._operator.call(partial(_payable, number), pays=True)
                found = matched(bookings, payments, facts, owner, standing)
                booked = [
                    Booked(one.payment.reference, one.units, one.booking.bank_reference) for one in found.told
                ]
                request_id = hashlib.sha256(repr((number, booked)).encode()).hexdigest()[:32]
                if booked:
                    await self._operator.call(
                        partial(self._reported, number, owner, request_id, booked), pays=True
                    )
        except Away:
            return False
        self.counts["bank files"] += 1
        return True

    def _reported(
        self, number: int, owner: str, request_id: str, booked: list[Booked], books: OperatorBooks
    ) -> None:
        now_ms = self._operator.clock_ms()
        answer = books.payments.report(request_id, number, owner, booked, now_ms)
        if isinstance(answer, NotDone):
            self._operator.broken.append(f"it refused bookings of {owner}: {answer.text}")


async def _until(true: Callable[[], bool], pause_seconds: float) -> None:
    """Waits for something outside, looking now and then."""
    while True:
        if true():
            return
        await asyncio.sleep(pause_seconds)


def _payable(number: int, books: OperatorBooks) -> tuple[StatementFacts, list[Payment], set[str]]:
    """A window's payments with what stands between two, as `vafa settlement paid` is shown them."""
    now, statement = books.payments.now(number), books.statement(number)
    assert isinstance(now, PaymentsNow)
    assert statement is not None
    standing = as_payments(now.standing)
    payments = [*(one.payment for one in now.payments), *standing.values()]
    return statement.facts, payments, set(standing)
