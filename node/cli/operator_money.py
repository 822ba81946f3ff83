"""`vafa operator positions`, `prepaid`, `payments`, `default`: what partners owe, and whether they pay."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.operator_home import OperatorHome, OperatorRefused
from node.cli.operator_service import CALL_SECONDS, calling
from node.cli.settlement_shown import amount, payments_rows, payments_text, prepaid_text
from node.cli.settlement_text import table
from node.coalition.directory import SettlementTerms
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1.settlement_service_pb2_grpc import SettlementServiceStub
from node.settlement.windows import terms_of
from node.wire.settlement_csv import money

DirectoryOption = Annotated[
    Path, typer.Option("--dir", envvar="VAFA_OPERATOR", help="The operator's directory, as `init` made it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NumberArgument = Annotated[int, typer.Argument(help="The window's number; `window list` shows them.")]
HERE = Path()


def positions(directory: DirectoryOption = HERE, json: JsonOption = False) -> None:
    """Show how every partner stands: last net, what is unpaid, prepaid balance, and whom the next `publish`
    suspends.
    """
    home = OperatorHome(directory)
    with calling(home) as channel:
        request = pb.ListPositionsRequest()
        found = SettlementServiceStub(channel).ListPositions(request, timeout=CALL_SECONDS).positions
    if json:
        typer.echo(json_format.dumps([_row(one) for one in found], ensure_ascii=False, indent=2))
        return
    exponent = newest_terms(home).currency_exponent
    rows = [
        (
            one.partner_id,
            str(one.window or ""),
            money(amount(one.net), exponent),
            money(amount(one.unpaid), exponent),
            money(amount(one.awaited), exponent),
            money(amount(one.prepaid.balance), exponent) if one.HasField("prepaid") else "",
            f"{'SUSPEND: ' if one.suspend else ''}{one.reason}",
        )
        for one in found
    ]
    columns = ("partner", "window", "net", "still pays", "still gets", "prepaid", "to do")
    typer.echo(table(columns, rows) or "No partner yet.")


def _row(one: pb.PartnerPosition) -> dict[str, Any]:
    prepaid = one.HasField("prepaid")
    return {
        "partner": one.partner_id,
        "window": one.window,
        "net": str(amount(one.net)),
        "unpaid": str(amount(one.unpaid)),
        "awaited": str(amount(one.awaited)),
        "prepaid": str(amount(one.prepaid.balance)) if prepaid else None,
        "alert_percent": one.prepaid.alert_percent if prepaid else None,
        "silent_windows": one.silent_windows,
        "defaulted_windows": list(one.defaulted_windows),
        "suspend": one.suspend,
        "reason": one.reason,
    }


def prepaid(directory: DirectoryOption = HERE, json: JsonOption = False) -> None:
    """Show the prepaid balances, and which have come down to a threshold."""
    home = OperatorHome(directory)
    with calling(home) as channel:
        request = pb.ListPrepaidBalancesRequest()
        found = SettlementServiceStub(channel).ListPrepaidBalances(request, timeout=CALL_SECONDS).balances
    if json:
        rows = [
            {
                "partner": one.partner_id,
                "balance": str(amount(one.balance)),
                "full": str(amount(one.full)),
                "alert_percent": one.alert_percent,
                "used_up": one.used_up,
            }
            for one in found
        ]
        typer.echo(json_format.dumps(rows, indent=2))
        return
    exponent = newest_terms(home).currency_exponent
    said = [f"{one.partner_id}: {prepaid_text(one, exponent)}" for one in found]
    typer.echo("\n".join(said) or "Nobody pays ahead.")


def payments(number: NumberArgument, directory: DirectoryOption = HERE, json: JsonOption = False) -> None:
    """Show the payments of a window: what is open, paid or said to be, and what stands after a default."""
    home = OperatorHome(directory)
    with calling(home) as channel:
        request = pb.ListPaymentsRequest(window=number)
        found = SettlementServiceStub(channel).ListPayments(request, timeout=CALL_SECONDS)
    if json:
        typer.echo(json_format.dumps(payments_rows(found), ensure_ascii=False, indent=2))
    else:
        typer.echo(payments_text(found, names_of(home), newest_terms(home).currency_exponent))


def default(
    number: NumberArgument,
    partner: Annotated[str, typer.Argument(help="Who has not paid what was due.")],
    reason: Annotated[str, typer.Option(help="Why, for every partner to read.")],
    directory: DirectoryOption = HERE,
) -> None:
    """Declare that a partner does not pay: the others are netted without it, its debts stand two by two."""
    home = OperatorHome(directory)
    with calling(home) as channel:
        stub = SettlementServiceStub(channel)
        request = pb.DeclareDefaultRequest(
            request_id=f"default {number} {partner}", window=number, partner_id=partner, reason=reason
        )
        stub.DeclareDefault(request, timeout=CALL_SECONDS)
        found = stub.ListPayments(pb.ListPaymentsRequest(window=number), timeout=CALL_SECONDS)
    typer.echo(payments_text(found, names_of(home), newest_terms(home).currency_exponent))
    typer.echo(f"Publish now: the next directory suspends {partner}, without caps, until its debts are paid.")


def newest_terms(home: OperatorHome) -> SettlementTerms:
    """The newest settlement terms of the published directory; OperatorRefused where there are none."""
    published = home.published()
    terms = terms_of(published.directory, 1 << 60) if published else None
    if terms is None:
        raise OperatorRefused("The directory has no settlement terms yet.")
    return terms


def names_of(home: OperatorHome) -> dict[str, str]:
    """What partners are called, by the published directory."""
    published = home.published()
    return {one.partner_id: one.name for one in published.directory.partners} if published else {}
