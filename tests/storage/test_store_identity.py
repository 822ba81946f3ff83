"""A store is opened only as what it is: nothing empty, foreign, older or half-made is taken for it."""

import shutil
from pathlib import Path

import pytest

from node.storage import meta
from node.storage.keyspace import PartitionMeta, journal_key, partition_meta_key
from node.storage.meta import (
    DATABASE,
    HEAD_FILE,
    Move,
    OpenStore,
    StoreIdentity,
    StoreKind,
    create_store,
    open_store,
    owned_partitions,
    placement,
    put_identity,
    put_move,
    register_store,
    registered_stores,
)
from node.storage.migrate import FORMAT_VERSION, put_format
from node.storage.rocks import RocksOptions, RocksStore
from node.storage.store import Batch, StoreBehindHead, StoreCorrupt, StoreError, StoreForeign, StoreLocked
from node.wire import records

ID = StoreIdentity(b"i" * 16, StoreKind.SHARD, "فروشگاه", 4)


def opened(directory: Path, **changes: object) -> OpenStore:
    expected = {"merchant_id": ID.merchant_id, "kind": ID.kind, "store_id": ID.store_id, "generation": 1}
    return open_store(directory, **(expected | changes))  # type: ignore[arg-type]  # as the test gives them


def commit(store: OpenStore, partition: int, sequence: int) -> None:
    digest = bytes((partition,)) * 24 + sequence.to_bytes(8, "big")
    batch = Batch()
    batch.put(journal_key(partition, sequence), digest + b"entry")
    head = records.HEAD.encode(records.PartitionHead(sequence, digest))
    batch.put(partition_meta_key(partition, PartitionMeta.HEAD), head)
    store.store.write(batch)
    store.store.sync()
    store.head.keep(partition, sequence, digest)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    create_store(tmp_path / "shard", ID, hosted=[0, 3])
    return tmp_path / "shard"


def test_a_new_store_opens_as_what_it_was_made(directory: Path) -> None:
    store = opened(directory)
    assert store.identity == ID
    assert store.hosted == {0: 1, 3: 1}
    assert store.notes == []
    store.close()


def test_what_was_committed_is_there_and_guarded_after_a_restart(directory: Path) -> None:
    store = opened(directory)
    commit(store, 3, 1)
    commit(store, 3, 2)
    store.close()
    store = opened(directory)
    assert store.store.get(journal_key(3, 2)) is not None
    store.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"merchant_id": "another"}, "belongs to merchant"),
        ({"kind": StoreKind.CONTROL}, "is a shard store"),
        ({"store_id": b"j" * 16}, "is expected here"),
        ({"generation": 2}, "before the restore"),
        ({"generation": 0}, "later than"),
    ],
)
def test_another_store_is_refused_with_the_reason_and_can_still_be_opened_as_what_it_is(
    directory: Path, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(StoreForeign, match=reason):
        opened(directory, **changes)
    opened(directory).close()


@pytest.mark.parametrize("content", ["missing", "empty", "files"])
def test_an_empty_directory_is_never_taken_for_a_new_store(tmp_path: Path, content: str) -> None:
    place = tmp_path / "mount"
    if content != "missing":
        place.mkdir()
    if content == "files":
        (place / "lost+found").mkdir()
    with pytest.raises(StoreForeign, match="holds no store"):
        opened(place)
    assert [path.name for path in tmp_path.rglob("*") if path != place] == (
        ["lost+found"] if content == "files" else []
    )


def test_a_database_that_is_not_ours_is_refused(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    RocksStore(tmp_path / "foreign" / DATABASE, RocksOptions(create=True)).close()
    shutil.copy(directory / HEAD_FILE, tmp_path / "foreign" / HEAD_FILE)
    with pytest.raises(StoreError):
        opened(tmp_path / "foreign")


def test_a_store_is_made_only_in_an_empty_place_and_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("something")
    with pytest.raises(StoreForeign, match="not empty"):
        create_store(tmp_path / "used", ID)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(meta, "create_head", killed)
        with pytest.raises(KeyboardInterrupt):
            create_store(tmp_path / "new", ID)
    with pytest.raises(StoreForeign):
        opened(tmp_path / "new")
    create_store(tmp_path / "new", ID)
    opened(tmp_path / "new").close()


def test_a_head_of_another_store_or_no_head_is_refused(directory: Path, tmp_path: Path) -> None:
    create_store(tmp_path / "other", StoreIdentity(b"o" * 16, StoreKind.SHARD, ID.merchant_id, 4))
    kept = (directory / HEAD_FILE).read_bytes()
    shutil.copy(tmp_path / "other" / HEAD_FILE, directory / HEAD_FILE)
    with pytest.raises(StoreForeign, match="head file"):
        opened(directory)
    (directory / HEAD_FILE).unlink()
    with pytest.raises(StoreCorrupt, match="head file"):
        opened(directory)
    (directory / HEAD_FILE).write_bytes(kept)
    opened(directory).close()


def test_an_older_copy_of_the_database_beside_the_newer_head_is_refused(
    directory: Path, tmp_path: Path
) -> None:
    store = opened(directory)
    commit(store, 0, 1)
    store.close()
    shutil.copytree(directory / DATABASE, tmp_path / "older")
    store = opened(directory)
    commit(store, 0, 2)
    store.close()
    shutil.rmtree(directory / DATABASE)
    shutil.copytree(tmp_path / "older", directory / DATABASE)
    with pytest.raises(StoreBehindHead, match="lacks what was acknowledged"):
        opened(directory)


def test_a_partition_with_another_history_is_refused(directory: Path) -> None:
    store = opened(directory)
    commit(store, 0, 1)
    batch = Batch()
    batch.put(journal_key(0, 1), b"x" * 40)
    store.store.write(batch)
    store.store.sync()
    store.close()
    with pytest.raises(StoreBehindHead, match="history of partition 0"):
        opened(directory)


def test_a_store_in_use_is_refused(directory: Path) -> None:
    store = opened(directory)
    with pytest.raises(StoreLocked):
        opened(directory)
    store.close()


def test_a_store_of_a_newer_version_is_refused(directory: Path) -> None:
    store = opened(directory)
    batch = Batch()
    put_format(batch, FORMAT_VERSION + 1)
    store.store.write(batch)
    store.store.sync()
    store.close()
    with pytest.raises(StoreForeign, match="newer version"):
        opened(directory)


def test_a_store_with_an_interrupted_move_is_not_served(directory: Path) -> None:
    store = opened(directory)
    batch = Batch()
    put_move(batch, Move(3, b"t" * 16, 2))
    store.store.write(batch)
    store.store.sync()
    store.close()
    with pytest.raises(StoreForeign, match="move of partition 3"):
        opened(directory)


def test_a_flipped_bit_of_the_head_is_reported_when_the_store_opens(directory: Path) -> None:
    data = bytearray((directory / HEAD_FILE).read_bytes())
    data[20] ^= 1
    (directory / HEAD_FILE).write_bytes(data)
    store = opened(directory)
    assert [note for note in store.notes if "One bit" in note]
    store.close()


def test_the_installation_knows_its_stores(directory: Path) -> None:
    store = opened(directory)
    batch = Batch()
    register_store(batch, ID)
    store.store.write(batch)
    assert registered_stores(store.store) == [ID]
    assert owned_partitions(store.store) == {0: 1, 3: 1}
    store.close()


def test_each_partition_is_placed_with_its_owner_of_the_highest_generation() -> None:
    owned = {b"a": {0: 1, 1: 1}, b"b": {1: 2, 2: 1}}
    assert placement(owned, 3) == {0: b"a", 1: b"b", 2: b"b"}
    with pytest.raises(StoreForeign, match="Partition 3 is in none"):
        placement(owned, 4)
    with pytest.raises(StoreForeign, match="Partition 1 is in two"):
        placement(owned | {b"c": {1: 2}}, 3)


def test_an_identity_can_be_read_by_nobody_but_its_store(directory: Path) -> None:
    store = opened(directory)
    batch = Batch()
    put_identity(batch, StoreIdentity(b"z" * 16, StoreKind.SHARD, ID.merchant_id, 4))
    store.store.write(batch)
    store.store.sync()
    store.close()
    with pytest.raises(StoreForeign, match="is expected here"):
        opened(directory)
