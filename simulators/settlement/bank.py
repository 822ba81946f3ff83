"""The one bank of a simulated coalition: what it moves between accounts, and the files that it gives out."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from node.settlement.documents import Payment
from node.wire.settlement_csv import money
from simulators.sim.coalition import CURRENCY

DAY_MS = 20_000
"""A booking day: there are several in every window, and several bookings in most."""
_FIRST_DAY = datetime.date(2026, 1, 1)


class Movement(Struct, frozen=True):
    """Money that moved under a reference. `name` is the bank's own for it, empty where it gives none."""

    at_ms: int
    window: int
    reference: str
    debtor_id: str
    creditor_id: str
    amount: int
    name: str
    bounced: bool = False
    """It was sent back at once, or it is what went back."""

    @property
    def day(self) -> int:
        """On which booking day it is."""
        return self.at_ms // DAY_MS


class SimBank:
    """What was moved. `names` says whether bookings get references; `exponent` is that of the currency."""

    def __init__(self, clock_ms: Callable[[], int], exponent: int, *, names: bool) -> None:
        self._clock_ms, self._exponent, self._names = clock_ms, exponent, names
        self.moved: list[Movement] = []

    def move(self, window: int, payment: Payment, amount: int, *, bounces: bool = False) -> None:
        """Moves a part or all of a payment; what bounces goes back in the same moment."""
        ways = [(payment.debtor_id, payment.creditor_id), (payment.creditor_id, payment.debtor_id)]
        for debtor, creditor in ways[: 1 + bounces]:
            name = f"REF{len(self.moved)}" if self._names else ""
            self.moved.append(
                Movement(self._clock_ms(), window, payment.reference, debtor, creditor, amount, name, bounces)
            )

    def came(self, window: int, debtor_id: str, creditor_id: str, reference: str = "") -> int:
        """What the creditor has of the debtor, less what went the other way; under one reference or any."""
        total = 0
        for one in self.moved:
            if one.window == window and reference in ("", one.reference):
                if (one.debtor_id, one.creditor_id) == (debtor_id, creditor_id):
                    total += one.amount
                elif (one.creditor_id, one.debtor_id) == (debtor_id, creditor_id):
                    total -= one.amount
        return total

    def newest_ms(self, window: int) -> int:
        """When something was moved last of a window; 0 for never."""
        return max((one.at_ms for one in self.moved if one.window == window), default=0)

    def of(self, owner: str) -> Iterator[Movement]:
        """What was moved on an owner's account."""
        return (one for one in self.moved if owner in (one.debtor_id, one.creditor_id))

    def day_file(self, owner: str, day: int) -> bytes:
        """The account's statement of a day as far as it has gone: camt.053."""
        entries = self._entries(owner, (one for one in self.of(owner) if one.day == day))
        return f"<Document><BkToCstmrStmt><Stmt>{entries}</Stmt></BkToCstmrStmt></Document>".encode()

    def notice(self, owner: str, movement: Movement) -> bytes:
        """A notification of one booking: camt.054."""
        inner = f"<Ntfctn>{self._entries(owner, [movement])}</Ntfctn>"
        return f"<Document><BkToCstmrDbtCdtNtfctn>{inner}</BkToCstmrDbtCdtNtfctn></Document>".encode()

    def _entries(self, owner: str, movements: Iterable[Movement]) -> str:
        return "".join(self._entry(owner, number, one) for number, one in enumerate(movements))

    def _entry(self, owner: str, number: int, one: Movement) -> str:
        # Entries are numbered anew in each message, as many banks do: nobody may know a booking by it.
        amount = f'<Amt Ccy="{CURRENCY}">{money(one.amount, self._exponent)}</Amt>'
        direction = "CRDT" if one.creditor_id == owner else "DBIT"
        name = f"<AcctSvcrRef>{one.name}</AcctSvcrRef>" if one.name else ""
        day = _FIRST_DAY + datetime.timedelta(days=one.day % 10_000)
        return (
            f"<Ntry><NtryRef>{number}</NtryRef>{amount}<CdtDbtInd>{direction}</CdtDbtInd>"
            f"<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{day}</Dt></BookgDt>{name}<NtryDtls><TxDtls>"
            f"<Refs><EndToEndId>{one.reference}</EndToEndId></Refs>{amount}</TxDtls></NtryDtls></Ntry>"
        )
