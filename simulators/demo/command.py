"""`vafa demo`: a day of three merchants' shops, or of one, from nothing to proven books."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.console import Console

from simulators.baskets import UnreadableBaskets
from simulators.demo.coalition.run import run as run_coalition
from simulators.demo.coalition.showing import show as show_coalition
from simulators.demo.coalition.summary import CoalitionSummary
from simulators.demo.replay import SpanTooLong
from simulators.demo.run import Plan, run
from simulators.demo.screen import Screen
from simulators.demo.summary import Summary, show
from simulators.launch import NodeFailed
from simulators.refusal import Refused
from simulators.till import OutcomeUnknown

app = typer.Typer(
    help="A day at the tills of a coalition of three merchants, with nothing to prepare.",
    subcommand_metavar="",
)

_FAILED = 1
_UNUSABLE = 2
_FORESEEN = (NodeFailed, Refused, OutcomeUnknown, grpc.aio.AioRpcError)


@app.callback(invoke_without_command=True)
def demo(
    members: Annotated[int, typer.Option(min=3, max=100_000, help="Members to enrol, in all.")] = 400,
    tills: Annotated[int, typer.Option(min=3, max=200, help="Tills, in all.")] = 12,
    purchases: Annotated[int, typer.Option(min=10, max=1_000_000, help="Purchases to make.")] = 3_000,
    seed: Annotated[int, typer.Option(help="Another seed makes other members and purchases.")] = 1,
    baskets: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Replay recorded baskets (transactions.csv.gz) instead."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the summary's figures here.")
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="One merchant's node, without a coalition; as with --baskets.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(help="Leave the nodes' installations in this new directory.")
    ] = None,
) -> None:
    """Starts an operator and three merchants' nodes in a temporary directory, lets simulated tills shop at
    them over mutual TLS, kills one node and restarts it, and ends with a summary. Ends with status 1 when
    books do not sum to zero, `vafa check` is not clean, or two merchants hold different signed chains."""
    if json_file is not None and not json_file.parent.is_dir():
        raise typer.BadParameter(f"{json_file.parent} is not a directory", param_hint="--json")
    screen = Screen(Console(file=sys.stdout))
    directory = _new_directory(keep)
    plan = Plan(members, tills, purchases, seed, baskets)
    kept = keep is not None
    try:
        if alone or baskets is not None:
            summary: Summary | CoalitionSummary = (single := run(plan, directory, screen))
            show(single, screen)
        else:
            summary = joint = run_coalition(
                directory, screen, members=members, tills=tills, purchases=purchases, seed=seed
            )
            show_coalition(joint, screen)
        kept = kept or not summary.good
    except KeyboardInterrupt:
        typer.echo("Interrupted; the node has stopped.", err=True)
        raise
    except (UnreadableBaskets, SpanTooLong) as error:
        typer.echo(f"These baskets cannot be replayed: {error}", err=True)
        raise typer.Exit(_UNUSABLE) from None
    except Exception as error:
        if not isinstance(fault := _first(error), _FORESEEN):
            raise
        kept = True
        typer.echo(f"The demo stopped. {type(fault).__name__}: {_words(fault)}", err=True)
        raise typer.Exit(_FAILED) from None
    finally:
        if kept:
            typer.echo(f"The installation and its log are kept in {directory}", err=True)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    if json_file is not None:
        text = json.dumps(summary.as_json(), ensure_ascii=False, indent=2)
        json_file.write_text(text + "\n", encoding="utf-8")
    if not summary.good:
        raise typer.Exit(_FAILED)


def _new_directory(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="vafa-demo-"))
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise typer.BadParameter(f"{keep} is not a new or empty directory", param_hint="--keep")
    keep.mkdir(parents=True, exist_ok=True)
    return keep.resolve()


def _first(error: BaseException) -> BaseException:
    """The first fault of a group: tills work side by side, and a fault of one ends them all."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(fault: BaseException) -> str:
    if isinstance(fault, grpc.aio.AioRpcError):
        return f"{fault.code().name}: {fault.details()}"
    return str(fault)
