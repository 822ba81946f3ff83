"""The `vafa` command. One file a noun; other packages add theirs by the entry-point group `vafa.commands`."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer

from node.cli import books, doctor, init, member, programme, run, terminal
from node.cli.connection import CallFailed
from node.config import ConfigError
from node.identity.keys import KeyUnusable
from node.installation import InstallationExists
from node.storage.store import StoreError

app = typer.Typer(
    help="Vafa: a self-hosted node for coalition loyalty.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("init")(init.init)
app.command("run")(run.run)
app.command("status")(books.status)
app.command("check")(books.check)
app.command("backup")(books.backup)
app.command("restore")(books.restore_backup)
app.command("doctor")(doctor.doctor)
app.add_typer(terminal.app, name="terminal")
app.add_typer(member.app, name="member")
app.add_typer(programme.app, name="programme")


def _add_commands() -> None:
    for point in entry_points(group="vafa.commands"):
        app.add_typer(point.load(), name=point.name)


def main() -> None:
    """Runs the command line; what a person can mend is said in one sentence, without a trace."""
    _add_commands()
    try:
        app()
    except (ConfigError, KeyUnusable, StoreError, InstallationExists, CallFailed) as wrong:
        print(f"vafa: {wrong}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
