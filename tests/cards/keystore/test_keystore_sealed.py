"""The sealed file: private, whole or unchanged, and it tells a wrong passphrase from tampering."""

import os
import stat
import threading
from pathlib import Path

import pytest

from cards.crypto import CardKey
from cards.keystore import (
    KeyId,
    KeyPurpose,
    KeyStoreError,
    SealedFileStore,
    StoreTampered,
    StoreUnusable,
    WrongPassphrase,
)
from cards.keystore import sealed as sealed_module
from tests.cards.keystore.conftest import CHEAP, PASSPHRASE

KEY = CardKey(bytes.fromhex("3f1c9d5e8b7a60422d91c4f3a8e65b07"))
KEY_ID = KeyId(KeyPurpose.COALITION, "parsi", 1)
HEAD_END, VERIFIER_END = 36, 52


@pytest.fixture
def path(sealed: SealedFileStore, tmp_path: Path) -> Path:
    sealed.add(KEY_ID, KEY, created_ms=1)
    return tmp_path / "keys"


def test_it_opens_with_its_passphrase_and_holds_what_was_added(path: Path) -> None:
    assert SealedFileStore.open(path, PASSPHRASE).key(KEY_ID) == KEY


def test_a_passphrase_typed_composed_or_decomposed_is_the_same(tmp_path: Path) -> None:
    SealedFileStore.create(tmp_path / "keys", "گذرواژهٔ éclair", cost_log2=CHEAP)

    assert SealedFileStore.open(tmp_path / "keys", "گذرواژهٔ e\u0301clair").records() == []


def test_a_wrong_passphrase_is_called_that(path: Path) -> None:
    with pytest.raises(WrongPassphrase, match="try again"):
        SealedFileStore.open(path, PASSPHRASE + "!")


def test_every_changed_byte_is_found_and_none_of_the_keys_is_taken_for_a_passphrase(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(len(whole)):
        # The verifier cannot tell: whoever changes it makes every passphrase wrong.
        blamed = WrongPassphrase if HEAD_END <= place < VERIFIER_END else (StoreTampered, StoreUnusable)
        if place >= VERIFIER_END and place % 7:
            continue  # each opening costs a scrypt; the tag covers every byte alike
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        with pytest.raises(blamed):
            SealedFileStore.open(path, PASSPHRASE)


@pytest.mark.parametrize("kept", [0, 5, 40, 60, -1])
def test_a_file_cut_short_is_damaged(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(StoreTampered):
        SealedFileStore.open(path, PASSPHRASE)


def test_a_newer_version_is_left_alone(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8] = 2
    path.write_bytes(content)

    with pytest.raises(StoreUnusable, match="newer version"):
        SealedFileStore.open(path, PASSPHRASE)


def test_it_is_private_and_refused_when_others_can_read_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)

    with pytest.raises(StoreUnusable, match="chmod 600"):
        SealedFileStore.open(path, PASSPHRASE)


def test_no_key_lies_open_in_it(path: Path) -> None:
    content = path.read_bytes()
    assert KEY.raw not in content
    assert KEY.raw.hex().encode() not in content
    assert b"parsi" not in content


def test_a_write_that_fails_leaves_the_old_file_and_no_new_key(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before = SealedFileStore.open(path, PASSPHRASE), path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.add(KeyId(KeyPurpose.COALITION, "parsi", 2), KEY, created_ms=2)
    assert path.read_bytes() == before
    assert len(store.records()) == 1
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".keys.lock", "keys"]


def test_two_custodians_at_once_lose_no_key(path: Path) -> None:
    def add(owner: str) -> None:
        store = SealedFileStore.open(path, PASSPHRASE)
        for version in range(1, 6):
            store.add(KeyId(KeyPurpose.MANAGEMENT, owner, version), KEY, created_ms=1)

    threads = [threading.Thread(target=add, args=(owner,)) for owner in ("anar", "sib", "gol")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(SealedFileStore.open(path, PASSPHRASE).records()) == 16


def test_it_is_not_made_over_another_nor_under_a_short_passphrase(path: Path) -> None:
    before = path.read_bytes()

    with pytest.raises(StoreUnusable, match="already"):
        SealedFileStore.create(path, PASSPHRASE, cost_log2=CHEAP)
    with pytest.raises(KeyStoreError, match="12 characters"):
        SealedFileStore.create(path.with_name("other"), "short", cost_log2=CHEAP)
    assert path.read_bytes() == before
    assert not path.with_name("other").exists()


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="vafa keys ceremony"):
        SealedFileStore.open(tmp_path / "none", PASSPHRASE)


def test_each_write_has_a_nonce_of_its_own(path: Path) -> None:
    store, seen = SealedFileStore.open(path, PASSPHRASE), set()
    for version in range(1, 9):
        store.add(KeyId(KeyPurpose.MANAGEMENT, "anar", version), KEY, created_ms=1)
        seen.add(path.read_bytes()[VERIFIER_END : VERIFIER_END + 12])
    assert len(seen) == 8


def test_the_usual_cost_is_the_documented_one() -> None:
    assert sealed_module.COST_LOG2 == 17
