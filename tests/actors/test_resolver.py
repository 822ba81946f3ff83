"""The resolver's cache of what members show: the same answers, bounded."""

from __future__ import annotations

import asyncio

import pytest

from node.actors.resolver import CACHED_CHARS, Found, Resolver
from node.actors.router import Router
from node.identity.digests import IdentifierDigests
from node.identity.keys import SecretKey
from node.ledger.refusals import Refused
from node.people.identifiers import IdentifierKind
from node.wire.commands import Answer, Command, Op, done, encode
from node.wire.records import IndexEntry, Ownership
from tests.actors.harness import Actors, card


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


async def test_a_stranger_is_asked_for_once_and_found_as_soon_as_the_card_is_somebodys() -> None:
    node = Actors(2)
    assert isinstance(await node.resolver.find(IdentifierKind.CARD, card(7).value, node.now_ms), Refused)
    asked = node.messages
    assert isinstance(await node.resolver.find(IdentifierKind.CARD, card(7).value, node.now_ms), Refused)
    assert node.messages == asked
    account_id = await node.enrol(card(7))
    found = await node.resolver.find(IdentifierKind.CARD, card(7).value, node.now_ms)
    assert isinstance(found, Found)
    assert found.account_id.hex() == account_id


async def test_an_answer_that_a_link_has_overtaken_makes_nobody_a_stranger(digests: CountedDigests) -> None:
    owner = Ownership(b"a" * 16, 0, confirmed=True)
    on_its_way, may_arrive = asyncio.Event(), asyncio.Event()

    class Slow(Router):
        entry = IndexEntry(())

        async def ask(self, command: Command) -> Answer:
            assert command.op is Op.RESOLVE
            answer = done(encode(self.entry))  # as the index is when the question comes to it
            on_its_way.set()
            await may_arrive.wait()
            return answer

    router = Slow([], {}, queue_limit=1, batch_limit=1)
    router.partitions = 1
    resolver = Resolver(router, digests, "IR")
    asking = asyncio.create_task(resolver.find(IdentifierKind.CARD, "12345678", 1))
    await on_its_way.wait()
    router.entry = IndexEntry((owner,))
    resolver.forget_shown(IdentifierKind.CARD, "12345678")  # as whoever links does
    may_arrive.set()
    assert isinstance(await asking, Refused)
    assert isinstance(await resolver.find(IdentifierKind.CARD, "12345678", 1), Found)
