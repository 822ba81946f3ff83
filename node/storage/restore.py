"""The way back from a backup.

A restore begins a new generation in all stores, so that nothing restored is ever used together with anything
it replaced, and erases again whoever was erased since.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from node.storage.files import sync_directory
from node.storage.head import replace_head
from node.storage.keyspace import (
    ControlKind,
    Kind,
    PartitionMeta,
    control_key,
    control_range,
    kind_range,
    parse_control,
    partition_meta_key,
    partition_of,
    person_key,
    person_secret_key,
)
from node.storage.manifest import Manifest, Progress, copy_file, no_progress, safe, spoiled, verify_backup
from node.storage.meta import (
    DATABASE,
    HEAD_FILE,
    StoreKind,
    current_head,
    owned_partitions,
    put_identity,
    read_identity,
    register_store,
    registered_stores,
)
from node.storage.rocks import RocksStore
from node.storage.store import Batch, Store, StoreForeign
from node.wire.coalition_store import RESTORED, Restored

_TO_REPEAT = b"\x01"


def put_erasure(batch: Batch, person_id: bytes, to_repeat: bool = False) -> None:
    """Puts into a batch for the control store that a person was erased, for any later restore to repeat.

    `to_repeat`: a restore brought their account back; it is to be erased again when the books are next open.
    """
    batch.put(control_key(ControlKind.ERASURE, person_id), _TO_REPEAT if to_repeat else b"")


def erasures(control: Store) -> list[bytes]:
    """The persons erased so far."""
    return [parse_control(key)[1] for key, _ in control.scan(*control_range(ControlKind.ERASURE))]


def erasures_to_repeat(control: Store) -> list[bytes]:
    """Of these, the ones whose accounts a restore has brought back."""
    found = control.scan(*control_range(ControlKind.ERASURE))
    return [parse_control(key)[1] for key, value in found if value == _TO_REPEAT]


def keys_of_person(partitions: int, person_id: bytes) -> list[bytes]:
    """The keys that erasing deletes: the secret, without which the record is noise, and the record."""
    partition = partition_of(person_id, partitions)
    return [person_secret_key(partition, person_id), person_key(partition, person_id)]


def restore(
    backup: Path,
    target: Path,
    *,
    restored_ms: int,
    erased: Iterable[bytes] = (),
    without: Sequence[str] = (),
    progress: Progress = no_progress,
) -> Manifest:
    """Puts a backup's stores into `target`, whole or not at all, as a new generation. The backup is kept.

    `erased` are persons (16-byte ids) erased since the backup was made; they and those that the backup itself
    knows of are erased in what is restored: their keys and data at once, their identifiers when the node next
    starts (`erasures_to_repeat`), since the books are not open here. In a coalition members earn at once, and
    spend once every partner has shown what it holds, but those in `without`. Raises StoreForeign unless
    `target` is missing or empty.
    """
    if target.exists() and any(target.iterdir()):
        raise StoreForeign(
            f"{target} is not empty.",
            "Nothing was changed.",
            "Move what is there aside, or restore into another directory.",
        )
    manifest = verify_backup(backup, progress)
    # Larger than any generation so far, also when the same backup is restored twice.
    generation = max(manifest.generation + 1, restored_ms)
    new = target.with_name(target.name + ".restoring")
    if new.exists():
        shutil.rmtree(new)
    for store in manifest.stores:
        for file in store.files:
            path = new / safe(store.name) / safe(file.path)
            if copy_file(backup / safe(store.name) / safe(file.path), path) != file.sha256:
                raise spoiled(backup, f"{store.name}/{file.path} changed while it was read")
    gone = sorted({*erased, *_known_erasures(new, manifest)})
    for store in manifest.stores:
        mark = Restored(restored_ms, tuple(without), generation=generation)
        _begin_generation(new / safe(store.name), generation, gone, mark)
    new.rename(target)
    sync_directory(target.parent)
    return msgspec.structs.replace(manifest, generation=generation)


def _known_erasures(new: Path, manifest: Manifest) -> list[bytes]:
    found: list[bytes] = []
    for store in manifest.stores:
        if store.kind is StoreKind.CONTROL:
            control = RocksStore(new / safe(store.name) / DATABASE)
            try:
                found += erasures(control)
            finally:
                control.close()
    return found


def _begin_generation(directory: Path, generation: int, erased: Sequence[bytes], mark: Restored) -> None:
    store = RocksStore(directory / DATABASE)
    try:
        identity = msgspec.structs.replace(read_identity(store, directory), generation=generation)
        owned = owned_partitions(store)
        batch = Batch()
        put_identity(batch, identity)
        for known in registered_stores(store):
            register_store(batch, msgspec.structs.replace(known, generation=generation))
        if identity.kind is not StoreKind.CONTROL:
            for partition in owned:
                batch.put(partition_meta_key(partition, PartitionMeta.RESTORED), RESTORED.encode(mark))
        for person_id in erased:
            if identity.kind is StoreKind.CONTROL:
                put_erasure(batch, person_id, to_repeat=True)
            elif partition_of(person_id, identity.partitions) in owned:
                for key in keys_of_person(identity.partitions, person_id):
                    batch.delete(key)
        store.write(batch)
        store.sync()
        if erased:
            for partition in owned:
                store.forget_deleted(*kind_range(partition, Kind.PERSON_KEY))
        head = current_head(store, identity)
    finally:
        store.close()
    replace_head(directory / HEAD_FILE, head)
