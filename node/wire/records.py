"""Stored records and their bytes: one version byte, then the msgpack of an array-like struct.

msgspec rather than protobuf, since the structs of the ledger are stored as they are: nothing is copied
field by field, and encoding costs a microsecond or two. Fields are only ever appended to a struct, with
defaults, so an older record reads as a newer one. A change that cannot be put that way raises the version,
and `UPGRADES` turns the old form into the new one when it is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from node.ledger.account import Account
from node.ledger.postings import Books
from node.ledger.transactions import Amendment, Entry

RECORD_VERSION = 1
HASH_BYTES = 32
GENESIS = bytes(HASH_BYTES)
_CHAIN_TAG = b"vafa journal entry v1\x00"

UPGRADES: dict[int, Callable[[Any], Any]] = {}
"""From a version to the next, over the decoded (untyped) record; see `Codec.decode`."""

T = TypeVar("T")


class RecordUnreadable(ValueError):
    """Stored bytes are not a record of this kind, or of a newer version than this software knows."""


class Codec(Generic[T]):
    """Bytes of one kind of record and back."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._encode = msgspec.msgpack.Encoder().encode
        self._prefix = bytes((RECORD_VERSION,))

    def encode(self, record: T) -> bytes:
        """The bytes of a record."""
        return self._prefix + self._encode(record)

    def decode(self, data: bytes) -> T:
        """The record; raises RecordUnreadable."""
        try:
            if data[0] == RECORD_VERSION:
                return self._decoder.decode(memoryview(data)[1:])
            return self._upgraded(data)
        except (msgspec.DecodeError, msgspec.ValidationError, IndexError) as error:
            raise RecordUnreadable(f"a stored {self._kind.__name__} cannot be read: {error}") from error

    def _upgraded(self, data: bytes) -> T:
        version, record = data[0], msgspec.msgpack.decode(memoryview(data)[1:])
        while version < RECORD_VERSION and version in UPGRADES:
            record = UPGRADES[version](record)
            version += 1
        if version != RECORD_VERSION:
            raise RecordUnreadable(
                f"a {self._kind.__name__} has version {data[0]}; this software knows {RECORD_VERSION}"
            )
        return msgspec.convert(record, self._kind)


class RequestRecord(Struct, frozen=True, array_like=True, gc=False):
    """That a request was done, with the answer that it got and gets again.

    `body_hash` is of the request's canonical bytes, keyed (`RequestDigests`). A tombstone
    (`reversed_unseen`) stands for a request that was reversed before it arrived: it has no entry and no
    answer. Neither has a pointer (`placed` is a partition), which stands where a request's id leads to for
    one that is done where its sale lies.
    """

    body_hash: bytes
    sequence: int
    occurred_ms: int
    at_ms: int
    answer: bytes
    reversed_unseen: bool = False
    placed: int = -1


class Ownership(Struct, frozen=True, array_like=True):
    """Whose an identifier is or was: [since, until), until 0 while it is; claimed until confirmed."""

    account_id: bytes
    since_ms: int
    until_ms: int = 0
    confirmed: bool = False
    claimed_at_ms: int = 0


class IndexEntry(Struct, frozen=True, array_like=True):
    """All owners of one identifier, oldest first."""

    owners: tuple[Ownership, ...]

    def owner_at(self, at_ms: int) -> Ownership | None:
        """Who owned the identifier at `at_ms`; claims that are not confirmed do not count."""
        for owner in reversed(self.owners):
            if (
                owner.confirmed
                and owner.since_ms <= at_ms
                and (owner.until_ms == 0 or at_ms < owner.until_ms)
            ):
                return owner
        return None


class ReceiptClaim(Struct, frozen=True, array_like=True, gc=False):
    """Which request posted a store's receipt, and when the claim was made. `body` is the begin of what is
    kept of that request's body; empty in claims that are older than this field. `placed` is the partition
    that the request was sent to, where it is known what became of it; -1 in claims older than this field.

    `let_go`: that request was reversed, or came to nothing. A request that was reversed never has the receipt
    again, should it come once more; any other may. `gone` are digests of those that were before this one.
    """

    scope: str
    request_id: str
    at_ms: int = 0
    let_go: bool = False
    gone: tuple[bytes, ...] = ()
    body: bytes = b""
    placed: int = -1

    def same_request(self, other: ReceiptClaim) -> bool:
        """Whether both claims are of one request."""
        same_id = (self.scope, self.request_id) == (other.scope, other.request_id)
        return same_id and (self.body == other.body or not self.body or not other.body)

    def is_past(self, other: ReceiptClaim) -> bool:
        """Whether the other request had the receipt before this one, and was reversed."""
        return not {other.digest, msgspec.structs.replace(other, body=b"").digest}.isdisjoint(self.gone)

    def passed_to(self, other: ReceiptClaim) -> ReceiptClaim:
        """The claim of the request that has the receipt next; who was reversed before is remembered."""
        gone = (*self.gone, self.digest) if self.request_id else self.gone
        return msgspec.structs.replace(other, gone=gone[-MAX_GONE:])

    def forgotten(self) -> ReceiptClaim | None:
        """What is left of a claim whose request came to nothing, and may come again; None for nothing."""
        return ReceiptClaim("", "", self.at_ms, let_go=True, gone=self.gone) if self.gone else None

    @property
    def digest(self) -> bytes:
        """By which a request that was reversed is known again."""
        return hashlib.sha256(f"{self.scope}\x00{self.request_id}".encode() + self.body).digest()[:8]


MAX_GONE = 64
"""Of one receipt: requests that were reversed and are remembered. A till that posts and reverses one more
often than that could take it again with a request that it had reversed before those."""


class Dispatch(Struct, frozen=True, array_like=True):
    """An outbox entry: a step that another partition must take, kept until it has answered.

    Its key is the sequence of the journal entry that called for it.
    """

    op: int
    partition: int
    account_id: bytes
    body: bytes
    at_ms: int


class Quarantine(Struct, frozen=True, array_like=True):
    """The evidence of a fault that set an account aside; the fault's text has no personal data."""

    account_id: bytes
    at_ms: int
    fault: str
    operation: int
    scope: str
    request_id: str
    body_hash: bytes


class PersonRecord(Struct, frozen=True, array_like=True):
    """A person's data, sealed under the person's own key."""

    version: int
    sealed: bytes


class PartitionHead(Struct, frozen=True, array_like=True):
    """Where a partition stands: last sequence and hash, the clock, the books, the number of accounts."""

    sequence: int = 0
    hash: bytes = GENESIS
    clock_ms: int = 0
    accounts: int = 0
    books: tuple[tuple[str, str, int], ...] = ()


class StoredEntry(Struct, frozen=True):
    """A journal entry with the hash that binds it to all before it."""

    entry: Entry
    hash: bytes


ACCOUNT = Codec(Account)
AMENDMENT = Codec(Amendment)
REQUEST = Codec(RequestRecord)
INDEX = Codec(IndexEntry)
RECEIPT = Codec(ReceiptClaim)
DISPATCH = Codec(Dispatch)
QUARANTINE = Codec(Quarantine)
PERSON = Codec(PersonRecord)
HEAD = Codec(PartitionHead)
_ENTRY = Codec(Entry)


def chain_hash(previous: bytes, body: bytes) -> bytes:
    """The hash of an entry: SHA-256 over a tag, the hash before it and the entry's stored bytes."""
    return hashlib.sha256(_CHAIN_TAG + previous + body).digest()


def encode_entry(entry: Entry, previous: bytes) -> tuple[bytes, bytes]:
    """The stored bytes of an entry and its hash; the hash stands in front of the record."""
    body = _ENTRY.encode(entry)
    digest = chain_hash(previous, body)
    return digest + body, digest


def decode_entry(data: bytes) -> StoredEntry:
    """An entry with its hash, unchecked; raises RecordUnreadable. See `verify_entry`."""
    return StoredEntry(_ENTRY.decode(data[HASH_BYTES:]), bytes(data[:HASH_BYTES]))


def chained(data: bytes, previous: bytes) -> bool:
    """Whether stored bytes carry the hash that follows from `previous`."""
    return data[:HASH_BYTES] == chain_hash(previous, data[HASH_BYTES:])


def books_record(books: Books) -> tuple[tuple[str, str, int], ...]:
    """Books as they are stored in a partition's head."""
    return tuple((book, purse, units) for (book, purse), units in books.units.items())


def books_from(rows: tuple[tuple[str, str, int], ...]) -> Books:
    """Books from a partition's head."""
    return Books({(book, purse): units for book, purse, units in rows})
