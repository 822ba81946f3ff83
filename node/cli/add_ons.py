"""Commands that other packages add to `vafa` by the entry-point group `vafa.commands`.

One is imported when it is called, or to be named in the help: an add-on that is broken is named, and takes
nothing else with it.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from node.actors.desk import describe

GROUP = "vafa.commands"


class AddOnBroken(Exception):
    """An add-on could not be loaded; the text names its package, and says why."""


class WithAddOns(TyperGroup):
    """The group of all commands: the node's own, and then those of add-ons."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, the add-ons' last."""
        return [*super().list_commands(ctx), *(name for name in _points() if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name; None where nobody has it. A node's own name is never an add-on's."""
        own = super().get_command(ctx, cmd_name)
        point = _points().get(cmd_name)
        return own if own is not None or point is None else _command(point)


@cache
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def _command(point: EntryPoint) -> Any:
    try:
        command = typer.main.get_command(point.load())
    except Exception as fault:  # whatever an add-on does when it is imported
        command = typer.main.get_command(_broken(point, f"{describe(fault)}: {fault}"))
    command.name = point.name
    return command


def _broken(point: EntryPoint, why: str) -> typer.Typer:
    """A command that says what is wrong, whatever it is called with."""
    package = point.dist.name if point.dist is not None else point.value
    app = typer.Typer(add_completion=False)

    @app.command(
        help=f"Broken: the add-on of {package} cannot be loaded.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def broken() -> None:
        raise AddOnBroken(
            f"The command {point.name} of the package {package} ({point.value}) cannot be loaded: {why}. "
            "Mend or remove that package; all other commands work."
        )

    return app
