"""What tills ask without changing anything."""

from __future__ import annotations

from node.actors.desk import Case, Desk, Inquiry
from node.actors.tills import no_such_transaction
from node.ledger.account import Account
from node.ledger.earning import purchase_problem
from node.ledger.refusals import Refused
from node.wire import balances, inquiries
from node.wire.commands import Op


def quote(desk: Desk, case: Case, account: Account) -> bytes | Refused:
    """What a purchase would bring, and what could be spent on it."""
    purchase = case.ask.purchase
    problem = purchase_problem(purchase, desk.settings.currency)
    if problem:
        return problem
    known = account if account.account_id else None
    at_ms = case.occurred_ms or case.now_ms
    awards = case.edition.compiled.evaluate(purchase, known, at_ms, desk.language_for(account))
    return inquiries.quoted(
        purchase, awards, account, case.edition.purses, desk.settings.currency, case.edition.version
    )


def get_balance(desk: Desk, case: Case, account: Account) -> bytes:
    """All purses."""
    return inquiries.balance_sheet(account, case.edition.purses, desk.settings.currency, case.now_ms)


def get_transaction(desk: Desk, case: Case, account: Account) -> bytes | Refused:
    """What became of a request of the caller's terminal."""
    number, currency = case.partition.number, desk.settings.currency
    record = case.work.request(number, case.command.scope, case.ask.request_id)
    stored = None if record is None or not record.sequence else case.work.entry(number, record.sequence)
    if stored is None or stored.entry.account_id != account.account_id:
        return no_such_transaction()
    purses = desk.programmes.version(stored.entry.version, stored.entry.occurred_ms).purses
    amended = case.work.amendment(number, stored.entry.sequence)
    return inquiries.found_transaction(balances.transaction(number, stored.entry, amended, purses, currency))


def list_statement(desk: Desk, case: Case, account: Account) -> bytes:
    """A page of the account's entries, newest first, by walking the chain of its entries backwards."""
    number, currency = case.partition.number, desk.settings.currency
    sequence = min(case.ask.before or account.last_sequence, account.last_sequence)
    messages: list[balances.Statement] = []
    while sequence and len(messages) < case.ask.size:
        stored = case.work.entry(number, sequence)
        if stored is None or stored.entry.account_id != account.account_id:
            break  # a token that was made up names somebody else's entry
        purses = desk.programmes.version(stored.entry.version, stored.entry.occurred_ms).purses
        amended = case.work.amendment(number, sequence)
        messages.append(balances.transaction(number, stored.entry, amended, purses, currency))
        sequence = stored.entry.previous
    return inquiries.statement_page(messages, sequence)


INQUIRIES: dict[Op, Inquiry] = {
    Op.QUOTE: quote,
    Op.GET_BALANCE: get_balance,
    Op.GET_TRANSACTION: get_transaction,
    Op.LIST_STATEMENT: list_statement,
}
