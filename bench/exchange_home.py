"""Accruals at home beside a coalition: a node that has joined one, in turns with a node that never did.

Both are of one kind and have the members' cards of their own; nothing goes between merchants meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.contest import Contestant, take_turns, unary_turn
from bench.messages import BASKET_LINES, AccrualMaker
from bench.report import say
from bench.subject import ACCRUE, Subject, now_ms
from node.identity.caller import Role
from simulators import shoppers
from simulators.demo.coalition import founding
from simulators.demo.coalition.merchants import TRADERS
from simulators.launch import NodeFailed, NodeUnderTest
from simulators.shoppers import Member
from simulators.staff import Staff

IN_FLIGHT = 64
_WARM_UP_SECONDS = 1.0


@contextlib.contextmanager
def node_alone(directory: Path, members: Sequence[Member]) -> Iterator[NodeUnderTest]:
    """For the time of the block, a node like those of the coalition that joined none, with these members."""
    trader = dataclasses.replace(TRADERS[0], merchant_id="alone")
    node, _ = founding.launch(directory / trader.merchant_id, trader)
    try:
        asyncio.run(_enrol(node, members))
        yield node
    finally:
        with contextlib.suppress(NodeFailed):
            node.stop()


async def _enrol(node: NodeUnderTest, members: Sequence[Member]) -> None:
    async with AsyncExitStack() as stack:
        certificate = node.issue(Role.ADMIN, "bench")
        staff = await stack.enter_async_context(Staff(node.addresses.serving, certificate))
        for member in members:
            await staff.enrol(member)


def compare(
    joined: NodeUnderTest, alone: NodeUnderTest, members: Sequence[Member], seconds: float, rounds: int
) -> tuple[Contestant, Contestant]:
    """Single accruals at the node that joined and at the one that did not, in turns."""
    say(f"Accruals at home, {IN_FLIGHT} in flight …")
    pair = _contestant("joined", joined, members, seconds), _contestant("alone", alone, members, seconds)
    take_turns(pair, rounds)
    return pair


def _contestant(name: str, node: NodeUnderTest, members: Sequence[Member], seconds: float) -> Contestant:
    subject = Subject(node, node.issue(Role.TILL, "till-1", store="store-1"))
    cards = [member.card for member in members]
    maker = AccrualMaker(cards, occurred_ms=now_ms(), lines=BASKET_LINES, currency=shoppers.CURRENCY)
    target = subject.target(name, ACCRUE)
    unary_turn(target, maker, IN_FLIGHT, _WARM_UP_SECONDS).insist(f"{name}, warming up")
    return Contestant(
        f"accrual at home, {name}",
        IN_FLIGHT,
        lambda: unary_turn(target, maker, IN_FLIGHT, seconds),
        subject.cpu_seconds,
    )
