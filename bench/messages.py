"""Accruals as bytes, made before the clock starts, so that the client costs the same whatever it calls.

One real message is built and serialised; every further one differs from it in the card, the request id and
the receipt number, all of fixed width, so that the protobuf lengths around them stay true.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence

from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_CARD, Identifier
from node.proto.vafa.common.v1.purchase_pb2 import Purchase, PurchaseLine, Tender
from node.proto.vafa.pos.v1.earning_pb2 import AccrueRequest
from node.proto.vafa.pos.v1.operation_pb2 import Operation, SubmitRequest, SubmitStreamRequest

CARD_DIGITS = 16
BATCH_ACCRUALS = 1_000
"""Accruals in one Submit of the benches."""

BASKET_LINES = 3
"""Lines of the basket that the benches' headline figures are measured with: a small shop's receipt."""

_NUMBER_DIGITS = 9
_GROUPS = (("GROCERY", "DAIRY", "CHEESE"), ("GROCERY", "SNACKS"), ("HOUSEHOLD",), ("GROCERY", "TEA"))
_CARD, _REQUEST, _RECEIPT = "C", "Q", "R"


def card_number(member: int) -> str:
    """The card of the benches' member number `member`, 0 or more."""
    return f"9{member:0{CARD_DIGITS - 1}d}"


def basket(receipt_number: str, lines: int, *, currency: str = "IRR") -> Purchase:
    """A purchase of `lines` lines, or of a bare total with none."""
    purchase = Purchase(receipt_number=receipt_number, cashier_id="7", channel="store")
    for number in range(1, lines + 1):
        purchase.lines.append(
            PurchaseLine(
                number=number,
                sku=f"626{number:010d}",
                group_path=_GROUPS[number % len(_GROUPS)],
                quantity_milli=1000,
                gross_minor=52_000,
                discount_minor=2_000,
                net_minor=50_000,
                tax_minor=4_500,
            )
        )
    total = 50_000 * lines or 150_000
    purchase.total.currency = currency
    purchase.total.minor = total
    purchase.tenders.append(Tender(kind="debit", amount_minor=total))
    return purchase


class AccrualMaker:
    """Makes accruals that no node has seen: each maker tags its request ids and receipts with its own chance.

    `cards` are what the members show, all of one length; each accrual picks one at random from
    `seed`. `occurred_ms` is the time of every sale. `lines` is the size of every basket, and `currency` that
    of the node.
    """

    def __init__(
        self,
        cards: Sequence[str],
        *,
        occurred_ms: int,
        lines: int = BASKET_LINES,
        seed: int = 1,
        currency: str = "IRR",
    ) -> None:
        if len({len(card) for card in cards}) != 1:
            raise ValueError("there must be cards, and all of as many characters")
        shown = _CARD * len(cards[0])
        self._cards = [card.encode() for card in cards]
        self._random = random.Random(seed)
        self.renew()
        width = len(self.tag) + 1 + _NUMBER_DIGITS
        request = AccrueRequest(
            request_id=_REQUEST * width,
            identifier=Identifier(kind=IDENTIFIER_KIND_CARD, value=shown),
            purchase=basket(_RECEIPT * width, lines, currency=currency),
        )
        request.occurred_time.FromMilliseconds(occurred_ms)
        body = request.SerializeToString()
        head, rest = body.split((_REQUEST * width).encode())
        middle, rest = rest.split(shown.encode())
        last, tail = rest.split((_RECEIPT * width).encode())
        self._pieces = (head, middle, last, tail)
        operation = Operation(accrue=request)
        self._in_submit = SubmitRequest(operations=[operation]).SerializeToString().removesuffix(body)
        self._in_stream = SubmitStreamRequest(operation=operation).SerializeToString().removesuffix(body)

    def renew(self) -> None:
        """Begin a new series, told from all others by `tag`, which stands in its request ids."""
        self.tag = secrets.token_hex(4)
        self._next = 0

    def accruals(self, count: int) -> list[bytes]:
        """`count` new AccrueRequests."""
        head, middle, last, tail = self._pieces
        tag = f"{self.tag}-".encode()
        cards = self._random.choices(self._cards, k=count)
        first = self._next
        self._next += count
        return [
            b"%b%b%09d%b%b%b%b%09d%b" % (head, tag, number, middle, card, last, tag, number, tail)
            for number, card in enumerate(cards, first)
        ]

    def streamed(self, count: int) -> list[bytes]:
        """`count` new accruals as SubmitStreamRequests."""
        return [self._in_stream + body for body in self.accruals(count)]

    def batches(self, count: int, size: int = BATCH_ACCRUALS) -> list[bytes]:
        """`count` SubmitRequests of `size` new accruals each."""
        # A repeated field on the wire is its elements one after another, each with its tag and length.
        made = []
        for _ in range(count):
            accruals = self.accruals(size)
            made.append(self._in_submit + self._in_submit.join(accruals))
        return made
