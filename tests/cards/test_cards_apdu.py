import pytest
from hypothesis import given
from hypothesis import strategies as st

from cards.apdu import (
    ApduMalformed,
    CardRefused,
    Command,
    CommandChaining,
    CorrectLength,
    GetResponse,
    Hides,
    Response,
    StatusWord,
    Trace,
    Wire,
    card_chain,
    parse_command,
    parse_response,
    status_in_words,
)
from tests.cards.scripted_card import ScriptedCard

CASES = [
    ("case 1", Command(0x80, 0xF2, 0x20, 0x02), "80F22002"),
    ("case 2 short", Command(0x80, 0xCA, 0, 0x66, le=256), "80CA006600"),
    ("case 2 short, 5 bytes", Command(0, 0xB0, 0, 0, le=5), "00B0000005"),
    ("case 3 short", Command(0, 0xD6, 0, 0, b"\x01\x02"), "00D60000020102"),
    ("case 4 short", Command(0, 0xA4, 4, 0, b"\xa0", le=256), "00A4040001A000"),
    ("case 2 extended", Command(0, 0xB0, 0, 0, le=65_536), "00B00000000000"),
    ("case 2 extended, 257 bytes", Command(0, 0xB0, 0, 0, le=257), "00B00000000101"),
    ("case 3 extended", Command(0, 0xD6, 0, 0, b"\x07", extended=True), "00D6000000000107"),
    ("case 4 extended", Command(0, 0xD6, 0, 0, b"\x07", le=300, extended=True), "00D6000000000107012C"),
]


@pytest.mark.parametrize(("command", "raw"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_iso_case_has_its_bytes_and_is_read_back(command: Command, raw: str) -> None:
    assert command.encode().hex().upper() == raw
    again = parse_command(bytes.fromhex(raw))
    assert (again.header, again.data, again.le) == (command.header, command.data, command.le)


@given(
    st.binary(max_size=600),
    st.one_of(st.none(), st.integers(1, 65_536)),
    st.booleans(),
)
def test_every_command_survives_its_bytes(data: bytes, le: int | None, extended: bool) -> None:
    command = Command(0, 0xD6, 1, 2, data, le, extended=extended)
    again = parse_command(command.encode())
    assert (again.header, again.data, again.le) == (command.header, data, le)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "00A404",
        "00D6000003 0102",
        "00D60000 01 02 03 04",
        "00D60000 000000 00",
        "00D60000 000002 01",
        "00B000000001",
    ],
)
def test_a_command_whose_lengths_disagree_is_refused(raw: str) -> None:
    with pytest.raises(ApduMalformed):
        parse_command(bytes.fromhex(raw))


@pytest.mark.parametrize("make", [lambda: Command(256, 0, 0, 0), lambda: Command(0, 0, 0, 0, le=0)])
def test_a_command_that_no_bytes_can_hold_is_refused(make: object) -> None:
    with pytest.raises(ApduMalformed):
        make()  # type: ignore[operator]  # makes what must be refused


def test_an_answer_without_a_status_word_is_refused() -> None:
    with pytest.raises(ApduMalformed):
        parse_response(b"\x90")


def test_a_refusal_says_what_was_tried_and_what_the_card_meant() -> None:
    with pytest.raises(CardRefused, match=r"the alias: .* 6A82 \(no such application or file\)") as caught:
        Response(b"", 0x6A82).expect("Read the alias")
    assert caught.value.status == StatusWord.NOT_FOUND


@pytest.mark.parametrize("status", list(StatusWord))
def test_every_known_status_word_has_words_of_its_own(status: StatusWord) -> None:
    assert "does not know" not in status_in_words(status)


def test_status_words_that_carry_a_number_say_it() -> None:
    assert "3 tries" in status_in_words(0x63C3)
    assert "16 bytes" in status_in_words(0x6110)
    assert "256 bytes" in status_in_words(0x6C00)
    assert "does not know" in status_in_words(0x1234)


def test_an_answer_in_parts_is_joined_on_its_own_logical_channel() -> None:
    card = ScriptedCard(("82CA006600", "0102 6102"), ("02C0000002", "0304 6101"), ("02C0000001", "05 9000"))
    answer = GetResponse(Wire(card)).send(Command(0x82, 0xCA, 0, 0x66, le=256))
    assert answer == Response(b"\1\2\3\4\5", 0x9000)
    assert card.finished


def test_an_answer_that_never_ends_is_given_up() -> None:
    class Endless:
        def transmit(self, apdu: bytes) -> bytes:
            return bytes.fromhex("016100")

    with pytest.raises(ApduMalformed, match="does not end"):
        GetResponse(Wire(Endless())).send(Command(0, 0xCA, 0, 0, le=256))


def test_a_wrong_length_is_corrected_once() -> None:
    card = ScriptedCard(("80CA006600", "6C05"), ("80CA006605", "6C04"))
    assert CorrectLength(Wire(card)).send(Command(0x80, 0xCA, 0, 0x66, le=256)).status == 0x6C04
    assert card.finished


def test_a_protected_command_is_never_repeated_with_a_used_mac() -> None:
    card = ScriptedCard(("84CA006600", "6C05"))
    assert CorrectLength(Wire(card)).send(Command(0x84, 0xCA, 0, 0x66, le=256)).status == 0x6C05


def test_long_data_goes_in_a_chain_and_only_its_last_link_asks_for_an_answer() -> None:
    card = ScriptedCard(("90E20000020102", "9000"), ("90E20000020304", "9000"), ("80E20000010500", "AA9000"))
    answer = CommandChaining(Wire(card), block_bytes=2).send(Command(0x80, 0xE2, 0, 0, b"\1\2\3\4\5", le=256))
    assert answer == Response(b"\xaa", 0x9000)
    assert card.finished


def test_a_chain_stops_where_the_card_refuses() -> None:
    card = ScriptedCard(("90E20000020102", "6A84"))
    answer = CommandChaining(Wire(card), block_bytes=2).send(Command(0x80, 0xE2, 0, 0, b"\1\2\3"))
    assert answer.status == 0x6A84


def test_native_commands_are_never_chained() -> None:
    with pytest.raises(ApduMalformed, match="cannot be chained"):
        card_chain(ScriptedCard()).send(Command(0x90, 0x8D, 0, 0, bytes(256)))


SECRET = bytes.fromhex("C0FFEE00C0FFEE00")


@pytest.mark.parametrize(
    ("hides", "shown"),
    [(Hides.NOTHING, 2), (Hides.COMMAND, 1), (Hides.RESPONSE, 1), (Hides.BOTH, 0)],
)
def test_a_trace_hides_exactly_what_the_command_declares(hides: Hides, shown: int) -> None:
    lines: list[str] = []
    card = ScriptedCard((f"80D80000 08 {SECRET.hex()}", f"{SECRET.hex()} 9000"))
    Trace(Wire(card), lines.append).send(Command(0x80, 0xD8, 0, 0, SECRET, hides=hides, name="PUT KEY"))
    text = "\n".join(lines)
    assert text.count(SECRET.hex(" ").upper()) == shown
    assert text.count("<8 bytes hidden>") == 2 - shown
    assert "80 D8 00 00" in text
    assert "PUT KEY" in text
    assert "9000 done" in text


def test_what_is_fetched_for_a_secret_answer_stays_hidden_below() -> None:
    lines: list[str] = []
    card = ScriptedCard(("80CA000000", f"{SECRET.hex()} 6108"), ("00C0000008", f"{SECRET.hex()} 9000"))
    chain = GetResponse(Trace(Wire(card), lines.append))
    chain.send(Command(0x80, 0xCA, 0, 0, le=256, hides=Hides.RESPONSE))
    assert SECRET.hex(" ").upper() not in "\n".join(lines)
    assert len(lines) == 4


def test_a_fault_is_traced_by_name_and_passed_on() -> None:
    class Quoting:
        def transmit(self, apdu: bytes) -> bytes:
            raise OSError(apdu.hex())

    lines: list[str] = []
    with pytest.raises(OSError, match=SECRET.hex()):
        Trace(Wire(Quoting()), lines.append).send(Command(0x80, 0xD8, 0, 0, SECRET, hides=Hides.COMMAND))
    assert lines[-1] == "! OSError"
    assert SECRET.hex() not in "".join(lines).lower().replace(" ", "")


def test_no_repr_shows_the_data_of_a_command_or_an_answer() -> None:
    assert "\\xc0" not in repr(Command(0, 0, 0, 0, SECRET)) + repr(Response(SECRET, 0x9000))
