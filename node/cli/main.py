"""The `vafa` command. One file a noun; what other packages add is in `add_ons.py`."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

import typer

from node.actors.desk import describe
from node.actors.ports import ShardNotStarted
from node.cli import (
    books,
    directory,
    doctor,
    init,
    join,
    lane,
    member,
    operator,
    programme,
    quarantine,
    restore,
    run,
    settlement,
    shards,
    terminal,
)
from node.cli.add_ons import AddOnBroken, WithAddOns
from node.cli.connection import CallFailed
from node.cli.join import JoinRefused
from node.cli.operator_home import OperatorRefused
from node.cli.restore import RestoreRefused
from node.cli.run import NotServing
from node.cli.settlement import SettlementRefused
from node.cli.shards import ShardsRefused
from node.cli.stores import InUse
from node.config import ConfigError
from node.identity.keys import KeyUnusable
from node.installation import InstallationExists
from node.storage.store import StoreError

MENDABLE = (
    AddOnBroken,
    CallFailed,
    ConfigError,
    InUse,
    InstallationExists,
    JoinRefused,
    KeyUnusable,
    NotServing,
    OperatorRefused,
    RestoreRefused,
    SettlementRefused,
    ShardNotStarted,
    ShardsRefused,
    StoreError,
)
"""What a person can mend; the text of each says how."""

INTERRUPTED_STATUS = 130
"""What a shell expects of a command that Ctrl-C ended."""

app = typer.Typer(
    cls=WithAddOns,
    help="Vafa: a self-hosted node for coalition loyalty.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("init")(init.init)
app.command("run")(run.run)
app.command("status")(books.status)
app.command("doctor")(doctor.doctor)
app.command("check")(books.check)
app.command("backup")(books.backup)
app.command("restore")(restore.restore_backup)
app.command("join")(join.join)
app.add_typer(terminal.app, name="terminal")
app.add_typer(member.app, name="member")
app.add_typer(programme.app, name="programme")
app.add_typer(shards.app, name="shards")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(operator.app, name="operator")
app.add_typer(settlement.app, name="settlement")
app.add_typer(directory.app, name="directory")
app.add_typer(lane.app, name="lane")


@cache
def _command() -> Any:
    return typer.main.get_command(app)


def main() -> None:
    """Runs the command line. Whatever goes wrong is said in a sentence on standard error, without a trace."""
    try:
        _command()()
    except MENDABLE as wrong:
        _end(str(wrong))
    except BrokenPipeError:
        # Whoever read the answer, such as `head`, has had enough. Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as wrong:
        _end(f"{wrong.filename}: {wrong.strerror}." if wrong.filename and wrong.strerror else f"{wrong}.")
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED_STATUS) from None
    except Exception as fault:
        # By kind and place alone: what a fault says of itself may quote what it was given.
        _end(f"a fault in this program, please report it: {describe(fault)}. `vafa doctor` may know more.")


def _end(text: str) -> None:
    print(f"vafa: {text}", file=sys.stderr)
    raise SystemExit(1) from None


if __name__ == "__main__":
    main()
