"""Claims that must be made in one partition before a request is done in another.

A receipt number is unique in the whole node, and its claim lies in a partition of its own. Where the shard of
the purchase hosts that partition too, the claim is part of the purchase's batch and nothing here is needed;
else it is made first, durable, for this very request, so that a retry finds it its own. A purchase that is
then refused lets it go. The same holds for an anonymous sale that a member claims, and for the note of where
a return without a member is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from node.actors.asks import Ask
from node.actors.receipts import let_go_of, place_of
from node.actors.resolver import Found
from node.actors.router import Router
from node.actors.steps import step
from node.identity.digests import RequestDigests
from node.ledger.commands import ClaimPurchase
from node.ledger.refusals import Reason, Refused
from node.storage.keyspace import partition_of
from node.wire.commands import Answer, Command, Op, Placing, ReceiptWish, RequestLook, encode, refused
from node.wire.parse import is_request_id, transaction_ref
from node.wire.records import RECEIPT
from node.wire.requests import body_hash_of, read
from node.wire.steps import TakeSale, release_of, taking_id

_UNDONE = msgspec.msgpack.Decoder(bool)


class Claim(Struct, frozen=True):
    """How a request stands with its receipt: refused, or free to go on; `fresh` where claimed just now,
    `past` where the request was reversed.

    Only a fresh claim is let go when a purchase is refused: an older one belongs to whoever made it.
    """

    refusal: Answer | None = None
    fresh: bool = False
    past: bool = False

    def on(self, command: Command) -> Command:
        """The command that goes on with this claim."""
        return command if self.past == command.known_only else replace(command, known_only=self.past)


NOTHING_TO_CLAIM = Claim()


class FirstSteps:
    """The steps that another partition must take before a command goes to its shard."""

    def __init__(self, router: Router, digests: RequestDigests) -> None:
        self._router = router
        self._digests = digests

    def needed(self, ask: Ask, command: Command) -> bool:
        """Whether there is one."""
        if ask.op is Op.RETURN:
            return self._placed_at(ask, command) is not None
        return self._claimed_at(ask, command) is not None

    def rounds(self, asked: Sequence[tuple[Ask, Command]]) -> list[slice]:
        """Many requests cut where a receipt comes again: it is claimed only when what has it is done, for a
        reversal in between may have freed it.
        """
        starts, seen = [0], set[tuple[str, str]]()
        for at, (ask, command) in enumerate(asked):
            if self._may_claim(ask):
                store_id, number = ask.route.receipt
                receipt = (store_id or command.store_id, number)
                if receipt in seen:
                    starts.append(at)
                    seen.clear()
                seen.add(receipt)
        return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(asked)], strict=True)]

    async def take(self, asked: Sequence[tuple[Ask, Command]]) -> list[Claim]:
        """Claims the receipts that lie on other shards than their purchases; notes where returns are done."""
        claims = [NOTHING_TO_CLAIM] * len(asked)
        steps = [(at, self._of(ask, command)) for at, (ask, command) in enumerate(asked)]
        wanted = [(at, one) for at, one in steps if one is not None]
        if not wanted:
            return claims
        answers = await self._router.ask_many([one for _, one in wanted])
        for (at, one), answer in zip(wanted, answers, strict=True):
            if await self.freed(*asked[at], answer):
                answer = await self._router.ask(one)
            if answer.refusal is None:
                claims[at] = Claim(fresh=bool(answer.body))
            elif one.op is Op.CLAIM_RECEIPT and answer.refusal.reason is Reason.REQUEST_REVERSED:
                claims[at] = Claim(past=True)
            else:
                claims[at] = Claim(refusal=answer)
        return claims

    async def freed(self, ask: Ask, command: Command, answer: Answer) -> bool:
        """Whether the receipt for which a purchase was refused has become free: whoever had it was reversed.

        A reversal frees the receipt of what it undoes a moment later, through the outbox. One that came
        before its purchase knows of no receipt, which a gateway may have claimed for that before it ended.
        """
        if answer.refusal is None or answer.refusal.reason is not Reason.DUPLICATE_RECEIPT:
            return False
        at = self._receipt_at(ask, command)
        if at is None:  # on a shard that hosts everything a claim never outlives its purchase
            return False
        partition, digest = at
        found = await self._router.ask(step(Op.LOOK_RECEIPT, partition, body=digest))
        if found.refusal is not None or not found.body:
            return found.refusal is None
        held = RECEIPT.decode(found.body)
        if not 0 <= held.placed < self._router.partitions:
            return held.let_go
        look = RequestLook(held.scope, held.request_id)
        undone = await self._router.ask(step(Op.LOOK_REQUEST, held.placed, body=encode(look)))
        if undone.refusal is not None or not _UNDONE.decode(undone.body):
            return held.let_go
        wish = encode(let_go_of(held, digest))
        return (await self._router.ask(step(Op.RELEASE_RECEIPT, partition, body=wish))).refusal is None

    async def release(self, ask: Ask, command: Command, *, for_good: bool = False) -> None:
        """Lets go of the claim of a purchase that was refused, `for_good` because it had been reversed.

        Also where the last shard that was asked hosts the receipt: it was claimed for one before, on the way
        to a pool.
        """
        at = self._receipt_at(ask, command)
        if at is not None:
            releasing = self._receipt_step(Op.RELEASE_RECEIPT, at, ask, command, for_good=for_good)
            await self._router.ask(releasing)

    def _of(self, ask: Ask, command: Command) -> Command | None:
        if ask.op is Op.RETURN:
            partition = self._placed_at(ask, command)
            if partition is None:
                return None
            wish = Placing(command.scope, ask.route.request_id, ask.route.occurred_ms, command.partition)
            return step(Op.PLACE_REQUEST, partition, body=encode(wish))
        at = self._claimed_at(ask, command)
        return None if at is None else self._receipt_step(Op.CLAIM_RECEIPT, at, ask, command)

    def _placed_at(self, ask: Ask, command: Command) -> int | None:
        """Where it is noted which partition does a return without a member, if that is not the one that its
        id leads to. A reversal knows the id alone: without the note it could not undo the return, nor keep
        it out.
        """
        if command.account_id or not is_request_id(ask.route.request_id):
            return None
        partition = anonymous_partition(command.scope, ask.route.request_id, self._router.partitions)
        return None if partition == command.partition else partition

    def _may_claim(self, ask: Ask) -> bool:
        """Whether it is a purchase with a receipt, which may lie on another shard."""
        return len(self._router.lanes) > 1 and ask.op is Op.ACCRUE and bool(ask.route.receipt[1])

    def _receipt_at(self, ask: Ask, command: Command) -> tuple[int, bytes] | None:
        """(partition, digest) of a purchase's receipt, if it has one and there is more than one shard."""
        if not self._may_claim(ask):
            return None
        store_id, number = ask.route.receipt
        return place_of(store_id or command.store_id, number, self._router.partitions)

    def _claimed_at(self, ask: Ask, command: Command) -> tuple[int, bytes] | None:
        """The same where another shard than the purchase's hosts it."""
        router, at = self._router, self._receipt_at(ask, command)
        if at is None:
            return None
        return None if router.shard_of(at[0]) == router.shard_of(command.partition) else at

    def _receipt_step(
        self, op: Op, at: tuple[int, bytes], ask: Ask, command: Command, *, for_good: bool = False
    ) -> Command:
        partition, digest = at
        body_hash = self._digests.digest(body_hash_of(command.read))
        way = ask.route
        wish = ReceiptWish(
            digest, command.scope, way.request_id, way.occurred_ms, for_good, body_hash, command.partition
        )
        return step(op, partition, body=encode(wish))


def anonymous_partition(scope: str, request_id: str, partitions: int) -> int:
    """Where a request without a member leads by its terminal and id."""
    return partition_of(hashlib.sha256(f"{scope}\x00{request_id}".encode()).digest(), partitions)


async def claim_sale(router: Router, ask: Ask, found: Found, scope: str, trace_id: str) -> Answer:
    """Marks an anonymous sale as the account's; the answer carries the sale for it to earn on.

    The request is read whole first: one that is refused for its form must not bind the sale to anybody.
    """
    parsed = read(Op.CLAIM_PURCHASE, ask.message, "", "")
    if isinstance(parsed, Refused):
        return refused(parsed)
    assert isinstance(parsed.command, ClaimPurchase)
    ref = parsed.command.sale
    partition = min(ref.partition, router.partitions - 1)
    taking = taking_id(scope, parsed.request_id)
    wish = TakeSale(taking, parsed.occurred_ms, ref.partition, ref.sequence, found.account_id)
    return await router.ask(step(Op.TAKE_SALE, partition, body=encode(wish), trace_id=trace_id))


async def release_sale(router: Router, ask: Ask, command: Command) -> None:
    """Frees the sale of a claim that was refused for good."""
    ref = transaction_ref(ask.message.transaction_id)
    if isinstance(ref, Refused):
        return
    wish = release_of(ref, command.scope, ask.route.request_id, ask.route.occurred_ms)
    partition = min(ref.partition, router.partitions - 1)
    await router.ask(step(Op.RELEASE_SALE, partition, body=encode(wish), trace_id=command.trace_id))
