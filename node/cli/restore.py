"""`vafa restore`: a backup in the place of a stopped node's stores, so that a crash anywhere can be repaired.

Beside the data directory, in this order:

data.restored       the backup's stores as a new generation, proven, with a copy of the secrets; then
data.before-<time>  the data directory under this name, and
data                the restored one under its.

Killed before the first renaming, nothing has changed and another run begins anew. Killed between the two, the
data directory is missing and the next run does the second.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from node import installation
from node.cli.connection import DEFAULT_CONFIG, ConfigOption, load, warn
from node.cli.stores import kept_stopped, locked, opens_with, see
from node.config import Config
from node.identity.keys import load_secrets, read_secret, write_secret
from node.storage.files import replace_synced, sync_directory
from node.storage.manifest import Manifest, read_manifest
from node.storage.meta import DATABASE, StoreKind, placement
from node.storage.restore import erasures, restore
from node.storage.store import StoreError, StoreLocked

NOTE = "restored-from.json"
_STOP_FIRST = "Stop the node first (systemctl stop vafa), then restore."


class RestoreRefused(Exception):
    """A backup that is not put in place; the text says why and what to do."""


class RestoredFrom(msgspec.Struct, frozen=True):
    """The note in a restored data directory: which backup, made when, put back when (epoch milliseconds), and
    which partners are not waited for before members spend again.
    """

    backup: str
    created_ms: int
    restored_ms: int
    generation: int
    without: tuple[str, ...] = ()


def restored_directory(data: Path) -> Path:
    """Where a restore prepares what becomes the data directory."""
    return data.with_name(f"{data.name}.restored")


def interrupted(data: Path) -> bool:
    """Whether a restore was killed between its two renamings."""
    return not data.exists() and (restored_directory(data) / NOTE).exists()


def restore_backup(
    backup: Annotated[Path, typer.Argument(help="A backup's directory.")],
    config: ConfigOption = DEFAULT_CONFIG,
    without: Annotated[
        list[str], typer.Option(help="A partner that is not waited for, by its id; repeat for more.")
    ] = [],  # noqa: B006 - typer's way to say none
) -> None:
    """Put a backup in the place of a stopped node's stores. What was there is kept beside it.

    Persons erased since the backup are erased again: their data now, their phones and cards when the node
    starts. The restored books are a new generation: the old stores are never accepted together with them.

    In a coalition members earn at once, and spend once every partner has connected and shown what they
    spent at its tills since the backup. A partner that is gone for good is left out with --without; what it
    holds is then lost.
    """
    loaded = load(config)
    data = loaded.storage.directory.resolve()
    if interrupted(data):
        _finish(data, backup.resolve())
        return
    secrets = load_secrets(loaded.secrets_directory)
    manifest = read_manifest(backup)
    _check(manifest, loaded, data)
    restored = restored_directory(data)
    with kept_stopped(loaded, _STOP_FIRST):
        if restored.exists():
            shutil.rmtree(restored)  # an earlier attempt's: only ever a copy of a backup
        erased = _erased_since(loaded, manifest)
        manifest = _copied(backup, restored, erased, without)
        seen = [see(restored / store.name) for store in manifest.stores]
        placement({one.identity.store_id: one.owned for one in seen if one.owned}, manifest.partitions)
        if not opens_with(secrets.master_key, seen):
            shutil.rmtree(restored)
            raise RestoreRefused(
                f"The secrets in {loaded.secrets_directory} are not those of {backup}: members' data would "
                "stay sealed for ever. Nothing was changed. Put the secrets there that were kept with this "
                "backup, and restore again."
            )
        (restored / "secrets").mkdir(mode=0o700)
        for path in sorted(loaded.secrets_directory.iterdir()):
            write_secret(restored / "secrets" / path.name, read_secret(path))
        note = RestoredFrom(
            str(backup.resolve()), manifest.created_ms, _now_ms(), manifest.generation, tuple(without)
        )
        replace_synced(restored / NOTE, msgspec.json.encode(note))
        kept = _swap(loaded, data, restored)
    typer.echo(
        f"Restored {len(manifest.stores)} stores from {backup}, made {_time(manifest.created_ms)}; "
        f"{len(erased)} erased persons stay erased: the node takes their phone numbers and cards off "
        "their accounts when it starts, before it serves.\n"
        f"Before: {kept}, with a copy of the secrets. Delete it once the node serves and you miss nothing.\n"
        f"Next: vafa check --config {config}, then start the node."
    )


def _check(manifest: Manifest, config: Config, data: Path) -> None:
    """What can be refused before anything is copied."""
    problem = ""
    if manifest.merchant_id != config.merchant.id:
        problem = f"it belongs to merchant {manifest.merchant_id}, and vafa.toml says {config.merchant.id}"
    elif manifest.partitions != config.storage.partitions:
        problem = (
            f"its books are in {manifest.partitions} partitions, and vafa.toml says "
            f"{config.storage.partitions}; set storage.partitions to {manifest.partitions}"
        )
    elif sum(store.kind is StoreKind.CONTROL for store in manifest.stores) != 1:
        problem = "it has no control store"
    elif data.is_mount():
        problem = f"{data} is a mount point, which cannot be renamed; let storage.directory lie below it"
    needed = sum(file.size_bytes for store in manifest.stores for file in store.files)
    free = shutil.disk_usage(data.parent).free
    if not problem and free < needed * 11 // 10:
        problem = f"it takes {needed:,} bytes and {data.parent} has {free:,} free"
    if problem:
        raise RestoreRefused(f"This backup is not restored here: {problem}. Nothing was changed.")
    shards = sum(store.kind is StoreKind.SHARD for store in manifest.stores)
    if config.ray.shard_pins and len(config.ray.shard_pins) != shards:
        warn(f"The backup has {shards} shards: mend shard_pins in vafa.toml, one pin for each.")


def _erased_since(config: Config, manifest: Manifest) -> list[bytes]:
    """Who was erased until now, from the present control store where there is one that can be read."""
    try:
        control = installation.open_control(config)
    except StoreLocked:
        raise
    except StoreError as wrong:
        there = installation.control_directory(config).exists()
        warn(
            f"The present control store cannot be read: {wrong}"
            if there
            else "There is no control store here."
        )
        warn(
            f"So it is not known who was erased after {_time(manifest.created_ms)}. If you know of anybody, "
            "erase them again once the node serves: vafa member erase."
        )
        return []
    try:
        return erasures(control.store)
    finally:
        control.close()


def _copied(backup: Path, restored: Path, erased: list[bytes], without: Sequence[str]) -> Manifest:
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("verifying and copying", total=None)

        def advance(name: str, done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, description=name[-40:])

        return restore(
            backup, restored, restored_ms=_now_ms(), erased=erased, without=without, progress=advance
        )


def _swap(config: Config, data: Path, restored: Path) -> Path:
    """The two renamings. RocksDB is closed by now: an open one would go on using its files by name."""
    at = f"{data.name}.before-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    names = chain((data.with_name(at),), (data.with_name(f"{at}-{number}") for number in count(2)))
    kept = next(name for name in names if not name.exists())
    control = installation.control_directory(config)
    if (control / DATABASE).exists():
        with locked(control, _STOP_FIRST):
            data.rename(kept)
    else:
        data.rename(kept)
    sync_directory(data.parent)
    restored.rename(data)
    sync_directory(data.parent)
    return kept


def _finish(data: Path, backup: Path) -> None:
    """The second renaming of a restore that was killed before it."""
    note = msgspec.json.decode((restored_directory(data) / NOTE).read_bytes(), type=RestoredFrom)
    restored_directory(data).rename(data)
    sync_directory(data.parent)
    typer.echo(f"Finished the interrupted restore of {note.backup}, made {_time(note.created_ms)}.")
    if note.backup != str(backup):
        raise RestoreRefused(f"{backup} was not restored. Run the command again if it shall be.")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _time(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_ms / 1000))
