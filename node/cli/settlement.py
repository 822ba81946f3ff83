"""`vafa settlement`: what a published statement says, whether it is right, and files for finance and the
bank.
"""

from __future__ import annotations

import json as json_format
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node.cli.connection import (
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    connected,
    load,
)
from node.cli.settlement_own import OwnRecords
from node.cli.settlement_text import statement_table
from node.coalition.directory import Directory
from node.coalition.envelopes import Message
from node.settlement.documents import Net, Payment
from node.wire.coalition import Opener, Unopened
from node.wire.coalition_directory import (
    DIRECTORY_LABEL,
    SignedDirectory,
    Unreadable,
    read_directory,
    unarmoured,
)
from node.wire.coalition_trust import KnownDirectories
from node.wire.settlement_camt import BankFileUnreadable, matched, read_bank_file
from node.wire.settlement_csv import money, statement_csv
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_iso20022 import NotPayable, payments_file, settlement_file
from node.wire.settlement_lines import ReadStatement, read_signed_statement
from node.wire.settlement_proofs import NotCounted, check_proof
from node.wire.settlement_publish import recheck
from node.wire.settlement_signing import operator_signed

app = typer.Typer(help="Settlement: read, verify and pay statements.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(help="A published statement's file.")]
DirectoryOption = Annotated[
    Path, typer.Option("--directory", help="The signed directory's file, as the operator handed it out.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OwnOption = Annotated[str, typer.Option("--as", help="Whose point of view: a partner's id.")]


class SettlementRefused(Exception):
    """What was asked for is not done; the text says why, and what to do."""


class Format(StrEnum):
    """Which file is written."""

    CSV = "csv"
    PAIN = "pain.001"
    PACS = "pacs.029"


@app.command()
def show(file: FileArgument, directory: DirectoryOption, json: JsonOption = False) -> None:
    """Show a statement: who owes whom, nets, payments, and what was left out or held back."""
    statement, signed = _statement(file), _directory(directory)
    if json:
        nets = {one.party_id: str(one.payable) for one in statement.lines if isinstance(one, Net)}
        facts = statement.facts
        shown = {
            "window": facts.window,
            "currency": facts.currency,
            "currency_exponent": facts.currency_exponent,
            "nets": nets,
            "nets_sum": str(sum(map(int, nets.values()))),
            "payments": [
                {
                    "from": one.debtor_id,
                    "to": one.creditor_id,
                    "amount": str(one.amount),
                    "reference": one.reference,
                }
                for one in statement.lines
                if isinstance(one, Payment)
            ],
        }
        typer.echo(json_format.dumps(shown, ensure_ascii=False, indent=2))
    else:
        typer.echo(statement_table(statement, _names(signed.directory)))


@app.command()
def verify(
    file: FileArgument,
    directory: DirectoryOption,
    json: JsonOption = False,
    own: Annotated[
        bool, typer.Option("--own", help="Compare with this merchant's own records too; its node must run.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Compute a statement anew, and say line by line what agrees. Exit status 1 where something does not."""
    data, signed = _read(file), _directory(directory)
    closes: dict[tuple[str, str], bytes] = {}
    if own:
        with connected(config, address, certificate) as channel:
            records = OwnRecords(channel, load(config).merchant.id)
            try:
                closes = records.closes(_statement(file))
            except NotCounted as wrong:
                raise SettlementRefused(f"The records here do not fit the statement: {wrong}") from None
    opener = Opener("nobody", lambda: KnownDirectories([signed]))

    def opened(envelope: bytes) -> Message | None:
        found = opener.evidence(envelope)
        return None if isinstance(found, Unopened) else found

    uris = [signed.key_uri, *(key.uri for key in signed.directory.operator_keys)]
    try:
        found = recheck(data, signed.directory, uris, opened, closes)
    except DocumentUnreadable as wrong:
        raise SettlementRefused(f"{file}: {wrong}. It is no statement.") from None
    if json:
        rows = [{"agrees": one.agrees, "what": one.what} for one in found]
        typer.echo(json_format.dumps(rows, ensure_ascii=False, indent=2))
    else:
        for one in found:
            typer.echo(f"{'ok   ' if one.agrees else 'WRONG'} {one.what}")
    if not all(one.agrees for one in found):
        raise typer.Exit(1)


@app.command("check-proof")
def check_proof_file(file: FileArgument, directory: DirectoryOption) -> None:
    """Check the proof that a statement counts one record."""
    data, signed = _read(file), _directory(directory)
    opener = Opener("nobody", lambda: KnownDirectories([signed]))
    uris = [signed.key_uri, *(key.uri for key in signed.directory.operator_keys)]

    def opened(envelope: bytes) -> Message | None:
        message = opener.evidence(envelope)
        return None if isinstance(message, Unopened) else message

    try:
        found = check_proof(data, lambda head: operator_signed(head, uris), opened)
    except DocumentUnreadable as wrong:
        raise SettlementRefused(f"{file}: {wrong}. It is no proof.") from None
    if isinstance(found, str):
        typer.echo(f"PROVES NOTHING: {found}")
        raise typer.Exit(1)
    core = found.posted.core
    typer.echo(
        f"PROVED: window {found.window} counts record {core.number} of lane {found.lane} of {found.home_id} "
        f"at {found.acquirer_id}: {core.units:,} units, {core.kind.name.lower().replace('_', ' ')}."
    )


@app.command("prove")
def prove_record(
    file: FileArgument,
    partner: Annotated[str, typer.Argument(help="With whom.")],
    lane: Annotated[int, typer.Argument(help="The lane, as `vafa lane show` prints it.")],
    number: Annotated[int, typer.Argument(help="The record's number on it.")],
    out: Annotated[Path, typer.Option(help="Where to write the proof.")],
    abroad: Annotated[
        bool, typer.Option("--abroad", help="The partner's member at our till; else ours at theirs.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Write the proof that a statement counts one record; anyone checks it with `check-proof`."""
    statement = _statement(file)
    with connected(config, address, certificate) as channel:
        records = OwnRecords(channel, load(config).merchant.id)
        try:
            data = records.proof(statement, partner, lane, number, home=not abroad)
        except NotCounted as wrong:
            raise SettlementRefused(str(wrong)) from None
    out.write_bytes(data)
    typer.echo(f"Written: {out}")


@app.command()
def export(
    file: FileArgument,
    directory: DirectoryOption,
    out: Annotated[Path, typer.Option(help="Where to write it.")],
    own: OwnOption = "",
    kind: Annotated[
        Format,
        typer.Option("--format", help="csv for finance, pain.001 for your bank, pacs.029 for an agent."),
    ] = Format.CSV,
) -> None:
    """Write a statement as CSV, or as a payment file by ISO 20022."""
    statement, signed = _statement(file), _directory(directory)
    now_ms = time.time_ns() // 1_000_000
    try:
        match kind:
            case Format.CSV:
                names = _names(signed.directory)
                data = statement_csv(statement.facts, statement.lines, names, own or None)
            case Format.PAIN:
                if not own:
                    raise SettlementRefused("Say whose payments: --as PARTNER.")
                payments = [one for one in statement.lines if isinstance(one, Payment)]
                data = payments_file(statement.facts, payments, signed.directory, own, now_ms)
            case Format.PACS:
                nets = [one for one in statement.lines if isinstance(one, Net)]
                data = settlement_file(statement.facts, nets, signed.directory, now_ms)
    except NotPayable as wrong:
        raise SettlementRefused(str(wrong)) from None
    out.write_bytes(data)
    typer.echo(f"Written: {out}")


@app.command()
def paid(
    file: FileArgument,
    own: OwnOption,
    camt: Annotated[Path, typer.Option(help="The bank's statement: camt.053 or camt.054.")],
    json: JsonOption = False,
) -> None:
    """Say which payments of a statement the bank booked. Exit status 1 where one of yours is not paid in
    full.
    """
    statement = _statement(file)
    try:
        bookings = read_bank_file(_read(camt))
    except BankFileUnreadable as wrong:
        raise SettlementRefused(f"{camt}: {wrong}") from None
    payments = [
        one for one in statement.lines if isinstance(one, Payment) and own in (one.debtor_id, one.creditor_id)
    ]
    found = matched(bookings, payments, statement.facts, own)
    booked = {match.payment.reference: match.booking.bank_reference for match in found.paid}
    rows = [
        {
            "reference": one.reference,
            "from": one.debtor_id,
            "to": one.creditor_id,
            "amount": money(one.amount, statement.facts.currency_exponent),
            "paid": one.reference in booked,
        }
        for one in payments
    ]
    if json:
        typer.echo(json_format.dumps(rows, ensure_ascii=False, indent=2))
    else:
        for row in rows:
            state = "paid    " if row["paid"] else "NOT PAID"
            typer.echo(f"{state} {row['reference']}: {row['from']} to {row['to']}, {row['amount']}")
        for match, why in found.wrong:
            typer.echo(f"looked at, not counted: {match.booking.reference}: {why}")
    if len(booked) < len(payments):
        raise typer.Exit(1)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as wrong:
        raise SettlementRefused(f"{file}: {wrong.strerror}.") from None


def _statement(file: Path) -> ReadStatement:
    try:
        return read_signed_statement(_read(file))
    except DocumentUnreadable as wrong:
        raise SettlementRefused(f"{file}: {wrong}. It is no statement.") from None


def _directory(file: Path) -> SignedDirectory:
    data = _read(file)
    try:
        if data.startswith(b"-----BEGIN"):
            data = unarmoured(DIRECTORY_LABEL, data.decode("utf-8-sig"))
        return read_directory(data)
    except (Unreadable, UnicodeDecodeError) as wrong:
        raise SettlementRefused(f"{file}: {wrong}") from None


def _names(directory: Directory) -> dict[str, str]:
    return {one.partner_id: one.name for one in directory.partners}
