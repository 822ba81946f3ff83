"""A backup is whole or refused; a restore is a new life, apart from the old one, erasures repeated."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from node.storage import restore as restoring
from node.storage.backup import back_up, complete, copy_staged, stage
from node.storage.keyspace import (
    ControlKind,
    Kind,
    PartitionMeta,
    control_key,
    journal_key,
    kind_range,
    partition_meta_key,
    partition_of,
)
from node.storage.manifest import (
    MANIFEST,
    BackupStore,
    Manifest,
    read_manifest,
    verify_backup,
    write_manifest,
)
from node.storage.meta import (
    OpenStore,
    StoreIdentity,
    StoreKind,
    create_store,
    open_store,
    register_store,
    registered_stores,
)
from node.storage.restore import erasures, erasures_to_repeat, keys_of_person, put_erasure, restore
from node.storage.store import Batch, StoreCorrupt, StoreForeign
from node.wire import records
from node.wire.coalition_store import RESTORED, Restored

PARTITIONS = 4
IDS = {
    "control": StoreIdentity(b"c" * 16, StoreKind.CONTROL, "m", PARTITIONS),
    "shards/00": StoreIdentity(b"0" * 16, StoreKind.SHARD, "m", PARTITIONS),
    "shards/01": StoreIdentity(b"1" * 16, StoreKind.SHARD, "m", PARTITIONS),
}
HOSTED = {"control": [], "shards/00": [0, 1], "shards/01": [2, 3]}
NOW_MS = 1_790_000_000_000
PERSONS = [bytes((number,)) * 16 for number in range(1, 9)]

Stores = dict[str, OpenStore]


def open_all(root: Path, generation: int | None = None) -> Stores:
    return {
        name: open_store(
            root / name, merchant_id="m", kind=one.kind, store_id=one.store_id, generation=generation
        )
        for name, one in IDS.items()
    }


def close_all(stores: Stores) -> None:
    for store in stores.values():
        store.close()


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
def live(tmp_path: Path) -> Iterator[Stores]:
    for name, one in IDS.items():
        create_store(tmp_path / "live" / name, one, hosted=HOSTED[name])
    stores = open_all(tmp_path / "live")
    batch = Batch()
    for one in IDS.values():
        register_store(batch, one)
    batch.put(control_key(ControlKind.TERMINAL, "صندوق ۱".encode()), b"terminal")
    stores["control"].store.write(batch)
    for name, partitions in HOSTED.items():
        batch = Batch()
        for person in PERSONS:
            if partition_of(person, PARTITIONS) in partitions:
                for key in keys_of_person(PARTITIONS, person):
                    batch.put(key, b"secret of " + person)
        stores[name].store.write(batch)
        for partition in partitions:
            commit(stores[name], partition, 1)
            commit(stores[name], partition, 2)
    yield stores
    close_all(stores)


@pytest.fixture
def backup(live: Stores, tmp_path: Path) -> Path:
    back_up(live, tmp_path / "backup", NOW_MS)
    return tmp_path / "backup"


def person_keys(stores: Stores) -> set[bytes]:
    return {
        key
        for name, partitions in HOSTED.items()
        for partition in partitions
        for key, _ in stores[name].store.scan(*kind_range(partition, Kind.PERSON_KEY))
    }


def test_a_backup_taken_while_the_node_runs_holds_that_moment_and_restores_to_it(
    live: Stores, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    staged = [stage(name, store) for name, store in live.items()]
    commit(live["shards/00"], 0, 3)  # the node goes on
    (tmp_path / "backup").mkdir()
    parts = [copy_staged(one, tmp_path / "backup", lambda *now: told.append(now)) for one in staged]
    manifest = completed(tmp_path / "backup", parts)
    assert manifest.created_ms == NOW_MS
    assert told
    assert all(0 < done <= total for _, done, total in told)
    restored = restore(tmp_path / "backup", tmp_path / "again", restored_ms=NOW_MS + 5)
    stores = open_all(tmp_path / "again", restored.generation)
    assert stores["shards/00"].store.get(journal_key(0, 2)) is not None
    assert stores["shards/00"].store.get(journal_key(0, 3)) is None
    assert stores["shards/01"].hosted == {2: 1, 3: 1}
    assert stores["control"].store.get(control_key(ControlKind.TERMINAL, "صندوق ۱".encode())) == b"terminal"
    assert live["shards/00"].store.get(journal_key(0, 3)) is not None
    close_all(stores)


def completed(destination: Path, parts: list[BackupStore]) -> Manifest:
    complete(destination, IDS["control"], parts, NOW_MS)
    return verify_backup(destination)


def test_a_backup_shares_no_file_with_the_store(backup: Path, live: Stores) -> None:
    ours = {path.stat().st_ino for path in live["shards/00"].directory.rglob("*") if path.is_file()}
    theirs = [path for path in backup.rglob("*") if path.is_file()]
    assert theirs
    assert not [path for path in theirs if path.stat().st_ino in ours]


def test_a_restored_store_and_what_it_replaced_are_never_accepted_together(
    backup: Path, live: Stores, tmp_path: Path
) -> None:
    close_all(live)
    manifest = restore(backup, tmp_path / "again", restored_ms=NOW_MS + 5)
    again = restore(backup, tmp_path / "third", restored_ms=NOW_MS + 6)
    assert 1 < manifest.generation < again.generation
    expected = {"merchant_id": "m", "kind": StoreKind.SHARD, "store_id": b"0" * 16}
    with pytest.raises(StoreForeign, match="before the restore"):
        open_store(tmp_path / "live/shards/00", **expected, generation=manifest.generation)  # type: ignore[arg-type]  # as the test gives them
    with pytest.raises(StoreForeign, match="later than"):
        open_store(tmp_path / "again/shards/00", **expected, generation=1)  # type: ignore[arg-type]  # as the test gives them
    stores = open_all(tmp_path / "again", manifest.generation)
    known = registered_stores(stores["control"].store)
    assert {one.store_id: one.generation for one in known} == {
        one.store_id: manifest.generation for one in IDS.values()
    }
    close_all(stores)


def test_who_was_erased_stays_erased_after_a_restore_and_nobody_else_is(live: Stores, tmp_path: Path) -> None:
    batch = Batch()
    put_erasure(batch, PERSONS[0])  # known to the backup, its deletion in the shard was still on its way
    live["control"].store.write(batch)
    back_up(live, tmp_path / "backup", NOW_MS)
    restored = restore(
        tmp_path / "backup", tmp_path / "again", restored_ms=NOW_MS, erased=[PERSONS[3], b"x" * 16]
    )
    stores = open_all(tmp_path / "again", restored.generation)
    left = [person for person in PERSONS if person not in (PERSONS[0], PERSONS[3])]
    assert person_keys(stores) == {keys_of_person(PARTITIONS, person)[0] for person in left}
    # What the books say of them is for the node to undo, when it opens them.
    for listed in (erasures, erasures_to_repeat):
        assert set(listed(stores["control"].store)) == {PERSONS[0], PERSONS[3], b"x" * 16}
    close_all(stores)
    for gone in (PERSONS[0], PERSONS[3]):
        files = list((tmp_path / "again").rglob("*.sst"))
        assert not any(b"secret of " + gone in path.read_bytes() for path in files)


def test_a_restored_partition_says_so_until_partners_have_shown_what_it_lacks(
    backup: Path, tmp_path: Path
) -> None:
    manifest = restore(backup, tmp_path / "again", restored_ms=NOW_MS + 5, without=("saffron",))
    stores = open_all(tmp_path / "again", manifest.generation)
    marks = [
        stores[name].store.get(partition_meta_key(partition, PartitionMeta.RESTORED))
        for name, hosted in HOSTED.items()
        for partition in hosted
    ]
    close_all(stores)
    mark = Restored(NOW_MS + 5, ("saffron",), generation=manifest.generation)
    assert [found and RESTORED.decode(found) for found in marks] == [mark] * 4


def damage_file(backup: Path) -> None:
    table = next(iter(sorted((backup / "shards/01").rglob("*.sst"))))
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 4
    table.write_bytes(data)


def remove_file(backup: Path) -> None:
    (backup / "control/head").unlink()


def add_file(backup: Path) -> None:
    (backup / "shards/00/db/000099.sst").write_bytes(b"more")


def shorten_file(backup: Path) -> None:
    path = backup / "shards/00/db/CURRENT"
    path.write_bytes(path.read_bytes()[:-1])


def swap_stores(backup: Path) -> None:
    (backup / "shards/00").rename(backup / "x")
    (backup / "shards/01").rename(backup / "shards/00")
    (backup / "x").rename(backup / "shards/01")


def edit_manifest(backup: Path) -> None:
    path = backup / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"generation":1', b'"generation":2'))


def cut_manifest(backup: Path) -> None:
    path = backup / MANIFEST
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    "tamper",
    [damage_file, remove_file, add_file, shorten_file, swap_stores, edit_manifest, cut_manifest],
)
def test_a_backup_that_is_not_as_it_was_made_is_refused_and_nothing_is_restored(
    backup: Path, tmp_path: Path, tamper: Callable[[Path], None]
) -> None:
    verify_backup(backup)
    tamper(backup)
    with pytest.raises(StoreCorrupt, match="damaged"):
        verify_backup(backup)
    with pytest.raises(StoreCorrupt):
        restore(backup, tmp_path / "again", restored_ms=NOW_MS)
    assert not (tmp_path / "again").exists()


def test_a_backup_that_was_never_finished_is_none(backup: Path, tmp_path: Path) -> None:
    (backup / MANIFEST).unlink()
    with pytest.raises(StoreForeign, match="never finished"):
        restore(backup, tmp_path / "again", restored_ms=NOW_MS)


def test_a_manifest_cannot_lead_a_restore_out_of_its_directory(backup: Path, tmp_path: Path) -> None:
    manifest = read_manifest(backup)
    evil = msgspec.structs.replace(manifest.stores[0], name="../outside")
    write_manifest(backup, msgspec.structs.replace(manifest, stores=[evil]))
    with pytest.raises(StoreForeign, match="leads out"):
        restore(backup, tmp_path / "again", restored_ms=NOW_MS)


def test_a_directory_that_is_not_empty_is_neither_backed_up_into_nor_restored_into(
    backup: Path, live: Stores, tmp_path: Path
) -> None:
    with pytest.raises(StoreForeign, match="not empty"):
        back_up(live, backup, NOW_MS)
    with pytest.raises(StoreForeign, match="not empty"):
        restore(backup, tmp_path / "live", restored_ms=NOW_MS)
    assert live["shards/00"].store.get(journal_key(0, 2)) is not None


def test_a_backup_or_restore_that_was_killed_can_be_made_again(
    live: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage("shards/00", live["shards/00"])  # killed before it was copied
    back_up(live, tmp_path / "backup", NOW_MS)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "_begin_generation", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(tmp_path / "backup", tmp_path / "again", restored_ms=NOW_MS)
    assert not (tmp_path / "again").exists()
    manifest = restore(tmp_path / "backup", tmp_path / "again", restored_ms=NOW_MS)
    close_all(open_all(tmp_path / "again", manifest.generation))


def test_a_backup_keeps_its_secrets_to_its_owner(backup: Path) -> None:
    shown = [path for path in [backup, *backup.rglob("*")] if path.stat().st_mode & 0o077]
    assert shown == []


def test_what_a_backup_holds_can_be_read_without_this_software(backup: Path) -> None:
    sealed = msgspec.json.decode((backup / MANIFEST).read_bytes())
    assert set(sealed) == {"manifest", "sha256"}
    assert sealed["manifest"]["merchant_id"] == "m"
    assert [store["name"] for store in sealed["manifest"]["stores"]] == list(IDS)
    assert shutil.disk_usage(backup).total > 0
