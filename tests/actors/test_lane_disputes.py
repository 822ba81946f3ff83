"""A home node that signs two records under one number is found out, and whoever sees both can prove it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from node.coalition.envelopes import Draft, Envelope, Message
from node.coalition.lanes import chain
from node.coalition.messages import Hello, LaneHead, MessageType, Posted
from node.proto.vafa.coalition.v1 import coalition_service_pb2 as pb
from node.rpc.coalition import CoalitionService
from node.storage.coalition_keys import Role, parse_lane_record
from node.storage.keyspace import Kind, PartitionMeta, partition_meta_key
from node.storage.store import Batch
from node.wire import coalition_store as store
from node.wire.coalition import EnvelopeSealer, carried_bytes
from node.wire.coalition_bodies import ENCODER
from node.wire.coalition_records import DisputeAnswer
from node.wire.fork_proofs import read_fork_proof
from tests.actors.abroad_merchants import DIRECTORY, NILE, SAFFRON, Bazaar, Merchant
from tests.actors.abroad_stories import opened


@pytest.fixture
async def bazaar() -> Bazaar:
    return await opened()


async def dispute(node: Merchant, lane: int) -> DisputeAnswer:
    found = await node.exchanging.dispute(node.partner, lane, home=False)
    assert isinstance(found, DisputeAnswer)
    return found


def last_record(node: Merchant) -> tuple[int, store.LaneEntry]:
    """The lane and the record that saffron holds."""
    ((key, data),) = node.stored(Kind.LANE_RECORD)
    return parse_lane_record(key)[3], store.LANE_ENTRY.decode(data)


def signed_by_nile(bazaar: Bazaar, draft: Draft) -> Message:
    sealer = bazaar.nile.exchanging._sealer()
    assert isinstance(sealer, EnvelopeSealer)
    return sealer.seal(draft, SAFFRON, bazaar.nile.now_ms)


def another_history(bazaar: Bazaar, posted: Message, request: Envelope) -> Message:
    """The same record number in the same epoch, with one unit more."""
    body = posted.body
    assert isinstance(body, Posted)
    core = replace(body.core, units=body.core.units + 1)
    core_bytes = ENCODER.core(core)
    other = replace(body, core=core, core_bytes=core_bytes, hash=chain(bytes(32), request.header, core_bytes))
    header = posted.header
    draft = Draft(MessageType.POSTED, header.lane, header.epoch, header.exchange_id, other)
    return signed_by_nile(bazaar, draft)


async def test_a_second_record_under_one_number_is_a_dispute_with_a_proof_that_anybody_verifies(
    bazaar: Bazaar,
) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    lane, entry = last_record(bazaar.saffron)
    assert entry.request is not None
    posted = ENCODER.message(entry.posted)
    forged = another_history(bazaar, posted, entry.request)
    assert (await dispute(bazaar.saffron, lane)).why == ""
    request = store.envelope_bytes(entry.request)
    await bazaar.saffron.exchanging.received(NILE, carried_bytes(forged, evidence=[request]))
    found = await dispute(bazaar.saffron, lane)
    assert found.why == "forked"
    known = bazaar.saffron.directories.known
    assert known is not None
    service: Any = CoalitionService(bazaar.saffron.exchanging, None, None, None, None)  # type: ignore[arg-type]  # asked for nothing here
    answer = await service.GetDispute(pb.GetDisputeRequest(partner_id=NILE, lane=lane), None)
    assert (answer.why, answer.number) == ("forked", 1)
    assert answer.fork_proof.directory_version == DIRECTORY.version
    fork = read_fork_proof(answer.fork_proof.SerializeToString(), known)
    assert (fork.home_id, fork.acquirer_id, fork.lane, fork.number) == (NILE, SAFFRON, lane, 1)


async def below_the_head(bazaar: Bazaar, restarts: str) -> tuple[int, Message]:
    """Saffron has two records of nile's, perhaps a start of either node after them; and another record 1."""
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    lane, entry = last_record(bazaar.saffron)
    await bazaar.saffron.earns("r2", 1, 5)
    await bazaar.pump()
    if restarts:
        (bazaar.nile if restarts == NILE else bazaar.saffron).restart()
        await bazaar.open()
        await bazaar.pump()
    assert entry.request is not None
    forged = another_history(bazaar, ENCODER.message(entry.posted), entry.request)
    if restarts:
        epoch, exchange_id = hello_epoch(bazaar.saffron, lane), forged.header.exchange_id
        forged = signed_by_nile(bazaar, Draft(MessageType.POSTED, lane, epoch, exchange_id, forged.body))
    return lane, forged


def hello_epoch(node: Merchant, lane: int) -> int:
    stored = [data for key, data in node.stored(Kind.LANE_HEAD) if key[2] == Role.ACQUIRER]
    return next(one.epoch for one in map(store.ACQUIRER_LANE.decode, stored) if one.lane == lane)


@pytest.mark.parametrize("restarts", ["", NILE, SAFFRON])
async def test_another_record_below_the_head_leaves_a_proof_also_when_the_lane_was_opened_anew_since(
    bazaar: Bazaar, restarts: str
) -> None:
    lane, forged = await below_the_head(bazaar, restarts)
    await bazaar.saffron.exchanging.received(NILE, carried_bytes(forged))
    found = await dispute(bazaar.saffron, lane)
    assert found.why == "forked"
    known = bazaar.saffron.directories.known
    assert known is not None
    service: Any = CoalitionService(bazaar.saffron.exchanging, None, None, None, None)  # type: ignore[arg-type]  # asked for nothing here
    answer = await service.GetDispute(pb.GetDisputeRequest(partner_id=NILE, lane=lane), None)
    fork = read_fork_proof(answer.fork_proof.SerializeToString(), known)
    assert (fork.home_id, fork.acquirer_id, fork.lane, fork.number) == (NILE, SAFFRON, lane, 1)
    assert fork.records_between == (1 if restarts else 0)
    posted = forged.body
    assert isinstance(posted, Posted)
    assert posted.hash in fork.hashes


async def test_what_was_signed_in_an_older_epoch_than_the_record_may_have_been_lost_and_is_no_dispute(
    bazaar: Bazaar,
) -> None:
    lane, _ = await below_the_head(bazaar, NILE)
    await bazaar.saffron.earns("r3", 1, 7)
    await bazaar.pump()
    records = bazaar.saffron.stored(Kind.LANE_RECORD)
    entry = store.LANE_ENTRY.decode(next(data for key, data in records if parse_lane_record(key)[4] == 3))
    assert entry.request is not None
    late = another_history(bazaar, ENCODER.message(entry.posted), entry.request)
    older = Draft(MessageType.POSTED, lane, late.header.epoch - 1, late.header.exchange_id, late.body)
    await bazaar.saffron.exchanging.received(NILE, carried_bytes(signed_by_nile(bazaar, older)))
    assert (await dispute(bazaar.saffron, lane)).why == ""


async def test_the_same_record_once_more_is_no_dispute(bazaar: Bazaar) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    lane, entry = last_record(bazaar.saffron)
    await bazaar.saffron.exchanging.received(NILE, carried_bytes(ENCODER.message(entry.posted)))
    await bazaar.pump()
    assert (await dispute(bazaar.saffron, lane)).why == ""
    bazaar.assert_agreed()


async def test_a_dispute_over_several_epochs_is_shown_and_proves_no_fork(bazaar: Bazaar) -> None:
    await bazaar.saffron.earns("r1", 1, 40)
    await bazaar.pump()
    lane, entry = last_record(bazaar.saffron)
    epoch = ENCODER.message(entry.posted).header.epoch + 1
    head = LaneHead(lane, 1, b"x" * 32, epoch)
    other = signed_by_nile(bazaar, Draft(MessageType.HELLO, lane, epoch, b"", Hello(head, b"n" * 16, b"")))
    await bazaar.saffron.exchanging.received(NILE, carried_bytes(other))
    found = await dispute(bazaar.saffron, lane)
    assert (found.why, found.fork_proof) == ("forked", ())


@pytest.mark.parametrize("disputed", [False, True])
async def test_a_lane_that_is_set_aside_holds_no_other_up_but_a_restored_node_has_not_caught_up_beside_it(
    bazaar: Bazaar, disputed: bool
) -> None:
    saffron = bazaar.saffron
    _, forged = await below_the_head(bazaar, "")
    if disputed:
        await saffron.exchanging.received(NILE, carried_bytes(forged))
    key = partition_meta_key(saffron.partners, PartitionMeta.RESTORED)
    batch = Batch()
    batch.put(key, store.RESTORED.encode(store.Restored(saffron.now_ms, generation=1)))
    saffron.stores[saffron.partners % 2].write(batch)
    saffron.stores[saffron.partners % 2].sync()
    saffron.restart()
    assert (await saffron.asks_for_hello()).ready == ()
    await bazaar.pump()
    assert (await saffron.asks_for_hello()).ready == (NILE,)
    mark = saffron.stores[saffron.partners % 2].get(key)
    assert mark is not None
    assert store.RESTORED.decode(mark).shown == (() if disputed else (NILE,))


async def test_a_lane_that_was_behind_when_it_was_set_aside_has_not_been_caught_up_with(
    bazaar: Bazaar,
) -> None:
    saffron = bazaar.saffron
    lane, forged = await below_the_head(bazaar, "")
    at = saffron.partners % 2
    key = partition_meta_key(saffron.partners, PartitionMeta.RESTORED)
    batch = Batch()
    batch.put(key, store.RESTORED.encode(store.Restored(saffron.now_ms, generation=1)))
    saffron.stores[at].write(batch)
    saffron.stores[at].sync()
    saffron.restart()
    await saffron.asks_for_hello()
    await bazaar.pump()
    shard: Any = saffron.shards[at]
    partner = shard._abroad._acquirer.lanes.partner(saffron.partners, NILE, None)
    known = partner.lanes[lane]
    partner.lanes[lane] = replace(
        known, home_number=known.number + 1
    )  # the home node has said that it has more
    await saffron.exchanging.received(NILE, carried_bytes(forged))
    assert (await dispute(saffron, lane)).why == "forked"
    assert (await saffron.asks_for_hello()).ready == (NILE,)
    mark = saffron.stores[at].get(key)
    assert mark is not None
    assert store.RESTORED.decode(mark).shown == ()
