"""Claims that must be made in one partition before a request is done in another.

A receipt number is unique in the whole node, and its claim lies in a partition of its own. Where the shard of
the purchase hosts that partition too, the claim is part of the purchase's batch and nothing here is needed;
else it is made first, durable, for this very request, so that a retry finds it its own. A purchase that is
then refused lets it go. The same holds for an anonymous sale that a member claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from node.actors.resolver import Found
from node.actors.router import Router
from node.actors.steps import step
from node.actors.tills import receipt_digest
from node.ledger.refusals import Refused
from node.storage.keyspace import partition_of
from node.wire.commands import Answer, AnswerKind, Command, Op, ReceiptWish, encode, refused
from node.wire.steps import TakeSale, claimed_sale_ref

if TYPE_CHECKING:
    from node.actors.counter import Ask


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


_NOTHING_TO_CLAIM = Claim()


async def claim_receipts(router: Router, asked: Sequence[tuple[Ask, Command]]) -> list[Claim]:
    """Claims the receipts that lie on other shards than their purchases."""
    claims = [_NOTHING_TO_CLAIM] * len(asked)
    if len(router.lanes) == 1:
        return claims
    found = [(at, _foreign_claim(router, ask, command)) for at, (ask, command) in enumerate(asked)]
    wanted = [(at, claim) for at, claim in found if claim is not None]
    steps = [step(Op.CLAIM_RECEIPT, partition, body=encode(wish)) for _, (partition, wish) in wanted]
    for (at, _), answer in zip(wanted, await router.ask_many(steps), strict=True):
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


async def claim_sale(router: Router, ask: Ask, found: Found, trace_id: str) -> Answer:
    """Marks an anonymous sale as the account's; the answer carries the sale for it to earn on."""
    ref = claimed_sale_ref(ask.body)
    if isinstance(ref, Refused):
        return refused(ref)
    partition = min(ref.partition, router.partitions - 1)
    request_id = f"claim-{ref.partition}-{ref.sequence}-{found.account_id.hex()}"
    wish = TakeSale(request_id, ask.route.occurred_ms, ref.partition, ref.sequence, found.account_id)
    return await router.ask(step(Op.TAKE_SALE, partition, body=encode(wish), trace_id=trace_id))
