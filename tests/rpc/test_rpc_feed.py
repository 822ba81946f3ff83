"""The feed: the journal as a stream that another system follows without missing or repeating anything."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import defaultdict
from typing import Any

import grpc
import pytest

from node.identity.caller import Role
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_PHONE, Identifier
from node.proto.vafa.feed.v1 import feed_service_pb2 as pb
from node.proto.vafa.member.v1 import member_service_pb2, person_pb2
from simulators.operations import timestamp
from tests.rpc.shop import Shop, receipt, refused

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def read(shop: Shop, cursor: str = "", limit: int | None = None) -> tuple[list[pb.JournalEntry], str]:
    """Everything from a cursor to the present end, or what the first `limit` messages bring."""
    reader = shop.line(Role.READER, "reports")
    entries: list[pb.JournalEntry] = []
    call = reader.feed.Follow(pb.FollowRequest(cursor=cursor, stop_at_end=True))
    async for answer in call:
        entries.extend(answer.entries)
        cursor = answer.cursor
        limit = None if limit is None else limit - 1
        if limit == 0:
            call.cancel()
            break
    return entries, cursor


def keys(entries: list[pb.JournalEntry]) -> list[tuple[int, int]]:
    """Where each entry stands."""
    return [(entry.partition, entry.sequence) for entry in entries]


async def some_work(shop: Shop, sales: int = 30) -> None:
    """A few entries, over all partitions."""
    card = await shop.member()
    await asyncio.gather(*(shop.accrue(None, 100) for _ in range(sales)))
    await shop.accrue(card, 500)
    await shop.redeem(card, 2)


async def test_the_feed_brings_every_entry_once_in_the_order_of_its_partition(shop: Shop) -> None:
    await some_work(shop)
    entries, _ = await read(shop)
    assert len(entries) == await shop.entries()
    by_partition: defaultdict[int, list[int]] = defaultdict(list)
    for partition, sequence in keys(entries):
        by_partition[partition].append(sequence)
    assert all(found == list(range(1, len(found) + 1)) for found in by_partition.values())


async def test_the_postings_of_each_entry_sum_to_zero_and_each_has_a_hash(shop: Shop) -> None:
    await some_work(shop)
    entries, _ = await read(shop)
    assert any(entry.postings for entry in entries)
    assert len({entry.hash for entry in entries}) == len(entries)
    for entry in entries:
        by_purse: defaultdict[str, int] = defaultdict(int)
        for posting in entry.postings:
            by_purse[posting.purse] += posting.units
        assert not any(by_purse.values())


async def test_no_character_of_a_phone_or_name_is_in_the_feed(shop: Shop) -> None:
    _, cursor = await read(shop)
    await shop.admin.members.Enrol(
        member_service_pb2.EnrolRequest(
            request_id=uuid.uuid4().hex,
            occurred_time=timestamp(shop.node.now_ms()),
            person=person_pb2.Person(given_name="Nazanin"),
            identifiers=[Identifier(kind=IDENTIFIER_KIND_PHONE, value="09127654389")],
        )
    )
    (entry,), _ = await read(shop, cursor)
    (linked,) = (event for event in entry.events if event.name == "identifier_linked")
    assert json.loads(linked.attributes["link"])["hint"] == ""
    assert "Nazanin" not in str(entry)


async def test_an_entry_says_what_happened_in_words_that_others_read(shop: Shop) -> None:
    card, number = await shop.member(), receipt()
    _, cursor = await read(shop)
    answer = await shop.accrue(card, 500, receipt_number=number, cashier_id="مریم")
    (entry,), _ = await read(shop, cursor)
    assert answer.transaction_id == f"{entry.partition:02d}-{entry.sequence:x}"
    assert (entry.terminal_id, entry.programme_version) == ("north/till-1", 1)
    assert entry.request_id
    assert len(entry.trace_id) == 32
    (event,) = entry.events
    assert event.name == "earned"
    assert number in event.attributes["purchase"]
    assert "مریم" in event.attributes["purchase"]


async def test_a_reader_goes_on_where_it_was_without_a_gap_or_a_repetition_also_after_a_restart(
    shop: Shop,
) -> None:
    await some_work(shop)
    first, cursor = await read(shop, limit=2)
    await some_work(shop)
    second, cursor = await read(shop, cursor, limit=1)
    await shop.reopen()
    await some_work(shop)
    third, cursor = await read(shop, cursor)
    everything, end = await read(shop)
    together = keys(first) + keys(second) + keys(third)
    assert len(together) == len(set(together))
    assert sorted(together) == sorted(keys(everything))
    assert (await read(shop, cursor))[0] == []
    assert (await read(shop, end))[0] == []


async def test_a_reader_that_waits_is_told_of_what_happens_next(shop: Shop) -> None:
    _, cursor = await read(shop)
    reader = shop.line(Role.READER, "alerts")
    call: Any = reader.feed.Follow(pb.FollowRequest(cursor=cursor))
    waiting = asyncio.create_task(call.read())
    answer = await shop.accrue(None, 700)
    async with asyncio.timeout(20):
        brought = await waiting
    assert [f"{entry.partition:02d}-{entry.sequence:x}" for entry in brought.entries] == [
        answer.transaction_id
    ]
    call.cancel()


async def test_nothing_in_the_feed_is_an_identifier(shop: Shop) -> None:
    card = await shop.member()
    _, cursor = await read(shop)
    await shop.accrue(card, 700)
    await shop.redeem(card, 1)
    entries, _ = await read(shop, cursor)
    assert entries
    assert card.value not in str(entries)
    assert card.value.lower() not in str(entries)


@pytest.mark.parametrize("cursor", ["x", "!!!", "gQE", "AAAA", "gf8B", "٣" * 4, "A" * 5000, "gRAB"])
async def test_a_cursor_that_is_none_of_this_nodes_is_refused(shop: Shop, cursor: str) -> None:
    with refused("INVALID_CURSOR", grpc.StatusCode.INVALID_ARGUMENT):
        await read(shop, cursor)
