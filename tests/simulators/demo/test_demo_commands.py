"""The demo's commands are the `vafa` command, run in its own process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from simulators.demo.coalition.commands import try_vafa, vafa
from simulators.launch import NodeFailed


def test_a_command_says_what_it_would_say_in_a_terminal_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list(sys.argv)
    said = vafa("operator", "init", str(tmp_path / "operator"), "--coalition", "bazaar")
    assert "The key that signs: ed25519:" in said
    assert sys.argv == before
    assert capsys.readouterr() == ("", "")


def test_a_command_that_is_refused_ends_the_demo_with_its_words(tmp_path: Path) -> None:
    status, said = try_vafa("operator", "publish", "--dir", str(tmp_path))
    assert status == 1
    assert "cannot be read" in said
    with pytest.raises(NodeFailed, match="operator publish` ended with status 1"):
        vafa("operator", "publish", "--dir", str(tmp_path))
    assert try_vafa("no-such-command")[0] == 2
