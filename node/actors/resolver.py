"""From what a member shows to the account that it stands for.

The value is brought into its normal form and hashed under the node's key; the index of the hash's partition
says who owned it when. The owners are cached here, bounded; the account checks the identifier against its own
links in any case, so a stale cache costs a second look and never a wrong account.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache

import msgspec
from msgspec import Struct

from node.actors.router import Router
from node.actors.steps import step
from node.identity.digests import IdentifierDigests
from node.ledger.refusals import Reason, Refused, refuse
from node.people.identifiers import IdentifierKind, normalise
from node.people.invalid import Invalid
from node.storage.keyspace import ID_BYTES, partition_of
from node.wire.commands import AnswerKind, Op
from node.wire.records import IndexEntry

CACHED_IDENTIFIERS = 200_000
CACHED_STRANGERS = 50_000
"""Identifiers that nobody here carries, most of them other merchants' members': they come again, too."""
CACHED_DIGESTS = 50_000
"""Identifiers whose digest is kept under what was shown: most members come again."""
CACHED_CHARS = 128
"""Of an identifier as it is shown; longer ones are not kept, so that the cache is bounded in bytes."""
ACCOUNT_ID_KIND = 5
"""`IDENTIFIER_KIND_ACCOUNT` of the protos: not an identifier that is indexed, but the account's own id."""

_ENTRY = msgspec.msgpack.Decoder(IndexEntry)


class Found(Struct, frozen=True, gc=False):
    """An account, and the digest of the identifier that led to it (empty: it was named by its id)."""

    account_id: bytes
    digest: bytes


class Resolver:
    """Finds accounts. `region` is the country whose national phone numbers are understood."""

    def __init__(self, router: Router, digests: IdentifierDigests, region: str) -> None:
        self._router = router
        self._digests = digests
        self._region = region
        self._owners: OrderedDict[bytes, IndexEntry] = OrderedDict()
        self._strangers: OrderedDict[bytes, None] = OrderedDict()
        self._forgotten = 0  # how often something was; what was asked before may be out of date
        self._kept_digest = lru_cache(CACHED_DIGESTS)(self._digest)

    def digest(self, kind: int, value: str) -> bytes | Refused:
        """The keyed digest of an identifier's normal form, or why it has none."""
        return self._kept_digest(kind, value) if len(value) <= CACHED_CHARS else self._digest(kind, value)

    def _digest(self, kind: int, value: str) -> bytes | Refused:
        if not IdentifierKind.CARD <= kind <= IdentifierKind.APP_TOKEN:
            return refuse(Reason.INVALID_IDENTIFIER, "Say what kind of identifier it is.", field="identifier")
        normal = normalise(IdentifierKind(kind), value, region=self._region)
        if isinstance(normal, Invalid):
            return refuse(Reason.INVALID_IDENTIFIER, normal.message, problem=normal.reason)
        return self._digests.digest(kind, normal.text)

    async def find(self, kind: int, value: str, at_ms: int) -> Found | Refused:
        """The account that an identifier stood for at `at_ms`."""
        if kind == ACCOUNT_ID_KIND:
            return account_by_id(value)
        digest = self.digest(kind, value)
        if isinstance(digest, Refused):
            return digest
        entry = self._owners.get(digest)
        if entry is None:
            if digest in self._strangers:
                return nobody()
            forgotten = self._forgotten
            answer = await self._router.ask(
                step(Op.RESOLVE, partition_of(digest, self._router.partitions), digest)
            )
            if answer.kind != AnswerKind.DONE:
                return answer.refusal or nobody()
            entry = _ENTRY.decode(answer.body)
            self._keep(digest, entry, forgotten)
        owner = entry.owner_at(at_ms)
        return nobody() if owner is None else Found(owner.account_id, digest)

    def cached(self, kind: int, value: str, at_ms: int) -> Found | Refused | None:
        """The same from the cache alone; None where the index must be asked."""
        if kind == ACCOUNT_ID_KIND:
            return account_by_id(value)
        digest = self.digest(kind, value)
        if isinstance(digest, Refused):
            return digest
        entry = self._owners.get(digest)
        owner = None if entry is None else entry.owner_at(at_ms)
        return None if owner is None else Found(owner.account_id, digest)

    def _keep(self, digest: bytes, entry: IndexEntry, forgotten: int) -> None:
        if entry.owners:
            self._owners[digest] = entry
            if len(self._owners) > CACHED_IDENTIFIERS:
                self._owners.popitem(last=False)
        elif forgotten == self._forgotten:  # else it may have become somebody's since the index was asked
            self._strangers[digest] = None
            if len(self._strangers) > CACHED_STRANGERS:
                self._strangers.popitem(last=False)

    def forget_shown(self, kind: int, value: str) -> None:
        """The same for an identifier as it is shown."""
        digest = self.digest(kind, value)
        if isinstance(digest, bytes):
            self.forget(digest)

    def forget(self, digest: bytes) -> None:
        """Drops what is cached of an identifier: it was linked, unlinked, or did not match its account."""
        self._forgotten += 1
        self._owners.pop(digest, None)
        self._strangers.pop(digest, None)


def account_by_id(text: str) -> Found | Refused:
    """An account named by its id in hexadecimal."""
    try:
        account_id = bytes.fromhex(text)
    except ValueError:
        account_id = b""
    if len(account_id) != ID_BYTES:
        return refuse(
            Reason.INVALID_IDENTIFIER, "An account id is 32 hexadecimal digits.", field="identifier"
        )
    return Found(account_id, b"")


def nobody() -> Refused:
    """The refusal of an identifier that nobody carried then."""
    return refuse(Reason.MEMBER_NOT_FOUND, "No member carries this identifier. Nothing was changed.")
