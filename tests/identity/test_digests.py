"""Digests of identifiers: HMAC-SHA256 by the book. Digests of requests: keyed as well."""

import hashlib
import hmac

import pytest

from node.identity.digests import IdentifierDigests, RequestDigests
from node.identity.keys import SecretKey

KEY = SecretKey(bytes(range(32)))


@pytest.mark.parametrize("normal", ["+989121234567", "", "627300AB", "توکن", "x" * 512])
@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_a_digest_is_the_first_half_of_hmac_sha256(kind: int, normal: str) -> None:
    expected = hmac.digest(KEY.raw, bytes([kind]) + normal.encode(), "sha256")[:16]
    assert IdentifierDigests(KEY).digest(kind, normal) == expected


def test_one_object_gives_the_same_digest_every_time() -> None:
    digests = IdentifierDigests(KEY)
    first = digests.digest(3, "+989121234567")
    assert digests.digest(1, "627300AB") != first
    assert digests.digest(3, "+989121234567") == first


def test_kind_value_and_key_each_change_the_digest() -> None:
    digests = IdentifierDigests(KEY)
    seen = {digests.digest(kind, normal) for kind in (1, 2) for normal in ("1234", "12345", "\x021234")}
    seen.add(IdentifierDigests(SecretKey(b"k" * 32)).digest(1, "1234"))
    assert len(seen) == 7


def test_what_is_kept_of_a_request_says_nothing_without_the_key() -> None:
    kept = RequestDigests(KEY).digest(b"body's hash")
    assert len(kept) == 16
    assert kept == RequestDigests(KEY).digest(b"body's hash")
    others = {
        RequestDigests(SecretKey(b"k" * 32)).digest(b"body's hash"),
        RequestDigests(KEY).digest(b"another hash"),
        hashlib.blake2b(b"body's hash", digest_size=16).digest(),
        hashlib.blake2b(b"body's hash", key=KEY.raw, digest_size=16).digest(),
    }
    assert len(others) == 4
    assert kept not in others
