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
from typing import TYPE_CHECKING

from msgspec import Struct

from node.actors.resolver import Found
from node.actors.router import Router
from node.actors.steps import step
from node.actors.tills import receipt_digest
from node.ledger.commands import ClaimPurchase
from node.ledger.refusals import Refused
from node.storage.keyspace import partition_of
from node.wire.commands import Answer, AnswerKind, Command, Op, Placing, ReceiptWish, encode, refused
from node.wire.parse import is_request_id, transaction_ref
from node.wire.requests import read
from node.wire.steps import TakeSale, release_of, taking_id

if TYPE_CHECKING:
    from node.actors.counter import Ask


def _placing(router: Router, ask: Ask, command: Command) -> Command | None:
    """The step that notes where a return without a member is done, where its id leads to another partition.

    A reversal of it knows the id alone; without the note it could not undo the return, nor keep it out.
    """
    if ask.op is not Op.RETURN or command.account_id or not is_request_id(ask.route.request_id):
        return None
    partition = anonymous_partition(command.scope, ask.route.request_id, router.partitions)
    if partition == command.partition:
        return None
    wish = Placing(command.scope, ask.route.request_id, ask.route.occurred_ms, command.partition)
    return step(Op.PLACE_REQUEST, partition, body=encode(wish))


def anonymous_partition(scope: str, request_id: str, partitions: int) -> int:
    """Where a request without a member leads by its terminal and id."""
    return partition_of(hashlib.sha256(f"{scope}\x00{request_id}".encode()).digest(), partitions)


def _foreign_claim(router: Router, ask: Ask, command: Command) -> tuple[int, ReceiptWish] | None:
    """(partition, claim) of a purchase's receipt where another shard than the purchase's hosts it."""
    if ask.op is not Op.ACCRUE or not ask.route.receipt[1]:
        return None
    store_id, number = ask.route.receipt
    digest = receipt_digest(store_id or command.store_id, number)
    partition = partition_of(digest, router.partitions)
    if router.shard_of(partition) == router.shard_of(command.partition):
        return None
    return partition, ReceiptWish(digest, command.scope, ask.route.request_id, ask.route.occurred_ms)


class Claim(Struct, frozen=True):
    """How a request stands with its receipt: refused, or free to go on; `fresh` where claimed just now.

    Only a fresh claim is let go when a purchase is refused: an older one belongs to whoever made it.
    """

    refusal: Answer | None = None
    fresh: bool = False


NOTHING_TO_CLAIM = Claim()


def first_step(router: Router, ask: Ask, command: Command) -> Command | None:
    """The step that another partition must take before a command goes to its shard, if there is one."""
    if ask.op is Op.RETURN:
        return _placing(router, ask, command)
    if len(router.lanes) == 1:
        return None
    claim = _foreign_claim(router, ask, command)
    return None if claim is None else step(Op.CLAIM_RECEIPT, claim[0], body=encode(claim[1]))


async def claim_receipts(router: Router, asked: Sequence[tuple[Ask, Command]]) -> list[Claim]:
    """Claims the receipts that lie on other shards than their purchases; notes where returns are done."""
    claims = [NOTHING_TO_CLAIM] * len(asked)
    steps = [(at, first_step(router, ask, command)) for at, (ask, command) in enumerate(asked)]
    wanted = [(at, one) for at, one in steps if one is not None]
    if not wanted:
        return claims
    for (at, _), answer in zip(wanted, await router.ask_many([one for _, one in wanted]), strict=True):
        if answer.kind == AnswerKind.DONE:
            claims[at] = Claim(fresh=bool(answer.body))
        else:
            claims[at] = Claim(refusal=answer)
    return claims


async def release_receipt(router: Router, ask: Ask, command: Command) -> None:
    """Lets go of the fresh claim of a purchase that was refused."""
    claim = _foreign_claim(router, ask, command)
    if claim is not None:
        partition, wish = claim
        await router.ask(step(Op.RELEASE_RECEIPT, partition, body=encode(wish)))


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
