"""The few ways in which this floor touches files: synced, and never half written under their final name."""

from __future__ import annotations

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Make the names in `path` durable: a file's own sync does not make its name so (fsync(2), NOTES)."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and make it and its name durable; readable by its owner alone."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def replace_synced(path: Path, data: bytes) -> None:
    """Replace a file's content at once: after a crash it is wholly the old or wholly the new."""
    new = path.with_name(path.name + ".new")
    write_synced(new, data)
    new.replace(path)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make a directory and the ones above it that are missing, each with its name durable."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700)
    sync_directory(path.parent)
