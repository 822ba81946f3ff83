import copy
import logging
import pickle
from functools import partial

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from cards.crypto import (
    CardKey,
    PaddingWrong,
    cmac,
    cmac_subkeys,
    crc32_desfire,
    decrypt_block,
    decrypt_cbc,
    diversify,
    diversify_with,
    encrypt_block,
    encrypt_cbc,
    equal_in_constant_time,
    is_original,
    pad,
    unpad,
)
from tests.cards.card_vectors import Vector, expected, given, key, vectors

ANY_KEY = CardKey(bytes(range(16)))


@pytest.mark.parametrize("vector", vectors("an10922"))
def test_an10922_gives_the_published_keys(vector: Vector) -> None:
    derived = diversify(key(vector, "master_key"), given(vector, "m"))
    assert derived == CardKey(expected(vector, "diversified_key"))


@pytest.mark.parametrize("vector", vectors("an10922"))
def test_an10922_pads_short_input_to_two_blocks(vector: Vector) -> None:
    if "wrong_if_padded_to_one_block" not in vector["expected"]:
        assert len(given(vector, "m")) >= 16
        return
    master = key(vector, "master_key")
    wrong = CardKey(expected(vector, "wrong_if_padded_to_one_block"))
    assert CardKey(cmac(master, b"\1" + given(vector, "m"))) == wrong
    assert diversify(master, given(vector, "m")) != wrong


@pytest.mark.parametrize("size", [16, 24, 32])
def test_a_master_key_that_stays_in_its_store_diversifies_the_same(size: int) -> None:
    master = CardKey(bytes(range(1, size + 1)))
    for length in (1, 15, 16, 30, 31):
        inside = diversify_with(partial(encrypt_cbc, master, bytes(16)), size, bytes(length))
        assert inside == diversify(master, bytes(length))
        assert len(inside) == size


def test_an10922_on_full_input_is_the_plain_cmac() -> None:
    message = bytes(range(31))
    assert diversify(ANY_KEY, message).raw == cmac(ANY_KEY, b"\1" + message)


@pytest.mark.parametrize("length", [0, 32])
def test_an10922_refuses_input_that_it_has_no_room_for(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 31"):
        diversify(ANY_KEY, bytes(length))


def test_an10922_refuses_a_key_size_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="16, 24 or 32"):
        diversify_with(partial(encrypt_cbc, ANY_KEY, bytes(16)), 8, b"M")


@pytest.mark.parametrize("vector", vectors("cmac_subkeys"))
def test_cmac_subkeys_are_the_published_ones(vector: Vector) -> None:
    assert cmac_subkeys(key(vector, "key")) == (expected(vector, "k1"), expected(vector, "k2"))


@pytest.mark.parametrize("vector", vectors("ntag424_originality_ecdsa_p224"))
def test_an_originality_signature_is_told_from_a_false_one(vector: Vector) -> None:
    found = is_original(given(vector, "public_key"), given(vector, "uid"), given(vector, "signature"))
    assert found is vector["expected"]["valid"]


@pytest.mark.parametrize("vector", vectors("ntag424_originality_ecdsa_p224"))
def test_an_originality_signature_holds_for_its_own_uid_only(vector: Vector) -> None:
    public, signature = given(vector, "public_key"), given(vector, "signature")
    assert not is_original(public, b"\4" + bytes(6), signature)
    assert not is_original(public, given(vector, "uid"), signature[:-1])
    assert not is_original(public[:-1], given(vector, "uid"), signature)


def test_the_crc_has_no_final_inversion_and_begins_with_its_lowest_byte() -> None:
    # CRC-32 of "123456789" is CBF43926 with the inversion: the check value of every catalogue of CRCs.
    assert crc32_desfire(b"123456789") == (0xCBF43926 ^ 0xFFFFFFFF).to_bytes(4, "little")


@examples(st.binary(max_size=70), st.sampled_from([8, 16]))
def test_padding_is_undone_and_always_adds_something(data: bytes, block_bytes: int) -> None:
    padded = pad(data, block_bytes)
    assert len(padded) % block_bytes == 0
    assert len(data) < len(padded) <= len(data) + block_bytes
    assert unpad(padded, block_bytes) == data


@pytest.mark.parametrize(
    "raw", ["", "00" * 16, "01" * 16, "80" + "00" * 16, "80" + "00" * 31, "11" * 15 + "81"]
)
def test_wrong_padding_is_refused(raw: str) -> None:
    with pytest.raises(PaddingWrong):
        unpad(bytes.fromhex(raw))


def test_blocks_and_cbc_undo_themselves_and_want_whole_blocks() -> None:
    block = bytes(range(16, 32))
    assert decrypt_block(ANY_KEY, encrypt_block(ANY_KEY, block)) == block
    assert decrypt_cbc(ANY_KEY, block, encrypt_cbc(ANY_KEY, block, block * 3)) == block * 3
    # FIPS 197, appendix C.1
    assert encrypt_block(ANY_KEY, bytes.fromhex("00112233445566778899aabbccddeeff")) == bytes.fromhex(
        "69c4e0d86a7b0430d8cdb78070b4c55a"
    )
    with pytest.raises(ValueError, match="not 5"):
        encrypt_block(ANY_KEY, b"short")
    with pytest.raises(ValueError, match="5 bytes"):
        encrypt_cbc(ANY_KEY, block, b"short")


def test_comparison_tells_equal_from_unequal_of_any_length() -> None:
    assert equal_in_constant_time(b"abc", b"abc")
    assert not equal_in_constant_time(b"abc", b"abd")
    assert not equal_in_constant_time(b"abc", b"ab")


def test_a_key_never_shows_its_bytes(caplog: pytest.LogCaptureFixture) -> None:
    raw = bytes.fromhex("DECAFBADDECAFBADDECAFBADDECAFBAD")
    held = CardKey(raw)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("cards").info("key %s %r", held, held)
    shown = [repr(held), str(held), f"{held}", f"{[held]!r}", caplog.text]
    with pytest.raises(ValueError, match="not 15") as caught:
        CardKey(raw[:15])
    shown.append(str(caught.value))
    for text in shown:
        assert "decafbad" not in text.lower()
        assert "\\xde" not in text
    assert not hasattr(held, "__dict__")


def test_a_key_is_neither_pickled_nor_copied_nor_hashed() -> None:
    for leak in (pickle.dumps, copy.copy, hash):
        with pytest.raises(TypeError):
            leak(ANY_KEY)


def test_keys_are_equal_by_their_bytes_and_to_nothing_else() -> None:
    assert CardKey(bytes(range(16))) == ANY_KEY
    assert CardKey(bytes(16)) != ANY_KEY
    assert bytes(range(16)) != ANY_KEY
