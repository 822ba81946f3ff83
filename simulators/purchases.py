"""A basket on its way over the counter: what shoppers and recordings bring, and what a till makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from node.proto.vafa.common.v1 import identifier_pb2, money_pb2, purchase_pb2


@dataclass(frozen=True, slots=True)
class BasketLine:
    """One line. Money is in minor units of the basket's currency; `net_minor` is what is paid for the line.

    `title` is for the receipt; the node is not told it.
    """

    title: str
    sku: str
    group_path: tuple[str, ...]
    brand: str
    quantity_milli: int
    net_minor: int
    discount_minor: int = 0

    @property
    def gross_minor(self) -> int:
        """The price before discounts."""
        return self.net_minor + self.discount_minor


@dataclass(frozen=True, slots=True)
class Basket:
    """A sale as it was closed at a till. `card` is empty for a customer without one; times are epoch ms."""

    receipt_number: str
    store_id: str
    card: str
    occurred_ms: int
    currency: str
    lines: tuple[BasketLine, ...]

    @property
    def total_minor(self) -> int:
        """What the customer pays."""
        return sum(line.net_minor for line in self.lines)

    def purchase(self) -> purchase_pb2.Purchase:
        """The sale as an AccrueRequest carries it; lines are numbered from 1 in their order."""
        return purchase_pb2.Purchase(
            receipt_number=self.receipt_number,
            store_id=self.store_id,
            total=money_pb2.Money(currency=self.currency, minor=self.total_minor),
            lines=[
                purchase_pb2.PurchaseLine(
                    number=number,
                    sku=line.sku,
                    group_path=line.group_path,
                    brand=line.brand,
                    quantity_milli=line.quantity_milli,
                    gross_minor=line.gross_minor,
                    discount_minor=line.discount_minor,
                    net_minor=line.net_minor,
                )
                for number, line in enumerate(self.lines, 1)
            ],
        )


def card_identifier(card: str) -> identifier_pb2.Identifier:
    """The identifier that a loyalty card shows."""
    return identifier_pb2.Identifier(kind=identifier_pb2.IDENTIFIER_KIND_CARD, value=card)


def phone_identifier(phone: str) -> identifier_pb2.Identifier:
    """The identifier of a member who says a telephone number."""
    return identifier_pb2.Identifier(kind=identifier_pb2.IDENTIFIER_KIND_PHONE, value=phone)
