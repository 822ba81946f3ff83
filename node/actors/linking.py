"""What two partitions must agree on: an identifier's index entry with its account, a pool with its holder.

The account's own state is the truth. Whoever changed something, or does not know whether it did, asks the
account and makes the other side agree; that may be repeated at any time, in any order, and ends the same. All
of it for one account happens one at a time, so that no claim is ended under a request that is using it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import msgspec
import structlog
from msgspec.structs import replace

from node.actors.resolver import Resolver
from node.actors.router import Router
from node.actors.steps import step
from node.ledger.refusals import Reason
from node.storage.keyspace import partition_of
from node.wire.commands import Answer, AnswerKind, Command, LinkWish, Op, encode
from node.wire.records import Ownership
from node.wire.steps import AccountView, ClaimsAsked, ClaimsFound, SetHolder

STALE_MS = 300_000
"""How old an unconfirmed claim is before a sweep looks into it: far longer than any request takes."""

SWEPT_KEYS = 2_000
"""Index entries that one step of a sweep looks at."""

_PASSING = frozenset(
    {
        Reason.OVERLOADED, Reason.UNAVAILABLE, Reason.OUTCOME_UNKNOWN, Reason.CLOCK_BEHIND, Reason.INTERNAL,
        Reason.ACCOUNT_QUARANTINED,
    }
)  # fmt: skip

_OWNERSHIP = msgspec.msgpack.Decoder(Ownership)
_VIEW = msgspec.msgpack.Decoder(AccountView)
_FOUND = msgspec.msgpack.Decoder(ClaimsFound)

log = structlog.get_logger()


def is_passing(answer: Answer) -> bool:
    """Whether an answer decides nothing for good: the same step may be taken, or prove done, later."""
    return answer.refusal is not None and answer.refusal.reason in _PASSING


class Linking:
    """Makes index and pools agree with accounts.

    `on_erased` notes an erased person durably, for a restore to replay; it may be told of one twice.
    """

    def __init__(
        self,
        router: Router,
        resolver: Resolver,
        on_erased: Callable[[bytes], None],
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._router = router
        self._resolver = resolver
        self._on_erased = on_erased
        self._clock = clock
        self._busy: dict[bytes, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def alone(self, account_id: bytes) -> AsyncIterator[None]:
        """The one at work on what this account must agree with others about."""
        lock, users = self._busy.get(account_id, (asyncio.Lock(), 0))
        self._busy[account_id] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._busy[account_id]
            if users == 1:
                del self._busy[account_id]
            else:
                self._busy[account_id] = (lock, users - 1)

    async def probe(self, account_id: bytes) -> AccountView | Answer | None:
        """The account as it is; None where there is none, the refusal where it cannot be told now."""
        partition = partition_of(account_id, self._router.partitions)
        answer = await self._router.ask(step(Op.PROBE_ACCOUNT, partition, account_id=account_id))
        if answer.kind == AnswerKind.DONE:
            return _VIEW.decode(answer.body)
        return answer if is_passing(answer) else None

    async def claim(self, account_id: bytes, wishes: Sequence[LinkWish]) -> tuple[LinkWish, ...] | Answer:
        """Claims identifiers for an account, all of them or none that lasts; with since when each is its own.

        A refusal for good comes before one that passes. What was claimed beside a refused one is left for
        `agree` to end, or for the sweep.
        """
        at_ms = self._clock()
        asked = [replace(wish, account_id=account_id, at_ms=at_ms) for wish in wishes]
        answers = await self._router.ask_many([self._index_step(Op.CLAIM_IDENTIFIER, wish) for wish in asked])
        refusals = [answer for answer in answers if answer.kind != AnswerKind.DONE]
        if refusals:
            return min(refusals, key=is_passing)
        owned = [_OWNERSHIP.decode(answer.body) for answer in answers]
        return tuple(replace(wish, since_ms=own.since_ms) for wish, own in zip(asked, owned, strict=True))

    async def agree(self, account_id: bytes, digests: Iterable[bytes] | None = None) -> bool:
        """Makes the index say of `digests` what the account says of them, or of all that it ever had.

        Says whether it could; call it `alone`.
        """
        view = await self.probe(account_id)
        if isinstance(view, Answer):
            return False
        links = () if view is None else view.links
        linked = {link.digest for link in links if not link.until_ms}
        ended_ms = {link.digest: link.until_ms for link in links if link.until_ms}
        wanted = {link.digest for link in links} if digests is None else set(digests)
        steps = [
            self._index_step(
                Op.CONFIRM_IDENTIFIER if digest in linked else Op.END_IDENTIFIER,
                LinkWish(digest, 0, account_id=account_id, at_ms=ended_ms.get(digest) or self._clock()),
            )
            for digest in wanted
        ]
        try:
            answers = await self._router.ask_many(steps)
        finally:
            for digest in wanted:
                self._resolver.forget(digest)
        return all(answer.kind == AnswerKind.DONE for answer in answers)

    async def agree_ended(
        self, account_id: bytes, digests: Iterable[bytes] | None, erased_person: bytes = b""
    ) -> bool:
        """The same after an account let go of identifiers, with the erasure where there was one."""
        if erased_person:
            self._on_erased(erased_person)
        return await self.agree(account_id, digests)

    async def note_holder(
        self, pool_id: bytes, holder: bytes, joined: bool, unproven: bool = False
    ) -> Answer:
        """Notes on a pool that an account is a holder, or not."""
        # An id of its own for each note: the same holder may come and go, and each time it must take effect.
        wish = SetHolder(f"holder-{uuid.uuid4().hex}", self._clock(), holder, joined, unproven)
        partition = partition_of(pool_id, self._router.partitions)
        return await self._router.ask(step(Op.SET_HOLDER, partition, account_id=pool_id, body=encode(wish)))

    async def agree_holder(self, pool_id: bytes, holder: bytes) -> bool:
        """Makes a pool say of a holder what the holder's account says; says whether it could.

        Call it `alone` for the holder.
        """
        view, pool = await self.probe(holder), await self.probe(pool_id)
        if isinstance(view, Answer) or isinstance(pool, Answer):
            return False
        joined = view is not None and view.pool_id == pool_id
        if pool is None or (holder in pool.holders) == joined:
            return True
        answer = await self.note_holder(pool_id, holder, joined)
        if answer.kind != AnswerKind.DONE and not is_passing(answer):
            # Nobody's doing but a fault's: a pool with holders cannot be closed.
            log.error("holder_not_noted", pool=pool_id.hex(), joined=joined)
            return True
        return answer.kind == AnswerKind.DONE

    async def sweep(self) -> int:
        """Confirms or ends the claims that a crash left; says how many it found. One pass over the index."""
        found = 0
        for partition in range(self._router.partitions):
            start = b""
            while True:
                asked = ClaimsAsked(start, self._clock() - STALE_MS, SWEPT_KEYS)
                answer = await self._router.ask(step(Op.LIST_CLAIMS, partition, body=encode(asked)))
                if answer.kind != AnswerKind.DONE:
                    break
                batch = _FOUND.decode(answer.body)
                for account_id, digest in batch.claims:
                    found += 1
                    async with self.alone(account_id):
                        await self.agree(account_id, (digest,))
                start = batch.next_start
                if not start:
                    break
        return found

    def _index_step(self, op: Op, wish: LinkWish) -> Command:
        return step(op, partition_of(wish.digest, self._router.partitions), body=encode(wish))
