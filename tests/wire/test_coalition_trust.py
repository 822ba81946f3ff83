"""Which directory a node follows: signed, sound, newer, and the successor of the one before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from node.coalition.directory import (
    Cap,
    Directory,
    IdentifierRange,
    Key,
    Partner,
    PartnerStatus,
    Rate,
    Window,
)
from node.coalition.directory_checks import problems, succession_problems
from node.identity.signers import Signer
from node.proto.vafa.coalition.v1 import directory_pb2
from node.wire.coalition_directory import (
    DIRECTORY_LABEL,
    JOIN_REQUEST_LABEL,
    Unreadable,
    armoured,
    directory_answer,
    read_directory,
    read_directory_answer,
    read_join_request,
    sign_directory,
    sign_join_request,
    unarmoured,
)
from node.wire.coalition_trust import KnownDirectories, NotFollowed, Rejected, first
from tests.wire.coalition_parties import NOW_MS, signer
from tests.wire.coalition_terms import DAY_MS, OPERATOR, SOUND, next_version, partner, published

SOON_MS = NOW_MS + DAY_MS
OTHER = signer(41)


def known(data: bytes | None = None) -> KnownDirectories:
    found = first(published() if data is None else data, OPERATOR.public_uri, NOW_MS)
    assert isinstance(found, KnownDirectories), found
    return found


def followed(before: KnownDirectories, directory: Directory, by: Signer = OPERATOR) -> KnownDirectories:
    found = before.accept(published(directory, by), SOON_MS)
    assert isinstance(found, KnownDirectories), found
    return found


def why(before: KnownDirectories, data: bytes) -> NotFollowed:
    found = before.accept(data, SOON_MS)
    assert isinstance(found, Rejected), found
    assert found.text
    return found.reason


def test_a_directory_travels_whole() -> None:
    signed = sign_directory(SOUND, OPERATOR)
    assert read_directory(signed.data) == signed
    assert (
        unarmoured(DIRECTORY_LABEL, "Dear partner,\n" + armoured(DIRECTORY_LABEL, signed.data)) == signed.data
    )
    assert read_directory_answer(directory_answer(signed.data)) == signed.data


def test_the_next_version_is_followed_and_the_same_one_again_changes_nothing() -> None:
    begun = known()
    assert begun.accept(published(), NOW_MS) is begun
    after = followed(begun, next_version())
    assert after.newest.version == 2
    assert [one.directory.version for one in after.accepted] == [1, 2]


def test_the_first_directory_is_followed_only_by_the_key_that_a_person_named() -> None:
    found = first(published(by=OTHER), OPERATOR.public_uri, NOW_MS)
    assert isinstance(found, Rejected)
    assert found.reason is NotFollowed.UNKNOWN_KEY
    assert OTHER.public_uri in found.text


def test_an_older_or_another_of_the_same_version_is_not_followed() -> None:
    after = followed(known(), next_version())
    assert why(after, published()) is NotFollowed.OLDER
    other = next_version(caps=(Cap("nile", "saffron", 1),))
    assert why(after, published(other)) is NotFollowed.OTHER_OF_SAME_VERSION


def test_forged_foreign_and_future_directories_are_not_followed() -> None:
    begun = known()
    assert why(begun, published(next_version(), OTHER)) is NotFollowed.UNKNOWN_KEY
    outer = directory_pb2.SignedDirectory.FromString(published(next_version()))
    outer.directory += b"\x50\x00"
    assert why(begun, outer.SerializeToString()) is NotFollowed.UNREADABLE
    foreign = next_version(coalition_id="another")
    assert why(begun, published(foreign)) is NotFollowed.OTHER_COALITION
    future = next_version(publish_time_ms=SOON_MS + 3_600_000)
    assert why(begun, published(future)) is NotFollowed.FROM_THE_FUTURE


@given(st.binary(max_size=300))
def test_garbage_is_no_directory(data: bytes) -> None:
    assert why(known(), data) is NotFollowed.UNREADABLE


@given(st.data())
def test_whatever_is_changed_in_a_directory_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(published(next_version()))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found = known().accept(bytes(whole), SOON_MS)
    if isinstance(found, KnownDirectories):  # a byte of the frame around it, which protobuf overlooks
        assert found.newest == next_version()


def test_the_operator_changes_its_key_through_a_directory_that_names_the_next() -> None:
    both = (Key(OPERATOR.public_uri, 0), Key(OTHER.public_uri, 0))
    two = next_version(operator_keys=both)
    three = next_version(two, operator_keys=(Key(OTHER.public_uri, 0),))
    four = next_version(three, operator_keys=())
    begun = known()
    assert why(begun, published(three, OTHER)) is NotFollowed.UNKNOWN_KEY  # the version between is missing
    after = followed(followed(followed(begun, two), three, OTHER), four, OTHER)
    assert why(after, published(next_version(four), OPERATOR)) is NotFollowed.UNKNOWN_KEY
    assert followed(after, next_version(four), OTHER).newest.version == 5


def test_an_old_key_verifies_what_it_signed_and_nothing_later() -> None:
    old, new = signer(1).public_uri, signer(11).public_uri
    keys = (Key(old, NOW_MS - DAY_MS, NOW_MS + 1_000), Key(new, NOW_MS))
    moved = replace(SOUND.partners[0], keys=keys)
    after = followed(known(), next_version(partners=(moved, *SOUND.partners[1:])))
    assert after.may_sign("nile", old, NOW_MS)
    assert not after.may_sign("nile", old, NOW_MS + 1_000)
    assert after.may_sign("nile", new, NOW_MS + 1_000)
    assert not after.may_sign("saffron", new, NOW_MS + 1_000)
    assert not after.may_sign("nobody", new, NOW_MS + 1_000)
    assert after.partitions_of("nile") == 16
    assert after.partitions_of("nobody") == 0


def changed(partner_id: str, **changes: Any) -> tuple[Partner, ...]:
    return tuple(replace(one, **changes) if one.partner_id == partner_id else one for one in SOUND.partners)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"partners": (*SOUND.partners, partner("nile", 9, "99"))}, "twice"),
        ({"partners": changed("nile", keys=())}, "no key"),
        ({"partners": changed("nile", authority_pem=b"")}, "no authority"),
        ({"partners": changed("nile", keys=SOUND.partners[1].keys)}, "the same key"),
        ({"partners": changed("nile", keys=(Key(OTHER.public_uri, 9, 9),))}, "ends before it begins"),
        ({"partners": changed("nile", relay_partner_id="nile")}, "relay"),
        ({"partners": changed("nile", relay_partner_id="nobody")}, "relay"),
        ({"partners": changed("nile", ranges=(IdentifierRange(1, "22"),))}, "overlap"),
        ({"partners": changed("nile", ranges=(IdentifierRange(1, "2"),))}, "overlap"),
        ({"partners": changed("nile", ranges=(IdentifierRange(1, "2277"),))}, "overlap"),
        ({"rates": ()}, "no rate"),
        ({"rates": (*SOUND.rates, replace(SOUND.rates[0], version=2))}, "must come after"),
        ({"windows": ()}, "no settlement window"),
        ({"windows": (SOUND.windows[0], Window(3, SOON_MS, SOON_MS + 1))}, "rise by one"),
        ({"windows": (SOUND.windows[0], Window(2, SOON_MS + 1, SOON_MS + 2))}, "gap"),
        ({"windows": (SOUND.windows[0], Window(2, SOON_MS - 1, SOON_MS + 2))}, "overlap"),
        ({"windows": (Window(1, NOW_MS, NOW_MS),)}, "before it opens"),
        ({"caps": (*SOUND.caps, SOUND.caps[0])}, "set twice"),
        ({"caps": (Cap("nile", "nile", 1),)}, "between two partners"),
        ({"caps": (Cap("nile", "nobody", 1),)}, "between two partners"),
        ({"bounds": replace(SOUND.bounds, freshness_seconds=5)}, "freshness_seconds"),
        ({"bounds": replace(SOUND.bounds, accrual_lateness_days=0)}, "accrual_lateness_days"),
        ({"operator_keys": (Key(OTHER.public_uri, 9, 9),)}, "key of the operator"),
    ],
)
def test_an_unsound_directory_is_named_for_what_is_wrong_and_is_not_followed(
    changes: dict[str, Any], words: str
) -> None:
    assert any(words in problem for problem in problems(replace(SOUND, **changes)))
    assert why(known(), published(next_version(**changes))) is NotFollowed.UNSOUND
    began = first(published(replace(SOUND, **changes)), OPERATOR.public_uri, NOW_MS)
    assert isinstance(began, Rejected)


def test_an_operator_that_writes_a_worth_below_nothing_is_told_before_it_signs() -> None:
    assert "below" in problems(replace(SOUND, rates=(Rate(1, 1, -1, 1, "IRR"),)))[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rates": (replace(SOUND.rates[0], redemption_micro=1),)}, "Rate version 1"),
        ({"windows": (Window(1, NOW_MS - DAY_MS, NOW_MS + 2 * DAY_MS),)}, "has begun"),
        ({"partners": SOUND.partners[:2]}, "is gone"),
        ({"partners": changed("zagros", partitions=8)}, "never changes"),
        ({"partners": changed("zagros", keys=(Key(OTHER.public_uri, 0),))}, "A key of zagros is gone"),
        ({"purse": replace(SOUND.purse, exponent=2)}, "exponent"),
        ({"publish_time_ms": NOW_MS - 1}, "before the one"),
    ],
)
def test_what_others_may_have_acted_on_is_not_taken_back(changes: dict[str, Any], words: str) -> None:
    assert any(words in problem for problem in succession_problems(SOUND, next_version(**changes)))
    assert why(known(), published(next_version(**changes))) is NotFollowed.UNSOUND


def test_what_may_change_does() -> None:
    allowed: list[dict[str, Any]] = [
        {"partners": changed("zagros", status=PartnerStatus.LEFT, endpoints=("10.0.0.1:1",), name="زاگرس")},
        {"partners": (*SOUND.partners, partner("aras", 9, "99"))},
        {"rates": (*SOUND.rates, Rate(2, SOON_MS, 1, 1, "IRR"))},
        {"windows": (SOUND.windows[0], Window(2, SOON_MS, SOON_MS + 9 * DAY_MS))},
        {"caps": ()},
    ]
    for changes in allowed:
        assert followed(known(), next_version(**changes)).newest == next_version(**changes)


# --- requests to join -------------------------------------------------------------------------------------


def test_a_join_request_travels_whole_and_is_signed_by_a_key_in_it() -> None:
    wanted = partner("aras", 9, "99", endpoints=("aras.example:7445",))
    data = sign_join_request("bazaar-of-nile", wanted, NOW_MS, signer(9))
    text = armoured(JOIN_REQUEST_LABEL, data)
    request = read_join_request(unarmoured(JOIN_REQUEST_LABEL, text.replace("\n", "\r\n")))
    assert (request.coalition_id, request.partner, request.request_time_ms) == (
        "bazaar-of-nile",
        wanted,
        NOW_MS,
    )
    assert request.key_uri == signer(9).public_uri


def test_a_join_request_of_another_key_or_changed_or_no_request_at_all_is_not_read() -> None:
    wanted = partner("aras", 9, "99")
    with pytest.raises(Unreadable, match="not signed by a key"):
        read_join_request(sign_join_request("c", wanted, NOW_MS, signer(10)))
    outer = directory_pb2.SignedJoinRequest.FromString(sign_join_request("c", wanted, NOW_MS, signer(9)))
    outer.request += b"\x08\x01"
    with pytest.raises(Unreadable, match="does not hold"):
        read_join_request(outer.SerializeToString())
    for text in ("", "-----BEGIN VAFA JOIN REQUEST-----\n!\n-----END VAFA JOIN REQUEST-----"):
        with pytest.raises(Unreadable, match="no join request"):
            unarmoured(JOIN_REQUEST_LABEL, text)
    unsigned_as_directory = directory_pb2.SignedDirectory.FromString(published())
    with pytest.raises(Unreadable):
        read_join_request(unsigned_as_directory.SerializeToString())
