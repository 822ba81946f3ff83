"""Whatever kind of store keeps the keys, the same keys come of them, and none is ever overwritten."""

import traceback

import pytest

from cards.crypto import CardKey, diversify
from cards.keys import Domain, Purpose, cmac_check_value, issuer_key, issuer_wide_key
from cards.keystore import (
    KeyExists,
    KeyId,
    KeyPurpose,
    KeyStaysInside,
    KeyStore,
    KeyUnknown,
    key_ring,
    newest_version,
    rotate,
)

MASTER = CardKey(bytes.fromhex("3f1c9d5e8b7a60422d91c4f3a8e65b07"))
LONG_MASTER = CardKey(bytes.fromhex("3f1c9d5e8b7a60422d91c4f3a8e65b0791d3b7a86c5e4f20183a5c7e9fb1d2e4"))
MASTER_ID = KeyId(KeyPurpose.COALITION, "parsi", 1)


def with_master(store: KeyStore) -> KeyStore:
    store.add(MASTER_ID, MASTER, created_ms=1_000)
    return store


def test_a_key_is_listed_by_name_size_and_check_value(store: KeyStore) -> None:
    store.add(KeyId(KeyPurpose.COALITION, "parsi", 2), LONG_MASTER, created_ms=2_000)
    record = with_master(store).records()[0]

    assert [str(entry.id) for entry in store.records()] == ["coalition/parsi/1", "coalition/parsi/2"]
    assert (record.id, record.key_bits, record.created_ms, record.parent) == (MASTER_ID, 128, 1_000, None)
    assert record.check_value == cmac_check_value(MASTER)
    assert store.records()[1].key_bits == 256


@pytest.mark.parametrize("master", [MASTER, LONG_MASTER])
def test_keys_below_are_those_of_an10922(store: KeyStore, master: CardKey) -> None:
    store.add(MASTER_ID, master, created_ms=1)

    for size in (1, 15, 16, 31):
        assert store.derive(MASTER_ID, bytes(range(size))) == diversify(master, bytes(range(size)))


def test_a_key_is_never_overwritten(store: KeyStore) -> None:
    with_master(store)

    with pytest.raises(KeyExists, match="coalition/parsi/1"):
        store.add(MASTER_ID, LONG_MASTER, created_ms=2)
    assert store.records()[0].check_value == cmac_check_value(MASTER)


def test_a_key_that_is_not_there_is_named(store: KeyStore) -> None:
    with pytest.raises(KeyUnknown, match="coalition/parsi/1"):
        store.derive(MASTER_ID, b"x")
    with pytest.raises(KeyUnknown, match="coalition/parsi/1"):
        store.key(MASTER_ID)


def test_rotation_makes_both_issuer_keys_of_the_next_version(store: KeyStore) -> None:
    with_master(store)
    made = rotate(store, "parsi", "anar", now_ms=5_000)
    assert [str(record.id) for record in made] == ["management/anar/1", "verification/anar/1"]
    assert {record.parent for record in made} == {MASTER_ID}
    rotate(store, "parsi", "anar", now_ms=6_000)
    rotate(store, "parsi", "anar", now_ms=7_000)

    ring = key_ring(store, "anar", Domain.VERIFICATION)
    assert ring.current == issuer_key(MASTER, "anar", Domain.VERIFICATION, 3)
    assert ring.previous == issuer_key(MASTER, "anar", Domain.VERIFICATION, 2)
    assert ring.of_version(1) is None
    assert key_ring(store, "anar", Domain.MANAGEMENT).current.domain is Domain.MANAGEMENT
    assert newest_version(store, KeyPurpose.MANAGEMENT, "anar") == 3


def test_an_interrupted_rotation_is_finished_by_the_next(store: KeyStore) -> None:
    with_master(store)
    first = issuer_key(MASTER, "anar", Domain.MANAGEMENT, 1)
    store.add(KeyId(KeyPurpose.MANAGEMENT, "anar", 1), first.key, created_ms=1, parent=MASTER_ID)

    made = rotate(store, "parsi", "anar", now_ms=5_000)
    assert [str(record.id) for record in made] == ["verification/anar/1"]


def test_a_new_coalition_key_is_what_the_next_version_comes_from(store: KeyStore) -> None:
    with_master(store)
    rotate(store, "parsi", "anar", now_ms=1)
    store.add(KeyId(KeyPurpose.COALITION, "parsi", 2), LONG_MASTER, created_ms=2)
    rotate(store, "parsi", "anar", now_ms=3)

    ring = key_ring(store, "anar", Domain.VERIFICATION)
    assert ring.current == issuer_key(LONG_MASTER, "anar", Domain.VERIFICATION, 2)
    assert ring.previous == issuer_key(MASTER, "anar", Domain.VERIFICATION, 1)


def test_without_a_coalition_key_there_is_nothing_to_rotate(store: KeyStore) -> None:
    with pytest.raises(KeyUnknown, match="ceremony"):
        rotate(store, "parsi", "anar", now_ms=1)
    with pytest.raises(KeyUnknown, match="rotate"):
        key_ring(store, "anar", Domain.VERIFICATION)


def test_one_merchants_keys_are_not_anothers(store: KeyStore) -> None:
    with_master(store)
    for merchant in ("anar", "sib"):
        rotate(store, "parsi", merchant, now_ms=1)

    rings = [key_ring(store, merchant, Domain.VERIFICATION) for merchant in ("anar", "sib")]
    assert rings[0].current.key != rings[1].current.key
    taps = {issuer_wide_key(ring.current, Purpose.TAP_META).raw for ring in rings}
    assert len(taps) == 2


def test_no_error_shows_a_key(store: KeyStore) -> None:
    with_master(store)
    shown = []
    for wrong in (
        lambda: store.add(MASTER_ID, MASTER, created_ms=1),
        lambda: store.derive(MASTER_ID, bytes(40)),
        lambda: store.derive(KeyId(KeyPurpose.COALITION, "parsi", 9), b"x"),
    ):
        try:
            wrong()
        except Exception as error:
            shown.append("".join(traceback.format_exception(error)) + repr(error))
    assert len(shown) == 3
    text = "".join(shown) + repr(store.records()) + repr(store)
    assert MASTER.raw.hex() not in text.lower()
    assert repr(MASTER.raw)[2:-1] not in text


def test_a_module_never_gives_a_key_away(module_store: KeyStore) -> None:
    with_master(module_store)

    with pytest.raises(KeyStaysInside, match="coalition/parsi/1"):
        module_store.key(MASTER_ID)


@pytest.mark.parametrize(
    "text",
    ["verification/anar", "verification/anar/0", "verification/anar/128", "sales/anar/1", "verification/A/1"],
)
def test_what_is_no_name_of_a_key(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each names its own part
        KeyId.parse(text)


def test_the_name_of_a_key_reads_back() -> None:
    assert KeyId.parse("verification/anar-1/127") == KeyId(KeyPurpose.VERIFICATION, "anar-1", 127)
