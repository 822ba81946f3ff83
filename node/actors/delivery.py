"""Delivers what one partition's decisions owe to others: the outbox entries of all shards.

An entry was made durable with the decision that called for it, and stays until what it asks for has been
done. Every step of that is idempotent, so a delivery that was cut short is simply made again; before each try
the entry is listed anew by the shard that would have dropped it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
import structlog

from node.actors.linking import Linking, is_passing
from node.actors.ports import ShardGone, ShardHandle
from node.actors.router import Router
from node.actors.steps import step
from node.storage.keyspace import partition_of
from node.wire.commands import Answer, AnswerKind, Op, encode
from node.wire.parse import transaction_id
from node.wire.records import Dispatch
from node.wire.steps import CloseTransfer, HolderAgreement, LinkAgreement, ReceiveTransfer

LISTED = 500
"""Outbox entries of one partition that one round looks at."""

CONCURRENT = 64
"""Deliveries under way at a time."""

IDLE_SECONDS = 2.0
"""How long after an empty round the outbox is looked at again, unless woken: tills put entries in too."""

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 30.0

MAX_POOLS = 3
"""How often a transfer is sent on, from an account to its pool."""

Entry = tuple[int, int, Dispatch]

_ENTRIES = msgspec.msgpack.Decoder(list[Entry])
_RECEIVE = msgspec.msgpack.Decoder(ReceiveTransfer)
_LINKS = msgspec.msgpack.Decoder(LinkAgreement)
_HOLDER = msgspec.msgpack.Decoder(HolderAgreement)

log = structlog.get_logger()


class Delivery:
    """The one deliverer of a node. `run` it as a task; `wake` it when something was put into an outbox."""

    def __init__(self, shards: Sequence[ShardHandle], router: Router, linking: Linking) -> None:
        self._shards = shards
        self._router = router
        self._linking = linking
        self._woken = asyncio.Event()
        self._turns = asyncio.Semaphore(CONCURRENT)

    def wake(self) -> None:
        """Something waits to be delivered."""
        self._woken.set()

    async def run(self) -> None:
        """Delivers until cancelled. What cannot be delivered is tried again, ever more slowly."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            self._woken.clear()
            delivered, left = await self.round()
            if not left:
                pause_seconds = FIRST_PAUSE_SECONDS
            if delivered:
                continue  # what was delivered may have put more into an outbox
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds if left else IDLE_SECONDS):
                    await self._woken.wait()
            if left:
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    async def round(self) -> tuple[int, int]:
        """Tries everything that waits, once. Gives (entries delivered, entries and shards still waiting)."""
        entries: list[Entry] = []
        left = 0
        for shard in self._shards:
            try:
                entries += _ENTRIES.decode(await shard.call("outbox", LISTED))
            except ShardGone:
                left += 1
        outcomes = await asyncio.gather(*(self._try(*entry) for entry in entries))
        delivered = sum(outcomes)
        return delivered, left + len(entries) - delivered

    async def _try(self, partition: int, sequence: int, dispatch: Dispatch) -> bool:
        async with self._turns:
            try:
                return await self._deliver(partition, sequence, dispatch)
            except Exception as fault:
                name = transaction_id(partition, sequence)
                log.error("delivery_faulted", entry=name, fault=type(fault).__name__, exc_info=fault)
                return False

    async def _deliver(self, partition: int, sequence: int, dispatch: Dispatch) -> bool:
        """One entry; says whether it is gone from the outbox."""
        if dispatch.op == Op.RECEIVE_TRANSFER:
            return await self._transfer(partition, sequence, dispatch)
        if dispatch.op in (Op.RELEASE_RECEIPT, Op.RELEASE_SALE):
            done = await self._take(Op(dispatch.op), dispatch)
        elif dispatch.op == Op.AGREE_LINKS:
            ended, account_id = _LINKS.decode(dispatch.body), dispatch.account_id
            async with self._linking.alone(account_id):
                done = await self._linking.agree_ended(account_id, ended.digests, ended.erased_person)
        elif dispatch.op == Op.AGREE_HOLDER:
            wish = _HOLDER.decode(dispatch.body)
            async with self._linking.alone(wish.holder):
                done = await self._linking.agree_holder(wish.pool_id, wish.holder)
        else:
            log.error("delivery_unknown", entry=transaction_id(partition, sequence), operation=dispatch.op)
            return False
        if not done:
            return False
        dropped = await self._router.ask(step(Op.DROP_OUTBOX, partition, body=encode(sequence)))
        return dropped.kind == AnswerKind.DONE

    async def _take(self, op: Op, dispatch: Dispatch) -> bool:
        answer = await self._router.ask(step(op, dispatch.partition, body=dispatch.body))
        return answer.kind == AnswerKind.DONE

    async def _transfer(self, partition: int, sequence: int, dispatch: Dispatch) -> bool:
        """Gives the units to the other account, and ends the transfer on the sender, however that went.

        The end drops the entry in its own batch, so units never come back after they arrived, nor twice.
        """
        sent = _RECEIVE.decode(dispatch.body)
        received = await self._receive(dispatch)
        if is_passing(received) or received.kind == AnswerKind.POOLED:
            return False
        accepted = received.kind == AnswerKind.DONE
        if not accepted and received.refusal is not None:
            log.info("transfer_comes_back", transfer=sent.transfer_id, reason=received.refusal.reason.name)
        end = CloseTransfer(
            f"{sent.request_id}-end", sent.at_ms, sent.transfer_id, accepted, sent.parts, sequence
        )
        closed = await self._router.ask(
            step(Op.CLOSE_TRANSFER, partition, account_id=sent.from_account, body=encode(end))
        )
        if closed.refusal is not None and not is_passing(closed):
            log.error("transfer_not_closed", transfer=sent.transfer_id, reason=closed.refusal.reason.name)
        return closed.kind == AnswerKind.DONE

    async def _receive(self, dispatch: Dispatch) -> Answer:
        """The other account's answer; where it belonged to a pool when the units left, the pool's."""
        account_id, partition = dispatch.account_id, dispatch.partition
        for _ in range(MAX_POOLS):
            answer = await self._router.ask(
                step(Op.RECEIVE_TRANSFER, partition, account_id=account_id, body=dispatch.body)
            )
            if answer.kind != AnswerKind.POOLED:
                break
            account_id = answer.body
            partition = partition_of(account_id, self._router.partitions)
        return answer
