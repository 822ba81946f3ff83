"""The coalition's directories that this node follows, in the control store: all of them, oldest first.

Old ones are kept for ever: a signature is verified under the key that was valid when it was made.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from node.ledger.refusals import Reason, Refused, refuse
from node.storage.keyspace import ControlKind, control_key, control_range
from node.storage.store import Batch, Store
from node.wire.coalition_directory import read_directory
from node.wire.coalition_trust import KnownDirectories, Rejected, first
from node.wire.records import Codec

MAX_DIRECTORIES = 10_000


class DirectoryRecord(Struct, frozen=True, array_like=True):
    """A directory as it was signed, and when this node began to follow it."""

    data: bytes
    accepted_ms: int


_RECORD = Codec(DirectoryRecord)


class Directories:
    """What this node follows. Not for several threads; the gateway's process alone writes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        """The control store, for whatever else of the coalition is kept in it."""
        records = [_RECORD.decode(data) for _, data in store.scan(*control_range(ControlKind.DIRECTORY))]
        self.accepted_ms = records[-1].accepted_ms if records else 0
        self.known: KnownDirectories | None = (
            KnownDirectories([read_directory(record.data) for record in records]) if records else None
        )
        self.changed: Callable[[], None] = _nobody
        """Called after another directory was taken into use."""

    def adopt(self, data: bytes, now_ms: int, operator_key_uri: str = "") -> KnownDirectories | Refused:
        """Takes a SignedDirectory's bytes into use, durably; the same one again changes nothing.

        The first one needs the operator's key as a person knows it; later ones follow from the one before.
        """
        if self.known is None:
            if not operator_key_uri:
                return refuse(
                    Reason.INVALID_ARGUMENT,
                    "This node follows no directory yet: name the operator's key, as the operator told you.",
                    field="operator_key_uri",
                )
            found = first(data, operator_key_uri, now_ms)
        else:
            found = self.known.accept(data, now_ms)
        if isinstance(found, Rejected):
            text = f"The directory was not taken into use. {found.text}"
            return refuse(Reason.INVALID_ARGUMENT, text, problem=found.reason.value)
        if found is self.known:
            return found
        if len(found.accepted) > MAX_DIRECTORIES:
            return refuse(Reason.LIMIT_EXCEEDED, f"A node keeps at most {MAX_DIRECTORIES} directories.")
        batch = Batch()
        key = control_key(ControlKind.DIRECTORY, found.newest.version.to_bytes(8, "big"))
        batch.put(key, _RECORD.encode(DirectoryRecord(found.data, now_ms)))
        self.store.write(batch)
        self.store.sync()
        self.known, self.accepted_ms = found, now_ms
        self.changed()
        return found


def _nobody() -> None:
    """Nobody wants to know yet."""
