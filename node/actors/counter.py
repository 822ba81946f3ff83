"""The counter: where a till's request becomes a command, and finds its shard.

It knows who may act for which terminal, finds the account, claims receipts that belong to another shard, and
sees to it that a request whose card was re-linked, or whose account joined a pool, is asked where it belongs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from node.actors.asks import Ask, Origin, Terminals, origin_of
from node.actors.claims import (
    NOTHING_TO_CLAIM,
    Claim,
    FirstSteps,
    anonymous_partition,
    claim_sale,
    release_sale,
)
from node.actors.resolver import ACCOUNT_ID_KIND, Found, Resolver
from node.actors.router import Router
from node.identity.caller import Caller, Role
from node.identity.digests import RequestDigests
from node.ledger.refusals import Reason, Refused, refuse
from node.storage.keyspace import ID_BYTES, partition_of
from node.wire import requests
from node.wire.commands import Answer, AnswerKind, Command, Op, refused
from node.wire.parse import transaction_ref
from node.wire.refusals import is_final

if TYPE_CHECKING:
    from node.actors.abroad_trade import Member
    from node.actors.tills_abroad import TillsAbroad

MAX_HOPS = 3
"""Where a request may be sent on: a card that was re-linked, an account that joined a pool."""


class Counter:
    """Takes requests and gives answers; one for the whole gateway. `currency` is that of the books."""

    def __init__(
        self,
        router: Router,
        resolver: Resolver,
        terminals: Terminals,
        currency: str,
        digests: RequestDigests,
    ) -> None:
        self.router = router
        self._first = FirstSteps(router, digests)
        self.resolver = resolver
        self.abroad: TillsAbroad | None = None
        """Who does what concerns other merchants' members; None on a node that is in no coalition."""
        self._abroad_running: set[asyncio.Future[Answer]] = set()
        self._terminals = terminals
        self._currency = currency

    async def ask(self, caller: Caller, ask: Ask, trace_id: str) -> Answer:
        """One request, to its answer."""
        command = await self.prepare(caller, ask, trace_id)
        if isinstance(command, asyncio.Future):
            return await command
        return command if isinstance(command, Answer) else await self.finish(caller, ask, command)

    async def prepare(self, caller: Caller, ask: Ask, trace_id: str) -> Prepared:
        """The command that a request becomes, or the answer where it becomes none. `finish` does the rest.

        What concerns another merchant's member is under way already, and its answer is still to come.
        """
        return self._quick(caller, ask, trace_id) or await self._slow(caller, ask, trace_id)

    async def finish(self, caller: Caller, ask: Ask, command: Command) -> Answer:
        """Hands a prepared command to its shard, to its answer."""
        if not self.waits_for_others(ask, command):
            return await self.follow(caller, ask, command, await self.router.begin(command))
        (claim,) = await self._first.take([(ask, command)])
        answer = claim.refusal or await self.router.ask(claim.on(command))
        if answer.kind != AnswerKind.DONE and claim.refusal is None:
            return await self._second(caller, ask, command, answer, claim)
        return answer

    async def follow(self, caller: Caller, ask: Ask, command: Command, answer: Answer) -> Answer:
        """The answer in the end, where a shard gave `answer` to a command that waited for no others."""
        if answer.kind == AnswerKind.DONE:
            return answer
        return await self._second(caller, ask, command, answer, NOTHING_TO_CLAIM)

    def waits_for_others(self, ask: Ask, command: Command) -> bool:
        """Whether another partition must take a step before the command goes to its shard."""
        return self._first.needed(ask, command)

    async def ask_many(self, caller: Caller, asks: Sequence[Ask], trace_id: str) -> list[Answer]:
        """Many requests, to their answers; those on one account are done in the order given."""
        answers: list[Answer | None] = [None] * len(asks)
        sent: list[tuple[int, Ask, Command]] = []
        abroad: list[tuple[int, asyncio.Future[Answer]]] = []
        for at, ask in enumerate(asks):
            command = self._quick(caller, ask, trace_id) or await self._slow(caller, ask, trace_id)
            if isinstance(command, asyncio.Future):
                abroad.append((at, command))
            elif isinstance(command, Answer):
                answers[at] = command
            else:
                sent.append((at, ask, command))
        asked = [(ask, command) for _, ask, command in sent]
        for part in self._first.rounds(asked):
            given = await self._ask_round(caller, asked[part])
            for (at, _, _), answer in zip(sent[part], given, strict=True):
                answers[at] = answer
        for at, answering in abroad:
            answers[at] = await answering
        return answers  # type: ignore[return-value]  # every place is filled by now

    async def _ask_round(self, caller: Caller, asked: Sequence[tuple[Ask, Command]]) -> list[Answer]:
        """Requests of which no two want one receipt, to their answers."""
        claims = await self._first.take(asked)
        going = [
            claim.on(command) for (_, command), claim in zip(asked, claims, strict=True) if not claim.refusal
        ]
        given = iter(await self.router.ask_many(going))
        answers = []
        for (ask, command), claim in zip(asked, claims, strict=True):
            answer = claim.refusal or next(given)
            if answer.kind != AnswerKind.DONE and not claim.refusal:
                answer = await self._second(caller, ask, command, answer, claim)
            answers.append(answer)
        return answers

    def _quick(self, caller: Caller, ask: Ask, trace_id: str) -> Command | Answer | None:
        """The command where the cache knows the account; None where the index must be asked."""
        origin = origin_of(caller, ask.route.terminal_id, self._terminals)
        if isinstance(origin, Refused):
            return refused(origin)
        way = ask.route
        if way.identifier_kind == ACCOUNT_ID_KIND and caller.role in (Role.TILL, Role.GATEWAY):
            return refused(_no_ids_at_tills())
        if not way.identifier_kind:
            if self.abroad is not None and self.abroad.of_return(ask) is not None:
                return None
            return self._command(ask, origin, Found(b"", b""), trace_id)
        if ask.op in (Op.CLAIM_PURCHASE, Op.REQUEST_PROOF):
            return None
        found = self.resolver.cached(way.identifier_kind, way.identifier_value, way.occurred_ms or _LATEST)
        if found is None:
            return None
        if isinstance(found, Refused):
            return refused(found)
        return self._command(ask, origin, found, trace_id)

    async def _slow(self, caller: Caller, ask: Ask, trace_id: str) -> Prepared:
        origin = origin_of(caller, ask.route.terminal_id, self._terminals)
        if isinstance(origin, Refused):
            return refused(origin)
        way = ask.route
        if not way.identifier_kind and self.abroad is not None:
            return self._go_abroad(caller, ask, origin, self.abroad.of_return(ask), trace_id)
        if ask.op is Op.CLAIM_PURCHASE:  # the sale is bound to whoever is found: never from the cache
            self.resolver.forget_shown(way.identifier_kind, way.identifier_value)
        found = await self.resolver.find(
            way.identifier_kind, way.identifier_value, way.occurred_ms or _LATEST
        )
        if isinstance(found, Refused):
            member = None
            if found.reason is Reason.MEMBER_NOT_FOUND and self.abroad is not None:
                member = self.abroad.member(way.identifier_kind, way.identifier_value)
            return self._go_abroad(caller, ask, origin, member, trace_id) if member else refused(found)
        if ask.op is Op.CLAIM_PURCHASE:
            sale = await claim_sale(self.router, ask, found, origin.scope, trace_id)
            if sale.kind != AnswerKind.DONE:
                return sale
            ask = replace(ask, extra=sale.body)
        return self._command(ask, origin, found, trace_id)

    def _go_abroad(
        self, caller: Caller, ask: Ask, origin: Origin, member: Member | None, trace_id: str
    ) -> asyncio.Future[Answer]:
        """Begins what concerns another merchant's member. What of it is done here is done without one."""

        async def locally(message: Any) -> Answer:
            anchor = message.transaction_id if ask.op is Op.RETURN else ask.route.anchor
            way = replace(ask.route, identifier_kind=0, identifier_value="", anchor=anchor)
            read_here = message if ask.message is not None else None  # a question travels as its bytes
            return await self.ask(caller, replace(ask, route=way, extra=b"", message=read_here), trace_id)

        assert self.abroad is not None
        assert member is not None
        task = asyncio.ensure_future(self.abroad.ask(origin, ask, member, trace_id, locally))
        self._abroad_running.add(task)
        task.add_done_callback(self._abroad_running.discard)
        # What was begun goes on when the till hangs up: the sale is recorded, and its points must follow.
        return asyncio.shield(task)

    def _command(self, ask: Ask, origin: Origin, found: Found, trace_id: str) -> Command | Answer:
        read = b""
        if ask.message is not None:
            parsed = requests.read(ask.op, ask.message, origin.store_id, self._currency)
            if isinstance(parsed, Refused):
                return refused(parsed)
            read = requests.pack(parsed)
        if found.account_id:
            partition = partition_of(found.account_id, self.router.partitions)
        else:
            partition = self._anonymous_partition(ask, origin)
        return Command(
            ask.op,
            partition,
            found.account_id,
            found.digest,
            origin.scope,
            origin.store_id,
            origin.author,
            trace_id,
            ask.body,
            ask.extra,
            read,
        )

    def _anonymous_partition(self, ask: Ask, origin: Origin) -> int:
        """An anonymous request goes where its terminal and request id lead, a return to its sale's."""
        if ask.op is Op.RETURN:
            ref = transaction_ref(ask.route.anchor)
            return 0 if isinstance(ref, Refused) else min(ref.partition, self.router.partitions - 1)
        return anonymous_partition(origin.scope, ask.route.anchor, self.router.partitions)

    async def _second(
        self, caller: Caller, ask: Ask, command: Command, answer: Answer, claim: Claim
    ) -> Answer:
        """What comes after an answer that is not simply done: another account, or the refusal itself."""
        for _ in range(MAX_HOPS):
            following = await self._following(caller, ask, command, answer)
            if following is None:
                break
            if isinstance(following, Answer):
                answer = following
                break
            command = following
            (again,) = await self._first.take([(ask, command)])
            claim = replace(again, fresh=claim.fresh or again.fresh)
            answer = again.refusal or await self.router.ask(again.on(command))
        if answer.kind in (AnswerKind.MOVED, AnswerKind.POOLED):
            answer = refused(_not_linked())
        if answer.refusal is None:
            return answer
        if answer.refusal.reason is Reason.TRANSACTION_NOT_FOUND and ask.op is Op.GET_TRANSACTION:
            return await self._found_anywhere(command) or answer
        if answer.refusal.reason is Reason.REQUEST_REVERSED:
            await self._first.release(ask, command, for_good=True)
        elif claim.fresh and is_final(answer.refusal):
            # What may have been done after all, or be done by a copy of it, keeps what it claimed.
            await self._first.release(ask, command)
        if ask.op is Op.CLAIM_PURCHASE and is_final(answer.refusal):
            await release_sale(self.router, ask, command)
        return answer

    async def _found_anywhere(self, command: Command) -> Answer | None:
        """A request without a member that is not where its id leads: a return, or a reversal of a sale."""
        if command.account_id:
            return None
        others = set(range(self.router.partitions)) - {command.partition}
        answers = await self.router.ask_many([replace(command, partition=other) for other in others])
        return next((answer for answer in answers if answer.kind == AnswerKind.DONE), None)

    async def _following(
        self, caller: Caller, ask: Ask, command: Command, answer: Answer
    ) -> Command | Answer | None:
        """Where an answer sends a request on to; None where it is the end."""
        if answer.kind == AnswerKind.POOLED:
            account_id, word = answer.body[:ID_BYTES], answer.body[ID_BYTES:]
            return _at_account(command, account_id, self.router.partitions, word)
        if answer.kind == AnswerKind.ELSEWHERE:
            return replace(command, partition=answer.body[0])
        if answer.refusal is not None:
            return command if await self._first.freed(ask, command, answer) else None
        if answer.kind != AnswerKind.MOVED or ask.op is Op.CLAIM_PURCHASE:
            return None
        self.resolver.forget(command.digest)
        again = await self._slow(caller, ask, command.trace_id)
        if isinstance(again, asyncio.Future):
            return await again
        stuck = isinstance(again, Command) and again.account_id == command.account_id
        return refused(_not_linked()) if stuck else again


Prepared = Command | Answer | asyncio.Future[Answer]
"""What `Counter.prepare` gives."""

_LATEST = 1 << 60
"""A time after every link: what a question about now resolves by."""


def _at_account(command: Command, account_id: bytes, partitions: int, word: bytes) -> Command:
    """The same command for a pool, which trusts that its member's account has checked the identifier, and
    takes that account's word for what the member's card proved."""
    partition = partition_of(account_id, partitions)
    extra = word or command.extra
    return replace(command, partition=partition, account_id=account_id, digest=b"", extra=extra)


def _not_linked() -> Refused:
    return refuse(
        Reason.MEMBER_NOT_FOUND, "The identifier did not stand for this account then. Nothing was changed."
    )


def _no_ids_at_tills() -> Refused:
    return refuse(Reason.INVALID_IDENTIFIER, "A till names members by what they show, not by account id.")
