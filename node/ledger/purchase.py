"""A sale as the till closed it: plain, frozen, whole.

Money is in minor units of the node's one currency, quantities in thousandths of a unit. The structs are
stored inside journal entries, so fields are only ever appended, each with a default.
"""

from __future__ import annotations

from msgspec import Struct

MAX_LINES = 2_000
"""Lines of one purchase; a wholesale receipt is shorter."""


class Tender(Struct, frozen=True, array_like=True, gc=False):
    """A means of payment and what it paid."""

    kind: str
    amount_minor: int


class Line(Struct, frozen=True, array_like=True, gc=False):
    """One line of a receipt; `number` is unique within it and at least 1."""

    number: int
    sku: str
    group_path: tuple[str, ...]
    quantity_milli: int
    net_minor: int
    gross_minor: int = 0
    discount_minor: int = 0
    tax_minor: int = 0
    cost_minor: int = 0
    brand: str = ""
    supplier: str = ""
    tags: tuple[str, ...] = ()


class Purchase(Struct, frozen=True, array_like=True, gc=False):
    """A whole sale. `total_minor` is what the customer pays; `business_date` is YYYY-MM-DD or empty."""

    store_id: str
    receipt_number: str
    total_minor: int
    currency: str
    channel: str = "store"
    cashier_id: str = ""
    business_date: str = ""
    lines: tuple[Line, ...] = ()
    tenders: tuple[Tender, ...] = ()
    codes: tuple[str, ...] = ()

    def line(self, number: int) -> Line | None:
        """The line of that number, or None."""
        return next((line for line in self.lines if line.number == number), None)


class Activity(Struct, frozen=True, array_like=True):
    """Something a member did that is no purchase; attributes are (name, value), at most 20."""

    code: str
    source: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
