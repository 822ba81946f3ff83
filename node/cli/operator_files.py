"""The files beside a statement at the operator: a table for finance, and payment files for its bank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

from node.cli.operator_home import OperatorHome
from node.cli.operator_money import names_of, newest_terms
from node.rpc.settlement import clock_ms
from node.settlement.documents import OPERATOR_ID, Net, Payment
from node.wire.settlement_csv import statement_csv
from node.wire.settlement_iso20022 import NotPayable, payments_file, settlement_file
from node.wire.settlement_lines import ReadStatement


def write_files(home: OperatorHome, statement: ReadStatement, beside: Path) -> None:
    """Writes them beside the statement's file: CSV always; pacs.029 where all pay by the agent's account;
    pain.001 where the operator itself pays. What cannot be written is said, and holds up nothing.
    """
    published = home.published()
    assert published is not None, "a statement follows from a published directory"
    facts, directory, now_ms = statement.facts, published.directory, clock_ms()
    nets = [line for line in statement.lines if isinstance(line, Net)]
    payments = [line for line in statement.lines if isinstance(line, Payment)]
    made: list[tuple[str, Callable[[], bytes]]] = [
        (".csv", lambda: statement_csv(facts, statement.lines, names_of(home))),
    ]
    if newest_terms(home).agent_account is not None:
        made.append((".pacs.029.xml", lambda: settlement_file(facts, nets, directory, now_ms)))
    if any(one.debtor_id == OPERATOR_ID for one in payments):
        made.append((".pain.001.xml", lambda: payments_file(facts, payments, directory, OPERATOR_ID, now_ms)))
    for suffix, content in made:
        path = beside.with_name(beside.stem + suffix)
        try:
            path.write_bytes(content())
        except NotPayable as wrong:
            typer.echo(f"{path.name} was not written: {wrong}", err=True)
        else:
            typer.echo(f"Written: {path}")
