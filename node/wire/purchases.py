"""Purchases and activities between messages and the ledger."""

from __future__ import annotations

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
    receipt_number, own_store, channel = message.receipt_number, message.store_id, message.channel
    cashier_id, business_date = message.cashier_id, message.business_date
    for field, text in (
        ("receipt_number", receipt_number),
        ("store_id", own_store),
        ("channel", channel),
        ("cashier_id", cashier_id),
        ("business_date", business_date),
    ):
        # Most are empty or short; the refusal is made where one is neither.
        if text and (len(text) > MAX_TEXT or "\x00" in text):
            return invalid(f"purchase.{field}", f"{field} has at most {MAX_TEXT} characters, and no NUL.")
    if len(message.lines) > MAX_LINES:
        return invalid("purchase.lines", f"A purchase has at most {MAX_LINES} lines.")
    if len(message.tenders) > MAX_TENDERS or len(message.codes) > MAX_CODES:
        return invalid("purchase.tenders", f"At most {MAX_TENDERS} tenders and {MAX_CODES} codes.")
    lines = tuple(map(_line, message.lines)) if message.lines else ()
    for line in lines:
        if len(line.group_path) > MAX_GROUPS or len(line.tags) > MAX_TAGS or len(line.sku) > MAX_TEXT:
            return invalid(
                "purchase.lines", f"Line {line.number} has too many groups or tags, or a long SKU."
            )
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
        tuple(Tender(tender.kind, tender.amount_minor) for tender in message.tenders)
        if message.tenders
        else (),
        tuple(message.codes),
    )


def _line(line: purchase_pb2.PurchaseLine) -> Line:
    return Line(
        line.number,
        line.sku,
        tuple(line.group_path),
        line.quantity_milli,
        line.net_minor,
        line.gross_minor,
        line.discount_minor,
        line.tax_minor,
        line.cost_minor,
        line.brand,
        line.supplier,
        tuple(line.tags),
    )


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
