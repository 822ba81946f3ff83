"""The virtual NTAG 424 DNA keeps its rights, counters and keys as its data sheet says."""

import pytest

from cards.crypto import CardKey, crc32_desfire, decrypt_cbc, xor
from simulators.cards.card import seeded
from simulators.cards.ntag424.card import Ntag424
from simulators.cards.ntag424.memory import blank
from tests.simulators.cards.ev2_host import ZERO, Ev2Host, native

UID = bytes.fromhex("04A1B2C3D4E580")
SELECT_APPLICATION = bytes.fromhex("00A4040C07D276000085010100")
SELECT_NDEF = bytes.fromhex("00A4000C02E104")
NEW_KEY = bytes(range(16))
# PICC data and MAC in a URL: SDM by key 2 and key 1, counter readable by key 3; positions as in `URL`.
URL = b"\x00\x45\xd1\x01\x41\x55\x04example.org/?p=" + b"0" * 32 + b"&m=" + b"0" * 16
PICC_AT, MAC_AT = URL.index(b"?p=") + 3, URL.index(b"&m=") + 3
SDM = (
    bytes([0xC1])
    + (0x21F3).to_bytes(2, "little")
    + b"".join(value.to_bytes(3, "little") for value in (PICC_AT, MAC_AT, MAC_AT))
)


def powered(seed: int = 1) -> Ntag424:
    card = Ntag424(blank(UID), seeded(seed))
    card.tap()
    assert card.transmit(SELECT_APPLICATION) == b"\x90\x00"
    return card


def authenticated(number: int = 0, key: CardKey = ZERO) -> Ev2Host:
    host = Ev2Host(powered())
    assert host.authenticate(number, key) == 0x9100
    return host


def with_sdm(limit: bytes = b"", option: int = 0x40) -> Ev2Host:
    host = authenticated()
    card = host.card
    assert host.tell(0x8D, b"\x02" + bytes(3) + len(URL).to_bytes(3, "little"), URL, "plain")[1] == 0x9100
    sdm = bytes([SDM[0] | (0x20 if limit else 0)]) + SDM[1:] + limit
    assert host.tell(0x5F, b"\x02", bytes([option]) + bytes.fromhex("E0EE") + sdm, "full") == (b"", 0x9100)
    assert card.transmit(SELECT_APPLICATION) == b"\x90\x00"
    assert card.transmit(SELECT_NDEF) == b"\x90\x00"
    return host


def read_url(host: Ev2Host) -> tuple[int, bytes]:
    """The counter and the MAC that a free read shows; the PICC data checked on the way."""
    shown = host.card.transmit(bytes.fromhex("00B0000000"))
    assert shown[-2:] == b"\x90\x00"
    plain = decrypt_cbc(ZERO, bytes(16), bytes.fromhex(shown[PICC_AT : PICC_AT + 32].decode()))
    assert plain[0] == 0xC7
    assert plain[1:8] == UID
    return int.from_bytes(plain[8:11], "little"), shown[MAC_AT : MAC_AT + 16]


WHOLE = bytes(6)
FIRST_BYTE = bytes(3) + b"\x01\0\0"


# Files and rights


def test_a_blank_card_reads_as_delivered() -> None:
    card = powered()

    assert (
        card.transmit(bytes.fromhex("00B0830017")).hex()
        == "001720010000ff0406e104010000000506e10500808283" + "9000"
    )
    assert card.transmit(native(0xF5, b"\x02")).hex() == "0000e0ee000100" + "9100"
    assert card.transmit(native(0x64, b"\x00")) == b"\x00\x91\x00"


def test_rights_are_kept_for_everybody_else() -> None:
    host = Ev2Host(powered())

    assert host.plain(0xAD, b"\x03" + WHOLE) == (b"", 0x91AE)
    assert host.authenticate(4) == 0x9100
    assert host.tell(0xAD, b"\x03" + WHOLE) == (b"", 0x91AE)
    assert host.authenticate(2) == 0x9100
    assert host.tell(0xAD, b"\x03" + bytes(3) + b"\x02\0\0", mode="full") == (b"\x00\x7e", 0x9100)
    assert host.tell(0x8D, b"\x03" + FIRST_BYTE, b"x", "full") == (b"", 0x91AE)
    assert host.authenticate(3) == 0x9100
    assert host.tell(0x8D, b"\x03" + FIRST_BYTE, b"x", "full") == (b"", 0x9100)


def test_files_end_where_they_end() -> None:
    host = authenticated(3)

    assert host.tell(0xAD, b"\x03\x80\0\0\0\0\0", mode="full")[1] == 0x91BE
    assert host.authenticate(3) == 0x9100
    assert host.tell(0x8D, b"\x03\x7f\0\0\x02\0\0", b"xy", "full")[1] == 0x91BE
    assert host.authenticate(3) == 0x9100
    assert host.tell(0x8D, b"\x03\x7f\0\0\x02\0\0", b"x", "full")[1] == 0x917E


def test_at_the_picc_level_there_is_neither_key_nor_file() -> None:
    card = Ntag424(blank(UID), seeded(1))
    card.tap()

    assert card.transmit(native(0x71, b"\0\0")) == b"\x91\x40"
    assert card.transmit(native(0xF5, b"\x02")) == b"\x91\x9d"
    assert card.transmit(native(0x60))[-2:] == b"\x91\xaf"


# Sessions


def test_a_wrong_mac_ends_the_session() -> None:
    host = authenticated()
    host.counter += 1

    assert host.tell(0x64, b"\0") == (b"", 0x911E)
    assert host.card.transmit(native(0x51)) == b"\x91\xae"


def test_a_replayed_command_is_refused() -> None:
    host = authenticated()
    sent = native(0x64, b"\0" + host._mac(0x64, b"\0"))
    assert host.card.transmit(sent)[-2:] == b"\x91\x00"

    assert host.card.transmit(sent) == b"\x91\x1e"


def test_a_session_ends_with_its_last_counter_value() -> None:
    host = authenticated()
    assert isinstance(host.card, Ntag424)
    assert host.card.session is not None
    host.counter = host.card.session.command_counter = 0xFFFE
    assert host.tell(0x64, b"\0") == (b"\0", 0x9100)

    assert host.tell(0x64, b"\0") == (b"", 0x911E)


def test_plain_reading_is_for_those_without_a_session() -> None:
    host = with_sdm()
    assert host.authenticate(0) == 0x9100

    assert host.card.transmit(bytes.fromhex("00B0000000")) == b"\x69\x82"
    assert host.card.memory.read_counter == 0


def test_the_second_authentication_goes_on_counting() -> None:
    host = authenticated()
    assert host.tell(0x64, b"\0") == (b"\0", 0x9100)

    assert host.authenticate(3, first=False) == 0x9100
    assert host.counter == 1
    assert host.tell(0x64, b"\0") == (b"\0", 0x9100)


def test_a_second_authentication_needs_a_first() -> None:
    assert Ev2Host(powered()).authenticate(0, first=False) == 0x919D


def test_another_command_between_the_passes_is_refused() -> None:
    host = Ev2Host(powered())
    assert host.plain(0x71, b"\0\0")[1] == 0x91AF

    assert host.plain(0x64, b"\0") == (b"", 0x91CA)
    assert host.plain(0xAF, bytes(32)) == (b"", 0x911C)


def test_version_comes_in_three_frames_under_one_mac() -> None:
    host = authenticated()

    answer, status = host.tell(0x60)
    assert (answer[14:21], status) == (UID, 0x9100)
    assert len(answer) == 28


# Keys


def change_key(host: Ev2Host, number: int, new: bytes, old: bytes = bytes(16), version: int = 1) -> int:
    data = new + bytes([version]) if number == 0 else xor(new, old) + bytes([version]) + crc32_desfire(new)
    return host.tell(0xC4, bytes([number]), data, "full", sealed=number != 0)[1]


def test_changing_key_0_ends_the_session_and_keeps_the_others() -> None:
    host = authenticated()
    assert change_key(host, 1, NEW_KEY) == 0x9100
    assert change_key(host, 0, NEW_KEY) == 0x9100

    assert host.card.transmit(native(0x51)) == b"\x91\xae"
    assert host.authenticate(0) == 0x91AE
    assert host.authenticate(0, CardKey(NEW_KEY)) == 0x9100
    assert host.tell(0x64, b"\1") == (b"\1", 0x9100)


def test_a_wrong_idea_of_the_old_key_changes_nothing() -> None:
    host = authenticated()

    assert change_key(host, 1, NEW_KEY, old=NEW_KEY) == 0x911E
    assert host.authenticate(1) == 0x9100


def test_only_key_0_changes_keys() -> None:
    host = authenticated(1)

    assert change_key(host, 1, NEW_KEY) == 0x91AE


def test_fifty_failures_stall_and_a_success_sets_full_speed() -> None:
    host = Ev2Host(powered())
    wrong = CardKey(NEW_KEY)
    assert {host.authenticate(0, wrong) for _ in range(50)} == {0x91AE}

    assert host.authenticate(0) == 0x91AD
    assert host.authenticate(1) == 0x9100, "each key counts for itself"
    assert host.authenticate(0) == 0x9100
    assert host.authenticate(0) == 0x9100
    assert host.card.memory.keys[0].total_failures == 30


def test_a_dead_key_lives_again_when_key_0_changes_it() -> None:
    host = authenticated()
    assert host.tell(0x5C, b"\x0a", bytes.fromhex("0103000100"), "full") == (b"", 0x9100)
    for _ in range(3):
        assert host.authenticate(1, CardKey(NEW_KEY)) == 0x91AE

    assert host.authenticate(1) == 0x919D
    assert host.authenticate(0) == 0x9100
    assert change_key(host, 1, NEW_KEY) == 0x9100
    assert host.authenticate(1, CardKey(NEW_KEY)) == 0x9100


# Random UID


def test_random_uid_hides_the_real_one_from_all_but_the_authenticated() -> None:
    host = authenticated()
    assert host.card.transmit(bytes.fromhex("FFCA000000")) == UID + b"\x90\x00"
    assert host.tell(0x5C, b"\0", b"\2", "full") == (b"", 0x9100)

    seen = set()
    for _ in range(3):
        host.card.tap()
        seen.add(host.card.transmit(bytes.fromhex("FFCA000000")))
    assert len(seen) == 3
    assert {len(answer) for answer in seen} == {6}
    assert UID.hex() not in host.card.transmit(native(0x60)).hex()
    host.card.tap()
    host.card.transmit(SELECT_APPLICATION)
    assert host.authenticate(4) == 0x9100
    assert host.tell(0x51, mode="full") == (UID, 0x9100)


# Secure Dynamic Messaging


def test_each_tap_counts_once_however_it_is_read() -> None:
    host = with_sdm()
    first, first_mac = read_url(host)
    again, same_mac = read_url(host)
    assert (first, first_mac) == (again, same_mac) == (1, first_mac)

    host.card.transmit(SELECT_NDEF)
    second, second_mac = read_url(host)
    assert second == 2
    assert second_mac != first_mac
    assert host.plain(0xAD, b"\x02" + WHOLE)[1] == 0x9100, "the other kind of read counts anew"
    assert host.card.memory.read_counter == 3


def test_pieces_of_one_read_fit_together() -> None:
    host = with_sdm()
    pieces = [host.card.transmit(bytes([0, 0xB0, 0, at, 16]))[:-2] for at in range(0, 112, 16)]

    assert b"".join(pieces) == host.card.transmit(bytes.fromhex("00B0000070"))[:-2]


def test_reading_beyond_the_end_counts_nothing() -> None:
    host = with_sdm()

    assert host.card.transmit(bytes.fromhex("00B0010010")) == b"\x6a\x86"
    assert host.card.memory.read_counter == 0


def test_free_reading_ends_at_the_limit_and_the_owner_still_reads() -> None:
    host = with_sdm(limit=b"\2\0\0")
    for count in (1, 2):
        host.card.transmit(SELECT_NDEF)
        assert read_url(host)[0] == count

    host.card.transmit(SELECT_NDEF)
    assert host.card.transmit(bytes.fromhex("00B0000000")) == b"\x69\x82"
    assert host.plain(0xAD, b"\x02" + WHOLE) == (b"", 0x919D)
    assert host.authenticate(0) == 0x9100
    data, status = host.tell(0xAD, b"\x02" + bytes(3) + len(URL).to_bytes(3, "little"), mode="plain")
    assert (data, status) == (URL, 0x9100), "the owner sees the file as it was written"


def test_the_counter_is_told_to_whom_it_may_be_told() -> None:
    host = with_sdm()
    read_url(host)
    host.card.transmit(SELECT_APPLICATION)

    assert host.plain(0xF6, b"\2") == (b"", 0x91AE)
    assert host.authenticate(3) == 0x9100
    assert host.tell(0xF6, b"\2", mode="full") == (b"\1\0\0\0\0", 0x9100)


REFUSED_SETTINGS = {
    "encryption of file data without a counter": "40E0EE 91 F121 510000 710000 200000 400000 710000",
    "a mirror beyond the end": "40E0EE C1 F121 F00000 710000 710000",
    "mirrors that overlap": "40E0EE C1 F121 510000 600000 600000",
    "no ASCII": "40E0EE C0 F121 510000 740000 740000",
    "a key that is not there": "40E0EE C1 F125 510000 740000 740000",
    "mirroring nothing": "40E0EE 01 F121 510000 740000 740000",
    "a limit that is reached": "40E0EE E1 F121 510000 740000 740000 000000",
}


@pytest.mark.parametrize("settings", REFUSED_SETTINGS.values(), ids=REFUSED_SETTINGS.keys())
def test_settings_that_make_no_sense_are_refused_and_change_nothing(settings: str) -> None:
    host = authenticated()
    before = host.card.memory.files[2].rights

    assert host.tell(0x5F, b"\2", bytes.fromhex(settings), "full") == (b"", 0x919E)
    assert host.card.memory.sdm is None
    assert host.card.memory.files[2].rights == before


def test_settings_read_back_as_they_were_written() -> None:
    host = with_sdm(limit=b"\x10\0\0")

    answer = host.card.transmit(native(0xF5, b"\2"))
    assert answer[:7].hex() == "0040e0ee000100"
    assert answer[7:-2] == bytes([SDM[0] | 0x20]) + SDM[1:] + b"\x10\0\0"
