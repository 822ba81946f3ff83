"""What happens by itself when its time comes: lots mature and expire, holds end.

Due work is done at the account's next touch and by a sweep over the due index, in an entry of its own that
comes before whatever touched the account.
"""

from __future__ import annotations

from node.ledger.account import Account
from node.ledger.decision import Accepted
from node.ledger.events import AnyEvent, Expired, Matured
from node.ledger.evolve import evolve
from node.ledger.lots import split_due
from node.ledger.spending import release
from node.ledger.transactions import TransactionKind


def settle(account: Account, now_ms: int) -> Accepted | None:
    """The events that are due on `account` at `now_ms`, or None where nothing is.

    Holds end first, then pending lots mature, then lots expire, so that what comes back from a hold or
    matures already expired is judged once and in one place.
    """
    if account.due_ms > now_ms:
        return None
    events: list[AnyEvent] = []

    def happened(account: Account, event: AnyEvent) -> Account:
        events.append(event)
        return evolve(account, event, now_ms)

    for hold in account.holds:
        if hold.expires_ms <= now_ms:
            account = happened(account, release(hold, now_ms))
    for code in account.purses:
        ripe = tuple(lot for lot in account.purses[code].pending_lots if lot.available_ms <= now_ms)
        if ripe:
            account = happened(account, Matured(code, ripe))
        expired, _ = split_due(account.purses[code].lots, now_ms)
        if expired:
            account = happened(account, Expired(code, expired))
    return Accepted(TransactionKind.EXPIRY, tuple(events)) if events else None
