"""What members are told: acquirer and amount, in their language, where they read it; never to a log."""

from __future__ import annotations

import asyncio
import io
import json
import stat
from pathlib import Path

import pytest

from node.actors.member_words import Words
from node.actors.messengers import ConsoleMessenger, FileMessenger, MemberMessage, NoMessenger, messenger
from node.wire.coalition_records import CodeToSend, Outcome, SpendNotice
from tests.wire.coalition_terms import SOUND

ACCOUNT = bytes(16)


class Kept:
    def __init__(self) -> None:
        self.messages: list[MemberMessage] = []
        self.came = asyncio.Event()

    async def send(self, message: MemberMessage) -> None:
        self.messages.append(message)
        self.came.set()


async def said(
    outcome: Outcome, contact: tuple[str, str] = ("+989121234567", ""), language: str = "en"
) -> list[MemberMessage]:
    async def reach(account_id: bytes) -> tuple[str, str]:
        return contact

    kept = Kept()
    directories = type("Directories", (), {"known": type("Known", (), {"newest": SOUND})()})()
    words = Words(directories, kept, reach, language)
    words.tell(outcome)
    await words.stop()
    return kept.messages


def code(kind: int = 1, shown: str = "2200") -> Outcome:
    return Outcome(codes=(CodeToSend(ACCOUNT, kind, shown, "nile", 40, "963796", 9),))


async def test_a_code_names_acquirer_and_amount_before_itself() -> None:
    (message,) = await said(code())
    assert message.address == "+989121234567"
    text = message.text
    assert text.index("Nile") < text.index("963796")
    assert text.index("40 Points") < text.index("963796")


@pytest.mark.parametrize(
    ("contact", "own", "word"),
    [("fa-IR", "en", "خرج"), ("ar", "en", "إنفاق"), ("", "fa", "خرج"), ("de", "fa", "asks to spend")],
)
async def test_it_speaks_the_members_language_else_the_merchants(contact: str, own: str, word: str) -> None:
    (message,) = await said(code(), ("+98912", contact), own)
    assert word in message.text


async def test_whoever_showed_a_phone_reads_it_there() -> None:
    (message,) = await said(code(3, "+989350000000"))
    assert message.address == "+989350000000"


async def test_a_member_without_a_phone_gets_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert await said(code(), ("", "")) == []
    shown = capsys.readouterr().out
    assert "message_not_sent" in shown
    assert "963796" not in shown


async def test_a_spend_is_told_afterwards_without_a_code() -> None:
    (message,) = await said(Outcome(notices=(SpendNotice(ACCOUNT, "nile", 40),)))
    assert "40 Points of yours were spent at Nile" in message.text
    assert message.about == "spent at nile"


async def test_a_file_gateway_writes_a_private_line_for_each_message(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    gateway = messenger("file", path)
    assert isinstance(gateway, FileMessenger)
    for text in ("یک\nدو", "three"):
        await gateway.send(MemberMessage(ACCOUNT, "+98912", text, "code"))
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["text"] for line in lines] == ["یک\nدو", "three"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_every_one_of_many_spends_at_once_is_told_and_in_its_order() -> None:
    many = tuple(SpendNotice(ACCOUNT, "nile", units) for units in range(1, 1_001))
    messages = await said(Outcome(notices=many))
    assert [message.text.split()[0] for message in messages] == [str(units) for units in range(1, 1_001)]


async def test_a_code_does_not_wait_behind_spends_that_are_being_told() -> None:
    held, kept = asyncio.Event(), Kept()

    async def reach(account_id: bytes) -> tuple[str, str]:
        if account_id == b"slow":
            await held.wait()
        return "+98912", ""

    directories = type("Directories", (), {"known": type("Known", (), {"newest": SOUND})()})()
    words = Words(directories, kept, reach, "en")
    words.tell(Outcome(notices=(SpendNotice(b"slow", "nile", 1),)))
    words.tell(code())
    await asyncio.wait_for(kept.came.wait(), 5)
    assert kept.messages[0].about == "confirmation code for nile"
    held.set()
    await words.stop()
    assert [message.about for message in kept.messages[1:]] == ["spent at nile"]


async def test_lines_that_come_together_are_each_written_once_or_all_told_that_they_were_not(
    tmp_path: Path,
) -> None:
    gateway = FileMessenger(tmp_path / "messages.jsonl")
    messages = [MemberMessage(ACCOUNT, "+98912", str(number), "spent") for number in range(50)]
    await asyncio.gather(*map(gateway.send, messages))
    lines = (tmp_path / "messages.jsonl").read_text("utf-8").splitlines()
    assert sorted(int(json.loads(line)["text"]) for line in lines) == list(range(50))
    nowhere = FileMessenger(tmp_path / "none" / "messages.jsonl")
    failed = await asyncio.gather(*map(nowhere.send, messages), return_exceptions=True)
    assert all(isinstance(one, OSError) for one in failed)


async def test_a_console_gateway_prints_and_no_gateway_says_what_to_set(tmp_path: Path) -> None:
    out = io.StringIO()
    await ConsoleMessenger(out).send(MemberMessage(ACCOUNT, "+98912", "code 1", "code"))
    assert out.getvalue() == "to +98912: code 1\n"
    assert isinstance(messenger("console", tmp_path), ConsoleMessenger)
    with pytest.raises(OSError, match="message_gateway"):
        await messenger("none", tmp_path).send(MemberMessage(ACCOUNT, "+98912", "x", "y"))
    assert isinstance(messenger("none", tmp_path), NoMessenger)


def test_no_repr_shows_a_code_a_number_or_words() -> None:
    message = MemberMessage(ACCOUNT, "+989121234567", "code 963796", "confirmation code for nile")
    for shown in (repr(message), repr(code().codes[0])):
        assert "963796" not in shown
        assert "98912" not in shown
