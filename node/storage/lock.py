"""Whose a RocksDB directory is at the moment: one process owns it, or nobody does."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from node.storage.store import StoreFailed, StoreForeign, StoreLocked

OWNER_FILE = "OWNER"


def require_store(path: Path) -> None:
    """Refuses (StoreForeign) a directory in which there is no RocksDB database at all."""
    if not (path / "CURRENT").exists():
        raise StoreForeign(
            f"{path} holds no store.",
            "Nothing was created or changed.",
            "Check the path and that its disk is mounted; a new store is only made by `vafa init`.",
        )


def own_directory(path: Path, *, create: bool) -> int:
    """Locks the directory for this process; the descriptor holds the lock.

    RocksDB's own LOCK comes too late for us, since recovery looks at the files before RocksDB opens them.
    """
    if create:
        path.mkdir(parents=True, exist_ok=True)
        if (path / "CURRENT").exists():
            raise StoreForeign(
                f"{path} already holds a store.", "Nothing was changed.", "Choose an empty directory."
            )
    try:
        handle = os.open(path / OWNER_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreFailed(
            f"{path} cannot be written ({error.strerror}).",
            "Nothing was changed.",
            "Check its owner and permissions, and that its disk is mounted for writing.",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise in_use(path) from error
    return handle


def in_use(path: Path) -> StoreLocked:
    """The refusal of a directory that has an owner."""
    return StoreLocked(
        f"{path} is in use by another process.",
        "Nothing was changed.",
        "Stop the other node first, or wait until it has ended.",
    )
