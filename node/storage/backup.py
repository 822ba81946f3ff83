"""Backups of all stores together, while the node runs.

A transfer between partitions is a debit here and a credit there, so the stores must be caught at one moment:
the owner holds all of them between two batches, lets each `stage` itself (a checkpoint of hard links, a
matter of milliseconds), lets them go on, and copies at leisure. The manifest is written last, so that a
directory with one is a whole backup.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from node.storage.head import create_head
from node.storage.manifest import (
    MANIFEST_VERSION,
    BackupFile,
    BackupStore,
    Manifest,
    Progress,
    copy_file,
    no_progress,
    safe,
    write_manifest,
)
from node.storage.meta import DATABASE, HEAD_FILE, OpenStore, StoreIdentity, current_head
from node.storage.store import StoreForeign

STAGING = "staging"


class StagedStore(msgspec.Struct, frozen=True):
    """A store caught at one moment in `path`, not copied yet."""

    name: str
    path: str
    identity: StoreIdentity
    owned: dict[int, int]
    synced_batches: int


def stage(name: str, opened: OpenStore) -> StagedStore:
    """Catches a store as it is now. Fast; call it between two batches, on the store's own thread."""
    opened.store.sync()
    path = opened.directory / STAGING
    if path.exists():
        shutil.rmtree(path)  # an earlier backup that was killed
    path.mkdir(mode=0o700)
    opened.store.checkpoint(path / DATABASE)
    head = current_head(opened.store, opened.identity)
    create_head(path / HEAD_FILE, head)
    return StagedStore(name, str(path), opened.identity, dict(opened.hosted), head.synced_batches)


def copy_staged(staged: StagedStore, destination: Path, progress: Progress = no_progress) -> BackupStore:
    """Copies a staged store into the backup and lets go of the stage. Any thread; the store goes on.

    Real copies, never links: a link would share its damage with the original.
    """
    source, target = Path(staged.path), destination / safe(staged.name)
    files = sorted(path for path in source.rglob("*") if path.is_file())
    total, done, copied = sum(path.stat().st_size for path in files), 0, []
    for path in files:
        relative = path.relative_to(source)
        digest = copy_file(path, target / relative)
        size = path.stat().st_size
        done += size
        copied.append(BackupFile(relative.as_posix(), size, digest))
        progress(f"{staged.name}/{relative.as_posix()}", done, total)
    shutil.rmtree(source)
    identity = staged.identity
    return BackupStore(
        staged.name, identity.store_id.hex(), identity.kind, staged.owned, staged.synced_batches, copied
    )


def complete(
    destination: Path, identity: StoreIdentity, stores: Sequence[BackupStore], created_ms: int
) -> Manifest:
    """Writes the manifest, which makes the copied stores a backup. `identity` is that of any of them."""
    manifest = Manifest(
        MANIFEST_VERSION,
        created_ms,
        identity.merchant_id,
        identity.generation,
        identity.partitions,
        list(stores),
    )
    write_manifest(destination, manifest)
    return manifest


def prepare_destination(destination: Path) -> None:
    """Makes the backup's directory. Raises StoreForeign unless it is missing or empty."""
    if destination.exists() and any(destination.iterdir()):
        raise StoreForeign(
            f"{destination} is not empty.", "Nothing was changed.", "Give each backup a directory of its own."
        )
    destination.mkdir(parents=True, exist_ok=True, mode=0o700)


def back_up(
    stores: Mapping[str, OpenStore], destination: Path, created_ms: int, progress: Progress = no_progress
) -> Manifest:
    """A backup of stores that one process holds open: every store by its name, which is a relative path."""
    prepare_destination(destination)
    staged = [stage(name, opened) for name, opened in stores.items()]
    copied = [copy_staged(one, destination, progress) for one in staged]
    return complete(destination, staged[0].identity, copied, created_ms)
