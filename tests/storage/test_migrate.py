"""A store of an older format becomes the newer one, once, also when the power goes in between."""

import pytest

from node.storage.keyspace import Kind, account_key, kind_range, receipt_key
from node.storage.memory import MemoryStore
from node.storage.migrate import BATCH_KEYS, Migration, migrate, put_format, stored_version
from node.storage.store import Batch, StoreFailed, StoreForeign

ACCOUNTS = 3 * BATCH_KEYS + 7


def grow(key: bytes, value: bytes, batch: Batch) -> None:
    """A made-up step that must not happen twice to a value, and builds an index."""
    batch.put(key, value + b"!")
    batch.put(receipt_key(0, key[2:]), key)


START, END = kind_range(0, Kind.ACCOUNT)
TWICE = (Migration(1, 2, START, END, grow), Migration(2, 3, START, END, grow))


def account(number: int) -> bytes:
    return account_key(0, number.to_bytes(16, "big"))


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    batch = Batch()
    put_format(batch, 1)
    for number in range(ACCOUNTS):
        batch.put(account(number), b"%d" % number)
    made.write(batch)
    made.sync()
    return made


def test_each_step_is_made_to_every_record_in_order(store: MemoryStore) -> None:
    seen: list[tuple[int, int]] = []
    migrate(store, TWICE, 3, lambda version, keys: seen.append((version, keys)))
    assert stored_version(store) == 3
    assert [value for _, value in store.scan(START, END)] == [b"%d!!" % number for number in range(ACCOUNTS)]
    assert len(list(store.scan(*kind_range(0, Kind.RECEIPT)))) == ACCOUNTS
    assert [version for version, _ in seen] == [1] * 4 + [2] * 4
    assert seen[-1] == (2, ACCOUNTS)


def test_nothing_happens_to_a_store_that_is_there(store: MemoryStore) -> None:
    before = store.synced_batches()
    migrate(store, TWICE, 1)
    assert store.synced_batches() == before


@pytest.mark.parametrize("step", range(1, 9))
@pytest.mark.parametrize("when", ["write", "sync"])
def test_a_migration_killed_anywhere_goes_on_where_it_was_and_changes_nothing_twice(
    store: MemoryStore, step: int, when: str
) -> None:
    done = 0

    def progress(version: int, keys: int) -> None:
        nonlocal done
        done += 1
        if done == step:
            store.fail_next("write" if when == "write" else "sync")

    if step < 8:
        with pytest.raises(StoreFailed):
            migrate(store, TWICE, 3, progress)
    else:
        migrate(store, TWICE, 3, progress)
    store.lose_unsynced()
    again = store.reopen()
    migrate(again, TWICE, 3)
    assert stored_version(again) == 3
    assert [value for _, value in again.scan(START, END)] == [b"%d!!" % number for number in range(ACCOUNTS)]


def test_a_store_newer_than_the_software_is_refused_unchanged(store: MemoryStore) -> None:
    migrate(store, TWICE, 3)
    before = list(store.scan(b"", b"\xff\xff\xff"))
    with pytest.raises(StoreForeign, match="format 3; this software knows formats up to 2"):
        migrate(store, TWICE, 2)
    assert list(store.scan(b"", b"\xff\xff\xff")) == before


def test_a_store_too_old_for_any_migration_and_one_without_a_format_are_refused(store: MemoryStore) -> None:
    with pytest.raises(StoreForeign, match="no migration leads"):
        migrate(store, TWICE[1:], 3)
    with pytest.raises(StoreForeign, match="says nothing of its format"):
        migrate(MemoryStore(), TWICE, 3)
