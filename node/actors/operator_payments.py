"""The payments of a statement at the operator: what is due, what banks say of it, and who does not pay.

The receiver's word that a payment came in full, at once or in parts, is enough, and the operator's; the
payer's is kept and shown, and counts for nothing alone. A window with a partner in default is netted anew
without it, so that the others finish it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from node.actors.operator_between import as_payments, came_between, debt_now
from node.actors.operator_money import NotDone, Why
from node.actors.operator_parts import Parts
from node.coalition.directory import OPERATOR_ID
from node.settlement.defaults import StandingDebt, Unwound, without
from node.settlement.documents import Net, Payment
from node.settlement.payments import Booked, PaymentNow, PaymentState, judged
from node.settlement.statement import prepaid_partners
from node.settlement.windows import WindowEvent, WindowState, partners_of, terms_of
from node.storage.settlement_keys import Item, item_key, item_range
from node.wire import settlement_store as store
from node.wire.settlement_lines import ReadStatement
from node.wire.settlement_store import BalanceRecord, DefaultRecord, PaidRecord, SaidRecord, WindowRecord

if TYPE_CHECKING:
    from node.actors.operator_books import OperatorBooks

MAX_BOOKINGS = 10_000


class PaymentsNow(Struct, frozen=True):
    """A window's payments: as they stand, who is in default and why, what stands between two, and until when
    they are due.
    """

    payments: tuple[PaymentNow, ...]
    defaulted: tuple[DefaultRecord, ...]
    standing: tuple[StandingDebt, ...]
    due_ms: int


class OperatorPayments:
    """The payments in an operator's books. Times are epoch milliseconds."""

    def __init__(self, books: OperatorBooks) -> None:
        self._books = books
        self._parts = Parts(books.store)

    # --- reading -------------------------------------------------------------------------------------------

    def now(self, number: int) -> PaymentsNow | NotDone:
        """The payments of a window with a statement."""
        statement = self._books.statement(number)
        if statement is None:
            return NotDone(Why.UNKNOWN, f"Window {number} has no statement yet.")
        payments = self._all(number, statement)
        shown = tuple(self._shown(number, payment, replaced) for payment, replaced in payments)
        defaulted = self.defaulted(number)
        return PaymentsNow(shown, defaulted, self._standing(statement, shown), self.due_ms(statement))

    def _standing(self, statement: ReadStatement, shown: Sequence[PaymentNow]) -> tuple[StandingDebt, ...]:
        number = statement.facts.window
        who = [one.partner_id for one in self.defaulted(number)]
        if not who:
            return ()
        came = self._came(number, shown) + came_between(statement, who, self._parts)
        return self._without(statement, who, came, 0).standing

    def _between(self, number: int) -> dict[str, Payment]:
        now = self.now(number)
        return {} if isinstance(now, NotDone) else as_payments(now.standing)

    def due_ms(self, statement: ReadStatement) -> int:
        """Until when a statement's payments are to be made."""
        terms = terms_of(self._books.directory, statement.facts.window)
        return statement.facts.publish_time_ms + (terms.payment_due_seconds if terms else 0) * 1000

    def defaulted(self, number: int) -> tuple[DefaultRecord, ...]:
        """Who was declared in default in a window."""
        found = self._books.store.scan(*item_range(Item.DEFAULT, number))
        return tuple(store.DEFAULT.decode(data) for _, data in found)

    def _all(self, number: int, statement: ReadStatement) -> list[tuple[Payment, bool]]:
        """Every payment that there ever was, with whether others came in its place."""
        data = self._books.store.get(item_key(Item.REPLACEMENT, number))
        after = store.REPLACEMENT.decode(data) if data is not None else store.ReplacementRecord()
        made = [line for line in statement.lines if isinstance(line, Payment)]
        return [(one, one.reference in after.replaced) for one in (*made, *after.payments)]

    def _shown(self, number: int, payment: Payment, replaced: bool) -> PaymentNow:
        books = self._books.store
        data = books.get(item_key(Item.PAID, number, payment.reference))
        if data is not None:
            bank = store.PAID.decode(data).bank_reference
            return PaymentNow(payment, PaymentState.PAID, payment.amount, bank)
        data = books.get(item_key(Item.SAID, number, payment.reference))
        said = store.SAID.decode(data) if data is not None else SaidRecord(0, "", by_receiver=False)
        if replaced and not said.by_receiver:
            said = SaidRecord(
                0, "", by_receiver=False
            )  # what its payer said of it is nobody's concern any more
        state = judged(payment, said.amount, by_receiver=said.by_receiver, replaced=replaced)
        return PaymentNow(payment, state, said.amount, said.bank_reference)

    def _came(self, number: int, shown: Sequence[PaymentNow]) -> list[Payment]:
        """What has come: the payments that were made, and of others the part that was."""
        came = []
        for one in shown:
            paid = one.state is PaymentState.PAID
            amount = one.payment.amount if paid else self._parts.total(number, one.payment.reference)
            if amount:
                came.append(replace(one.payment, amount=amount))
        return came

    # --- what came in --------------------------------------------------------------------------------------

    def report(
        self, request_id: str, number: int, caller: str, bookings: Sequence[Booked], now_ms: int
    ) -> tuple[list[PaymentNow | None], WindowRecord] | NotDone:
        """What the caller's bank booked of payments that it made or received: each as it stands afterwards,
        None for what is no payment of the caller's. A booking that was reported before changes nothing; parts
        of a payment that the bank calls differently add up. So it is with what stands between two.
        """
        statement, record = self._books.statement(number), self._books.window(number)
        if statement is None or isinstance(record, NotDone):
            return NotDone(Why.UNKNOWN, f"Window {number} has no statement yet.")
        if len(bookings) > MAX_BOOKINGS or any(one.amount <= 0 for one in bookings):
            return NotDone(Why.INVALID, f"At most {MAX_BOOKINGS} bookings above 0 at once. Nothing was kept.")
        known = {one.reference: (one, replaced) for one, replaced in self._all(number, statement)}
        debts = self._between(number)
        touched = [self._of_caller(known.get(one.reference), caller) for one in bookings]
        heard = [(one, *found) for one, found in zip(bookings, touched, strict=True) if found is not None]
        changes = self._heard(number, caller, heard, now_ms)
        of_debts = self._received(number, caller, bookings, debts)
        if isinstance(changes, NotDone):
            return changes
        if isinstance(of_debts, NotDone):
            return of_debts
        said = [(one.reference, one.amount, one.bank_reference) for one in bookings]
        asked = f"report {number} {caller} {said}".encode()
        known_already = self._books.money.was_done(f"{caller}/{request_id}", asked)
        after, all_changes = self._with_end(record, changes | of_debts, now_ms)
        refusal = self._books.money.once(f"{caller}/{request_id}", asked, all_changes)
        if refusal is not None:
            return refusal
        after = record if known_already else after
        left = self._between(number) if debts else {}
        return [
            self._shown(number, *found)
            if found is not None
            else self._debt_now(number, caller, debts.get(booked.reference), left)
            for booked, found in zip(bookings, touched, strict=True)
        ], after

    def _received(
        self, number: int, caller: str, bookings: Iterable[Booked], debts: Mapping[str, Payment]
    ) -> dict[bytes, bytes] | NotDone:
        """What a creditor's bookings of standing debts change in the books; anybody else's change nothing."""
        own = {reference for reference, debt in debts.items() if debt.creditor_id == caller}
        added = self._parts.with_more(number, caller, [one for one in bookings if one.reference in own])
        return added if isinstance(added, NotDone) else added.changes

    def _debt_now(
        self, number: int, caller: str, debt: Payment | None, left: Mapping[str, Payment]
    ) -> PaymentNow | None:
        if debt is None or caller not in (debt.debtor_id, debt.creditor_id, OPERATOR_ID):
            return None
        return debt_now(debt, left, self._parts.by(number, debt.reference, debt.creditor_id))

    @staticmethod
    def _of_caller(found: tuple[Payment, bool] | None, caller: str) -> tuple[Payment, bool] | None:
        ours = found is not None and caller in (found[0].debtor_id, found[0].creditor_id, OPERATOR_ID)
        return found if ours else None

    def _heard(
        self, number: int, caller: str, heard: Iterable[tuple[Booked, Payment, bool]], now_ms: int
    ) -> dict[bytes, bytes] | NotDone:
        """What a caller's bookings change in the books."""
        changes: dict[bytes, bytes] = {}
        parts: list[Booked] = []
        due: dict[str, int] = {}
        defaulted = {one.partner_id for one in self.defaulted(number)}
        for booked, payment, replaced in heard:
            now = self._shown(number, payment, replaced)
            if now.state is PaymentState.PAID or (replaced and payment.debtor_id not in defaulted):
                continue
            if caller == payment.debtor_id and caller != OPERATOR_ID:
                if now.state is PaymentState.DUE:
                    changes |= _said(number, booked, booked.amount, by_receiver=False)
            elif booked.amount == payment.amount:
                changes |= _paid(number, booked, now_ms)
            else:
                parts.append(booked)
                due[booked.reference] = payment.amount
        added = self._parts.with_more(number, caller, parts)
        if isinstance(added, NotDone):
            return added
        for booked in parts:
            total = added.totals[booked.reference]
            changes |= _said(number, booked, total, by_receiver=True)
            if total == due[booked.reference]:
                changes |= _paid(number, booked, now_ms)
        return changes | added.changes

    def confirm(
        self, request_id: str, number: int, reference: str, amount: int, bank_reference: str, now_ms: int
    ) -> WindowRecord | NotDone:
        """Marks a payment as made, on the operator's word; when all are, the window is settled."""
        record, statement = self._books.window(number), self._books.statement(number)
        if isinstance(record, NotDone):
            return record
        asked = f"paid {number} {reference} {amount}".encode()
        if self._books.money.was_done(request_id, asked):
            return record
        payments = self._all(number, statement) if statement else []
        debt = self._between(number).get(reference)
        due = debt or next((one for one, _ in payments if one.reference == reference), None)
        if due is None or due.amount != amount:
            text = f"Window {number} has no payment {reference} of this amount. Nothing was marked."
            return NotDone(Why.INVALID, text)
        changes = _paid(number, Booked(reference, amount, bank_reference), now_ms)
        if debt is not None:  # in its creditor's place: what is left of it is its last part
            word = Booked(reference, amount, f"by the operator {bank_reference}")
            of_debt = self._received(number, debt.creditor_id, [word], {reference: debt})
            if isinstance(of_debt, NotDone):
                return of_debt
            changes = of_debt
        ended, changes = self._with_end(record, changes, now_ms)
        return self._books.money.once(request_id, asked, changes) or ended

    def ended(self, record: WindowRecord, changed: Collection[bytes], now_ms: int) -> WindowRecord:
        """A window as it is once what is `changed` is written, by its keys: settled where nothing of it is
        awaited any more.
        """
        if record.state is not WindowState.PENDING:
            return record
        number, paid = record.number, self._books.money.paid(record.number)
        unpaid = [
            one
            for one in record.payments
            if one not in paid and item_key(Item.PAID, number, one) not in changed
        ]
        state = self._books.judged(record, WindowEvent.PAY, now_ms, unpaid=len(unpaid))
        return record if isinstance(state, NotDone) else replace(record, state=state)

    def _with_end(
        self, record: WindowRecord, changes: dict[bytes, bytes], now_ms: int
    ) -> tuple[WindowRecord, dict[bytes, bytes]]:
        """The window after some changes, and the changes with its end: in one batch. A process that ended
        between two would leave a window open to which nobody comes back.
        """
        ended = self.ended(record, changes, now_ms)
        if ended.state is record.state:
            return record, changes
        return ended, changes | {item_key(Item.WINDOW, record.number): store.WINDOW.encode(ended)}

    # --- who does not pay ----------------------------------------------------------------------------------

    def default(
        self, request_id: str, number: int, partner_id: str, reason: str, now_ms: int
    ) -> WindowRecord | NotDone:
        """Declares a partner in default of a window; the others' payments are computed anew without it."""
        record, statement = self._books.window(number), self._books.statement(number)
        if isinstance(record, NotDone) or statement is None:
            return NotDone(Why.UNKNOWN, f"Window {number} has no statement yet. Nothing was changed.")
        name = f"{partner_id} was not declared in default of window {number}"
        if any(one.partner_id == partner_id for one in self.defaulted(number)):
            return record
        if now_ms < self.due_ms(statement):
            return NotDone(Why.NOT_YET, f"{name}: its payments are not due yet.")
        payments = self._all(number, statement)
        shown = [self._shown(number, payment, replaced) for payment, replaced in payments]
        unpaid = [one.payment for one in shown if one.state not in (PaymentState.PAID, PaymentState.REPLACED)]
        if not any(one.debtor_id == partner_id for one in unpaid) or partner_id == OPERATOR_ID:
            return NotDone(Why.INVALID, f"{name}: it has nothing left to pay in it.")
        who = [*(one.partner_id for one in self.defaulted(number)), partner_id]
        paid = [one.payment for one in shown if one.state is PaymentState.PAID]
        after = self._without(statement, who, self._came(number, shown), len(payments))
        replaced_now = tuple(one.payment.reference for one in shown if one.state is not PaymentState.PAID)
        later = tuple(one for one, _ in payments[self._made(statement) :]) + after.payments
        record = replace(record, payments=tuple(one.reference for one in (*paid, *after.payments)))
        changes = {
            item_key(Item.DEFAULT, number, partner_id): store.DEFAULT.encode(
                DefaultRecord(partner_id, reason, now_ms)
            ),
            item_key(Item.REPLACEMENT, number): store.REPLACEMENT.encode(
                store.ReplacementRecord(later, replaced_now)
            ),
            item_key(Item.WINDOW, number): store.WINDOW.encode(record),
            **self._balances(statement, number, who, after),
        }
        asked = f"default {number} {partner_id} {reason}".encode()
        ended, changes = self._with_end(record, changes, now_ms)
        return self._books.money.once(request_id, asked, changes) or ended

    def _made(self, statement: ReadStatement) -> int:
        return sum(isinstance(line, Payment) for line in statement.lines)

    def _without(
        self, statement: ReadStatement, who: Sequence[str], paid: Sequence[Payment], known: int
    ) -> Unwound:
        facts, directory = statement.facts, self._books.directory
        terms = terms_of(directory, facts.window)
        return without(
            statement.lines,
            who,
            paid,
            prepaid=prepaid_partners(directory, partners_of(directory, facts.window)) - set(who),
            by_agent=terms is not None and terms.agent_account is not None,
            coalition_id=facts.coalition_id,
            window=facts.window,
            first_number=known + 1,
        )

    def _balances(
        self, statement: ReadStatement, number: int, who: Sequence[str], after: Unwound
    ) -> dict[bytes, bytes]:
        """What prepaid partners get back of, or pay more from, their balances by the nets without `who`."""
        directory = self._books.directory
        ahead = prepaid_partners(directory, partners_of(directory, number)) - set(who)
        before = {line.party_id: line.payable for line in statement.lines if isinstance(line, Net)}
        if len(who) > 1:
            paid: list[Payment] = []  # nets do not depend on what was paid
            before = {one.party_id: one.payable for one in self._without(statement, who[:-1], paid, 0).nets}
        changes = {}
        for net in after.nets:
            more = net.payable - before[net.party_id]
            if net.party_id in ahead and more:
                known = self._books.money.balance(net.party_id)
                balance = replace(known.balance, left=known.balance.left + more)
                value = store.BALANCE.encode(BalanceRecord(balance, known.topped_up + more))
                changes[item_key(Item.BALANCE, net.party_id)] = value
        return changes


def _paid(number: int, booked: Booked, now_ms: int) -> dict[bytes, bytes]:
    value = store.PAID.encode(PaidRecord(now_ms, booked.bank_reference))
    return {item_key(Item.PAID, number, booked.reference): value}


def _said(number: int, booked: Booked, amount: int, *, by_receiver: bool) -> dict[bytes, bytes]:
    value = store.SAID.encode(SaidRecord(amount, booked.bank_reference, by_receiver))
    return {item_key(Item.SAID, number, booked.reference): value}
