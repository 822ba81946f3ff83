"""A member says the code that its own home node sent for this merchant, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulators.demo.coalition import phones
from simulators.demo.coalition.phones import Phones, international

CODE = "{name} asks to spend up to 40 points of yours. If you agree, tell the cashier this code: {code}"


def said(path: Path, to: str, text: str, *, end: str = "\n") -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"to": to, "text": text, "about": "code"}) + end)


async def test_the_code_is_read_from_the_words_that_name_the_merchant(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    said(path, "+989120000001", CODE.format(name="Camden", code="111111"))
    said(path, "+989120000002", CODE.format(name="Nile", code="222222"))
    said(path, "+989120000001", CODE.format(name="Nile", code="333333"))
    code, words = await Phones(path).code("+98912٠٠٠۰۰۰۱", 0, "Nile")
    assert code == "333333"
    assert words.startswith("Nile asks")


async def test_an_older_code_is_not_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones, "CODE_SECONDS", 0.05)
    path = tmp_path / "messages.jsonl"
    said(path, "+989120000001", CODE.format(name="Nile", code="111111"))
    phone = Phones(path)
    assert await phone.code("+989120000001", len(phone.texts("+989120000001")), "Nile") == ("", "")


def test_half_a_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    phone = Phones(path)
    assert phone.texts("+1") == []
    said(path, "+1", "one", end="")
    assert phone.texts("+1") == []
    with path.open("a", encoding="utf-8") as file:
        file.write("\n")
    assert phone.texts("+1") == ["one"]


def test_numbers_in_any_digits_are_one_number() -> None:
    assert international("+98912۱۲۳۴۵۶۷") == international("+98912١٢٣٤٥٦٧") == "+989121234567"
