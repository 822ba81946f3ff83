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

from node.cli import settlement_node, settlement_paid, settlement_two
from node.cli.connection import (
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    connected,
    load,
)
from node.cli.settlement_files import (
    DirectoryOption,
    JsonOption,
    directory_in,
    names_in,
    read_file,
    statement_in,
)
from node.cli.settlement_files import SettlementRefused as SettlementRefused
from node.cli.settlement_own import OwnRecords
from node.coalition.envelopes import Message
from node.settlement.documents import Net, Payment
from node.wire.coalition import Opener, Unopened
from node.wire.coalition_trust import KnownDirectories
from node.wire.settlement_csv import statement_csv
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_iso20022 import NotPayable, payments_file, settlement_file
from node.wire.settlement_proofs import NotCounted, check_proof
from node.wire.settlement_publish import recheck
from node.wire.settlement_signing import operator_signed

app = typer.Typer(help="Settlement: windows, position, statements, payments.", no_args_is_help=True)
app.command("show")(settlement_node.show)
app.command("position")(settlement_node.position)
app.command("paid")(settlement_paid.paid)
app.command("two-statements")(settlement_two.two_statements)
app.command("check-two-statements")(settlement_two.check_two_statements)

FileArgument = Annotated[Path, typer.Argument(help="A published statement's file.")]
OwnOption = Annotated[str, typer.Option("--as", help="Whose point of view: a partner's id.")]


class Format(StrEnum):
    """Which file is written."""

    CSV = "csv"
    PAIN = "pain.001"
    PACS = "pacs.029"


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
    data, signed = read_file(file), directory_in(directory)
    closes: dict[tuple[str, str], bytes] = {}
    if own:
        with connected(config, address, certificate) as channel:
            records = OwnRecords(channel, load(config).merchant.id)
            try:
                closes = records.closes(statement_in(file))
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
def check_proof_file(
    file: Annotated[Path, typer.Argument(help="The proof, as `prove` wrote it.")], directory: DirectoryOption
) -> None:
    """Check the proof that a statement counts one record."""
    data, signed = read_file(file), directory_in(directory)
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
    statement = statement_in(file)
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
    statement, signed = statement_in(file), directory_in(directory)
    now_ms = time.time_ns() // 1_000_000
    try:
        match kind:
            case Format.CSV:
                names = names_in(signed.directory)
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
