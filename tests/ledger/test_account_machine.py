"""An account agrees with a naive model of it, whatever is done to it and in whatever order."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from node.ledger import adjusting, membership
from node.ledger.account import Account, Status
from node.ledger.events import Debited
from node.ledger.evolve import apply_entry
from node.ledger.postings import Books
from node.ledger.refusals import Reason
from node.ledger.transactions import Entry
from tests.ledger.ledger_machine import MEMBER, OTHER, TillMachine, codes, picks, who
from tests.ledger.ledger_model import Model
from tests.ledger.ledger_tokens import revived
from tests.ledger.ledger_world import DAY_MS


class AccountMachine(TillMachine):
    """Staff, transfers and time beside the tills."""

    @rule(account_id=who, code=codes, units=st.integers(-20, 20).filter(bool), days=st.sampled_from([2, 9]))
    def adjust(self, account_id: bytes, code: str, units: int, days: int) -> None:
        account, model = self.touch(account_id)
        expires_ms = self.world.now_ms + days * DAY_MS
        sequence, context = self.world.next_sequence, self.world.context("ann")
        decision = adjusting.adjust(account, code, units, "a gift", 10, expires_ms, context)
        expected = Reason.ACCOUNT_CLOSED if model.closed else None
        if not expected and -units > model.room(code):
            expected = Reason.INSUFFICIENT_BALANCE
        waiting = [owner for owner, _, _ in self.proposed.values() if owner == account_id]
        if not expected and abs(units) > 10 and len(waiting) == adjusting.MAX_PROPOSALS:
            expected = Reason.LIMIT_EXCEEDED
        if self.done(account_id, decision, expected) and abs(units) > 10:
            self.proposed[sequence] = (account_id, code, units)
        elif expected is None:
            self.move(model, code, units, expires_ms)

    @rule(pick=picks, approve=st.booleans(), caller=st.sampled_from(["ann", "bob"]))
    def decide(self, pick: int, approve: bool, caller: str) -> None:
        if not self.proposed:
            return
        proposal = list(self.proposed)[pick % len(self.proposed)]
        account_id, code, units = self.proposed[proposal]
        account, model = self.touch(account_id)
        expires_ms = self.world.now_ms + 2 * DAY_MS
        context = self.world.context(caller)
        decision = adjusting.decide_adjustment(account, proposal, approve, expires_ms, context)
        expected = Reason.SAME_APPROVER if approve and caller == "ann" else None
        if approve and not expected and -units > model.room(code):
            expected = Reason.INSUFFICIENT_BALANCE
        if self.done(account_id, decision, expected):
            del self.proposed[proposal]
            if approve:
                self.move(model, code, units, expires_ms)

    def move(self, model: Model, code: str, units: int, expires_ms: int) -> None:
        if units > 0:
            model.wallets[code].put([(expires_ms, 0, "", "")] * units, self.world.now_ms)
        else:
            model.wallets[code].pick(-units)

    @rule(code=codes, units=st.integers(1, 15))
    def send(self, code: str, units: int) -> None:
        account, model = self.touch(MEMBER)
        transfer = f"t{self.world.next_sequence}"
        decision = adjusting.send_transfer(account, OTHER, code, units, transfer, self.world.context())
        expected = None
        if model.closed or model.blocked:
            expected = Reason.ACCOUNT_CLOSED if model.closed else Reason.ACCOUNT_BLOCKED
        elif code == "stamps":
            expected = Reason.NOT_TRANSFERABLE
        elif len(self.transfers) == adjusting.MAX_SENDING:
            expected = Reason.LIMIT_EXCEEDED
        elif units > model.wallets[code].spendable:
            expected = Reason.INSUFFICIENT_BALANCE
        entry = self.done(MEMBER, decision, expected)
        if entry:
            model.wallets[code].pick(units)
            sent = entry.events[1]
            assert isinstance(sent, Debited)
            self.transfers.append((transfer, MEMBER, code, sent.lots))
            self.world.in_flight[code] += units

    @rule(pick=picks)
    def receive(self, pick: int) -> None:
        """The other side takes a transfer, or where it is closed the units go back."""
        if not self.transfers:
            return
        transfer, sender, code, lots = self.transfers.pop(pick % len(self.transfers))
        units = [lot.terms() for lot in lots for _ in range(lot.units)]
        account, model = self.touch(OTHER)
        decision = adjusting.receive_transfer(account, sender, code, lots, transfer)
        taken = self.done(OTHER, decision, Reason.ACCOUNT_CLOSED if model.closed else None)
        self.world.in_flight[code] -= len(units)
        if taken:
            model.wallets[code].put(units, self.world.now_ms)
        account, model = self.touch(MEMBER)
        assert not model.closed, "an account does not close while its units are on their way"
        closed = adjusting.close_transfer(transfer, taken is not None, code, lots, self.world.now_ms)
        if not taken:
            model.wallets[code].put(revived(units, self.world.now_ms), self.world.now_ms)
        assert self.done(MEMBER, closed, None)

    @rule(account_id=who, act=st.sampled_from(["block", "unblock", "unblock", "close", "forfeit"]))
    def restrict(self, account_id: bytes, act: str) -> None:
        account, model = self.touch(account_id)
        context = self.world.context("ann")
        expected = Reason.ACCOUNT_CLOSED if model.closed else None
        if act in ("block", "unblock"):
            decision = membership.set_block(account, act == "block", "lost card", context)
            if self.done(account_id, decision, expected):
                model.blocked = act == "block"
        elif len(self.world.entries) > 15:  # later, so that much happens before
            expected = expected or self.why_not_close(account_id, act == "forfeit")
            decision = membership.close(account, act == "forfeit", "moved away", context)
            if self.done(account_id, decision, expected):
                model.closed = True
                model.wallets.clear()

    def why_not_close(self, account_id: bytes, forfeit: bool) -> Reason | None:
        model = self.world.models[account_id]
        waiting = any(owner == account_id for owner, _, _ in self.proposed.values())
        sending = any(sender == account_id for _, sender, _, _ in self.transfers)
        owes = any(wallet.debt for wallet in model.wallets.values())
        owned = any(model.owned(code) for code in self.world.purses)
        empty = not (model.holds or waiting or sending or owes or (owned and not forfeit))
        return None if empty else Reason.ACCOUNT_NOT_EMPTY

    @rule(hours=st.sampled_from([1, 12, 24, 24, 48, 8 * 24]))
    def time_passes(self, hours: int) -> None:
        self.world.now_ms += hours * 3_600_000

    @invariant()
    def everything_agrees(self) -> None:
        for account_id in (MEMBER, OTHER):
            self.touch(account_id)
        self.world.check()
        for account_id, model in self.world.models.items():
            if account_id and model.closed:
                account = self.world.accounts[account_id]
                assert account.status is Status.CLOSED
                assert not any(purse.owned or purse.debt for purse in account.purses.values())

    def teardown(self) -> None:
        """The journal, read back from its bytes, gives every account and the books again."""
        if not hasattr(self, "world"):
            return
        data = msgspec.msgpack.encode(self.world.entries)
        accounts = {account_id: Account(account_id) for account_id in self.world.accounts}
        books = Books()
        for entry in msgspec.msgpack.decode(data, type=list[Entry]):
            books.post(entry.events)
            if entry.account_id:
                accounts[entry.account_id] = apply_entry(accounts[entry.account_id], entry)
        assert accounts == self.world.accounts
        assert books == self.world.books


TestAccountMachine = AccountMachine.TestCase
TestAccountMachine.settings = settings(suppress_health_check=[HealthCheck.too_slow])
