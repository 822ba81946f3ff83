"""The operator's books: windows, the closes that pairs hand in, statements, payments, prepaid balances.

One store with one writer; every change is a batch of its own, synced before it is answered, and asking
again changes nothing. It holds no member's account and sees no transaction, but those of a close that one
side hands in alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import structlog
from msgspec.structs import replace

from node.actors.operator_money import NotDone, OperatorMoney, Why
from node.actors.operator_payments import OperatorPayments
from node.coalition.directory import Directory, SettlementTerms, Window
from node.identity.signers import Signer
from node.settlement import prepaid
from node.settlement.closes import follows, starts_after
from node.settlement.documents import (
    CloseBasis,
    MissingClose,
    MissingReason,
    PairClose,
    Payment,
    PrepaidLine,
    SignedClose,
)
from node.settlement.partners import silent_after
from node.settlement.statement import WindowInput, carried_from
from node.settlement.windows import (
    Circumstances,
    WindowEvent,
    WindowRefusal,
    WindowState,
    grace_over,
    pairs_of,
    partners_of,
    step,
    terms_of,
)
from node.storage.settlement_keys import Item, item_key, item_range
from node.storage.store import Batch, Store
from node.wire import settlement_store as store
from node.wire.coalition_trust import KnownDirectories
from node.wire.settlement_lines import ReadStatement, read_signed_statement
from node.wire.settlement_publish import head_hash, publish
from node.wire.settlement_signing import Open, close_problem
from node.wire.settlement_store import BalanceRecord, PairStarts, WindowRecord

log = structlog.get_logger()


class OperatorBooks:
    """The books. `known` gives the directories; `open_` verifies envelopes; times are epoch milliseconds."""

    def __init__(
        self, store_: Store, known: Callable[[], KnownDirectories], signer: Callable[[], Signer], open_: Open
    ) -> None:
        self.store = store_
        self.money = OperatorMoney(store_, lambda: self.directory)
        self.payments = OperatorPayments(self)
        self._known = known
        self._signer = signer
        self._open = open_

    @property
    def directory(self) -> Directory:
        """The newest directory."""
        return self._known().newest

    # --- windows -------------------------------------------------------------------------------------------

    def window(self, number: int) -> WindowRecord | NotDone:
        """A window as it stands; one of the calendar that nothing was done with is open."""
        data = self.store.get(item_key(Item.WINDOW, number))
        if data is not None:
            return store.WINDOW.decode(data)
        if self.directory.window(number) is None:
            return NotDone(Why.UNKNOWN, f"Window {number}: {WindowRefusal.NOT_IN_CALENDAR}.")
        return WindowRecord(number)

    def windows(self, now_ms: int, from_number: int = 0, most: int = 50) -> list[tuple[Window, WindowRecord]]:
        """The windows that have begun, by number."""
        begun = [
            one for one in self.directory.windows if one.number >= from_number and one.open_time_ms <= now_ms
        ]
        records = ((one, self.window(one.number)) for one in begun[:most])
        return [(one, record) for one, record in records if isinstance(record, WindowRecord)]

    def close_window(self, number: int, now_ms: int) -> WindowRecord | NotDone:
        """Closes a window whose cut has passed; closes of pairs are taken from its cut on anyway."""
        record = self.window(number)
        if isinstance(record, NotDone) or record.state is not WindowState.OPEN:
            return record
        return self._move(record, self.judged(record, WindowEvent.CLOSE, now_ms), Batch())

    def judged(
        self,
        record: WindowRecord,
        event: WindowEvent,
        now_ms: int,
        *,
        awaited: int = 0,
        unpaid: int = 0,
        without_missing: bool = False,
    ) -> WindowState | NotDone:
        """The state that a window may move to, or why it may not."""
        window = self.directory.window(record.number)
        assert window is not None, "a window of the books is in the calendar, which only grows"
        before = self.window(record.number - 1) if self._settles(record.number - 1) else None
        previous = before.state if isinstance(before, WindowRecord) else None
        given = Circumstances(now_ms, previous, awaited, unpaid, without_missing)
        after = step(window, record.state, event, given)
        if isinstance(after, WindowRefusal):
            return NotDone(Why.NOT_YET, f"Window {record.number}: {after}. Nothing was changed.")
        return after

    def _move(
        self, record: WindowRecord, state: WindowState | NotDone, batch: Batch
    ) -> WindowRecord | NotDone:
        """Writes a window's new state with what comes with it."""
        if isinstance(state, NotDone):
            return state
        record = replace(record, state=state)
        batch.put(item_key(Item.WINDOW, record.number), store.WINDOW.encode(record))
        self.money.commit(batch)
        return record

    def _settles(self, number: int) -> bool:
        """Whether the coalition settles a window at all: those before its first terms are not."""
        return terms_of(self.directory, number) is not None

    # --- closes --------------------------------------------------------------------------------------------

    def submit(self, signed: SignedClose, now_ms: int) -> NotDone | None:
        """Takes a pair's close. One that both signed replaces what one side handed in alone, until the
        statement.
        """
        refusal = self.close_refusal(signed, now_ms)
        if refusal is not None:
            return refusal
        close = signed.close
        key = item_key(Item.CLOSE, close.window, *close.pair)
        data = self.store.get(key)
        known = None if data is None else store.CLOSE.decode(data)
        if known is not None and known.close_bytes == signed.close_bytes:
            return None
        if known is not None and known.close.basis is CloseBasis.AGREED:
            if close.basis is not CloseBasis.AGREED:
                return None  # both have signed; what one of them says alone adds nothing
            text = f"{' with '.join(close.pair)} have both signed another close of window {close.window}."
            return NotDone(Why.CONFLICT, f"{text} The first one stands.")
        batch = Batch()
        batch.put(key, store.CLOSE.encode(signed))
        self.money.commit(batch)
        return None

    def close_refusal(self, signed: SignedClose, now_ms: int) -> NotDone | None:
        """Why a close is not taken now; None where it is. For a close by one side alone its records come on
        top.
        """
        close = signed.close
        record, window = self.window(close.window), self.directory.window(close.window)
        if isinstance(record, NotDone):
            return record
        assert window is not None
        name = f"The close of {' with '.join(close.pair)} for window {close.window}"
        if now_ms < window.cut_time_ms:
            return NotDone(Why.NOT_YET, f"{name} was not taken: {WindowRefusal.BEFORE_CUT}.")
        if record.state > WindowState.CLOSED:
            return NotDone(Why.CONFLICT, f"{name} was not taken: the statement is published.")
        if close.pair not in pairs_of(self.directory, close.window):
            return NotDone(Why.INVALID, f"{name} was not taken: they are not both partners in it.")
        problem = close_problem(self.directory, window, signed, now_ms, self._open)
        if problem is not None:
            self._note_refused(close, MissingReason.NO_EVIDENCE)
            return NotDone(Why.INVALID, f"{name} was not taken: {problem}.")
        if not follows(close, {one.lane: one for one in self.starts(close.pair).lanes}):
            self._note_refused(close, MissingReason.NOT_CONTINUOUS)
            return NotDone(Why.INVALID, f"{name} was not taken: it does not go on where the last one ended.")
        if close.basis is not CloseBasis.AGREED and not grace_over(self.directory, window, now_ms):
            return NotDone(Why.NOT_YET, f"{name} was not taken: the other side still has time to sign.")
        return None

    def _note_refused(self, close: PairClose, reason: MissingReason) -> None:
        """Keeps why a pair's close was not taken, for the statement to say it if no other one comes."""
        key, value = item_key(Item.REFUSED, close.window, *close.pair), bytes((reason,))
        if self.store.get(key) != value:
            self.money.commit(Batch.of({key: value}))

    def _missing(self, window: int, pair: tuple[str, str]) -> MissingClose:
        """The line of a pair without a close."""
        data = self.store.get(item_key(Item.REFUSED, window, *pair))
        return MissingClose(*pair, MissingReason(data[0]) if data else MissingReason.NOBODY_SENT)

    def starts(self, pair: tuple[str, str]) -> PairStarts:
        """Where the pair's next close goes on."""
        data = self.store.get(item_key(Item.STARTS, *pair))
        return PairStarts(0, ()) if data is None else store.STARTS.decode(data)

    def closes(self, window: int) -> list[SignedClose]:
        """The closes taken for a window, by pair."""
        return [store.CLOSE.decode(data) for _, data in self.store.scan(*item_range(Item.CLOSE, window))]

    def keep_mismatch(self, window: int, pair: tuple[str, str], lane: int, data: bytes) -> None:
        """Keeps what was found where two sides' records part."""
        batch = Batch()
        batch.put(item_key(Item.MISMATCH, window, *pair, lane), data)
        self.money.commit(batch)

    def mismatches(self, window: int) -> Iterator[bytes]:
        """What was reported for a window."""
        return (data for _, data in self.store.scan(*item_range(Item.MISMATCH, window)))

    # --- statements ----------------------------------------------------------------------------------------

    def settle(self, number: int, now_ms: int, *, without_missing: bool = False) -> WindowRecord | NotDone:
        """Computes, signs and keeps a window's statement, once; asked again it is simply there."""
        record = self.window(number)
        if isinstance(record, NotDone) or record.state > WindowState.CLOSED:
            return record
        terms, window = terms_of(self.directory, number), self.directory.window(number)
        if terms is None or window is None:
            return NotDone(Why.INVALID, f"Window {number}: {WindowRefusal.NO_TERMS}. Nothing was changed.")
        closes = self.closes(number)
        have = {one.close.pair for one in closes}
        lacking = [pair for pair in pairs_of(self.directory, number) if pair not in have]
        awaited = 0 if grace_over(self.directory, window, now_ms) else len(lacking)
        before = self.statement(number - 1)
        given = WindowInput(
            tuple(closes),
            tuple(self._missing(number, pair) for pair in lacking),
            tuple(self.money.corrections()),
            self._carried(before, terms, number),
            self.money.opening_balances(partners_of(self.directory, number)),
        )
        state = self.judged(
            record, WindowEvent.PUBLISH, now_ms, awaited=awaited, without_missing=without_missing
        )
        if isinstance(state, NotDone):
            return state
        data = publish(
            self.directory,
            self._known().accepted[-1].body,
            terms,
            number,
            given,
            self._signer(),
            now_ms=now_ms,
            previous_head_hash=b"" if before is None else head_hash(before),
        )
        batch = Batch()
        read = read_signed_statement(data)
        batch.put(item_key(Item.STATEMENT, number), data)
        self._settled(batch, read, closes)
        record = replace(
            record,
            payments=tuple(line.reference for line in read.lines if isinstance(line, Payment)),
            silent=self._silent(number, closes),
        )
        # Where nobody has to pay anything, nothing is awaited any more: no payment will come and say so.
        ended = self.payments.ended(replace(record, state=state), (), now_ms)
        return self._move(ended, ended.state, batch)

    def statement(self, number: int) -> ReadStatement | None:
        """A published statement."""
        data = self.statement_bytes(number)
        return None if data is None else read_signed_statement(data)

    def statement_bytes(self, number: int) -> bytes | None:
        """A published statement's file."""
        return self.store.get(item_key(Item.STATEMENT, number)) if number >= 0 else None

    def _carried(
        self, before: ReadStatement | None, terms: SettlementTerms, number: int
    ) -> dict[tuple[str, str], int]:
        if before is None:
            return {}
        same = before.facts.currency == terms.currency
        return carried_from(before.lines, same_currency=same, partners=partners_of(self.directory, number))

    def _silent(self, number: int, closes: Iterable[SignedClose]) -> tuple[tuple[str, int], ...]:
        before = self.window(number - 1)
        counted = dict(before.silent) if isinstance(before, WindowRecord) else {}
        signers = {signature.signer_id for one in closes for signature in one.signatures}
        return tuple(sorted(silent_after(self.directory, number, signers, counted).items()))

    def _settled(self, batch: Batch, read: ReadStatement, closes: Iterable[SignedClose]) -> None:
        """What a statement changes beside itself: where lanes go on, balances, corrections that are in it."""
        for signed in closes:
            pair = signed.close.pair
            known = {one.lane: one for one in self.starts(pair).lanes}
            after = starts_after(signed.close, known)
            starts = PairStarts(read.facts.window, tuple(after[lane] for lane in sorted(after)))
            batch.put(item_key(Item.STARTS, *pair), store.STARTS.encode(starts))
        for line in read.lines:
            if isinstance(line, PrepaidLine):
                known_balance = self.money.balance(line.partner_id).balance
                after_window = replace(prepaid.used(known_balance, line.used), left=line.closing)
                record = BalanceRecord(after_window)
                terms = terms_of(self.directory, read.facts.window)
                percents = terms.prepaid_alert_percents if terms else ()
                for percent in prepaid.alerts_between(known_balance, after_window, percents):
                    log.warning("prepaid_balance_low", partner=line.partner_id, percent=percent)
                batch.put(item_key(Item.BALANCE, line.partner_id), store.BALANCE.encode(record))
        batch.delete_range(*item_range(Item.CORRECTION))
