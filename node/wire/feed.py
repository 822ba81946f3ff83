"""Journal entries in the feed's public form, and the feed's cursor.

Events are told by name and attributes, whatever they are made of inside, so that readers keep working when
the inner form grows. Nothing in the feed is personal data: of an identifier it tells the kind and the keyed
digest, not the last characters by which staff recognise it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from node.ledger.account import Link
from node.ledger.events import AnyEvent
from node.ledger.postings import postings_of
from node.ledger.refusals import Reason, Refused, refuse
from node.proto.vafa.feed.v1 import feed_service_pb2 as pb
from node.wire.balances import stamp
from node.wire.records import StoredEntry

_CURSOR = msgspec.msgpack.Decoder(dict[int, int])
_MAX_CURSOR_CHARS = 4_096


def journal_entry(partition: int, stored: StoredEntry) -> pb.JournalEntry:
    """An entry as the feed shows it."""
    entry = stored.entry
    return pb.JournalEntry(
        partition=partition,
        sequence=entry.sequence,
        hash=stored.hash,
        account_id=entry.account_id.hex(),
        post_time=stamp(entry.at_ms),
        occurred_time=stamp(entry.occurred_ms),
        kind=int(entry.kind),  # type: ignore[arg-type]  # the protos' own numbers
        terminal_id=entry.terminal,
        request_id=entry.request_id,
        programme_version=entry.version,
        trace_id=entry.trace_id,
        events=[pb.Event(name=event.name, attributes=attributes(event)) for event in entry.events],
        postings=[
            pb.Posting(book=posting.book, purse=posting.purse, units=posting.units)
            for posting in postings_of(entry.events)
        ],
    )


def attributes(event: AnyEvent) -> dict[str, str]:
    """An event's fields as text: numbers in decimal, ids in hexadecimal, everything larger as JSON."""
    return {field: _text(getattr(event, field)) for field in event.__struct_fields__}


def _text(value: object) -> str:
    plain = _plain(value)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, Link):
        value = replace(value, hint="")
    if isinstance(value, Struct):
        return {field: _plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def cursor_of(sequences: Mapping[int, int]) -> str:
    """A cursor: the last sequence that was handed out, by partition."""
    packed: Any = msgspec.msgpack.encode({number: last for number, last in sequences.items() if last})
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def cursor_from(text: str, partitions: int) -> dict[int, int] | Refused:
    """What a cursor stands for; an empty one is the beginning."""
    if not text:
        return {}
    try:
        padded = text + "=" * (-len(text) % 4)
        found = _CURSOR.decode(base64.urlsafe_b64decode(padded.encode("ascii", "strict")))
    except (ValueError, msgspec.DecodeError):
        found = {-1: 0}
    if len(text) <= _MAX_CURSOR_CHARS and all(
        0 <= key < partitions and value >= 0 for key, value in found.items()
    ):
        return found
    return refuse(Reason.INVALID_CURSOR, "The cursor is not one of this node's. Begin with an empty one.")
