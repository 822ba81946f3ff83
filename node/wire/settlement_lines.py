"""Statements to bytes and back, line by line: each line's exact bytes are a leaf of the statement's tree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from msgspec import Struct

from node.proto.vafa.settlement.v1 import close_pb2
from node.proto.vafa.settlement.v1 import statement_pb2 as pb
from node.settlement.documents import (
    Correction,
    FeeLine,
    Line,
    MissingClose,
    MissingReason,
    Net,
    Obligation,
    Payment,
    PrepaidLine,
    SignedClose,
    SignedHead,
    StatementFacts,
    StatementHead,
)
from node.settlement.merkle import root_of
from node.wire.settlement import (
    read_signed_close,
    read_signed_head,
    signed_close_message,
    signed_head_message,
)
from node.wire.settlement_fields import (
    DocumentUnreadable,
    bounded_text,
    count,
    named,
    parsed,
    read_stamp,
    read_wide,
    slug,
    stamp,
    wide,
)

MAX_LINES = 4_000_000
"""Of one statement: those of about 1,000 merchants."""


class ReadStatement(Struct, frozen=True):
    """A statement that was read, with the exact bytes of all and of each line. Signatures are unchecked."""

    facts: StatementFacts
    lines: tuple[Line, ...]
    line_bytes: tuple[bytes, ...]
    statement_bytes: bytes
    head: SignedHead


def line_bytes(line: Line) -> bytes:
    """A line as it stands in a statement."""
    message = pb.StatementLine()
    match line:
        case SignedClose():
            message.close.CopyFrom(signed_close_message(line))
        case MissingClose(home, acquirer, reason):
            message.missing.home_id, message.missing.acquirer_id = home, acquirer
            message.missing.reason = close_pb2.MissingReason.ValueType(reason)
        case Correction(window, debtor, creditor, micro, note):
            message.correction.of_window, message.correction.note = window, note
            message.correction.debtor_id, message.correction.creditor_id = debtor, creditor
            message.correction.micro = wide(micro)
        case FeeLine(partner, code, micro):
            message.fee.partner_id, message.fee.code, message.fee.micro = partner, code, wide(micro)
        case Obligation():
            _fill_obligation(message.obligation, line)
        case Net(party, payable):
            message.net.party_id, message.net.payable = party, wide(payable)
        case PrepaidLine(partner, opening, topped, used, closing):
            message.prepaid.partner_id = partner
            message.prepaid.opening, message.prepaid.topped_up = wide(opening), wide(topped)
            message.prepaid.used, message.prepaid.closing = wide(used), wide(closing)
        case Payment():
            message.payment.CopyFrom(payment_message(line))
    return message.SerializeToString()


def payment_message(payment: Payment) -> pb.Payment:
    """A payment as it stands in a statement."""
    return pb.Payment(
        debtor_id=payment.debtor_id,
        creditor_id=payment.creditor_id,
        amount=wide(payment.amount),
        reference=payment.reference,
    )


def _fill_obligation(message: pb.Obligation, line: Obligation) -> None:
    message.first_id, message.second_id = line.first_id, line.second_id
    message.traded_micro, message.carried_micro = wide(line.traded_micro), wide(line.carried_micro)
    message.payable, message.residual_micro = wide(line.payable), wide(line.residual_micro)


def read_line(data: bytes) -> Line:
    """A line from its bytes; raises DocumentUnreadable."""
    message = parsed(pb.StatementLine, data)
    match message.WhichOneof("line"):
        case "close":
            return read_signed_close(message.close)
        case "missing":
            missing = message.missing
            pair = slug(missing.home_id, "MissingClose"), slug(missing.acquirer_id, "MissingClose")
            return MissingClose(*pair, named(MissingReason, missing.reason, "MissingClose.reason"))
        case "correction":
            return read_correction(message.correction)
        case "fee":
            fee = message.fee
            code = bounded_text(fee.code, 64, "FeeLine.code")
            return FeeLine(slug(fee.partner_id, "FeeLine"), code, read_wide(fee.micro, "FeeLine.micro"))
        case "obligation":
            return _read_obligation(message.obligation)
        case "net":
            return Net(slug(message.net.party_id, "Net"), read_wide(message.net.payable, "Net.payable"))
        case "prepaid":
            line = message.prepaid
            amounts = (line.opening, line.topped_up, line.used, line.closing)
            partner = slug(line.partner_id, "PrepaidLine")
            return PrepaidLine(partner, *(read_wide(one, "PrepaidLine") for one in amounts))
        case "payment":
            return read_payment(message.payment)
        case _:
            raise DocumentUnreadable("a line says nothing that this software knows")


def read_correction(message: pb.Correction) -> Correction:
    """A correction; raises DocumentUnreadable."""
    if len(message.note) > 500:
        raise DocumentUnreadable("Correction.note is too long")
    return Correction(
        count(message.of_window, "Correction.of_window"),
        slug(message.debtor_id, "Correction.debtor_id"),
        slug(message.creditor_id, "Correction.creditor_id"),
        read_wide(message.micro, "Correction.micro"),
        message.note,
    )


def _read_obligation(message: pb.Obligation) -> Obligation:
    return Obligation(
        slug(message.first_id, "Obligation.first_id"),
        slug(message.second_id, "Obligation.second_id"),
        read_wide(message.traded_micro, "Obligation.traded_micro"),
        read_wide(message.carried_micro, "Obligation.carried_micro"),
        read_wide(message.payable, "Obligation.payable"),
        read_wide(message.residual_micro, "Obligation.residual_micro"),
    )


def read_payment(message: pb.Payment) -> Payment:
    """A payment; raises DocumentUnreadable."""
    return Payment(
        slug(message.debtor_id, "Payment.debtor_id"),
        slug(message.creditor_id, "Payment.creditor_id"),
        read_wide(message.amount, "Payment.amount"),
        bounded_text(message.reference, 35, "Payment.reference"),
    )


def statement_bytes(facts: StatementFacts, lines: Iterable[bytes]) -> bytes:
    """A statement from its own fields and its lines' bytes."""
    return pb.Statement(
        coalition_id=facts.coalition_id,
        window=facts.window,
        directory_version=facts.directory_version,
        directory_hash=facts.directory_hash,
        publish_time=stamp(facts.publish_time_ms),
        currency=facts.currency,
        currency_exponent=facts.currency_exponent,
        previous_head_hash=facts.previous_head_hash,
        lines=lines,
    ).SerializeToString()


def head_of(facts: StatementFacts, statement: bytes, lines: Sequence[bytes]) -> StatementHead:
    """The head that the operator signs for a statement."""
    return StatementHead(
        facts.coalition_id,
        facts.window,
        hashlib.sha256(statement).digest(),
        root_of(lines),
        len(lines),
        facts.previous_head_hash,
        facts.publish_time_ms,
    )


def signed_statement_bytes(statement: bytes, head: SignedHead) -> bytes:
    """A statement as it is published."""
    return pb.SignedStatement(statement=statement, head=signed_head_message(head)).SerializeToString()


def read_signed_statement(data: bytes) -> ReadStatement:
    """A published statement whose head is of these bytes and lines; raises DocumentUnreadable.

    The head's signature, the closes and the arithmetic are for others to check.
    """
    signed = parsed(pb.SignedStatement, data)
    message = parsed(pb.Statement, signed.statement)
    if len(message.lines) > MAX_LINES:
        raise DocumentUnreadable("a statement has too many lines")
    if len(message.directory_hash) != 32 or len(message.previous_head_hash) not in (0, 32):
        raise DocumentUnreadable("a hash has 32 bytes")
    if not 0 <= message.currency_exponent <= 6:
        raise DocumentUnreadable("Statement.currency_exponent is out of bounds")
    facts = StatementFacts(
        slug(message.coalition_id, "Statement.coalition_id"),
        count(message.window, "Statement.window"),
        count(message.directory_version, "Statement.directory_version"),
        message.directory_hash,
        read_stamp(message.publish_time),
        bounded_text(message.currency, 3, "Statement.currency"),
        message.currency_exponent,
        message.previous_head_hash,
    )
    raw = tuple(message.lines)
    head = read_signed_head(signed.head)
    if head.head != head_of(facts, signed.statement, raw):
        raise DocumentUnreadable("the head is not that of this statement")
    return ReadStatement(facts, tuple(read_line(one) for one in raw), raw, signed.statement, head)
