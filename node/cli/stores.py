"""The stores of a node that is not running: whether they are free, what is in them, all of them open."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from node import installation
from node.actors.directories import Directories
from node.coalition.directory import Directory
from node.config import Config, ConfigError
from node.identity.keys import SecretKey
from node.identity.sealing import SealBroken, rewrap
from node.storage.head import read_head, verify_partitions
from node.storage.keyspace import Kind, PartitionMeta, kind_range, partition_meta_key
from node.storage.lock import OWNER_FILE, own_directory, require_store
from node.storage.meta import (
    DATABASE,
    HEAD_FILE,
    Move,
    OpenStore,
    StoreIdentity,
    StoreKind,
    check_head,
    journal_hash,
    open_store,
    owned_partitions,
    partition_heads,
    placement,
    read_identity,
    read_move,
    registered_stores,
)
from node.storage.migrate import stored_version
from node.storage.rocks import RocksStore
from node.storage.store import Store, StoreLocked
from node.wire import records

SHARD_PATTERN = "shard-*[0-9a-f]"


class InUse(Exception):
    """A process holds the stores; the text says which, and what to do."""


class Seen(NamedTuple):
    """What a store says of itself.

    `clock_ms` is the time of the latest posting in it, `person_key` any one person's wrapped key, to try the
    master key on, `registered` the installation's shards where it is the control store, and `note` what was
    cut off its log.
    """

    directory: Path
    identity: StoreIdentity
    owned: dict[int, int]
    move: Move | None
    format: int
    clock_ms: int
    person_key: bytes | None
    registered: list[StoreIdentity]
    note: str | None


def store_directories(config: Config) -> list[Path]:
    """The directories of stores on this machine, the control store's first."""
    control = installation.control_directory(config)
    found = sorted(path for path in config.storage.directory.glob(SHARD_PATTERN) if path.is_dir())
    return [path for path in (control, *found) if (path / DATABASE / OWNER_FILE).exists()]


def holders(directories: Iterable[Path]) -> dict[Path, int]:
    """Of these stores, those that a process holds, with that process's id, or 0 where it is not known."""
    held: dict[Path, int] = {}
    for directory in directories:
        handle = os.open(directory / DATABASE / OWNER_FILE, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            held[directory] = _process_with_lock(handle)
        finally:
            os.close(handle)
    return held


def _process_with_lock(handle: int) -> int:
    """Who holds the flock of an open file, by /proc/locks (proc(5)); 0 where that does not say."""
    status = os.fstat(handle)
    name = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        rows = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for row in rows:
        fields = row.split()
        if "FLOCK" in fields and name in fields and fields[fields.index(name) - 1].isdigit():
            return int(fields[fields.index(name) - 1])
    return 0


def require_stopped(config: Config, todo: str) -> None:
    """Raises InUse, with what to do, while a process holds any of the stores."""
    held = holders(store_directories(config))
    if held:
        raise InUse(f"{in_use_text(held)} Nothing was changed. {todo}")


def in_use_text(held: dict[Path, int]) -> str:
    """Who holds which stores, in one sentence."""
    processes = sorted(set(filter(None, held.values())))
    named = f"process{'es' if len(processes) > 1 else ''} {', '.join(map(str, processes))}"
    by = named if processes else "another process"
    return f"The stores in {next(iter(held)).parent} are in use by {by}: a node is running or ending."


@contextmanager
def kept_stopped(config: Config, todo: str) -> Iterator[None]:
    """Holds the lock of every shard's store, so that no node serves meanwhile; raises InUse.

    The control store stays free for the caller to open: without shards no node gets beyond it.
    """
    require_stopped(config, todo)
    with ExitStack() as stack:
        for directory in store_directories(config):
            if directory != installation.control_directory(config):
                stack.enter_context(locked(directory, todo))
        yield


@contextmanager
def locked(directory: Path, todo: str) -> Iterator[None]:
    """Holds the lock of one store that is not opened here; raises InUse."""
    try:
        handle = own_directory(directory / DATABASE, create=False)
    except StoreLocked as held:
        raise InUse(f"{held.happened} {held.kept} {todo}") from None
    try:
        yield
    finally:
        os.close(handle)


def see(directory: Path) -> Seen:
    """Opens a store of a stopped node to see what is in it, and closes it; raises StoreError.

    A torn tail of its log is cut off and kept, as a start would do; it is not migrated.
    """
    require_store(directory / DATABASE)
    head = read_head(directory / HEAD_FILE).state
    store = RocksStore(directory / DATABASE, at_least=head.synced_batches)
    try:
        identity = read_identity(store, directory)
        check_head(directory, identity, head)
        owned = owned_partitions(store)
        verify_partitions(head, partition_heads(store, owned), journal_hash(store))
        clocks = [0]
        for partition in owned:
            data = store.get(partition_meta_key(partition, PartitionMeta.HEAD))
            if data is not None:
                clocks.append(records.HEAD.decode(data).clock_ms)
        return Seen(
            directory,
            identity,
            owned,
            read_move(store),
            stored_version(store),
            max(clocks),
            _any_person_key(store, owned),
            registered_stores(store),
            store.recovered,
        )
    finally:
        store.close()


def followed_directory(directory: Path) -> Directory | None:
    """The directory that a stopped node follows, from its control store; None where it is in no coalition."""
    store = RocksStore(directory / DATABASE, at_least=read_head(directory / HEAD_FILE).state.synced_batches)
    try:
        known = Directories(store).known
        return known.newest if known else None
    finally:
        store.close()


def _any_person_key(store: Store, partitions: Iterable[int]) -> bytes | None:
    for partition in partitions:
        for _, wrapped in store.scan(*kind_range(partition, Kind.PERSON_KEY), limit=1):
            return wrapped
    return None


def opens_with(master: SecretKey, seen: Iterable[Seen]) -> bool:
    """Whether the persons in these stores are sealed under this master key; true where there are none."""
    try:
        for one in seen:
            if one.person_key is not None:
                rewrap(master, master, one.person_key)
    except SealBroken:
        return False
    return True


def check_partitions(config: Config, identity: StoreIdentity) -> None:
    """Refuses a changed number of partitions in vafa.toml: every account has its place by it."""
    if identity.partitions != config.storage.partitions:
        raise ConfigError(
            f"storage.partitions is {config.storage.partitions} in vafa.toml, and the books are in "
            f"{identity.partitions}, which is fixed for ever. Set it back to {identity.partitions}."
        )


@contextmanager
def opened_shards(config: Config, todo: str) -> Iterator[list[OpenStore]]:
    """Every shard's store, opened as the node would open it, each partition in one of them.

    Raises InUse while the node runs, and StoreError where a store is missing or damaged.
    """
    require_stopped(config, todo)
    with ExitStack() as stack:
        try:
            control = installation.open_control(config)
            stack.callback(control.close)
            check_partitions(config, control.identity)
            shards: list[OpenStore] = []
            for identity in registered_stores(control.store):
                opened = open_store(
                    installation.shard_directory(config, identity.store_id),
                    merchant_id=config.merchant.id,
                    kind=StoreKind.SHARD,
                    store_id=identity.store_id,
                    generation=control.identity.generation,
                )
                stack.callback(opened.close)
                shards.append(opened)
        except StoreLocked as locked_by:  # a node that is starting at this moment
            raise InUse(f"{locked_by.happened} {locked_by.kept} {todo}") from None
        placement({one.identity.store_id: one.hosted for one in shards}, control.identity.partitions)
        yield shards
