"""What a backup holds, file by file, and the proof that it still does.

The checksums find damage; they do not prove who made the backup.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import msgspec

from node.storage.files import make_directory, sync_directory, write_synced
from node.storage.meta import StoreKind
from node.storage.store import StoreCorrupt, StoreForeign

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
CHUNK_BYTES = 1024 * 1024

Progress = Callable[[str, int, int], None]
"""Told a file's name, and the bytes done and to do in all."""


def no_progress(name: str, done: int, total: int) -> None:
    """A `Progress` for who does not care."""


class BackupFile(msgspec.Struct, frozen=True):
    """One file of a store in a backup; `path` is relative to the store's directory in it."""

    path: str
    size_bytes: int
    sha256: str


class BackupStore(msgspec.Struct, frozen=True):
    """One store in a backup; `name` is its directory there, and where a restore puts it."""

    name: str
    store_id: str
    kind: StoreKind
    owned: dict[int, int]
    synced_batches: int
    files: list[BackupFile]


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds. `created_ms` is epoch milliseconds."""

    version: int
    created_ms: int
    merchant_id: str
    generation: int
    partitions: int
    stores: list[BackupStore]


class _Sealed(msgspec.Struct, frozen=True):
    """The manifest as stored: beside the SHA-256 of its own bytes."""

    manifest: msgspec.Raw
    sha256: str


def write_manifest(backup: Path, manifest: Manifest) -> None:
    """Writes the manifest beside the stores that it lists."""
    body = msgspec.json.encode(manifest)
    sealed = _Sealed(msgspec.Raw(body), hashlib.sha256(body).hexdigest())
    write_synced(backup / MANIFEST, msgspec.json.encode(sealed))


def read_manifest(backup: Path) -> Manifest:
    """The manifest, proven to be as it was written. Raises StoreForeign or StoreCorrupt."""
    try:
        sealed = msgspec.json.decode((backup / MANIFEST).read_bytes(), type=_Sealed)
    except FileNotFoundError as error:
        raise StoreForeign(
            f"{backup} has no {MANIFEST}: it is no backup, or one that was never finished.",
            "Nothing was changed.",
            "Choose another backup.",
        ) from error
    except msgspec.DecodeError as error:
        raise spoiled(backup, f"{MANIFEST} cannot be read") from error
    body = bytes(sealed.manifest)
    if hashlib.sha256(body).hexdigest() != sealed.sha256:
        raise spoiled(backup, f"{MANIFEST} is not as it was written")
    manifest = msgspec.json.decode(body, type=Manifest)
    if manifest.version > MANIFEST_VERSION:
        raise StoreForeign(
            f"{backup} was made by a newer version of this software.",
            "Nothing was changed.",
            "Restore it with that version.",
        )
    return manifest


def verify_backup(backup: Path, progress: Progress = no_progress) -> Manifest:
    """Proves that a backup is whole and as it was made. Raises StoreForeign or StoreCorrupt."""
    manifest = read_manifest(backup)
    expected = {
        f"{store.name}/{file.path}": (file, backup / safe(store.name) / safe(file.path))
        for store in manifest.stores
        for file in store.files
    }
    present = {path for path in backup.rglob("*") if path.is_file()} - {backup / MANIFEST}
    extra = present - {path for _, path in expected.values()}
    if extra:
        raise spoiled(backup, f"{sorted(extra)[0].relative_to(backup)} does not belong to it")
    total, done = sum(file.size_bytes for file, _ in expected.values()), 0
    for name, (file, path) in expected.items():
        if path not in present:
            raise spoiled(backup, f"{name} is missing")
        if path.stat().st_size != file.size_bytes or _digest(path) != file.sha256:
            raise spoiled(backup, f"{name} is not as it was written")
        done += file.size_bytes
        progress(name, done, total)
    return manifest


def copy_file(source: Path, target: Path) -> str:
    """Copies a file durably; returns the SHA-256 of what was copied."""
    make_directory(target.parent)
    digest = hashlib.sha256()
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as reader, os.fdopen(handle, "wb") as writer:
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    sync_directory(target.parent)
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safe(relative: str) -> PurePosixPath:
    """A path from a manifest, which may come from anywhere: never out of the directory it is put under."""
    path = PurePosixPath(relative)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise StoreForeign(
            f"The name {relative!r} leads out of the backup.",
            "Nothing was changed.",
            "Choose another backup.",
        )
    return path


def spoiled(backup: Path, what: str) -> StoreCorrupt:
    """The refusal of a backup that is not as it was made."""
    return StoreCorrupt(
        f"The backup {backup} is damaged: {what}.",
        "Nothing was restored.",
        "Choose another backup, or another copy of this one.",
    )
