from dataclasses import replace

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from cards.crypto import CardKey, encrypt_cbc
from cards.sun import (
    MAX_READ_COUNTER,
    PiccData,
    SunLayout,
    TapMalformed,
    decrypt_file_data,
    mac_is_right,
    open_picc_data,
    parse_tap,
    sdm_mac,
    sdm_session_keys,
)
from tests.cards.card_vectors import Vector, expected, given, key, vectors

META, FILE_READ = CardKey(bytes(range(16))), CardKey(bytes(range(1, 17)))
UID = bytes.fromhex("04C767F2066180")
FULL_MIRROR = SunLayout(
    mac="cmac", picc="picc_data", file_data="enc", issuer=None, alias=None, covered_from="enc"
)
PLAIN_MIRROR = SunLayout(
    mac="cmac", picc=None, uid="uid", counter="ctr", issuer=None, alias=None, covered_from=None
)


def an_address(
    counter: int = 5, uid: bytes = UID, issuer: str = "saffron", alias: str = "6104000000017"
) -> str:
    plain = b"\xc7" + uid + counter.to_bytes(3, "little") + b"rand."
    picc = encrypt_cbc(META, bytes(16), plain).hex().upper()
    covered = f"{issuer}&a={alias}&p={picc}&m="
    mac = sdm_mac(FILE_READ, PiccData(uid, counter), covered.encode())
    return f"https://card.example/t?i={covered}{mac.hex().upper()}"


@pytest.mark.parametrize("vector", vectors("sdm_encrypted_picc"))
def test_encrypted_taps_open_and_verify_as_published(vector: Vector) -> None:
    picc = open_picc_data(key(vector, "sdm_meta_read_key"), given(vector, "picc_enc_data"))
    assert picc is not None
    assert picc.uid == expected(vector, "uid")
    assert picc.counter == int.from_bytes(expected(vector, "read_ctr_le"), "little")
    file_key, covered = key(vector, "sdm_file_read_key"), vector["input"]["mac_input_text"].encode()
    assert sdm_mac(file_key, picc, covered) == expected(vector, "sdmmac")
    assert mac_is_right(file_key, picc, covered, expected(vector, "sdmmac"))
    if vector["input"]["enc_file_data"]:
        found = decrypt_file_data(file_key, picc, given(vector, "enc_file_data"))
        assert found == expected(vector, "file_data")


@pytest.mark.parametrize("vector", vectors("sdm_encrypted_picc"))
def test_published_taps_are_read_out_of_their_addresses(vector: Vector) -> None:
    inputs, mac = vector["input"], vector["expected"]["sdmmac"]
    enc = f"&enc={inputs['enc_file_data']}" if inputs["enc_file_data"] else ""
    layout = FULL_MIRROR if enc else replace(FULL_MIRROR, file_data=None, covered_from=None)
    tap = parse_tap(f"https://a.example/?picc_data={inputs['picc_enc_data']}{enc}&cmac={mac}", layout)
    assert tap.encrypted_picc == given(vector, "picc_enc_data")
    assert tap.covered == inputs["mac_input_text"].encode()
    assert tap.mac == expected(vector, "sdmmac")


@pytest.mark.parametrize("vector", vectors("sdm_plain"))
def test_the_counter_is_big_endian_in_the_address_and_little_endian_in_the_vector(vector: Vector) -> None:
    inputs = vector["input"]
    address = (
        f"https://a.example/?uid={inputs['uid']}&ctr={inputs['url_ctr']}&cmac={vector['expected']['sdmmac']}"
    )
    tap = parse_tap(address, PLAIN_MIRROR)
    file_key = key(vector, "sdm_file_read_key")
    assert tap.plain_picc == PiccData(given(vector, "uid"), int(inputs["url_ctr"], 16))
    assert mac_is_right(file_key, tap.plain_picc, tap.covered, tap.mac)
    backwards = int.from_bytes(bytes.fromhex(inputs["url_ctr"]), "little")
    assert not mac_is_right(file_key, PiccData(given(vector, "uid"), backwards), tap.covered, tap.mac)


@pytest.mark.parametrize("vector", vectors("sdm_session_keys"))
def test_the_keys_of_a_tap_are_the_published_ones(vector: Vector) -> None:
    counter = int.from_bytes(given(vector, "read_ctr_le"), "little")
    enc, mac = sdm_session_keys(key(vector, "key"), PiccData(given(vector, "uid"), counter))
    assert enc == CardKey(expected(vector, "k_ses_sdm_file_read_enc"))
    assert mac == CardKey(expected(vector, "k_ses_sdm_file_read_mac"))


@examples(st.integers(0, MAX_READ_COUNTER), st.binary(min_size=7, max_size=7))
def test_every_tap_is_read_back_whole(counter: int, uid: bytes) -> None:
    tap = parse_tap(an_address(counter, uid), SunLayout())
    picc = open_picc_data(META, tap.encrypted_picc or b"")
    assert picc == PiccData(uid, counter)
    assert (tap.issuer, tap.alias) == ("saffron", "6104000000017")
    assert mac_is_right(FILE_READ, picc, tap.covered, tap.mac)


def test_a_changed_letter_anywhere_in_the_covered_text_is_noticed() -> None:
    address = an_address()
    start = address.index("saffron")
    for at in range(start, len(address)):
        changed = address[:at] + ("0" if address[at] != "0" else "1") + address[at + 1 :]
        try:
            tap = parse_tap(changed, SunLayout())
        except TapMalformed:
            continue
        picc = open_picc_data(META, tap.encrypted_picc or b"")
        assert picc is None or not mac_is_right(FILE_READ, picc, tap.covered, tap.mac), changed


def test_the_mac_keeps_the_odd_bytes_and_no_others() -> None:
    from cards.crypto import cmac

    picc = PiccData(UID, 5)
    whole = cmac(sdm_session_keys(FILE_READ, picc)[1], b"text")
    assert sdm_mac(FILE_READ, picc, b"text") == bytes(whole[at] for at in (1, 3, 5, 7, 9, 11, 13, 15))


@pytest.mark.parametrize(
    ("tag", "picc"),
    [
        (0xC7, PiccData(UID, 0x0201)),
        (0x87, PiccData(UID, None)),
        (0x07, None),
        (0xC4, None),
        (0xF7, None),
        (0x00, None),
        (0x47, None),
    ],
)
def test_picc_data_says_by_its_first_byte_what_it_holds(tag: int, picc: PiccData | None) -> None:
    plain = bytes((tag,)) + UID + b"\x01\x02\x00rand."
    assert open_picc_data(META, encrypt_cbc(META, bytes(16), plain)) == picc


def test_picc_data_without_a_uid_holds_the_counter_alone() -> None:
    plain = b"\x40" + b"\x01\x02\x00" + bytes(12)
    assert open_picc_data(META, encrypt_cbc(META, bytes(16), plain)) == PiccData(None, 0x0201)
    assert open_picc_data(META, bytes(15)) is None


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://a.example/t", "no 'm'"),
        ("https://a.example/t?m=00", "1 bytes instead of 8"),
        ("https://a.example/t?m=zz11223344556677", "not in hex"),
        ("https://a.example/t?m=0011223344556677&m=0011223344556677", "twice"),
        ("https://a.example/t?m=0011223344556677&i=x&a=y&p=" + "00" * 16, "stands before"),
        ("https://a.example/t?a=y&p=" + "00" * 16 + "&m=0011223344556677", "no 'i'"),
        ("https://a.example/t?i=x&a=y&p=%30" + "00" * 16 + "&m=0011223344556677", "not in hex"),
        ("https://a.example/t?i=x&a=y&p=00&m=0011223344556677", "instead of 16"),
        ("https://a.example/" + "x" * 512, "too long"),
        ("https://a.example/?i=وفا", "not plain ASCII"),
    ],
)
def test_an_address_that_no_card_makes_is_refused_by_what_is_wrong_with_it(address: str, words: str) -> None:
    with pytest.raises(TapMalformed, match=words):
        parse_tap(address, SunLayout())


@pytest.mark.parametrize("enc", ["", "00", "00" * 17, "00" * 272])
def test_file_data_that_is_no_whole_number_of_blocks_is_refused(enc: str) -> None:
    with pytest.raises(TapMalformed, match=r"whole number|too long"):
        parse_tap(f"https://a/?picc_data={'00' * 16}&enc={enc}&cmac={'00' * 8}", FULL_MIRROR)


def test_picc_data_that_no_card_has_is_refused() -> None:
    with pytest.raises(ValueError, match="7 bytes"):
        PiccData(bytes(4), 1)
    with pytest.raises(ValueError, match="three bytes"):
        PiccData(UID, MAX_READ_COUNTER + 1)
