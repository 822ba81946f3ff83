"""The virtual NTAG 424 DNA answers the published commands with the published bytes."""

import pytest

from cards.crypto import CardKey, decrypt_cbc
from simulators.cards.card import seeded
from simulators.cards.native.channel import Session
from simulators.cards.native.keys import KeySlot
from simulators.cards.ntag424.card import Ntag424
from simulators.cards.ntag424.memory import NDEF, blank
from simulators.cards.ntag424.settings import SdmSettings
from tests.cards.card_vectors import Vector, expected, given, key, vectors

UID = bytes.fromhex("04DE5F1EACC040")
SELECT_APPLICATION = bytes.fromhex("00A4040C07D276000085010100")
SELECT_NDEF = bytes.fromhex("00A4000C02E104")
NEW_KEY = bytes(range(16))


def powered(seed: int = 1) -> Ntag424:
    card = Ntag424(blank(UID), seeded(seed))
    card.tap()
    assert card.transmit(SELECT_APPLICATION) == b"\x90\x00"
    return card


@pytest.mark.parametrize("vector", vectors("ev2_first"))
def test_authentication_answers_byte_for_byte_as_published(vector: Vector) -> None:
    chance = [expected(vector, "rnd_b"), expected(vector, "ti")]
    card = Ntag424(blank(UID), lambda _count: chance.pop(0))
    card.memory.keys[0] = KeySlot(given(vector, "key"))
    card.tap()
    card.transmit(SELECT_APPLICATION)

    assert card.transmit(expected(vector, "command_1")) == given(vector, "picc_response_1")
    assert card.transmit(expected(vector, "command_2")) == given(vector, "picc_response_2")
    assert card.session is not None
    assert card.session.encryption_key == CardKey(expected(vector, "k_ses_auth_enc"))
    assert card.session.mac_key == CardKey(expected(vector, "k_ses_auth_mac"))


def in_session(vector: Vector, number: int = 0) -> Ntag424:
    card = powered()
    given_mac_key = key(vector, "k_ses_auth_mac")
    encryption = vector["input"].get("k_ses_auth_enc")
    card.session = Session(
        number,
        CardKey(bytes.fromhex(encryption)) if encryption else given_mac_key,
        given_mac_key,
        given(vector, "ti"),
        vector["input"]["cmd_ctr"],
    )
    return card


@pytest.mark.parametrize("vector", vectors("ev2_change_key"))
def test_change_key_is_taken_and_answered_as_published(vector: Vector) -> None:
    card = in_session(vector)

    assert card.transmit(expected(vector, "c_apdu")) == expected(vector, "r_apdu")
    slot = card.memory.keys[vector["input"]["key_no"]]
    assert slot.key == key(vector, "new_key")
    assert slot.version == vector["input"]["key_version"]


@pytest.mark.parametrize("vector", vectors("ev2_full_command"))
def test_commands_in_full_mode_are_answered_as_published(vector: Vector) -> None:
    card = in_session(vector)
    card.memory.files[3].rights = 0x0000

    assert card.transmit(expected(vector, "c_apdu")) == expected(vector, "r_apdu")
    if vector["input"]["cmd"] == "5C":
        assert card.memory.random_uid
    else:
        assert card.memory.files[3].content[:10] == given(vector, "data")


@pytest.mark.parametrize("vector", vectors("ev2_mac_command"))
def test_file_settings_are_answered_as_published(vector: Vector) -> None:
    card = in_session(vector)
    answer = expected(vector, "r_apdu")[:-10]
    number = vector["input"]["header"]
    file = card.memory.files[int(number, 16)]
    file.mode, file.rights = answer[1] & 3, int.from_bytes(answer[2:4], "little")
    picc, mac_from, encrypted, length, mac = (
        int.from_bytes(answer[place : place + 3], "little") for place in range(10, len(answer), 3)
    )
    card.memory.sdm = SdmSettings(
        options=answer[7],
        meta_read=answer[9] >> 4,
        file_read=answer[9] & 0xF,
        counter_retrieval=answer[8] & 0xF,
        picc_data_at=picc,
        mac_input_from=mac_from,
        encrypted_at=encrypted,
        encrypted_length=length,
        mac_at=mac,
    )

    assert card.transmit(expected(vector, "c_apdu")) == expected(vector, "r_apdu")


@pytest.mark.parametrize("vector", vectors("sdm_encrypted_picc"))
def test_a_tap_shows_the_published_cryptograms(vector: Vector) -> None:
    meta_key = key(vector, "sdm_meta_read_key")
    picc = decrypt_cbc(meta_key, bytes(16), given(vector, "picc_enc_data"))
    counter = int.from_bytes(expected(vector, "read_ctr_le"), "little")
    card = Ntag424(blank(expected(vector, "uid")), lambda count: (picc[11:] + bytes(count))[:count])
    card.memory.keys = [KeySlot(meta_key.raw), KeySlot(key(vector, "sdm_file_read_key").raw)] * 3
    card.memory.read_counter = counter - 1
    file_data = vector["expected"]["file_data"]
    if file_data:
        # The MAC covers the encrypted data and what is between it and the MAC.
        content = bytes.fromhex(file_data).ljust(32, b"0") + b"&cmac=" + bytes(16) + b"0" * 32
        card.memory.sdm = SdmSettings(0xD1, 0, 1, 0xF, picc_data_at=54, mac_input_from=0, encrypted_at=0,
                                      encrypted_length=32, mac_at=38)  # fmt: skip
        shows_mac_at, shows_picc_at = 38, 54
    else:
        content = b"0" * 48
        card.memory.sdm = SdmSettings(0xC1, 0, 1, 0xF, picc_data_at=0, mac_input_from=32, mac_at=32)
        shows_mac_at, shows_picc_at = 32, 0
    card.memory.files[NDEF].content = content.ljust(256, b"\0")
    card.tap()
    card.transmit(SELECT_APPLICATION)
    card.transmit(SELECT_NDEF)

    shown = card.transmit(bytes.fromhex("00B0000000"))
    assert shown[shows_picc_at : shows_picc_at + 32].decode() == vector["input"]["picc_enc_data"].upper()
    assert shown[shows_mac_at : shows_mac_at + 16].decode() == vector["expected"]["sdmmac"].upper()
    if file_data:
        assert shown[:32].decode() == vector["input"]["enc_file_data"].upper()


@pytest.mark.parametrize("vector", vectors("sdm_plain"))
def test_a_plain_tap_shows_the_counter_big_endian_and_the_published_mac(vector: Vector) -> None:
    counter = int(vector["input"]["url_ctr"], 16)
    card = Ntag424(blank(given(vector, "uid")), seeded(1))
    card.memory.read_counter = counter - 1
    card.memory.sdm = SdmSettings(0xC1, 0xE, 1, 0xF, uid_at=0, counter_at=14, mac_input_from=20, mac_at=20)
    card.tap()
    card.transmit(SELECT_APPLICATION)
    card.transmit(SELECT_NDEF)

    shown = card.transmit(bytes.fromhex("00B0000024"))[:-2].decode()
    assert shown == vector["input"]["uid"].upper() + vector["input"]["url_ctr"] + vector["expected"]["sdmmac"]
