"""Small parsers that all requests share. A value that cannot be is a refusal that names its field."""

from __future__ import annotations

import hashlib
import re
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct

from node.ledger.commands import TransactionRef
from node.ledger.days import MAX_MS, MIN_MS
from node.ledger.refusals import Reason, Refused, refuse

MAX_BODY_BYTES = 256 * 1024
"""One request: a receipt of two thousand lines fits; nothing a till sends is larger."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
_TRANSACTION_ID = re.compile(r"([0-9]{2})-([0-9a-f]{1,16})").fullmatch


C = TypeVar("C")


class Parsed(Struct, Generic[C], frozen=True, array_like=True, gc=False):
    """A request that is well formed: who it is among its terminal's requests, when, and what it asks.

    `body_hash` is of the message's canonical bytes, so that a retry matches whichever client library or
    path (unary, batch, stream) it came by. It has no key yet and is never stored: see `RequestDigests`.
    """

    request_id: str
    occurred_ms: int
    body_hash: bytes
    command: C


def invalid(field: str, message: str) -> Refused:
    """The refusal of a field's value."""
    return refuse(Reason.INVALID_ARGUMENT, message, field=field)


def decode(message: Message, body: bytes) -> Refused | None:
    """Fills `message` from `body`; a refusal where that is no such message."""
    if len(body) > MAX_BODY_BYTES:
        return too_large()
    try:
        message.ParseFromString(body)
    except DecodeError:
        return invalid("", "The bytes are not a message of this kind.")
    return None


def too_large() -> Refused:
    """The refusal of a request of more than MAX_BODY_BYTES."""
    return invalid("", f"A request has at most {MAX_BODY_BYTES} bytes.")


def canonical_hash(message: Message) -> bytes | Refused:
    """A hash that is the same for every encoding of the same message; a refusal of one that is too large."""
    body = message.SerializeToString(deterministic=True)
    return too_large() if len(body) > MAX_BODY_BYTES else hashlib.sha256(body).digest()[:16]


def is_request_id(text: str) -> bool:
    """Whether `text` can be a request id: 1 to 64 of A-Z a-z 0-9 . _ : -"""
    return _REQUEST_ID(text) is not None


def bad_request_id(field: str = "request_id") -> Refused:
    """The refusal of a request id."""
    return invalid(field, "A request id has 1 to 64 characters of A-Z a-z 0-9 . _ : -")


def time_ms(stamp: Timestamp, field: str) -> int | Refused:
    """Epoch milliseconds of a timestamp that lies between the years 1900 and 2200."""
    at_ms = stamp.seconds * 1000 + stamp.nanos // 1_000_000
    if MIN_MS <= at_ms < MAX_MS and 0 <= stamp.nanos < 1_000_000_000:
        return at_ms
    return invalid(field, "A time lies between the years 1900 and 2200.")


def transaction_id(partition: int, sequence: int) -> str:
    """The public name of an entry."""
    return f"{partition:02d}-{sequence:x}"


def transaction_ref(text: str, field: str = "transaction_id") -> TransactionRef | Refused:
    """What a public name stands for."""
    found = _TRANSACTION_ID(text)
    if found is None:
        return invalid(field, "That is not a transaction id of this node.")
    return TransactionRef(int(found[1]), int(found[2], 16))


def too_long(field: str, text: str, most: int) -> Refused | None:
    """The refusal of a text of more than `most` characters, or with a NUL in it."""
    if len(text) > most or "\x00" in text:
        return invalid(field, f"{field} has at most {most} characters, and no NUL.")
    return None
