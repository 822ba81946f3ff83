"""A shop for tests: a node inside this process, tills and staff that call it, and words for what they do."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from node.identity.caller import Role
from node.proto.vafa.admin.v1 import admin_service_pb2_grpc
from node.proto.vafa.common.v1 import balance_pb2, money_pb2, purchase_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.feed.v1 import feed_service_pb2_grpc
from node.proto.vafa.member.v1 import member_service_pb2_grpc
from node.proto.vafa.pos.v1 import inquiry_pb2, operation_pb2, pos_service_pb2_grpc
from node.proto.vafa.programme.v1 import programme_service_pb2_grpc
from node.proto.vafa.terminal.v1 import terminal_service_pb2_grpc
from simulators.enrolment import TillCertificate
from simulators.local_node import LocalNode, new_card
from simulators.operations import OperationWriter, change_in
from simulators.refusal import Refusal, refusal_of_error, refusal_of_item

CURRENCY = "USD"
DAY_MS = 86_400_000
_METHODS = {
    "accrue": "Accrue",
    "record_activity": "RecordActivity",
    "authorize": "Authorize",
    "capture": "Capture",
    "void": "Void",
    "redeem": "Redeem",
    "return": "Return",
    "reverse": "Reverse",
}


class Line:
    """A caller's connection, with a stub for each service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.pos = pos_service_pb2_grpc.PosServiceStub(channel)
        self.members = member_service_pb2_grpc.MemberServiceStub(channel)
        self.programmes = programme_service_pb2_grpc.ProgrammeServiceStub(channel)
        self.terminals = terminal_service_pb2_grpc.TerminalServiceStub(channel)
        self.feed = feed_service_pb2_grpc.FeedServiceStub(channel)
        self.admin = admin_service_pb2_grpc.AdminServiceStub(channel)

    async def send(self, operation: operation_pb2.Operation) -> Any:
        """Does an operation by its own call; its response. What is refused is an AioRpcError."""
        kind = operation.WhichOneof("operation") or ""
        return await getattr(self.pos, _METHODS[kind])(change_in(operation))

    async def submit(self, *operations: operation_pb2.Operation) -> list[operation_pb2.OperationResult]:
        """Does many in one call."""
        answer = await self.pos.Submit(operation_pb2.SubmitRequest(operations=operations))
        return list(answer.results)


class Shop:
    """One node, one till of the store "north", and the merchant's people.

    `write` writes operations by the node's clock. Each test brings its own members and receipts.
    """

    def __init__(self, node: LocalNode) -> None:
        self.node = node
        self.write = OperationWriter(clock=node.now_ms)
        self._lines: list[Line] = []
        self.till = self.line(Role.TILL, "till-1", "north")
        self.admin = self.line(Role.ADMIN, "admin")

    def line(self, role: Role, caller_id: str, store: str = "") -> Line:
        """A connection of that caller's, closed with the shop."""
        return self.line_with(self.node.certificate(role, caller_id, store))

    def line_with(self, certificate: TillCertificate) -> Line:
        """A connection with that certificate, closed with the shop."""
        line = Line(self.node.channel(certificate))
        self._lines.append(line)
        return line

    async def reopen(self) -> None:
        """Restarts the node; every caller connects anew."""
        await self.close()
        await self.node.restart()
        self.till = self.line(Role.TILL, "till-1", "north")
        self.admin = self.line(Role.ADMIN, "admin")

    async def close(self) -> None:
        """Closes all connections."""
        for line in self._lines:
            await line.channel.close()
        self._lines.clear()

    async def member(self, *, points: int = 0, stamps: int = 0) -> Identifier:
        """A new member's card, with so many points and stamps earned."""
        card = new_card()
        await self.node.enrol(card)
        if points:
            await self.accrue(card, points * 100)
        for _ in range(stamps):
            await self.accrue(card, 1, codes=["STAMP"])
        return card

    async def accrue(
        self, member: Identifier | None, minor: int, occurred_ms: int | None = None, **purchase: Any
    ) -> Any:
        """Records a purchase of `minor` in all; `purchase` are further fields of it."""
        return await self.till.send(self.write.accrual(member, sale(minor, **purchase), occurred_ms))

    async def redeem(self, member: Identifier, units: int, purse: str = "points") -> Any:
        """Spends units of one purse."""
        return await self.till.send(self.write.redemption(member, [spend(units, purse)]))

    async def purses(self, member: Identifier) -> dict[str, balance_pb2.PurseBalance]:
        """The member's purses by code."""
        answer = await self.till.pos.GetBalance(inquiry_pb2.GetBalanceRequest(identifier=member))
        return {one.purse: one for one in answer.balances}

    async def points(self, member: Identifier) -> int:
        """The member's spendable points."""
        return (await self.purses(member))["points"].spendable

    async def entries(self) -> int:
        """How many entries all journals have: what changes nothing adds none.

        What fell due when a test moved the clock is settled first: the sweep in the background adds entries.
        """
        for shard in self.node.shards:
            while await shard.call("sweep"):
                pass
        return sum(sum(shard.host.sequences().values()) for shard in self.node.shards)


def sale(minor: int, *, lines: Iterable[tuple[int, int]] = (), **fields: Any) -> purchase_pb2.Purchase:
    """A purchase of `minor` in all; `lines` are (net minor, quantity in thousandths), numbered from 1."""
    return purchase_pb2.Purchase(
        total=money_pb2.Money(currency=CURRENCY, minor=minor),
        lines=[
            purchase_pb2.PurchaseLine(
                number=number, sku=f"sku-{number}", net_minor=net, quantity_milli=quantity
            )
            for number, (net, quantity) in enumerate(lines, 1)
        ],
        **fields,
    )


def spend(units: int, purse: str = "points") -> balance_pb2.Spend:
    """A spend in units."""
    return balance_pb2.Spend(purse=purse, units=units)


def spend_money(minor: int, purse: str = "points", currency: str = CURRENCY) -> balance_pb2.Spend:
    """A spend in money."""
    return balance_pb2.Spend(purse=purse, money=money_pb2.Money(currency=currency, minor=minor))


def receipt() -> str:
    """A receipt number that no other test uses."""
    return f"R-{uuid.uuid4().hex[:12]}"


@contextlib.contextmanager
def refused(reason: str, code: grpc.StatusCode | None = None) -> Iterator[list[Refusal]]:
    """The block's call is refused for this reason; the list holds the refusal afterwards."""
    found: list[Refusal] = []
    with pytest.raises(grpc.aio.AioRpcError) as error:
        yield found
    refusal = refusal_of_error(error.value)
    assert refusal.reason == reason, f"{refusal.reason}: {refusal.message}"
    if code is not None:
        assert error.value.code() is code
    found.append(refusal)


def item_reason(result: operation_pb2.OperationResult) -> str:
    """The reason for which an item of a batch was refused; empty where it was done."""
    return refusal_of_item(result.refusal).reason if result.HasField("refusal") else ""


@contextlib.asynccontextmanager
async def open_shop(
    directory: Path, *, shards: int = 1, settings: Mapping[str, str | int | bool] | None = None
) -> AsyncIterator[Shop]:
    """A shop that serves inside the block; at its end the books are proven, and no account is set aside."""
    node = LocalNode(directory, shards=shards, settings=settings)
    await node.start()
    shop = Shop(node)
    try:
        yield shop
    finally:
        await shop.close()
        await node.stop()
    assert node.check().problems == []
