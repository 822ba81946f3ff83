import traceback
from functools import partial
from itertools import product
from random import Random

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from cards.crypto import CardKey, cmac, diversify_with, encrypt_cbc
from cards.keys import (
    CardIdentity,
    CardProfile,
    Domain,
    IssuerKey,
    KeyRing,
    Purpose,
    card_input,
    card_key,
    cmac_check_value,
    factory_key,
    gp_check_value,
    is_default,
    issuer_input,
    issuer_key,
    issuer_wide_key,
)
from tests.cards.card_vectors import Vector, expected, key, vectors

MASTER = CardKey(bytes.fromhex("DECAFBAD0123456789ABCDEFC0FFEE42"))
CARD = CardIdentity(CardProfile.NTAG424, bytes.fromhex("04C767F2066180"), "6104000000017")


@pytest.mark.parametrize("vector", vectors("kcv_aes_01"))
def test_check_values_for_cards_are_the_published_ones(vector: Vector) -> None:
    assert gp_check_value(key(vector, "key")) == expected(vector, "kcv")


def test_the_check_value_of_a_master_key_is_five_bytes_of_its_cmac_over_zeros() -> None:
    assert cmac_check_value(MASTER) == cmac(MASTER, bytes(16))[:5]


def test_every_key_of_the_hierarchy_is_a_key_of_its_own() -> None:
    made: list[bytes] = []
    others = [CARD, CardIdentity(CARD.profile, CARD.uid, "6104000000018")]
    others += [CardIdentity(CARD.profile, bytes(7), CARD.alias)]
    others += [CardIdentity(CardProfile.DESFIRE, CARD.uid, CARD.alias)]
    for merchant, domain, version in product(("saffron", "pistachio"), Domain, (1, 2)):
        issuer = issuer_key(MASTER, merchant, domain, version)
        made.append(issuer.key.raw)
        for purpose in (one for one in Purpose if one.domain is domain):
            if purpose.is_issuer_wide:
                made.append(issuer_wide_key(issuer, purpose).raw)
            else:
                made.extend(card_key(issuer, purpose, identity).raw for identity in others)
    assert len(set(made)) == len(made)


def test_the_hierarchy_never_changes_under_cards_in_the_field() -> None:
    issuer = issuer_key(MASTER, "saffron", Domain.VERIFICATION, 1)
    assert gp_check_value(issuer.key).hex() == "453ae7"
    assert gp_check_value(card_key(issuer, Purpose.SALE, CARD)).hex() == "cc4edb"
    assert gp_check_value(issuer_wide_key(issuer, Purpose.TAP_META)).hex() == "00bc86"


def test_a_master_key_that_stays_in_its_store_gives_the_same_issuer_key() -> None:
    inside = diversify_with(
        partial(encrypt_cbc, MASTER, bytes(16)), 16, issuer_input("saffron", Domain.MANAGEMENT, 3)
    )
    assert inside == issuer_key(MASTER, "saffron", Domain.MANAGEMENT, 3).key


def test_what_a_node_holds_cannot_open_a_card_for_writing() -> None:
    node = issuer_key(MASTER, "saffron", Domain.VERIFICATION, 1)
    for purpose in (one for one in Purpose if one.domain is Domain.MANAGEMENT):
        with pytest.raises(ValueError, match="does not come from a key for verification"):
            card_key(node, purpose, CARD)


def test_only_the_key_that_opens_taps_is_issuer_wide() -> None:
    assert [purpose for purpose in Purpose if purpose.is_issuer_wide] == [Purpose.TAP_META]
    with pytest.raises(ValueError, match="issuer-wide"):
        card_input(Purpose.TAP_META, CARD)
    with pytest.raises(ValueError, match="of one card"):
        card_input(Purpose.SALE, None)


@examples(st.sampled_from(CardProfile), st.text("0123456789ABCXYZ", min_size=1, max_size=16))
def test_every_alias_fits_into_an10922(profile: CardProfile, alias: str) -> None:
    assert len(card_input(Purpose.SALE, CardIdentity(profile, bytes(profile.uid_bytes), alias))) <= 31


@pytest.mark.parametrize("alias", ["", "x", "0" * 17, "12 34", "۱۲۳", "12\n"])
def test_an_alias_that_a_card_cannot_carry_is_refused(alias: str) -> None:
    with pytest.raises(ValueError, match="1 to 16 digits and capital letters"):
        CardIdentity(CardProfile.NTAG424, bytes(7), alias)


@pytest.mark.parametrize(("profile", "size"), [(CardProfile.NTAG424, 4), (CardProfile.JAVACARD, 7)])
def test_a_chip_is_named_by_all_its_bytes(profile: CardProfile, size: int) -> None:
    with pytest.raises(ValueError, match="is named by"):
        CardIdentity(profile, bytes(size), "1")


@pytest.mark.parametrize(
    ("merchant", "version"), [("", 1), ("Saffron", 1), ("a" * 41, 1), ("a", 0), ("a", 128)]
)
def test_a_merchant_or_version_that_cannot_be_is_refused(merchant: str, version: int) -> None:
    with pytest.raises(ValueError, match=r"merchant's id|key versions"):
        issuer_key(MASTER, merchant, Domain.MANAGEMENT, version)


def a_version(version: int, merchant: str = "saffron", domain: Domain = Domain.VERIFICATION) -> IssuerKey:
    return issuer_key(MASTER, merchant, domain, version)


def test_while_cards_are_rotated_this_version_and_the_one_before_are_accepted_and_no_other() -> None:
    ring = KeyRing(a_version(5), a_version(4))
    assert [version for version in range(1, 10) if ring.of_version(version)] == [4, 5]
    assert [one.version for one in ring] == [5, 4]
    assert KeyRing(a_version(5)).of_version(4) is None
    assert (ring.merchant, ring.domain) == ("saffron", Domain.VERIFICATION)


@pytest.mark.parametrize(
    "previous",
    [a_version(3), a_version(5), a_version(4, "pistachio"), a_version(4, domain=Domain.MANAGEMENT)],
)
def test_nothing_but_the_version_before_stands_beside_the_current_one(previous: IssuerKey) -> None:
    with pytest.raises(ValueError, match="version before"):
        KeyRing(a_version(5), previous)


@pytest.mark.parametrize(
    "raw",
    [
        "00" * 16,
        "FF" * 16,
        "404142434445464748494A4B4C4D4E4F",
        "404142434445464748494A4B4C4D4E4F" * 2,
        "404142434445464748494A4B4C4D4E4F4041424344454647",
        "00112233445566778899AABBCCDDEEFF",
        "000102030405060708090A0B0C0D0E0F",
        "0001020304050607" * 2,
        "00" * 24,
        "00" * 32,
    ],
)
def test_keys_that_everybody_knows_are_recognised(raw: str) -> None:
    assert is_default(CardKey(bytes.fromhex(raw)))


@examples(st.sampled_from([16, 24, 32]), st.integers(0, 2**32))
def test_a_key_made_by_chance_is_no_default(size: int, seed: int) -> None:
    assert not is_default(CardKey(Random(seed).randbytes(size)))


def test_derived_keys_are_no_defaults_even_under_a_default_master() -> None:
    issuer = issuer_key(factory_key(), "saffron", Domain.VERIFICATION, 1)
    assert is_default(factory_key())
    assert not is_default(issuer.key)
    assert not is_default(card_key(issuer, Purpose.SALE, CARD))


def test_no_key_of_the_hierarchy_shows_in_a_repr_or_a_traceback() -> None:
    issuer = a_version(1)
    shown = [repr(issuer), str(issuer), repr(KeyRing(issuer))]
    try:
        card_key(issuer, Purpose.MASTER, CARD)
    except ValueError as error:
        shown += traceback.format_exception(error)
    for text in shown:
        for secret in (issuer.key, MASTER):
            assert secret.raw.hex() not in text.lower()
            assert repr(secret.raw)[2:-1] not in text
