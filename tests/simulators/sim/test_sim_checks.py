"""Each checker of the simulation can fail: whatever is broken on a disk on purpose, one sentence says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from msgspec.structs import replace

from node.coalition.exchange import AcquirerState, HomeState
from node.coalition.messages import RecordKind
from node.ledger.postings import payable
from node.storage import coalition_keys, keyspace
from node.storage.coalition_keys import Role
from node.storage.keyspace import Kind, PartitionMeta
from node.wire import coalition_store as store
from node.wire import records
from simulators.sim.asking import Sent
from simulators.sim.bazaar import Bazaar
from simulators.sim.node import SimNode
from simulators.sim.shop import Shop
from simulators.sim.world import World

Values = dict[bytes, bytes]
SEED = 3


@cache
def lived(kind: type[World]) -> Any:
    """A world in which nothing goes wrong, and nothing is found."""
    world = type("Calm", (kind,), {"faults": (0, 0)})(SEED)
    assert world.run().violations == ()
    return world


def disks(node: SimNode) -> Iterator[Values]:
    """What lies on a node's disks, to be changed in place."""
    for shard in node.shards:
        yield shard.disk._store._values


def of_kind(values: Values, kind: Kind) -> list[bytes]:
    """The keys of one kind."""
    return sorted(key for key in values if len(key) > 1 and key[1] == kind)


def first(node: SimNode, kind: Kind, wanted: Callable[[bytes, bytes], bool]) -> tuple[Values, bytes]:
    """The first entry of a kind that is wanted, with the disk that it lies on."""
    return next(
        (values, key) for values in disks(node) for key in of_kind(values, kind) if wanted(key, values[key])
    )


def found(world: Any, nodes: list[SimNode], damage: Callable[[], None]) -> str:
    """What the world's checkers say of damaged disks, which are mended afterwards."""
    kept = [(values, dict(values)) for node in nodes for values in disks(node)]
    keys = [(shard.disk._store, list(shard.disk._store._keys)) for node in nodes for shard in node.shards]
    sent = [(one, replace(one)) for one in world.sent]
    try:
        damage()
        for node in nodes:
            for shard in node.shards:
                shard.disk._store._keys = sorted(shard.disk._store._values)
        return "\n".join(world.violations())
    finally:
        for values, before in kept:
            values.clear()
            values.update(before)
        for disk, before_keys in keys:
            disk._keys = before_keys
        for one, was in sent:
            for name in Sent.__struct_fields__:
                setattr(one, name, getattr(was, name))


# --- one node ----------------------------------------------------------------------------------------------


def is_of_card(shop: Shop, key: bytes, value: bytes) -> bool:
    account = records.ACCOUNT.decode(value)
    return bool(account.purses) and any(purse.spendable > 0 for purse in account.purses.values())


def credits_twice(shop: Shop) -> None:
    values, key = first(shop.node, Kind.ACCOUNT, lambda key, value: is_of_card(shop, key, value))
    account = records.ACCOUNT.decode(values[key])
    name, purse = next(iter(account.purses.items()))
    more = replace(purse, spendable=purse.spendable + 5)
    values[key] = records.ACCOUNT.encode(replace(account, purses={**account.purses, name: more}))


def loses_an_entry(shop: Shop) -> None:
    done = {one.request_id for one in shop.sent if one.answer is not None and one.moved}
    values, key = first(
        shop.node, Kind.JOURNAL, lambda _, value: records.decode_entry(value).entry.request_id in done
    )
    del values[key]


def does_a_request_twice(shop: Shop) -> None:
    done = {one.request_id for one in shop.sent if one.answer is not None and one.moved}
    values, key = first(
        shop.node, Kind.JOURNAL, lambda _, value: records.decode_entry(value).entry.request_id in done
    )
    last = max(one for one in of_kind(values, Kind.JOURNAL) if one[0] == key[0])
    _, sequence = keyspace.parse_sequence(last, Kind.JOURNAL)
    values[keyspace.journal_key(key[0], sequence + 1)] = values[key]


def leaves_an_outbox_entry(shop: Shop) -> None:
    values = next(disks(shop.node))
    values[keyspace.outbox_key(min(shop.node.placement), 1)] = b"\x01"


def forgets_an_identifier(shop: Shop) -> None:
    values, key = first(shop.node, Kind.IDENTIFIER, lambda *_: True)
    del values[key]


def keeps_a_receipt(shop: Shop) -> None:
    taken = {
        (claim.scope, claim.request_id)
        for values in disks(shop.node)
        for key in of_kind(values, Kind.RECEIPT)
        if not (claim := records.RECEIPT.decode(values[key])).let_go
    }
    next(one for one in shop.sent if (one.scope, one.request_id) in taken).undone = True


def answers_otherwise(shop: Shop) -> None:
    answered = {(one.scope, one.request_id): one.answer for one in shop.sent if one.answer}
    values, key = first(
        shop.node, Kind.REQUEST, lambda _, value: records.REQUEST.decode(value).answer in answered.values()
    )
    record = records.REQUEST.decode(values[key])
    assert record.answer is not None
    values[key] = records.REQUEST.encode(replace(record, answer=record.answer + b"\x00"))


def never_answers(shop: Shop) -> None:
    one = acknowledged(shop)
    one.answer, one.undone = None, False


def refuses_and_does_it(shop: Shop) -> None:
    one = acknowledged(shop)
    one.answer, one.refusal = None, "LIMIT_EXCEEDED"


def does_what_was_reversed_before(shop: Shop) -> None:
    one = acknowledged(shop)
    one.answer, one.never, one.undone = None, True, False


def acknowledged(shop: Shop) -> Sent:
    return next(one for one in shop.sent if one.answer is not None and one.moved)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (credits_twice, "points; what was acknowledged adds up to"),
        (loses_an_entry, "was acknowledged and is in the journal 0 times"),
        (does_a_request_twice, "is in the journal 2 times"),
        (leaves_an_outbox_entry, "outbox entries were never delivered"),
        (forgets_an_identifier, "in the index"),
        (keeps_a_receipt, "is still taken; it was reversed"),
        (answers_otherwise, "would be answered otherwise than it was"),
        (never_answers, "was never answered"),
        (refuses_and_does_it, "was refused (LIMIT_EXCEEDED) and is in the journal"),
        (does_what_was_reversed_before, "was reversed before it arrived, and was done"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_node_is_found_that(damage: Callable[[Shop], None], words: str) -> None:
    shop: Shop = lived(Shop)
    assert words in found(shop, shop.nodes, lambda: damage(shop))
    assert list(shop.violations()) == []


# --- several merchants -------------------------------------------------------------------------------------


def is_acquirers(key: bytes, value: bytes) -> bool:
    return key[2] == Role.ACQUIRER


def change(node: SimNode, kind: Kind, codec: Any, wanted: Callable[[Any], bool], **fields: Any) -> Any:
    """Changes fields of the first record that is wanted; gives it as it was."""
    values, key = first(node, kind, lambda _, value: wanted(codec.decode(value)))
    before = codec.decode(values[key])
    values[key] = codec.encode(replace(before, **fields))
    return before


def some_node(world: Bazaar, kind: Kind, wanted: Callable[[bytes, bytes], bool]) -> SimNode:
    return next(
        node
        for node in world.partners
        if any(wanted(key, values[key]) for values in disks(node) for key in of_kind(values, kind))
    )


def drops_a_record(world: Bazaar) -> None:
    node = some_node(world, Kind.LANE_RECORD, is_acquirers)
    values, key = first(node, Kind.LANE_RECORD, is_acquirers)
    del values[key]


def has_another_head(world: Bazaar) -> None:
    node = some_node(world, Kind.LANE_HEAD, is_acquirers)
    values, key = first(node, Kind.LANE_HEAD, is_acquirers)
    values[key] = store.ACQUIRER_LANE.encode(replace(store.ACQUIRER_LANE.decode(values[key]), hash=b"x" * 32))


def forges_a_signature(world: Bazaar) -> None:
    """On both sides alike, so that nothing but the signature says it."""
    node = some_node(world, Kind.LANE_RECORD, is_acquirers)
    values, key = first(node, Kind.LANE_RECORD, is_acquirers)
    entry = store.LANE_ENTRY.decode(values[key])
    forged = store.LANE_ENTRY.encode(replace(entry, posted=replace(entry.posted, signature=bytes(64))))
    for other in world.partners:
        for disk in disks(other):
            for at, data in list(disk.items()):
                if at[1:2] == bytes((Kind.LANE_RECORD,)) and store.LANE_ENTRY.decode(data) == entry:
                    disk[at] = forged


def sets_a_lane_aside(world: Bazaar) -> None:
    node = some_node(world, Kind.LANE_HEAD, is_acquirers)
    values, key = first(node, Kind.LANE_HEAD, is_acquirers)
    lane = replace(store.ACQUIRER_LANE.decode(values[key]), disputed=True)
    values[key] = store.ACQUIRER_LANE.encode(lane)


def owes_more(world: Bazaar) -> None:
    node = world.partners[0]
    book, other = payable(world.partners[1].plan.merchant), world.partners[1]
    assert other is not node
    values, key = first(
        node, Kind.META, lambda key, _: key == keyspace.partition_meta_key(key[0], PartitionMeta.HEAD)
    )
    head = records.HEAD.decode(values[key])
    values[key] = records.HEAD.encode(replace(head, books=(*head.books, (book, "points", 3))))


def is_spend(one: Any) -> bool:
    return one.state is AcquirerState.DONE and one.record_kind is RecordKind.REDEMPTION


def spender(world: Bazaar) -> SimNode:
    return some_node(
        world, Kind.ACQUIRER_EXCHANGE, lambda _, value: is_spend(store.ACQUIRER_EXCHANGE.decode(value))
    )


def never_ends(world: Bazaar) -> None:
    change(
        spender(world),
        Kind.ACQUIRER_EXCHANGE,
        store.ACQUIRER_EXCHANGE,
        is_spend,
        state=AcquirerState.CAPTURING,
    )


def says_that_it_failed(world: Bazaar) -> None:
    change(
        spender(world), Kind.ACQUIRER_EXCHANGE, store.ACQUIRER_EXCHANGE, is_spend, state=AcquirerState.FAILED
    )


def forgets_what_is_done(world: Bazaar) -> None:
    values, key = first(
        spender(world),
        Kind.ACQUIRER_EXCHANGE,
        lambda _, value: is_spend(store.ACQUIRER_EXCHANGE.decode(value)),
    )
    del values[key]


def home_of(world: Bazaar) -> SimNode:
    return some_node(
        world,
        Kind.HOME_EXCHANGE,
        lambda _, value: store.HOME_EXCHANGE.decode(value).record_kind is RecordKind.REDEMPTION,
    )


def holds_for_ever(world: Bazaar) -> None:
    change(
        home_of(world),
        Kind.HOME_EXCHANGE,
        store.HOME_EXCHANGE,
        lambda one: one.record_kind is RecordKind.REDEMPTION,
        state=HomeState.RESERVED,
    )


def posts_on_two_lanes(world: Bazaar) -> None:
    home = home_of(world)
    values, key = first(
        home,
        Kind.HOME_EXCHANGE,
        lambda _, value: store.HOME_EXCHANGE.decode(value).record_kind is RecordKind.REDEMPTION,
    )
    exchange = store.HOME_EXCHANGE.decode(values[key])
    other = (key[0] + len(home.shards)) % len(home.placement)
    values[coalition_keys.home_exchange_key(other, exchange.partner_id, exchange.exchange_id)] = values[key]


def hands_goods_over_for_nothing(world: Bazaar) -> None:
    change(spender(world), Kind.ACQUIRER_EXCHANGE, store.ACQUIRER_EXCHANGE, is_spend, posted_units=0)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drops_a_record, "records at home"),
        (has_another_head, "or its hash is another"),
        (forges_a_signature, "a signature of record"),
        (sets_a_lane_aside, "is disputed"),
        (owes_more, "by the records"),
        (never_ends, "is still CAPTURING"),
        (says_that_it_failed, "is FAILED, and at home it is POSTED"),
        (forgets_what_is_done, "does not know it as DONE"),
        (holds_for_ever, "is still RESERVED"),
        (posts_on_two_lanes, "is on two lanes"),
        (hands_goods_over_for_nothing, "were handed over, and 0 are posted"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_coalition_is_found_in_which_a_merchant(damage: Callable[[Bazaar], None], words: str) -> None:
    world: Bazaar = lived(Bazaar)
    assert words in found(world, list(world.partners), lambda: damage(world))
    assert list(world.violations()) == []
