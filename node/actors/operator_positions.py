"""How partners stand with the operator, over all windows: what is unpaid, what is left of a balance, and who
is to be suspended in the next directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from node.actors.operator_money import NotDone
from node.coalition.directory import Partner, PartnerStatus
from node.settlement.defaults import StandingDebt
from node.settlement.documents import Net, Payment
from node.settlement.partners import advice_of
from node.settlement.payments import unpaid
from node.settlement.prepaid import Balance, status_due
from node.settlement.statement import prepaid_partners
from node.settlement.windows import WindowState, partners_of
from node.storage.settlement_keys import Item, item_range
from node.wire import settlement_store as store

if TYPE_CHECKING:
    from node.actors.operator_books import OperatorBooks


class Position(Struct):
    """A partner's standing; amounts in the smallest amount that is paid. `suspend`: the next directory is to
    suspend it, for `reason`; without, a reason is advice.
    """

    partner_id: str
    window: int = 0
    net: int = 0
    unpaid: int = 0
    awaited: int = 0
    prepaid: Balance | None = None
    silent_windows: int = 0
    defaulted_windows: tuple[int, ...] = ()
    suspend: bool = False
    reason: str = ""


def positions(books: OperatorBooks) -> list[Position]:
    """How each partner of the newest directory stands, by id."""
    found = {one.partner_id: Position(one.partner_id) for one in books.directory.partners}
    newest = 0
    for _, data in books.store.scan(*item_range(Item.WINDOW)):
        record = store.WINDOW.decode(data)
        if record.state >= WindowState.PENDING:
            newest = max(newest, record.number)
        if record.state is WindowState.PENDING or books.payments.defaulted(record.number):
            _add_payments(books, record.number, found)
    silent = _newest(books, newest, found)
    window = max((one.number for one in books.directory.windows), default=0)
    ahead = prepaid_partners(books.directory, partners_of(books.directory, window))
    for partner in books.directory.partners:
        position = found[partner.partner_id]
        if partner.partner_id in ahead:
            position.prepaid = books.money.balance(partner.partner_id).balance
        _judge(partner, position)
    for advice in advice_of(books.directory, newest, silent):
        position = found[advice.partner_id]
        position.reason = position.reason or f'{advice.why}; set status = "suspended" in the terms'
    return [found[partner_id] for partner_id in sorted(found)]


def _newest(books: OperatorBooks, newest: int, found: Mapping[str, Position]) -> dict[str, int]:
    """Fills in the newest statement's nets; gives who has been silent for how many windows."""
    statement, record = books.statement(newest), books.window(newest)
    for line in statement.lines if statement else ():
        if isinstance(line, Net) and line.party_id in found:
            found[line.party_id].window, found[line.party_id].net = newest, line.payable
    silent = {} if isinstance(record, NotDone) else dict(record.silent)
    for partner_id, windows in silent.items():
        if partner_id in found:
            found[partner_id].silent_windows = windows
    return silent


def _add_payments(books: OperatorBooks, number: int, found: Mapping[str, Position]) -> None:
    now = books.payments.now(number)
    if isinstance(now, NotDone):
        return
    due = [replace(one.payment, amount=unpaid(one)) for one in now.payments if unpaid(one)]
    owed: list[Payment | StandingDebt] = [*due, *now.standing]
    for one in owed:
        if one.debtor_id in found:
            found[one.debtor_id].unpaid += one.amount
        if one.creditor_id in found:
            found[one.creditor_id].awaited += one.amount
    for record in now.defaulted:
        owes = any(one.debtor_id == record.partner_id for one in now.standing)
        if owes and record.partner_id in found:
            found[record.partner_id].defaulted_windows += (number,)


def _judge(partner: Partner, position: Position) -> None:
    if partner.status is not PartnerStatus.ACTIVE:
        return
    if position.defaulted_windows:
        windows = ", ".join(map(str, position.defaulted_windows))
        position.suspend, position.reason = True, f"is in default of window {windows}"
    elif position.prepaid is not None and status_due(partner, position.prepaid) is PartnerStatus.SUSPENDED:
        position.suspend, position.reason = True, "has used its prepaid balance up"
