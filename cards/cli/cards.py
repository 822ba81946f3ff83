"""`vafa cards`: readers and cards. What other packages add comes by the entry-point group
`vafa.cards.commands`.
"""

from __future__ import annotations

from importlib.metadata import entry_points

import typer

from cards.cli import jobs, node_keys, one_card
from cards.cli.terminal import spoken
from cards.pcsc import reader_names


def _app() -> typer.Typer:
    app = typer.Typer(help="Chip cards and their readers.", no_args_is_help=True)
    app.command("readers")(readers)
    app.command("sign")(jobs.sign)
    app.command("personalise")(jobs.personalise)
    app.command("audit")(jobs.audit)
    app.command("print")(jobs.print_file)
    app.command("node-keys")(node_keys.node_keys)
    app.command("inspect")(one_card.inspect)
    app.command("verify")(one_card.verify)
    app.command("retire")(one_card.retire)
    # Virtual cards live in simulators/, which this package does not know.
    for point in entry_points(group="vafa.cards.commands"):
        app.command(point.name)(point.load())
    return app


@spoken
def readers() -> None:
    """List the card readers that are plugged in."""
    names = reader_names()
    for name in names:
        typer.echo(name)
    if not names:
        typer.echo(
            "There is no card reader. Plug one in, or start a virtual one: vafa cards simulate.", err=True
        )
        raise typer.Exit(1)


app = _app()
