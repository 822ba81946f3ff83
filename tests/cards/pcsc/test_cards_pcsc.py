"""Virtual cards in a real reader: pcscd, vpcd and pyscard, from putting a card on to tearing it off."""

import os
import subprocess
import sys

import pytest

from cards.apdu import CardLost
from cards.pcsc import (
    CardPulled,
    NoCardOnReader,
    PcscError,
    PcscServiceAbsent,
    Reader,
    ReaderAbsent,
    ReaderInUse,
    reader_names,
)
from cards.pcsc import reader as reader_module
from simulators.cards.card import seeded
from simulators.cards.shelf import AnyCard, Profile, new_card
from simulators.cards.stack import READER_NAME, PcscStack
from simulators.cards.vpcd import DEFAULT_PORT, Seat
from simulators.cards.vpcd import ReaderAbsent as VirtualReaderAbsent

WAIT_SECONDS = 20
NAME = f"{READER_NAME} 00 00"
SELECT = bytes.fromhex("00A4040C07D276000085010100")
KEY_VERSION = bytes.fromhex("90640000010000")


def card(profile: Profile = Profile.NTAG424) -> AnyCard:
    return new_card(profile, seeded(1))


def test_the_reader_is_found_by_its_name_or_part_of_it(stack: PcscStack) -> None:
    assert NAME in reader_names()
    with Reader("Virtual Reader 00 00") as reader:
        assert reader.name == NAME


def test_a_reader_that_is_not_there_is_refused_with_what_is(stack: PcscStack) -> None:
    with pytest.raises(ReaderAbsent, match=NAME), Reader("ACME"):
        pass
    with pytest.raises(ReaderAbsent, match="More than one"), Reader(READER_NAME):
        pass


@pytest.mark.parametrize("profile", Profile)
def test_every_kind_of_card_is_seen_and_answers(seat: Seat, profile: Profile) -> None:
    simulated = card(profile)
    seat.put(simulated)

    with Reader(NAME) as reader:
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            assert held.atr == simulated.atr
            assert held.transmit(bytes.fromhex("FFCA000000")) == simulated.memory.uid + b"\x90\x00"
            select = SELECT if profile is Profile.NTAG424 else bytes.fromhex("00A4040000")
            assert held.transmit(select)[-2:] in (b"\x90\x00", b"\x6a\x87")


def test_long_answers_and_commands_come_through_whole(seat: Seat) -> None:
    simulated = card()
    simulated.memory.files[2].content = bytes(range(256))  # type: ignore[union-attr]  # a file that this card has
    seat.put(simulated)

    with Reader(NAME) as reader:
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            held.transmit(SELECT)
            held.transmit(bytes.fromhex("00A4000C02E104"))
            assert held.transmit(bytes.fromhex("00B0000000")) == bytes(range(256)) + b"\x90\x00"
            assert held.transmit(b"\x00\xd6\x00\x00\xff" + bytes(255)) == b"\x90\x00"


def test_an_empty_reader_says_so(seat: Seat) -> None:
    with Reader(NAME) as reader:
        assert reader.wait_for_removal(WAIT_SECONDS)
        assert not reader.wait_for_card(0.1)
        with pytest.raises(NoCardOnReader, match="Put one on"), reader.card():
            pass


@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_torn_card_is_lost_and_the_same_reader_goes_on_with_it(seat: Seat, takes_effect: bool) -> None:
    simulated = card()
    seat.put(simulated)
    with Reader(NAME) as reader:
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            held.transmit(SELECT)
            simulated.tear_at(1, takes_effect=takes_effect)
            with pytest.raises(CardPulled, match="same card back"):
                held.transmit(bytes.fromhex("908D00000902000000020000414200"))
            with pytest.raises(CardLost):
                held.transmit(SELECT)
        assert reader.wait_for_removal(WAIT_SECONDS)

        seat.put(simulated)
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            held.transmit(SELECT)
            written = held.transmit(bytes.fromhex("90AD0000070200000002000000"))
            assert written == (b"AB" if takes_effect else b"\0\0") + b"\x91\x00"


def test_a_card_pulled_between_two_commands_is_lost(seat: Seat) -> None:
    seat.put(card())
    with Reader(NAME) as reader:
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            held.transmit(SELECT)
            seat.take_off()
            with pytest.raises(CardPulled):
                held.transmit(KEY_VERSION)


def test_a_card_is_held_by_one_program_at_a_time(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_CONNECT_TRIES", 2)
    seat.put(card())
    with Reader(NAME) as ours, Reader(NAME) as theirs:
        assert ours.wait_for_card(WAIT_SECONDS)
        with ours.card() as held:
            with pytest.raises(ReaderInUse, match="Another program"), theirs.card():
                pass
            assert held.transmit(SELECT) == b"\x90\x00"
        with theirs.card() as held:
            assert held.transmit(SELECT) == b"\x90\x00"


def test_a_reset_ends_the_session_and_keeps_the_card(seat: Seat) -> None:
    seat.put(card())
    with Reader(NAME) as reader:
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            held.transmit(SELECT)
            assert held.transmit(KEY_VERSION) == b"\0\x91\0"
            assert held.reset() == held.atr
            assert held.transmit(KEY_VERSION) == b"\x91\x40", "the application is no longer selected"


def test_nobody_finds_our_session_open(seat: Seat) -> None:
    seat.put(card())
    with Reader(NAME) as reader:
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            held.transmit(SELECT)
        with reader.card() as held:
            assert held.transmit(KEY_VERSION) == b"\x91\x40"


def test_a_stopped_service_is_named_and_a_restarted_one_found_again(seat: Seat, stack: PcscStack) -> None:
    simulated = card()
    seat.put(simulated)
    with Reader(NAME) as reader:
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            held.transmit(SELECT)
            stack.stop()
            try:
                with pytest.raises(CardPulled, match="service stopped"):
                    held.transmit(KEY_VERSION)
                with pytest.raises(PcscServiceAbsent, match="pcscd"):
                    reader_names()
                with pytest.raises(PcscServiceAbsent, match="pcscd"), reader.card():
                    pass
                with pytest.raises(VirtualReaderAbsent, match="vsmartcard-vpcd"):
                    seat.put(simulated)
            finally:
                stack.start()

        seat.put(simulated)
        assert reader.wait_for_card(WAIT_SECONDS)
        with reader.card() as held:
            assert held.transmit(SELECT) == b"\x90\x00"


def test_without_pyscard_the_first_call_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['smartcard'] = None\n"
        "import cards.pcsc\n"
        "try:\n    cards.pcsc.reader_names()\n"
        "except cards.pcsc.PcscMissing as missing:\n    print(missing)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )
    assert "libpcsclite-dev" in said.stdout


def test_unknown_results_are_errors_too() -> None:
    from cards.pcsc.binding import check, check_in_use

    check(0, "nothing")
    with pytest.raises(PcscError, match="80100008"):
        check(-0x7FEFFFF8, "a build that gives negative results")
    with pytest.raises(PcscError, match="80100008"):
        check_in_use(0x80100008, "in use")
    assert DEFAULT_PORT == 35963
