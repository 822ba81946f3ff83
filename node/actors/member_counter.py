"""The member counter: requests about members, which often need more than one partition.

What concerns one account alone goes the way of every till's request. Opening an account and linking claim
identifiers first; joining a pool notes the holder first; a transfer finds the other account first. Where that
is refused, the account is still asked: it may have done this very request before, and then answers as then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from node.actors.asks import Ask, Origin, Terminals, origin_of
from node.actors.counter import MAX_HOPS, Counter
from node.actors.linking import Linking, is_passing
from node.actors.resolver import Found, nobody
from node.identity.caller import Caller
from node.identity.digests import IdentifierDigests
from node.ledger.refusals import Reason, Refused, refuse
from node.people.identifiers import IdentifierKind, normalise
from node.people.invalid import Invalid
from node.storage.keyspace import partition_of
from node.wire.commands import Answer, AnswerKind, Command, LinkWish, Op, encode, refused
from node.wire.members import member_route
from node.wire.routes import Route

ACCOUNT_IDS = 100
"""The kind under which account ids are digested: apart from every kind of identifier."""

MAX_HINT_CHARS = 4
_HINT_SHARE = 4
"""At most a quarter of an identifier is shown as its hint."""

_LATEST = 1 << 60
_Work = Callable[[Origin, Found], Awaitable[Answer]]


class MemberCounter:
    """Takes requests of the member service and gives answers; one for the whole gateway.

    `region` is the country whose national phone numbers are understood. `wake` tells the delivery that an
    outbox has something.
    """

    def __init__(
        self,
        counter: Counter,
        linking: Linking,
        digests: IdentifierDigests,
        terminals: Terminals,
        *,
        region: str,
        wake: Callable[[], None],
    ) -> None:
        self._counter = counter
        self._router = counter.router
        self._resolver = counter.resolver
        self._linking = linking
        self._digests = digests
        self._terminals = terminals
        self._region = region
        self._wake = wake
        self._running: set[asyncio.Task[Answer]] = set()

    async def ask(self, caller: Caller, op: Op, body: bytes, trace_id: str) -> Answer:
        """One request, as its bytes came, to its answer. What is begun is finished, caller or not."""
        task = asyncio.get_running_loop().create_task(self._ask(caller, op, body, trace_id))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Returns once no request is under way, also of callers that are gone."""
        while self._running:
            await asyncio.wait(set(self._running))

    async def _ask(self, caller: Caller, op: Op, body: bytes, trace_id: str) -> Answer:
        route = member_route(op, body)
        if isinstance(route, Refused):
            return refused(route)
        ask = Ask(op, route.way, body)
        if op in (Op.ENROL, Op.CREATE_POOL):
            return await self._open(caller, ask, route.others, trace_id)
        if op is Op.LINK_IDENTIFIER:
            return await self._link(caller, ask, route.others, trace_id)
        if op in (Op.UNLINK_IDENTIFIER, Op.CLOSE_ACCOUNT, Op.ERASE_PERSON):
            return await self._end(caller, ask, trace_id)
        if op is Op.TRANSFER:
            return await self._transfer(caller, ask, route.others[0], trace_id)
        if op is Op.JOIN_POOL:
            return await self._join(caller, ask, route.others[0], trace_id)
        answer = await self._counter.ask(caller, ask, trace_id)
        if op is Op.LEAVE_POOL:
            self._wake()
        return answer

    # --- opening and linking --------------------------------------------------------------------

    async def _open(
        self, caller: Caller, ask: Ask, identifiers: Sequence[tuple[int, str]], trace_id: str
    ) -> Answer:
        origin = origin_of(caller, ask.route.terminal_id, self._terminals)
        wishes = self._wishes(identifiers)
        if isinstance(origin, Refused):
            return refused(origin)
        if isinstance(wishes, Refused):
            return refused(wishes)
        # The same request finds the same account, so that a retry opens no second one.
        account_id = self._digests.digest(ACCOUNT_IDS, f"{origin.scope}\x00{ask.route.request_id}")
        command = self._command(ask, origin, Found(account_id, b""), trace_id)
        async with self._linking.alone(account_id):
            return await self._with_claims(command, wishes)

    async def _link(
        self, caller: Caller, ask: Ask, identifiers: Sequence[tuple[int, str]], trace_id: str
    ) -> Answer:
        wishes = self._wishes(identifiers)
        if isinstance(wishes, Refused):
            return refused(wishes)

        async def work(origin: Origin, found: Found) -> Answer:
            return await self._with_claims(self._command(ask, origin, found, trace_id), wishes)

        return await self._at(caller, ask.route, work)

    async def _with_claims(self, command: Command, wishes: tuple[LinkWish, ...]) -> Answer:
        """Claims, does, and makes the index agree with what then is; a crash is made good by the sweep."""
        claimed = await self._linking.claim(command.account_id, wishes) if wishes else ()
        if isinstance(claimed, Answer) and is_passing(claimed):
            return claimed
        extra = claimed.refusal if isinstance(claimed, Answer) else claimed
        answer = await self._router.ask(replace(command, extra=encode(extra)))
        if is_passing(answer) or not wishes:
            return answer  # whoever asks again finds the claims; a full queue is asked nothing more
        agreed = await self._linking.agree(command.account_id, [wish.digest for wish in wishes])
        if answer.kind == AnswerKind.DONE and not agreed:
            return refused(_half_done())
        return answer

    def _wishes(self, identifiers: Sequence[tuple[int, str]]) -> tuple[LinkWish, ...] | Refused:
        """The identifiers to link, in normal form and hashed; one that is listed twice counts once."""
        wishes: dict[bytes, LinkWish] = {}
        for kind, value in identifiers:
            if not IdentifierKind.CARD <= kind <= IdentifierKind.APP_TOKEN:
                return refuse(
                    Reason.INVALID_IDENTIFIER, "Cards, barcodes, phones and app tokens are linked.",
                    field="identifier",
                )  # fmt: skip
            normal = normalise(IdentifierKind(kind), value, region=self._region)
            if isinstance(normal, Invalid):
                return refuse(Reason.INVALID_IDENTIFIER, normal.message, problem=normal.reason)
            digest = self._digests.digest(kind, normal.text)
            shown = min(MAX_HINT_CHARS, len(normal.text) // _HINT_SHARE)
            wishes[digest] = LinkWish(digest, kind, normal.text[len(normal.text) - shown :])
        return tuple(wishes.values())

    # --- ending ---------------------------------------------------------------------------------

    async def _end(self, caller: Caller, ask: Ask, trace_id: str) -> Answer:
        """Unlinks, closes or erases, and frees the identifiers at once; the outbox would do it too."""

        async def work(origin: Origin, found: Found) -> Answer:
            if ask.op is Op.UNLINK_IDENTIFIER and not found.digest:
                return refused(_name_what_to_unlink())
            answer = await self._router.ask(self._command(ask, origin, found, trace_id))
            if answer.kind == AnswerKind.DONE:
                only = (found.digest,) if ask.op is Op.UNLINK_IDENTIFIER else None
                # A person goes by the id of the account that they were enrolled with.
                erased = found.account_id if ask.op is Op.ERASE_PERSON else b""
                await self._linking.agree_ended(found.account_id, only, erased)
            return answer

        answer = await self._at(caller, ask.route, work)
        self._wake()
        return answer

    # --- moves between accounts -----------------------------------------------------------------

    async def _transfer(self, caller: Caller, ask: Ask, to: tuple[int, str], trace_id: str) -> Answer:
        other = await self._resolver.find(*to, ask.route.occurred_ms or _LATEST)
        if isinstance(other, Refused) and is_passing(refused(other)):
            return refused(other)
        extra = encode(other if isinstance(other, Refused) else other.account_id)
        answer = await self._counter.ask(caller, Ask(ask.op, ask.route, ask.body, extra), trace_id)
        self._wake()
        return answer

    async def _join(self, caller: Caller, ask: Ask, pool: tuple[int, str], trace_id: str) -> Answer:
        """Notes the holder on the pool, then joins. The outbox has the note looked at again."""
        other = await self._resolver.find(*pool, ask.route.occurred_ms or _LATEST)
        if isinstance(other, Refused) and is_passing(refused(other)):
            return refused(other)

        async def work(origin: Origin, found: Found) -> Answer:
            extra: bytes | Refused | None = other if isinstance(other, Refused) else other.account_id
            if isinstance(other, Found):
                noted = await self._linking.note_holder(
                    other.account_id, found.account_id, True, unproven=True
                )
                if is_passing(noted):
                    return noted
                extra = noted.refusal or extra
            command = self._command(ask, origin, found, trace_id)
            return await self._router.ask(replace(command, extra=encode(extra)))

        answer = await self._at(caller, ask.route, work)
        self._wake()
        return answer

    # --- ways -----------------------------------------------------------------------------------

    async def _at(self, caller: Caller, way: Route, work: _Work) -> Answer:
        """Does `work` on the account that a request names, alone; again where the identifier has moved."""
        origin = origin_of(caller, way.terminal_id, self._terminals)
        if isinstance(origin, Refused):
            return refused(origin)
        for _ in range(MAX_HOPS):
            found = await self._resolver.find(
                way.identifier_kind, way.identifier_value, way.occurred_ms or _LATEST
            )
            if isinstance(found, Refused):
                return refused(found)
            async with self._linking.alone(found.account_id):
                answer = await work(origin, found)
            if answer.kind != AnswerKind.MOVED:
                return answer
            self._resolver.forget(found.digest)
        return refused(nobody())

    def _command(self, ask: Ask, origin: Origin, found: Found, trace_id: str) -> Command:
        return Command(
            ask.op,
            partition_of(found.account_id, self._router.partitions),
            found.account_id,
            found.digest,
            origin.scope,
            origin.store_id,
            origin.author,
            trace_id,
            ask.body,
        )


def _half_done() -> Refused:
    return refuse(
        Reason.UNAVAILABLE,
        "It is done, but the identifiers cannot be found yet. Send the same request again.",
    )


def _name_what_to_unlink() -> Refused:
    return refuse(
        Reason.INVALID_IDENTIFIER, "Name the identifier to take off, not the account.", field="identifier"
    )
