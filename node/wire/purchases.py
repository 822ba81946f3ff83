"""Purchases and activities between messages and the ledger."""

from __future__ import annotations

from operator import attrgetter

from node.ledger.purchase import MAX_LINES, Activity, Line, Purchase, Tender
from node.ledger.refusals import Refused
from node.proto.vafa.common.v1 import purchase_pb2
from node.proto.vafa.pos.v1 import earning_pb2
from node.wire.parse import invalid, too_long

MAX_TEXT = 128
MAX_GROUPS = 10
MAX_TAGS = 20
MAX_CODES = 50
MAX_TENDERS = 50
MAX_ATTRIBUTES = 20


def purchase_from(message: purchase_pb2.Purchase, store_id: str) -> Purchase | Refused:
    """A purchase of the ledger's; the caller's own store where the message names none.

    Refused are too many parts and too long texts. Whether the amounts make sense is the ledger's to say.
    """
    texts = _texts_of(message)
    together = "".join(texts)
    if len(together) > MAX_TEXT or "\x00" in together:  # perhaps one of them is: most sales stop here
        for field, text in zip(_TEXTS, texts, strict=True):
            problem = too_long(f"purchase.{field}", text, MAX_TEXT)
            if problem:
                return problem
    found, tenders, codes = message.lines[:], message.tenders[:], message.codes[:]
    if len(found) > MAX_LINES:
        return invalid("purchase.lines", f"A purchase has at most {MAX_LINES} lines.")
    if len(tenders) > MAX_TENDERS or len(codes) > MAX_CODES:
        return invalid("purchase.tenders", f"At most {MAX_TENDERS} tenders and {MAX_CODES} codes.")
    lines = tuple([_line(line) for line in found])
    for line in lines:
        if len(line.group_path) > MAX_GROUPS or len(line.tags) > MAX_TAGS or len(line.sku) > MAX_TEXT:
            return invalid(
                "purchase.lines", f"Line {line.number} has too many groups or tags, or a long SKU."
            )
    receipt_number, own_store, channel, cashier_id, business_date = texts
    total = message.total
    return Purchase(
        own_store or store_id,
        receipt_number,
        total.minor,
        total.currency,
        channel or "store",
        cashier_id,
        business_date,
        lines,
        tuple([Tender(tender.kind, tender.amount_minor) for tender in tenders]),
        tuple(codes),
    )


# One getter for many fields, and slices of what repeats: both are read in C, at half the cost of one by one.
_TEXTS = ("receipt_number", "store_id", "channel", "cashier_id", "business_date")
_texts_of = attrgetter(*_TEXTS)
_line_fields = attrgetter(
    "number", "sku", "quantity_milli", "net_minor", "gross_minor", "discount_minor", "tax_minor",
    "cost_minor", "brand", "supplier",
)  # fmt: skip


def _line(line: purchase_pb2.PurchaseLine) -> Line:
    number, sku, quantity, net, gross, discount, tax, cost, brand, supplier = _line_fields(line)
    groups, tags = tuple(line.group_path[:]), tuple(line.tags[:])
    return Line(number, sku, groups, quantity, net, gross, discount, tax, cost, brand, supplier, tags)


def activity_from(message: earning_pb2.RecordActivityRequest) -> Activity | Refused:
    """An activity of the ledger's."""
    problem = too_long("code", message.code, 40) or too_long("source", message.source, MAX_TEXT)
    if problem:
        return problem
    if len(message.attributes) > MAX_ATTRIBUTES:
        return invalid("attributes", f"At most {MAX_ATTRIBUTES} attributes.")
    for name, value in message.attributes.items():
        problem = too_long("attributes", name, MAX_TEXT) or too_long("attributes", value, MAX_TEXT)
        if problem:
            return problem
    return Activity(message.code, message.source, tuple(sorted(message.attributes.items())))
