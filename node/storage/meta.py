"""Whose store a directory is: made once, and proven each time before it is used.

An empty directory (a disk that was not mounted) is never mistaken for a new store, nor another merchant's, an
older copy's or a newer software's store for ours. A store's directory holds the RocksDB directory `db` and
the file `head`.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from node.storage.files import make_directory, sync_directory
from node.storage.head import (
    Head,
    HeadState,
    HeadWriter,
    create_head,
    read_head,
    verify_partitions,
)
from node.storage.keyspace import (
    PARTITIONS_MAX,
    ControlKind,
    PartitionMeta,
    StoreMeta,
    control_key,
    control_range,
    journal_key,
    partition_meta_key,
    store_meta_key,
)
from node.storage.lock import require_store
from node.storage.migrate import migrate, put_format
from node.storage.rocks import DEFAULT_OPTIONS, RocksOptions, RocksStore
from node.storage.store import Batch, Store, StoreForeign
from node.wire import records

DATABASE = "db"
HEAD_FILE = "head"
FIRST_GENERATION = 1
_IDENTITY_KEY = store_meta_key(StoreMeta.IDENTITY)
_MOVE_KEY = store_meta_key(StoreMeta.MOVE)


class StoreKind(StrEnum):
    """What a store is for."""

    SHARD = "shard"
    CONTROL = "control"


class StoreIdentity(msgspec.Struct, frozen=True):
    """Whose store it is. `partitions` is the installation's number of them, not the store's own.

    `generation` counts the lives of the installation: a restore raises it in all stores together, so that
    what was restored and what it replaced are never mixed.
    """

    store_id: bytes
    kind: StoreKind
    merchant_id: str
    partitions: int
    generation: int = FIRST_GENERATION


class Move(msgspec.Struct, frozen=True, array_like=True):
    """A partition on its way out of the store that holds this record, to be owned under `generation`."""

    partition: int
    target_store_id: bytes
    generation: int


@dataclasses.dataclass(slots=True)
class OpenStore:
    """A store proven to be the one expected, with its head. `hosted` maps partition to ownership generation.

    `notes` are things to log: a torn tail that was cut off, a bit of the head that was turned back.
    """

    directory: Path
    store: RocksStore
    identity: StoreIdentity
    head: HeadWriter
    hosted: dict[int, int]
    notes: list[str] = dataclasses.field(default_factory=list)

    def close(self) -> None:
        """Writes the last head and releases the store. The owner has synced before."""
        try:
            self.head.close()
        finally:
            self.store.close()


def create_store(
    directory: Path,
    identity: StoreIdentity,
    *,
    hosted: Iterable[int] = (),
    options: RocksOptions = DEFAULT_OPTIONS,
) -> None:
    """Makes a new store that owns the partitions `hosted`, whole or not at all.

    Raises StoreForeign unless `directory` is missing or empty.
    """
    if directory.exists() and any(directory.iterdir()):
        raise StoreForeign(f"{directory} is not empty.", "Nothing was changed.", "Choose an empty directory.")
    new = directory.with_name(directory.name + ".creating")
    if new.exists():
        shutil.rmtree(new)  # an earlier attempt that was killed
    make_directory(new)
    store = RocksStore(new / DATABASE, dataclasses.replace(options, create=True))
    try:
        batch = Batch()
        put_identity(batch, identity)
        put_format(batch)
        for partition in hosted:
            put_ownership(batch, partition, FIRST_GENERATION)
        store.write(batch)
        store.sync()
        state = current_head(store, identity)
    finally:
        store.close()
    create_head(new / HEAD_FILE, state)
    new.rename(directory)
    sync_directory(directory.parent)


def open_store(
    directory: Path,
    *,
    merchant_id: str,
    kind: StoreKind,
    store_id: bytes | None = None,
    generation: int | None = None,
    options: RocksOptions = DEFAULT_OPTIONS,
) -> OpenStore:
    """Opens the store in `directory` if it is the one expected and has lost nothing; migrates it if need be.

    `store_id` and `generation` come from the control store, which alone is opened without them. Raises
    StoreForeign, StoreLocked, StoreCorrupt, StoreBehindHead, each leaving the store as it was.
    """
    require_store(directory / DATABASE)
    head = read_head(directory / HEAD_FILE)
    store = RocksStore(directory / DATABASE, options, at_least=head.state.synced_batches)
    try:
        identity = read_identity(store, directory)
        _check_identity(directory, identity, merchant_id, kind, store_id, generation)
        _refuse_unfinished_move(store, directory)
        check_head(directory, identity, head.state)
        migrate(store)
        hosted = owned_partitions(store)
        verify_partitions(head.state, partition_heads(store, hosted), journal_hash(store))
        # The store may be ahead of its head by what was synced last: the new head starts from the store.
        state = msgspec.structs.replace(current_head(store, identity), counter=head.state.counter)
        writer = HeadWriter(directory / HEAD_FILE, state, store.synced_batches)
    except BaseException:
        store.close()
        raise
    notes = [note for note in (store.recovered, head.note) if note is not None]
    return OpenStore(directory, store, identity, writer, hosted, notes)


def put_identity(batch: Batch, identity: StoreIdentity) -> None:
    """Puts a store's identity into `batch`."""
    batch.put(_IDENTITY_KEY, msgspec.msgpack.encode(identity))


def read_identity(store: Store, directory: Path) -> StoreIdentity:
    """The store's identity; raises StoreForeign for a store without one."""
    value = store.get(_IDENTITY_KEY)
    if value is None:
        raise StoreForeign(
            f"{directory} holds a database, but not one of ours.",
            "Nothing was changed.",
            "Check the path; a new store is only made by `vafa init`.",
        )
    return msgspec.msgpack.decode(value, type=StoreIdentity)


def put_ownership(batch: Batch, partition: int, generation: int) -> None:
    """Puts into `batch` that the store owns `partition` under `generation`."""
    batch.put(partition_meta_key(partition, PartitionMeta.OWNERSHIP), generation.to_bytes(8, "big"))


def owned_partitions(store: Store) -> dict[int, int]:
    """The partitions in the store and the generation under which it owns each."""
    keys = [partition_meta_key(partition, PartitionMeta.OWNERSHIP) for partition in range(PARTITIONS_MAX)]
    values = store.get_many(keys)
    return {place: int.from_bytes(value, "big") for place, value in enumerate(values) if value is not None}


def placement(owned: Mapping[bytes, Mapping[int, int]], partitions: int) -> dict[int, bytes]:
    """Which store owns each of the installation's partitions, from what each store (by id) says it owns.

    The higher generation owns; the lower is what a move left behind. Raises StoreForeign when a partition has
    no owner (a store is missing) or two of one generation (a directory was copied).
    """
    owners: dict[int, bytes] = {}
    for partition in range(partitions):
        claims = sorted(
            ((found[partition], store_id) for store_id, found in owned.items() if partition in found),
            reverse=True,
        )
        if not claims or (len(claims) > 1 and claims[0][0] == claims[1][0]):
            problem = "is in two stores at once" if claims else "is in none of the stores"
            raise StoreForeign(
                f"Partition {partition} {problem}.",
                "Nothing was changed.",
                "Bring back every store's directory of this installation, each once and no copy of one.",
            )
        owners[partition] = claims[0][1]
    return owners


def partition_heads(store: Store, partitions: Iterable[int]) -> dict[int, Head]:
    """What the store itself says how far these partitions have come; those without a journal are left out."""
    heads = {}
    for partition in partitions:
        value = store.get(partition_meta_key(partition, PartitionMeta.HEAD))
        if value is not None:
            head = records.HEAD.decode(value)
            heads[partition] = Head(head.sequence, head.hash)
    return heads


def journal_hash(store: Store) -> Callable[[int, int], bytes | None]:
    """Reads the chain's hash at (partition, sequence) from the store's journal; None without an entry."""

    def read(partition: int, sequence: int) -> bytes | None:
        value = store.get(journal_key(partition, sequence))
        return None if value is None else value[: records.HASH_BYTES]

    return read


def current_head(store: Store, identity: StoreIdentity) -> HeadState:
    """The head of a store as it stands now, everything in it being durable."""
    heads = partition_heads(store, owned_partitions(store))
    return HeadState(identity.store_id, identity.generation, store.synced_batches(), heads)


def register_store(batch: Batch, identity: StoreIdentity) -> None:
    """Puts into a batch for the control store that this store belongs to the installation."""
    batch.put(control_key(ControlKind.STORE, identity.store_id), msgspec.msgpack.encode(identity))


def registered_stores(control: Store) -> list[StoreIdentity]:
    """The stores that belong to the installation, by store id."""
    pairs = control.scan(*control_range(ControlKind.STORE))
    return [msgspec.msgpack.decode(value, type=StoreIdentity) for _, value in pairs]


def put_move(batch: Batch, move: Move | None) -> None:
    """Puts into `batch` that a move out of the store is under way, or with None that there is none."""
    if move is None:
        batch.delete(_MOVE_KEY)
    else:
        batch.put(_MOVE_KEY, msgspec.msgpack.encode(move))


def read_move(store: Store) -> Move | None:
    """The move that is under way out of the store, if there is one."""
    value = store.get(_MOVE_KEY)
    return None if value is None else msgspec.msgpack.decode(value, type=Move)


def _check_identity(
    directory: Path,
    found: StoreIdentity,
    merchant_id: str,
    kind: StoreKind,
    store_id: bytes | None,
    generation: int | None,
) -> None:
    if found.merchant_id != merchant_id:
        problem = f"belongs to merchant {found.merchant_id}, not to {merchant_id}"
    elif found.kind != kind:
        problem = f"is a {found.kind} store, not a {kind} store"
    elif store_id is not None and found.store_id != store_id:
        problem = f"is store {found.store_id.hex()}, and {store_id.hex()} is expected here"
    elif generation is not None and found.generation < generation:
        problem = (
            f"is from generation {found.generation}, before the restore that began generation {generation}"
        )
    elif generation is not None and found.generation > generation:
        problem = f"is from generation {found.generation}, later than the {generation} of the control store"
    else:
        return
    raise StoreForeign(
        f"The store in {directory} {problem}.",
        "Nothing was changed.",
        "Put the right directory there; stores of one installation are only backed up and restored together.",
    )


def check_head(directory: Path, identity: StoreIdentity, state: HeadState) -> None:
    """Refuses (StoreForeign) a head file that is not this store's."""
    if (state.store_id, state.generation) != (identity.store_id, identity.generation):
        raise StoreForeign(
            f"The head file in {directory} belongs to another store or generation.",
            "Nothing was changed.",
            "Put back the head file that was beside this store.",
        )


def _refuse_unfinished_move(store: Store, directory: Path) -> None:
    move = read_move(store)
    if move is not None:
        raise StoreForeign(
            f"The move of partition {move.partition} from {directory} to store "
            f"{move.target_store_id.hex()} was interrupted.",
            "The partition is whole; nothing was lost.",
            "Run the same move again: it goes on where it was.",
        )
