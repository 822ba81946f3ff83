"""The resolver's cache of what members show: the same answers, bounded."""

from __future__ import annotations

import pytest

from node.actors.resolver import CACHED_CHARS, Resolver
from node.actors.router import Router
from node.identity.digests import IdentifierDigests
from node.identity.keys import SecretKey
from node.ledger.refusals import Refused
from node.people.identifiers import IdentifierKind


class CountedDigests(IdentifierDigests):
    """Counts what was really hashed."""

    def __init__(self) -> None:
        super().__init__(SecretKey(b"k" * 32))
        self.hashed = 0

    def digest(self, kind: int, normal: str) -> bytes:
        self.hashed += 1
        return super().digest(kind, normal)


@pytest.fixture
def digests() -> CountedDigests:
    return CountedDigests()


@pytest.fixture
def resolver(digests: CountedDigests) -> Resolver:
    return Resolver(Router([], {}, queue_limit=1, batch_limit=1), digests, "IR")


def test_what_was_shown_before_is_not_hashed_again(resolver: Resolver, digests: CountedDigests) -> None:
    first = resolver.digest(IdentifierKind.CARD, "6273 00ab")
    assert resolver.digest(IdentifierKind.CARD, "6273 00ab") == first
    assert digests.hashed == 1


def test_one_number_of_two_kinds_stays_two_identifiers(resolver: Resolver) -> None:
    assert resolver.digest(IdentifierKind.CARD, "12345678") != resolver.digest(
        IdentifierKind.BARCODE, "12345678"
    )


def test_long_texts_are_not_kept_in_memory(resolver: Resolver, digests: CountedDigests) -> None:
    token = "t" * (CACHED_CHARS + 1)
    digest = resolver.digest(IdentifierKind.APP_TOKEN, token)
    assert isinstance(digest, bytes)
    assert resolver.digest(IdentifierKind.APP_TOKEN, token) == digest
    assert digests.hashed == 2


def test_what_is_no_identifier_is_refused_each_time(resolver: Resolver) -> None:
    assert isinstance(resolver.digest(IdentifierKind.CARD, "?"), Refused)
    assert isinstance(resolver.digest(IdentifierKind.CARD, "?"), Refused)
    assert isinstance(resolver.digest(0, "12345678"), Refused)
