"""Personal data under a key per person: it opens for that person and version, or not at all."""

import pytest

from node.identity.keys import SecretKey
from node.identity.sealing import SealBroken, new_person_key, rewrap, seal, unseal

MASTER = SecretKey(b"m" * 32)
OTHER_MASTER = SecretKey(b"n" * 32)
NAME = "لیلا حسینی، محمد، Leila".encode()


def test_personal_data_in_any_script_comes_back_as_it_was() -> None:
    wrapped = new_person_key(MASTER)
    for plaintext in (NAME, b"", b"\0" * 10_000):
        assert unseal(MASTER, wrapped, "p-1", 3, seal(MASTER, wrapped, "p-1", 3, plaintext)) == plaintext


def test_without_the_persons_key_nothing_opens_the_data() -> None:
    sealed = seal(MASTER, new_person_key(MASTER), "p-1", 1, NAME)
    with pytest.raises(SealBroken):
        unseal(MASTER, new_person_key(MASTER), "p-1", 1, sealed)


@pytest.mark.parametrize(
    ("person_id", "record_version"), [("p-2", 1), ("p-1", 2), ("p-1", 0), ("", 1), ("p-11", 1)]
)
def test_sealed_data_fits_no_other_person_and_no_other_version(person_id: str, record_version: int) -> None:
    wrapped = new_person_key(MASTER)
    sealed = seal(MASTER, wrapped, "p-1", 1, NAME)
    with pytest.raises(SealBroken):
        unseal(MASTER, wrapped, person_id, record_version, sealed)


def test_every_flipped_bit_of_sealed_data_is_detected() -> None:
    wrapped = new_person_key(MASTER)
    sealed = seal(MASTER, wrapped, "p-1", 1, b"Leila")
    for bit in range(len(sealed) * 8):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            unseal(MASTER, wrapped, "p-1", 1, bytes(damaged))


def test_every_flipped_bit_of_a_wrapped_key_is_detected() -> None:
    wrapped = new_person_key(MASTER)
    sealed = seal(MASTER, wrapped, "p-1", 1, b"Leila")
    for bit in range(len(wrapped) * 8):
        damaged = bytearray(wrapped)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            unseal(MASTER, bytes(damaged), "p-1", 1, sealed)


def test_truncated_sealed_data_and_keys_are_refused_at_every_length() -> None:
    wrapped = new_person_key(MASTER)
    sealed = seal(MASTER, wrapped, "p-1", 1, b"Leila")
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            unseal(MASTER, wrapped, "p-1", 1, sealed[:length])
    for length in range(len(wrapped)):
        with pytest.raises(SealBroken):
            unseal(MASTER, wrapped[:length], "p-1", 1, sealed)


def test_an_erased_key_cannot_be_used_to_seal_anew() -> None:
    with pytest.raises(SealBroken):
        seal(MASTER, b"", "p-1", 1, NAME)


def test_a_new_master_key_opens_what_was_sealed_before_and_the_old_one_no_longer() -> None:
    wrapped = new_person_key(MASTER)
    sealed = seal(MASTER, wrapped, "p-1", 1, NAME)
    rotated = rewrap(MASTER, OTHER_MASTER, wrapped)
    assert unseal(OTHER_MASTER, rotated, "p-1", 1, sealed) == NAME
    with pytest.raises(SealBroken):
        unseal(MASTER, rotated, "p-1", 1, sealed)
    with pytest.raises(SealBroken):
        rewrap(OTHER_MASTER, MASTER, wrapped)


def test_the_same_data_never_looks_the_same_twice() -> None:
    wrapped = new_person_key(MASTER)
    assert len({seal(MASTER, wrapped, "p-1", 1, NAME) for _ in range(50)}) == 50
    assert len({new_person_key(MASTER) for _ in range(50)}) == 50


def test_the_error_for_a_broken_seal_shows_neither_keys_nor_data() -> None:
    wrapped = new_person_key(MASTER)
    sealed = seal(MASTER, wrapped, "p-1", 1, b"Leila")
    with pytest.raises(SealBroken) as broken:
        unseal(MASTER, wrapped, "p-1", 2, sealed)
    text = repr(broken.value)
    assert broken.value.__cause__ is None
    assert broken.value.__suppress_context__
    for secret in (b"Leila", wrapped, sealed, MASTER.raw):
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text
