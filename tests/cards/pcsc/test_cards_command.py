"""`vafa cards` at the terminal: the readers, and a virtual card that another program finds on one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cards.cli import cards as cards_module
from cards.cli.cards import app
from cards.pcsc import CardPulled, Reader
from simulators.cards.card import seeded
from simulators.cards.shelf import Profile, new_card, put_away, take_out
from simulators.cards.stack import READER_NAME, PcscStack
from simulators.cards.vpcd import Seat

NAME = f"{READER_NAME} 00 00"
WAIT_SECONDS = 30
SELECT = bytes.fromhex("00A4040C07D276000085010100")
WRITE = bytes.fromhex("908D00000902000000020000414200")
_PROGRAM = "import typer; from simulators.cards.command import simulate; typer.run(simulate)"


@contextmanager
def simulated(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`vafa cards simulate` in a process of its own, its card on the reader."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", _PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "lies on" in process.stdout.readline()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_readers_are_listed(stack: PcscStack) -> None:
    result = CliRunner().invoke(app, ["readers"])

    assert result.exit_code == 0
    assert NAME in result.stdout.splitlines()


def test_a_simulated_card_is_found_used_and_kept(seat: Seat, stack: PcscStack, tmp_path: Path) -> None:
    state = tmp_path / "card.json"
    with (
        simulated(
            "ntag424", "--state", str(state), "--uid", "04a1b2c3d4e580", "--port", str(stack.port)
        ) as card,
        Reader(NAME) as reader,
    ):
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            assert held.transmit(bytes.fromhex("FFCA000000")).hex() == "04a1b2c3d4e5809000"
            held.transmit(SELECT)
            assert held.transmit(WRITE) == b"\x91\x00"
        card.send_signal(signal.SIGTERM)
        assert card.wait(WAIT_SECONDS) == 0
        assert reader.wait_for_removal(WAIT_SECONDS)

    kept = take_out(state, os.urandom)
    assert kept.memory.files[2].content[:2] == b"AB"  # type: ignore[union-attr]  # a file that this card has


def test_a_simulated_card_tears_itself_off(seat: Seat, stack: PcscStack, tmp_path: Path) -> None:
    state = tmp_path / "card.json"
    put_away(new_card(Profile.NTAG424, seeded(1)), state)
    with (
        simulated(
            "ntag424", "--state", str(state), "--port", str(stack.port), "--tear-at", "2", "--takes-effect"
        ) as card,
        Reader(NAME) as reader,
    ):
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            held.transmit(SELECT)
            try:
                held.transmit(WRITE)
            except CardPulled:
                pass
            else:
                raise AssertionError("the card stayed")
        assert card.wait(WAIT_SECONDS) == 1

    kept = take_out(state, os.urandom)
    assert kept.memory.files[2].content[:2] == b"AB"  # type: ignore[union-attr]  # a file that this card has


def _said(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr


def test_what_cannot_be_simulated_is_said_in_a_sentence(tmp_path: Path) -> None:
    state = tmp_path / "card.json"
    put_away(new_card(Profile.DESFIRE, seeded(1)), state)

    assert _said("ntag424", "--state", str(state)) == (
        1,
        f"vafa: {state} holds a card of another kind. Say that kind, or another file.\n",
    )
    code, words = _said("ntag424", "--uid", "04")
    assert (code, "14 hexadecimal digits" in words) == (2, True)
    code, words = _said("ntag424", "--port", "1")
    assert (code, "vsmartcard-vpcd" in words, "Traceback" in words) == (1, True, False)


def test_commands_of_other_packages_join_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("simulate", "simulators.cards.command:simulate", "vafa.cards.commands")
    monkeypatch.setattr(cards_module, "entry_points", lambda group: [point] if group == point.group else [])

    said = CliRunner().invoke(cards_module._app(), ["--help"]).stdout
    assert "simulate" in said
    assert "readers" in said
