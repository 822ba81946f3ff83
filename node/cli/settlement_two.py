"""`vafa settlement two-statements` and its check: an operator that signed two results of one window."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.connection import (
    DEADLINE_SECONDS,
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    connected,
)
from node.cli.settlement_files import DirectoryOption, SettlementRefused, directory_in, read_file
from node.proto.vafa.settlement.v1 import merchant_settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1.merchant_settlement_service_pb2_grpc import MerchantSettlementServiceStub
from node.settlement.equivocation import conflicts
from node.wire.settlement import read_equivocation
from node.wire.settlement_fields import DocumentUnreadable
from node.wire.settlement_signing import operator_signed


def two_statements(
    out: Annotated[Path, typer.Option(help="The folder for the proofs, one file a window.")],
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Write the proofs that the operator signed two statements of one window, where this node and a partner
    have found that out. Exit status 1 where there are some.
    """
    with connected(config, address, certificate) as channel:
        stub = MerchantSettlementServiceStub(channel)
        found = stub.ListEquivocations(pb.ListEquivocationsRequest(), timeout=DEADLINE_SECONDS).proofs
    if not found:
        typer.echo("The operator has signed one statement for each window, as far as this node has heard.")
        return
    out.mkdir(parents=True, exist_ok=True)
    for proof in found:
        data = proof.SerializeToString()
        path = out / f"window-{read_equivocation(data).window}.two-statements"
        path.write_bytes(data)
        typer.echo(
            f"Written: {path}. Show it to every partner: vafa settlement check-two-statements {path} "
            "--directory FILE"
        )
    raise typer.Exit(1)


def check_two_statements(
    file: Annotated[Path, typer.Argument(help="A proof that the operator signed two statements.")],
    directory: DirectoryOption,
) -> None:
    """Check such a proof, with nothing but the signed directory."""
    signed = directory_in(directory)
    try:
        found = read_equivocation(read_file(file))
    except DocumentUnreadable as wrong:
        raise SettlementRefused(f"{file}: {wrong}. It is no such proof.") from None
    uris = [signed.key_uri, *(key.uri for key in signed.directory.operator_keys)]
    same = found.first.head.coalition_id == signed.directory.coalition_id
    if not (same and conflicts(found.first, found.second)):
        typer.echo("PROVES NOTHING: they are not two heads of one window of this coalition.")
        raise typer.Exit(1)
    if not all(operator_signed(head, uris) for head in (found.first, found.second)):
        typer.echo("PROVES NOTHING: the operator has not signed both.")
        raise typer.Exit(1)
    typer.echo(
        f"PROVED: the operator signed two statements of window {found.window}: "
        f"{found.first.head.statement_hash.hex()[:16]} and {found.second.head.statement_hash.hex()[:16]}."
    )
