"""`vafa doctor`: one line for each thing looked at, and what to do where it is not well."""

from __future__ import annotations

import json as json_format
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from node import installation
from node.actors.desk import describe
from node.cli.connection import DEFAULT_CONFIG, AddressOption, ConfigOption, JsonOption, load
from node.cli.diagnosis import abroad, books, machine, serving, setup
from node.cli.diagnosis.finding import Finding, Level, ok, wrong
from node.cli.restore import interrupted
from node.cli.stores import holders, store_directories
from node.config import Config, ConfigError

CHECK_WIDTH = 17
_COLOURS = {Level.OK: typer.colors.GREEN, Level.WARN: typer.colors.YELLOW, Level.WRONG: typer.colors.RED}


def doctor(
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only what is not well.")] = False,
) -> None:
    """Say what is wrong with this installation, in plain words. Works whether the node runs or not.

    Exit status 1 means that something is WRONG; a WARN alone is no failure. It changes nothing, but for the
    torn tail that a power cut left in a log: that is cut off and kept, as the next start would do.
    """
    found = []
    for finding in _examined(config, address):
        found.append(finding)
        if not json and not (quiet and finding.level is Level.OK):
            _print(finding)
    if json:
        shown = [one for one in found if not (quiet and one.level is Level.OK)]
        print(json_format.dumps(msgspec.to_builtins(shown), ensure_ascii=False, indent=2))
    if any(one.level is Level.WRONG for one in found):
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    level = f"{finding.level:<5}"
    if sys.stdout.isatty():
        level = typer.style(level, fg=_COLOURS[finding.level])
    print(f"{level} {finding.check:<{CHECK_WIDTH}} {finding.text}", flush=True)
    if finding.todo:
        print(f"{'':5} {'':<{CHECK_WIDTH}} -> {finding.todo}", flush=True)


def _examined(path: Path, address: str) -> Iterator[Finding]:
    try:
        config = load(path)
    except ConfigError as mistake:
        yield wrong("configuration", str(mistake))
        return
    yield ok("configuration", f"{path} reads well: merchant {config.merchant.id}.")
    try:
        yield from _installation(path, config, address)
    except OSError as error:
        yield wrong(
            "doctor", f"{error.filename or 'a file'}: {error.strerror}.", "Run it as the node's user."
        )
    except Exception as fault:
        yield wrong("doctor", f"The doctor itself failed: {describe(fault)}.", "Please report it.")


def _installation(path: Path, config: Config, address: str) -> Iterator[Finding]:
    if interrupted(config.storage.directory.resolve()):
        yield wrong("stores", "A restore was interrupted.", "Run the same `vafa restore` again.")
        return
    now_ms, today = time.time_ns() // 1_000_000, setup.now_utc()
    secrets, found = setup.secrets_of(config)
    yield from found
    if secrets is not None:
        yield from setup.certificates(path.resolve().parent, config, secrets, today)
    held = holders(store_directories(config))
    yield from machine.disk(config)
    yield from machine.memory(bool(held))
    yield from machine.open_files(held.get(installation.control_directory(config), 0))
    yield from machine.time_zone(config, today.date())
    yield from machine.ray()
    if held:
        yield from serving.holders_of(config, held)
        yield from serving.node(path, address)
        yield from abroad.running(path, address, config, secrets, now_ms)
    else:
        yield from machine.ports(config)
        yield from books.stores(config, secrets, now_ms)
        yield from abroad.stopped(config, secrets, now_ms)
    yield from books.leftovers(config, bool(held))
    yield from books.backups(config, now_ms)
