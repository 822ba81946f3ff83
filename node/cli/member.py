"""`vafa member`."""

from __future__ import annotations

import typer

app = typer.Typer(help="Members.", no_args_is_help=True)


@app.callback()
def member() -> None:
    """Members."""
