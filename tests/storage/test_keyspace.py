"""Keys scan in the order that their parts have, parse back, and never leave their partition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage import card_keys, keyspace
from node.storage.keyspace import BadKey, ControlKind, Kind, PartitionMeta, StoreMeta

partitions = st.integers(0, keyspace.PARTITIONS_MAX - 1)
ids = st.binary(min_size=16, max_size=16)
sequences = st.integers(0, keyspace.SEQUENCE_MAX)
texts = st.text(st.characters(codec="utf-8"), max_size=40)


def inside(key: bytes, bounds: tuple[bytes, bytes]) -> bool:
    return bounds[0] <= key < bounds[1]


@given(partitions, ids, sequences, texts, texts)
def test_every_key_lies_in_its_partition_and_in_its_kind(
    partition: int, some_id: bytes, sequence: int, terminal: str, request: str
) -> None:
    made = {
        Kind.META: keyspace.partition_meta_key(partition, PartitionMeta.HEAD),
        Kind.ACCOUNT: keyspace.account_key(partition, some_id),
        Kind.JOURNAL: keyspace.journal_key(partition, sequence),
        Kind.REQUEST: keyspace.request_key(partition, terminal, request),
        Kind.TRANSACTION: keyspace.transaction_key(partition, sequence),
        Kind.IDENTIFIER: keyspace.identifier_key(partition, some_id),
        Kind.RECEIPT: keyspace.receipt_key(partition, some_id),
        Kind.DUE: keyspace.due_key(partition, sequence, some_id),
        Kind.OUTBOX: keyspace.outbox_key(partition, sequence),
        Kind.PERSON: keyspace.person_key(partition, some_id),
        Kind.PERSON_KEY: keyspace.person_secret_key(partition, some_id),
        Kind.QUARANTINE: keyspace.quarantine_key(partition, some_id),
        Kind.MEMBER_PIN: card_keys.pin_key(partition, some_id),
    }
    for kind, key in made.items():
        assert inside(key, keyspace.partition_range(partition)), kind
        assert inside(key, keyspace.kind_range(partition, kind)), kind
        assert [other for other in Kind if inside(key, keyspace.kind_range(partition, other))] == [kind]


@given(partitions, ids, sequences, texts, texts)
def test_keys_parse_back_to_what_they_were_made_of(
    partition: int, some_id: bytes, sequence: int, terminal: str, request: str
) -> None:
    assert keyspace.parse_request(keyspace.request_key(partition, terminal, request)) == (
        partition,
        terminal,
        request,
    )
    due = keyspace.due_key(partition, sequence, some_id)
    assert keyspace.parse_due(due) == (partition, sequence, some_id)
    journal = keyspace.journal_key(partition, sequence)
    assert keyspace.parse_sequence(journal, Kind.JOURNAL) == (partition, sequence)
    assert keyspace.parse_id(keyspace.account_key(partition, some_id), Kind.ACCOUNT) == (partition, some_id)
    control = keyspace.control_key(ControlKind.TERMINAL, terminal.encode())
    assert keyspace.parse_control(control) == (ControlKind.TERMINAL, terminal.encode())


@given(partitions, sequences, sequences, ids)
def test_numbers_scan_in_their_order(partition: int, one: int, other: int, some_id: bytes) -> None:
    for build in (keyspace.journal_key, keyspace.outbox_key, keyspace.transaction_key):
        assert (build(partition, one) < build(partition, other)) == (one < other)
    due = keyspace.due_key(partition, one, some_id)
    assert inside(due, keyspace.due_range(partition, other)) == (one <= other)
    entry = keyspace.journal_key(partition, one)
    assert inside(entry, keyspace.sequence_range(partition, Kind.JOURNAL, other)) == (one >= other)


@given(texts, texts, texts, texts)
def test_two_requests_share_a_key_only_when_terminal_and_request_are_the_same(
    terminal: str, request: str, other_terminal: str, other_request: str
) -> None:
    same = keyspace.request_key(1, terminal, request) == keyspace.request_key(
        1, other_terminal, other_request
    )
    assert same == ((terminal, request) == (other_terminal, other_request))


def test_a_separator_in_a_terminal_id_does_not_reach_into_another_terminals_requests() -> None:
    bounds = keyspace.prefix_range(keyspace.terminal_requests_prefix(1, "till"))
    assert inside(keyspace.request_key(1, "till", "۱۲۳"), bounds)
    assert not inside(keyspace.request_key(1, "till\0", "1"), bounds)
    assert not inside(keyspace.request_key(1, "till2", "1"), bounds)


def test_ids_spread_evenly_over_the_partitions() -> None:
    counts = [0] * 16
    for number in range(16_000):
        digest = number.to_bytes(8, "big")
        counts[keyspace.partition_of(digest + b"rest", 16)] += 1
    assert counts == [1000] * 16
    assert keyspace.partition_of(b"\xff" * 16, 1) == 0


def test_a_kinds_number_is_given_to_nothing_else_and_never_changes() -> None:
    assert {kind.name: kind.value for kind in Kind} == {
        "META": 1,
        "ACCOUNT": 2,
        "JOURNAL": 3,
        "REQUEST": 4,
        "TRANSACTION": 5,
        "IDENTIFIER": 6,
        "RECEIPT": 7,
        "DUE": 8,
        "OUTBOX": 9,
        "PERSON": 10,
        "PERSON_KEY": 11,
        "STATEMENT": 12,
        "QUARANTINE": 13,
    } | {kind.name: kind.value for kind in Kind if kind.value > 13}
    assert {item.name: item.value for item in StoreMeta} == {
        "STAMP": 0,
        "IDENTITY": 1,
        "FORMAT": 2,
        "MOVE": 3,
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda: keyspace.account_key(64, bytes(16)),
        lambda: keyspace.account_key(-1, bytes(16)),
        lambda: keyspace.account_key(0, bytes(15)),
        lambda: keyspace.journal_key(0, -1),
        lambda: keyspace.journal_key(0, 2**64),
        lambda: keyspace.due_key(0, -5, bytes(16)),
        lambda: keyspace.request_key(0, "x" * 65_536, "1"),
        lambda: keyspace.partition_of(bytes(7), 16),
        lambda: keyspace.partition_of(bytes(16), 0),
        lambda: keyspace.partition_of(bytes(16), 65),
        lambda: keyspace.prefix_range(b"\xff\xff"),
        lambda: keyspace.parse_request(b"\x00\x04\x00\x09abc"),
        lambda: keyspace.parse_request(b"\x00\x04\x00"),
        lambda: keyspace.parse_due(keyspace.journal_key(0, 1)),
        lambda: keyspace.parse_sequence(keyspace.journal_key(0, 1) + b"\x00", Kind.JOURNAL),
        lambda: keyspace.parse_control(keyspace.journal_key(0, 1)),
    ],
)
def test_parts_that_make_no_key_and_keys_of_another_kind_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(BadKey):
        make()
