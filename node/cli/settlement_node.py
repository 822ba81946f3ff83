"""`vafa settlement show`, `position`: how things stand, by a running node or a statement's file."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from node.cli.connection import (
    DEADLINE_SECONDS,
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    connected,
)
from node.cli.settlement_files import (
    JsonOption,
    SettlementRefused,
    directory_in,
    names_in,
    statement_in,
)
from node.cli.settlement_shown import (
    own_windows_text,
    payments_rows,
    payments_text,
    position_rows,
    position_text,
    window_rows,
)
from node.cli.settlement_text import statement_rows, statement_table
from node.proto.vafa.coalition.v1 import coalition_service_pb2, coalition_service_pb2_grpc
from node.proto.vafa.settlement.v1 import merchant_settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as operator_pb
from node.proto.vafa.settlement.v1.merchant_settlement_service_pb2_grpc import MerchantSettlementServiceStub
from node.wire.coalition_directory import read_directory
from node.wire.settlement_lines import ReadStatement, read_signed_statement

PAGE = 50
"""Windows that are read from one on: the later ones say what of it was settled since."""

FileArgument = Annotated[
    Path | None, typer.Argument(help="A published statement's file; else the running node is asked.")
]
WindowOption = Annotated[int, typer.Option("--window", help="One window of the running node's; -1: all.")]
FileDirectoryOption = Annotated[
    Path | None, typer.Option("--directory", help="With FILE: the signed directory's file.")
]


def show(
    file: FileArgument = None,
    directory: FileDirectoryOption = None,
    window: WindowOption = -1,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Show the node's windows: their state, who signed which close, what is disputed. With --window one of
    them with its statement and payments; with FILE any published statement.
    """
    if file is not None:
        if directory is None:
            raise SettlementRefused("A statement's file is shown by its directory: --directory FILE.")
        _show_statement(statement_in(file), names_in(directory_in(directory).directory), json)
        return
    with connected(config, address, certificate) as channel:
        stub, names = MerchantSettlementServiceStub(channel), _names(channel)
        request = pb.ListOwnWindowsRequest(from_number=max(window, 0), page_size=PAGE if window >= 0 else 0)
        answer = stub.ListOwnWindows(request, timeout=DEADLINE_SECONDS)
        windows = [one for one in answer.windows if window < 0 or one.number == window]
        if window >= 0 and not windows:
            raise SettlementRefused(f"Window {window} has not begun, or is not in the calendar.")
        kept = [own_statement(stub, one.number) for one in windows if window >= 0 and one.statement_kept]
        payments = [payments_now(stub, one.facts.window) for one in kept if answer.operator_reached]
    if json:
        rows: Any = window_rows(windows)
        if window >= 0:
            rows = rows[0] | {"statement": statement_rows(kept[0]) if kept else None}
            rows |= {"payments": payments_rows(payments[0]) if payments else None}
        typer.echo(json_format.dumps(rows, ensure_ascii=False, indent=2))
        return
    typer.echo(own_windows_text(windows, names, whole=window >= 0, known=answer.windows))
    if not answer.operator_reached:
        typer.echo("The operator is not reached: the states are what this node knows itself.", err=True)
    for statement in kept:
        typer.echo("\n" + statement_table(statement, names))
    for now in payments:
        typer.echo("\n" + payments_text(now, names, kept[0].facts.currency_exponent))


def _show_statement(statement: ReadStatement, names: dict[str, str], json: bool) -> None:
    if json:
        typer.echo(json_format.dumps(statement_rows(statement), ensure_ascii=False, indent=2))
    else:
        typer.echo(statement_table(statement, names))


def position(
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
) -> None:
    """Show what is owed to whom at this moment, how much of the caps is used, the prepaid balance, and what
    is still to be paid.
    """
    with connected(config, address, certificate) as channel:
        names = _names(channel)
        stub = MerchantSettlementServiceStub(channel)
        found = stub.GetPosition(pb.GetPositionRequest(), timeout=DEADLINE_SECONDS)
    if json:
        typer.echo(json_format.dumps(position_rows(found), ensure_ascii=False, indent=2))
    else:
        typer.echo(position_text(found, names))


def payments_now(stub: MerchantSettlementServiceStub, window: int) -> operator_pb.ListPaymentsResponse:
    """A window's payments as the operator has them, with those that came in the place of others; refused
    where it is not reached.
    """
    request = pb.ListOwnPaymentsRequest(window=window)
    answer = stub.ListOwnPayments(request, timeout=DEADLINE_SECONDS)
    if not answer.HasField("at_operator"):
        raise SettlementRefused(
            "The operator is not reached. Nobody was told; do this again later, or name FILE to only look."
        )
    return answer.at_operator


def own_statement(stub: MerchantSettlementServiceStub, window: int) -> ReadStatement:
    """A statement that the node has kept."""
    parts = stub.GetOwnStatement(pb.GetOwnStatementRequest(window=window), timeout=DEADLINE_SECONDS)
    return read_signed_statement(b"".join(one.part for one in parts))


def _names(channel: grpc.Channel) -> dict[str, str]:
    """What partners are called, by the directory that the node follows."""
    stub = coalition_service_pb2_grpc.CoalitionServiceStub(channel)
    answer = stub.GetCoalition(coalition_service_pb2.GetCoalitionRequest(), timeout=DEADLINE_SECONDS)
    if not answer.HasField("signed_directory"):
        return {}
    return names_in(read_directory(answer.signed_directory.SerializeToString(deterministic=True)).directory)
