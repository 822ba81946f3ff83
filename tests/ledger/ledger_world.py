"""A small node without I/O: accounts, one journal, amendments and books, every step of them checked."""

from __future__ import annotations

from collections import Counter

import msgspec

from node.ledger.account import Account, Purse
from node.ledger.decision import Accepted, Context
from node.ledger.due import settle
from node.ledger.events import Earned, Sold
from node.ledger.evolve import apply_entry, earliest_due_ms
from node.ledger.lots import MAX_LOTS, Lot, Lots, total
from node.ledger.postings import IN_TRANSIT, MEMBER, Books
from node.ledger.purses import PurseDefinition, SpentReturnPolicy
from node.ledger.returns import amend
from node.ledger.transactions import Amendment, Entry
from tests.ledger.ledger_model import Model

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS

_ENTRY = msgspec.msgpack.Decoder(Entry)


class World:
    """Accounts that share a journal. `post` is the one way to change them."""

    def __init__(self, purses: dict[str, PurseDefinition], accounts: tuple[bytes, ...]) -> None:
        self.purses = purses
        self.now_ms = START_MS
        self.entries: list[Entry] = []
        self.amendments: dict[int, Amendment] = {}
        self.books = Books()
        self.accounts = {account_id: Account(account_id) for account_id in accounts}
        self.replayed = dict(self.accounts)
        self.models = {account_id: Model(purses) for account_id in (*accounts, b"")}
        self.in_flight: Counter[str] = Counter()

    @property
    def next_sequence(self) -> int:
        return len(self.entries) + 1

    def context(self, caller: str = "") -> Context:
        return Context(self.now_ms, self.next_sequence, self.purses, caller)

    def amendment(self, sequence: int) -> Amendment:
        return self.amendments.get(sequence, Amendment(sequence))

    def settle(self, account_id: bytes) -> None:
        """What every touch begins with: due work, in an entry of its own."""
        due = settle(self.accounts[account_id], self.now_ms)
        self.models[account_id].settle(self.now_ms)
        if due is not None:
            self.post(account_id, due)
        assert settle(self.accounts[account_id], self.now_ms) is None, "due work is done at once and whole"

    def post(self, account_id: bytes, decision: Accepted) -> Entry:
        """Makes an entry of a decision, puts it into the journal and applies it."""
        before = self.accounts.get(account_id, Account(b""))
        entry = Entry(
            self.next_sequence, decision.kind, account_id, self.now_ms, self.now_ms, "till", "request", 1,
            before.last_sequence, decision.events,
        )  # fmt: skip
        self.entries.append(entry)
        self.books.post(entry.events)
        for event in entry.events:
            original = getattr(event, "original", 0)
            if original:
                self.amendments[original] = amend(self.amendment(original), event, self.now_ms)
                check_amendment(self.entries[original - 1], self.amendments[original])
        if account_id:
            self.accounts[account_id] = apply_entry(before, entry)
            stored = _ENTRY.decode(msgspec.msgpack.encode(entry))
            assert stored == entry, "an entry comes back from the journal as it went in"
            self.replayed[account_id] = apply_entry(self.replayed[account_id], stored)
        return entry

    def check(self) -> None:
        """Everything that holds at all times."""
        assert all(units == 0 for units in self.books.sums().values()), "the books sum to zero"
        for code in self.purses:
            owned = sum(account.purse(code).owned for account in self.accounts.values())
            assert self.books.units.get((MEMBER, code), 0) == owned, "the members' book is what they own"
            assert self.books.units.get((IN_TRANSIT, code), 0) == self.in_flight[code]
        for account_id, account in self.accounts.items():
            assert self.replayed[account_id] == account, "the journal replays to the account"
            check_account(account, self.purses)
            check_model(account, self.models[account_id])


def check_account(account: Account, purses: dict[str, PurseDefinition]) -> None:
    """What holds for any account."""
    assert account.due_ms == earliest_due_ms(account), "the due time is the earliest"
    hold_ids = [hold.hold_id for hold in account.holds]
    assert len(set(hold_ids)) == len(hold_ids), "holds have ids of their own"
    for code, purse in account.purses.items():
        check_purse(purse)
        held = sum(part.units for hold in account.holds for part in hold.taken if part.purse == code)
        assert purse.held == held, "what is held is what the holds hold"
        if purses[code].spent_return_policy is not SpentReturnPolicy.NEGATIVE:
            assert purse.spendable >= -purses[code].credit_limit, "below zero only as far as allowed"


def check_purse(purse: Purse) -> None:
    """What holds for any purse."""
    assert purse.spendable == total(purse.lots) - purse.debt
    assert purse.pending == total(purse.pending_lots)
    assert purse.debt >= 0
    assert not (purse.debt and purse.lots), "a purse below zero has nothing to spend"
    check_lots(purse.lots)
    check_lots(purse.pending_lots)


def check_lots(lots: Lots) -> None:
    """What holds for the lots of any purse."""
    terms = [lot.terms() for lot in lots]
    assert terms == sorted(set(terms)), "lots stand in their order, no two alike"
    assert len(lots) <= MAX_LOTS
    assert all(lot.units > 0 for lot in lots)


def check_model(account: Account, model: Model) -> None:
    """The account holds what the naive model holds, unit for unit."""
    for code, wallet in model.wallets.items():
        purse = account.purse(code)
        assert tokens(purse.lots) == wallet.lots, "the same units are there to spend, in the same order"
        assert tokens(purse.pending_lots) == sorted(wallet.pending)
        assert purse.debt == wallet.debt
    assert {hold.hold_id for hold in account.holds} == set(model.holds)
    counted = {(counter.name, counter.day): counter.units for counter in account.counters if counter.units}
    assert counted == {name: units for name, units in model.counters.items() if units}


def tokens(lots: tuple[Lot, ...]) -> list[tuple[int, int, str, str]]:
    """Every unit of some lots by itself, in order."""
    return [lot.terms() for lot in lots for _ in range(lot.units)]


def check_amendment(original: Entry, amended: Amendment) -> None:
    """No more comes back than was bought, and all that was earned exactly when everything is back."""
    event = original.events[0]
    if not isinstance(event, Earned | Sold):
        return
    purchase, awards = event.purchase, event.awards if isinstance(event, Earned) else ()
    assert 0 <= amended.minor <= purchase.total_minor
    back = {line.number: amended.lines.get(line.number) for line in purchase.lines}
    quantities = {line.number: line.quantity_milli for line in purchase.lines}
    assert amended.lines.keys() <= quantities.keys()
    assert all(0 <= quantity <= quantities[number] for number, quantity in amended.lines.items())
    for award, units in zip(awards, amended.award_units, strict=False):
        assert 0 <= units <= award.units, "no more is taken back than was granted"
        if (back == quantities) if purchase.lines else (amended.minor == purchase.total_minor):
            assert units == award.units, "all is taken back when everything came back"
