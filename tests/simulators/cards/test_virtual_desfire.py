"""The virtual DESFire keeps levels, settings, rights and keys as the public EV2 subset has them."""

import pytest

from cards.crypto import CardKey, crc32_desfire, xor
from simulators.cards.card import seeded
from simulators.cards.desfire.card import Desfire
from simulators.cards.desfire.memory import blank
from tests.simulators.cards.ev2_host import Ev2Host

UID = bytes.fromhex("04112233445566")
AID = bytes.fromhex("FA5A01")
NEW_KEY = bytes(range(16))
CREATE = AID + bytes([0x0F, 0x83])
"""Three AES keys; key 0 changes them; everything else free."""
FIRST_BYTE = bytes(3) + b"\x01\0\0"


def master() -> Ev2Host:
    card = Desfire(blank(UID), seeded(1))
    card.tap()
    host = Ev2Host(card)
    assert host.authenticate() == 0x9100
    return host


def application(create: bytes = CREATE, *, files: tuple[bytes, ...] = ()) -> Ev2Host:
    host = master()
    assert host.tell(0xCA, data=create) == (b"", 0x9100)
    assert host.plain(0x5A, AID) == (b"", 0x9100)
    for file in files:
        assert host.plain(0xCD, file) == (b"", 0x9100)
    return host


def file(number: int, mode: int, rights: int, size: int) -> bytes:
    return bytes([number, mode]) + rights.to_bytes(2, "little") + size.to_bytes(3, "little")


def change_key(host: Ev2Host, number: int, new: bytes, *, own: bool, old: bytes = bytes(16)) -> int:
    data = new + b"\1" if own else xor(new, old) + b"\1" + crc32_desfire(new)
    return host.tell(0xC4, bytes([number]), data, "full", sealed=not own)[1]


# Applications


def test_applications_are_created_listed_selected_and_deleted() -> None:
    host = master()

    assert host.tell(0xCA, data=CREATE) == (b"", 0x9100)
    assert host.tell(0xCA, data=CREATE) == (b"", 0x91DE)
    assert host.plain(0x6A) == (AID, 0x9100)
    assert host.plain(0x5A, b"\1\2\3") == (b"", 0x91A0)
    assert host.plain(0x5A, AID) == (b"", 0x9100)
    assert host.plain(0x45) == (b"\x0f\x83", 0x9100)
    assert host.plain(0x5A, bytes(3)) == (b"", 0x9100)
    assert host.plain(0xDA, AID) == (b"", 0x91AE), "deleting is for the master key"
    assert host.authenticate() == 0x9100
    assert host.tell(0xDA, data=AID) == (b"", 0x9100)
    assert host.tell(0x6A) == (b"", 0x9100)


def test_selecting_ends_the_session() -> None:
    host = master()
    host.tell(0xCA, data=CREATE)
    assert host.plain(0x5A, AID) == (b"", 0x9100)

    assert host.plain(0x51) == (b"", 0x91AE)


def test_an_application_is_selected_by_its_iso_name() -> None:
    host = application(AID + bytes([0x0F, 0xA1]) + b"\x10\xe1" + b"\xf0vafa")
    host.card.tap()

    assert host.card.transmit(b"\x00\xa4\x04\x0c\x05\xf0vafa") == b"\x90\x00"
    assert host.plain(0x45) == (b"\x0f\x81", 0x9100)
    assert host.card.transmit(b"\x00\xa4\x04\x0c\x05\xf0none") == b"\x6a\x82"


@pytest.mark.parametrize("kinds", [0x03, 0x43, 0x80, 0x8F])
def test_only_aes_applications_with_keys_are_created(kinds: int) -> None:
    assert master().tell(0xCA, data=AID + bytes([0x0F, kinds])) == (b"", 0x919E)


def test_a_closed_card_creates_and_lists_for_its_master_only() -> None:
    host = master()
    assert host.tell(0x54, data=b"\x08", mode="full") == (b"", 0x9100)
    host.card.tap()

    assert host.plain(0xCA, CREATE) == (b"", 0x91AE)
    assert host.plain(0x6A) == (b"", 0x91AE)
    assert host.authenticate() == 0x9100
    assert host.tell(0xCA, data=CREATE) == (b"", 0x9100)
    assert change_key(host, 0x80, NEW_KEY, own=True) == 0x919D, "the master key was frozen"


def test_frozen_settings_stay_as_they_are() -> None:
    host = master()
    assert host.tell(0x54, data=b"\x07", mode="full") == (b"", 0x9100)

    assert host.tell(0x54, data=b"\x0f", mode="full") == (b"", 0x919D)


def test_formatting_takes_applications_and_keeps_the_key() -> None:
    host = application(files=(file(1, 0, 0xEEEE, 32),))
    host.plain(0x5A, bytes(3))
    assert host.plain(0xFC) == (b"", 0x91AE)
    assert host.authenticate() == 0x9100
    assert change_key(host, 0x80, NEW_KEY, own=True) == 0x9100
    assert host.authenticate(0, CardKey(NEW_KEY)) == 0x9100

    assert host.tell(0xFC) == (b"", 0x9100)
    assert host.tell(0x6A) == (b"", 0x9100)
    assert host.tell(0x6E) == ((4096).to_bytes(3, "little"), 0x9100)
    assert host.authenticate() == 0x91AE


def test_a_card_that_may_not_be_formatted_is_not() -> None:
    host = master()
    assert host.tell(0x5C, b"\0", b"\1", "full") == (b"", 0x9100)

    assert host.tell(0xFC) == (b"", 0x919D)


# Keys


def test_keys_change_by_the_key_that_the_settings_name() -> None:
    host = application(AID + bytes([0x1F, 0x83]))
    assert host.authenticate(0) == 0x9100
    assert change_key(host, 2, NEW_KEY, own=False) == 0x91AE
    assert host.authenticate(1) == 0x9100
    assert change_key(host, 2, NEW_KEY, own=False) == 0x9100
    assert change_key(host, 1, NEW_KEY, own=True) == 0x91AE, "the changing key is the master's to change"
    assert host.authenticate(2, CardKey(NEW_KEY)) == 0x9100


def test_each_key_its_own_or_none_at_all() -> None:
    host = application(AID + bytes([0xEF, 0x82]))
    assert host.authenticate(1) == 0x9100
    assert change_key(host, 1, NEW_KEY, own=True) == 0x9100
    assert host.authenticate(1, CardKey(NEW_KEY)) == 0x9100

    host = application(AID + bytes([0xFF, 0x82]))
    assert host.authenticate(1) == 0x9100
    assert change_key(host, 1, NEW_KEY, own=True) == 0x919D


def test_the_card_master_key_must_be_named_as_aes() -> None:
    assert change_key(master(), 0x00, NEW_KEY, own=True) == 0x919E


def test_a_key_that_is_not_there() -> None:
    host = application()

    assert host.authenticate(3) == 0x9140
    assert host.plain(0x64, b"\3") == (b"", 0x9140)


# Files


def test_files_travel_in_their_mode() -> None:
    host = application(files=(file(1, 0, 0x10F0, 32), file(2, 1, 0x10F0, 32), file(3, 3, 0x10F0, 32)))
    assert host.plain(0x6F) == (b"\1\2\3", 0x9100)
    assert host.authenticate(0) == 0x9100
    for number, mode in ((1, "plain"), (2, "mac"), (3, "full")):
        assert host.tell(0x8D, bytes([number]) + bytes(3) + b"\5\0\0", b"Vafa!", mode) == (b"", 0x9100)
    assert host.authenticate(1) == 0x9100
    for number, mode in ((1, "plain"), (2, "mac"), (3, "full")):
        read = host.tell(0xAD, bytes([number]) + bytes(3) + b"\5\0\0", mode=mode)
        assert read == (b"Vafa!", 0x9100)
    assert host.tell(0x8D, b"\1" + FIRST_BYTE, b"x", "plain") == (b"", 0x91AE)


def test_everybody_reads_what_is_free() -> None:
    host = application(files=(file(1, 3, 0xE000, 32),))

    assert host.plain(0xAD, b"\1" + FIRST_BYTE) == (b"\0", 0x9100)
    assert host.plain(0x8D, b"\1" + FIRST_BYTE + b"x") == (b"", 0x91AE)


@pytest.mark.parametrize("instruction", [0x3D, 0x8D])
def test_long_writes_come_in_frames(instruction: int) -> None:
    host = application(files=(file(1, 0, 0xEEEE, 512),))
    content = bytes(range(256)) + bytes(range(144))
    head = b"\1" + bytes(3) + len(content).to_bytes(3, "little")

    assert host.plain(instruction, head + content[:200]) == (b"", 0x91AF)
    assert host.plain(0xAF, content[200:]) == (b"", 0x9100)
    assert host.tell(0xBD, head, mode="plain") == (content, 0x9100)
    assert host.tell(0xAD, head, mode="plain") == (content, 0x9100)


def test_a_long_write_under_mac_is_one_command() -> None:
    host = application(files=(file(1, 1, 0x0000, 512),))
    assert host.authenticate(0) == 0x9100
    content = bytes(range(240)) * 2
    head = b"\1" + bytes(3) + len(content).to_bytes(3, "little")
    mac = host._mac(0x8D, head + content)

    assert host.plain(0x8D, head + content[:200]) == (b"", 0x91AF)
    assert host.plain(0xAF, content[200:400])[1] == 0x91AF
    assert host.plain(0xAF, content[400:] + mac)[1] == 0x9100
    host.counter += 1
    assert host.tell(0xAD, head) == (content, 0x9100)


def test_a_broken_off_write_leaves_the_file_alone() -> None:
    host = application(files=(file(1, 0, 0xEEEE, 512),))
    head = b"\1" + bytes(3) + (400).to_bytes(3, "little")
    assert host.plain(0x8D, head + b"x" * 200) == (b"", 0x91AF)
    assert host.plain(0x6F) == (b"", 0x91CA)

    assert host.plain(0xAD, b"\1" + FIRST_BYTE) == (b"\0", 0x9100)


def test_settings_of_a_file_change_by_its_own_key() -> None:
    host = application(files=(file(1, 0, 0xEEE2, 32), file(2, 0, 0xEEEF, 32)))
    wanted = b"\x03" + (0x0002).to_bytes(2, "little")
    assert host.authenticate(0) == 0x9100
    assert host.tell(0x5F, b"\1", wanted, "full") == (b"", 0x91AE)
    assert host.authenticate(2) == 0x9100
    assert host.tell(0x5F, b"\1", wanted, "full") == (b"", 0x9100)
    assert host.tell(0xF5, b"\1") == (b"\0" + wanted + b"\x20\0\0", 0x9100)
    assert host.tell(0x5F, b"\2", wanted, "full") == (b"", 0x919D)


def test_the_card_runs_full() -> None:
    host = application(files=(file(1, 0, 0xEEEE, 4000),))

    assert host.plain(0xCD, file(2, 0, 0xEEEE, 100)) == (b"", 0x910E)
    assert host.plain(0xCD, file(1, 0, 0xEEEE, 10)) == (b"", 0x91DE)
    assert host.plain(0xDF, b"\1") == (b"", 0x9100)
    assert host.plain(0xCD, file(2, 0, 0xEEEE, 100)) == (b"", 0x9100)


def test_files_belong_to_applications() -> None:
    assert master().tell(0xCD, data=file(1, 0, 0xEEEE, 32)) == (b"", 0x919D)
