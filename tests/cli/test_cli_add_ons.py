"""What other packages add to `vafa`: loaded when it is called, and when it is broken, named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from node.cli import add_ons
from tests.cli.cli_shop import run_vafa

WHOLE = """\
import typer

app = typer.Typer()


@app.command()
def greet(name: str) -> None:
    print(f"hello {name}")


@app.command()
def part() -> None:
    print("bye")
"""


@pytest.fixture(autouse=True)
def add_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two packages beside the node: one that works, and one that cannot be imported."""
    (tmp_path / "vafa_whole_add_on.py").write_text(WHOLE, encoding="utf-8")
    (tmp_path / "vafa_broken_add_on.py").write_text("import vafa_no_such_module", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("whole", "vafa_whole_add_on:app", add_ons.GROUP),
        EntryPoint("broken", "vafa_broken_add_on:app", add_ons.GROUP),
        EntryPoint("init", "vafa_broken_add_on:app", add_ons.GROUP),
    ]
    monkeypatch.setattr(add_ons, "entry_points", lambda group: points if group == add_ons.GROUP else [])
    add_ons._points.cache_clear()
    yield
    add_ons._points.cache_clear()
    for name in ("vafa_whole_add_on", "vafa_broken_add_on"):
        sys.modules.pop(name, None)


def test_an_add_ons_command_runs_beside_a_broken_one() -> None:
    assert run_vafa("whole", "greet", "maryam").out == "hello maryam\n"


def test_the_nodes_own_commands_import_no_add_on_and_none_takes_their_names(tmp_path: Path) -> None:
    made = run_vafa("init", tmp_path / "shop", "--merchant", "shop-1")
    assert made.status == 0, made.err
    assert not {"vafa_whole_add_on", "vafa_broken_add_on"} & sys.modules.keys()


@pytest.mark.parametrize("words", [("broken",), ("broken", "sub", "--option", "x")])
def test_a_broken_add_on_is_named_with_what_is_wrong_and_what_to_do(words: tuple[str, ...]) -> None:
    refused = run_vafa(*words)
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith("vafa: The command broken of the package vafa_broken_add_on")
    assert "vafa_no_such_module" in refused.err
    assert "all other commands work" in refused.err
    assert refused.err.count("\n") == 1


def test_the_help_lists_all_commands_and_says_which_is_broken() -> None:
    shown = run_vafa("--help")
    assert shown.status == 0
    lines = {line.split()[1]: line for line in shown.out.splitlines() if len(line.split()) > 2}
    assert "Broken" in lines["broken"]
    assert {"run", "init", "whole"} <= lines.keys()
