"""A token of SoftHSM2 as a key store."""

from pathlib import Path

import pytest

from cards.crypto import CardKey
from cards.keystore import (
    KeyId,
    KeyPurpose,
    KeyStoreError,
    ModuleAbsent,
    Pkcs11Store,
    StoreUnusable,
    WrongPassphrase,
    open_store,
)
from tests.cards.keystore.conftest import PIN

KEY = CardKey(bytes.fromhex("3f1c9d5e8b7a60422d91c4f3a8e65b07"))
KEY_ID = KeyId(KeyPurpose.COALITION, "parsi", 1)


def test_keys_stay_in_the_token_from_one_login_to_the_next(softhsm: Path, token: str) -> None:
    with Pkcs11Store.open(softhsm, token, PIN) as store:
        store.add(KEY_ID, KEY, created_ms=1)
        below = store.derive(KEY_ID, b"below")

    with Pkcs11Store.open(softhsm, token, PIN) as store:
        assert store.derive(KEY_ID, b"below") == below


def test_a_wrong_pin_is_called_that(softhsm: Path, token: str) -> None:
    with pytest.raises(WrongPassphrase, match="do not guess"):
        Pkcs11Store.open(softhsm, token, "00000")
    with Pkcs11Store.open(softhsm, token, PIN) as store:
        assert store.records() == []


def test_a_token_or_library_that_is_not_there_is_named(softhsm: Path, tmp_path: Path) -> None:
    with pytest.raises(ModuleAbsent, match="softhsm2-util --init-token"):
        Pkcs11Store.open(softhsm, "no such token", PIN)
    with pytest.raises(ModuleAbsent, match=r"none\.so"):
        Pkcs11Store.open(tmp_path / "none.so", "vafa", PIN)


def test_the_token_itself_refuses_to_show_a_key(module_store: Pkcs11Store) -> None:
    pkcs11 = pytest.importorskip("pkcs11")
    module_store.add(KEY_ID, KEY, created_ms=1)

    key = module_store._object(KEY_ID)
    with pytest.raises(pkcs11.AttributeSensitive):
        key[pkcs11.Attribute.VALUE]
    assert not key[pkcs11.Attribute.EXTRACTABLE]
    assert key[pkcs11.Attribute.SENSITIVE]
    assert key[pkcs11.Attribute.PRIVATE]


def test_keys_of_others_in_the_token_are_left_alone(module_store: Pkcs11Store) -> None:
    pkcs11 = pytest.importorskip("pkcs11")
    module_store._session.generate_key(pkcs11.KeyType.AES, 256, label="somebody else's", store=True)

    module_store.add(KEY_ID, KEY, created_ms=1)
    assert [record.id for record in module_store.records()] == [KEY_ID]


def test_a_name_that_is_there_twice_is_not_used(module_store: Pkcs11Store) -> None:
    pkcs11 = pytest.importorskip("pkcs11")
    module_store.add(KEY_ID, KEY, created_ms=1)
    module_store._session.generate_key(
        pkcs11.KeyType.AES, 128, id=str(KEY_ID).encode(), label="planted", store=True
    )

    with pytest.raises(KeyStoreError, match="one too many"):
        module_store.derive(KEY_ID, b"x")


def test_a_store_is_opened_by_its_words(softhsm: Path, token: str) -> None:
    asked: list[str] = []

    def pin(words: str) -> str:
        asked.append(words)
        return PIN

    store = open_store(f"pkcs11:token={token.replace(' ', '%20')}?module-path={softhsm}", pin)
    assert store.place == f"PKCS#11 token {token}"
    assert asked == [f"PIN of token {token}"]
    assert isinstance(store, Pkcs11Store)
    store.close()


@pytest.mark.parametrize("place", ["pkcs11:", "pkcs11:token=vafa", "pkcs11:object=x?module-path=/lib.so"])
def test_words_that_name_no_store(place: str) -> None:
    with pytest.raises(StoreUnusable, match="RFC 7512"):
        open_store(place, lambda words: words)
