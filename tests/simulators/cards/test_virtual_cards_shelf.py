"""A virtual card put away and taken out again is the same card."""

import stat
from pathlib import Path

import pytest

from cards.crypto import CardKey
from simulators.cards.card import seeded
from simulators.cards.ntag424.card import Ntag424
from simulators.cards.shelf import AnyCard, Profile, Unreadable, new_card, put_away, restored, saved, take_out
from tests.simulators.cards.ev2_host import Ev2Host


@pytest.mark.parametrize("profile", Profile)
def test_every_kind_of_card_comes_out_as_it_went_in(profile: Profile, tmp_path: Path) -> None:
    card = new_card(profile, seeded(1))
    put_away(card, tmp_path / "card.json")

    again = take_out(tmp_path / "card.json", seeded(2))
    assert type(again) is type(card)
    assert again.memory == card.memory
    assert again.tap() == card.tap()


def test_keys_and_counters_outlive_the_shelf() -> None:
    card: AnyCard = new_card(Profile.NTAG424, seeded(1))
    card.tap()
    card.transmit(bytes.fromhex("00A4040C07D276000085010100"))
    host = Ev2Host(card)
    assert host.authenticate(1, CardKey(bytes(range(16)))) == 0x91AE
    assert host.authenticate(0) == 0x9100
    assert host.tell(0xC4, b"\0", bytes(range(16)) + b"\7", "full", sealed=False)[1] == 0x9100

    again = restored(saved(card), seeded(2))
    again.tap()
    again.transmit(bytes.fromhex("00A4040C07D276000085010100"))
    host = Ev2Host(again)
    assert host.plain(0x64, b"\0") == (b"\7", 0x9100)
    assert host.authenticate(0, CardKey(bytes(range(16)))) == 0x9100
    assert isinstance(again, Ntag424)
    assert again.memory.keys[1].total_failures == 1


def test_the_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    for seed in (1, 2):
        put_away(new_card(Profile.DESFIRE, seeded(seed)), path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["card.json"]
    assert take_out(path, seeded(1)).memory.uid == new_card(Profile.DESFIRE, seeded(2)).memory.uid


@pytest.mark.parametrize("content", [b"", b"{}", b'{"type":"mifare-classic"}', b"\xff"])
def test_what_is_no_card_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)

    with pytest.raises(Unreadable, match="other"):
        take_out(path, seeded(1))


def test_a_uid_has_seven_bytes() -> None:
    with pytest.raises(ValueError, match="7 bytes"):
        new_card(Profile.NTAG424, seeded(1), b"\x04\x01")


@pytest.mark.parametrize("profile", Profile)
def test_no_key_shows_in_what_is_printed_of_a_card(profile: Profile) -> None:
    card = new_card(profile, seeded(1))
    secret = bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
    if profile is Profile.JAVACARD:
        card.memory.key_sets[0xFF].enc = secret  # type: ignore[union-attr]  # keys that this card has
    elif profile is Profile.DESFIRE:
        card.memory.picc.keys[0].value = secret  # type: ignore[union-attr]  # keys that this card has
    else:
        card.memory.keys[0].value = secret  # type: ignore[union-attr]  # keys that this card has

    shown = repr(card.memory) + repr(card) + str(card)
    assert secret.hex() not in shown
    assert repr(secret)[2:-1] not in shown
