"""The shards' processes of a real node, on Ray: killed while they work, drained, and made to wait for a lock.

That the whole node is killed is `tests/simulators/test_real_node.py`'s to prove. It and the first test
here are the sample of their kind in every run; the rest is for `make soak`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from node.identity.caller import Role
from node.proto.vafa.admin.v1 import admin_service_pb2
from node.proto.vafa.pos.v1 import inquiry_pb2
from node.proto.vafa.programme.v1 import programme_service_pb2
from node.storage.lock import OWNER_FILE
from node.storage.meta import DATABASE
from simulators import shoppers
from simulators.launch import NodeFailed, NodeUnderTest, launch_node
from simulators.operations import OperationWriter
from simulators.purchases import card_identifier
from simulators.staff import Staff
from tests.rpc.shop import Line, sale

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeUnderTest]:
    """A node with two shards that serves; stopped at the end unless a test did."""
    with launch_node(tmp_path_factory.mktemp("node"), shards=2, merchant="shop-1") as launched:
        yield launched


def line(node: NodeUnderTest, role: Role, name: str, store: str = "") -> Line:
    """A connection with that role."""
    certificate = node.issue(role, name, store=store)
    return Line(grpc.aio.secure_channel(node.addresses.serving, certificate.channel_credentials()))


def stores(node: NodeUnderTest) -> list[Path]:
    """The directories of the shards' stores."""
    return sorted((node.installation / "data").glob("shard-*"))


def owner_of(store: Path) -> int:
    """The process that holds a shard's store open."""
    wanted = str((store / DATABASE / OWNER_FILE).resolve())
    for process in Path("/proc").iterdir():
        try:
            if any(os.readlink(link) == wanted for link in (process / "fd").iterdir()):
                return int(process.name)
        except (OSError, ValueError):
            continue
    raise AssertionError(f"nobody holds {wanted}")


async def enrolled(node: NodeUnderTest, number: int) -> Any:
    """A new member's card."""
    (member,) = list(shoppers.members(number + 1, seed=31))[number:]
    async with Staff(node.addresses.serving, node.issue(Role.STAFF, "maryam")) as staff:
        await staff.enrol(member)
    return card_identifier(member.card)


async def points(till: Line, card: Any) -> int:
    """The member's spendable points."""
    answer = await till.pos.GetBalance(inquiry_pb2.GetBalanceRequest(identifier=card))
    return next(one.spendable for one in answer.balances if one.purse == "points")


async def test_what_a_killed_shard_had_in_hand_is_answered_after_its_revival_and_done_once(
    node: NodeUnderTest,
) -> None:
    till, admin = line(node, Role.TILL, "till-1", "north"), line(node, Role.ADMIN, "admin")
    cards, write = [await enrolled(node, number) for number in range(4)], OperationWriter()
    draft = (await admin.programmes.GetProgramme(programme_service_pb2.GetProgrammeRequest())).programme
    draft.version = 0
    draft.ClearField("effective_time")
    draft.rules[0].rate.units = 3
    await admin.programmes.PublishProgramme(
        programme_service_pb2.PublishProgrammeRequest(request_id=uuid.uuid4().hex, programme=draft)
    )
    operations = [write.accrual(card, sale(100)) for _ in range(150) for card in cards]
    calls = [asyncio.create_task(_patiently(till, operation)) for operation in operations]
    await calls[20]
    for store in stores(node):  # both shards hold some of the members
        os.kill(owner_of(store), signal.SIGKILL)
    answers = await asyncio.gather(*calls)
    assert {answer.programme_version for answer in answers} == {2}, "published before the kill"
    assert [await points(till, card) for card in cards] == [450] * 4
    assert [await till.send(operation) for operation in operations] == answers
    assert [await points(till, card) for card in cards] == [450] * 4
    checked = await admin.admin.CheckBooks(admin_service_pb2.CheckBooksRequest())
    assert checked.clean, checked.findings


async def _patiently(till: Line, operation: Any) -> Any:
    """Sends an operation as a till does: again, the same bytes, while nobody says what became of it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await till.send(operation)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    raise
                await asyncio.sleep(0.1)


@pytest.mark.soak
async def test_a_node_that_is_told_to_stop_answers_what_it_took_and_the_next_one_waits_for_its_stores(
    node: NodeUnderTest,
) -> None:
    till, card, write = line(node, Role.TILL, "till-2", "north"), await enrolled(node, 7), OperationWriter()
    operations = [write.accrual(card, sale(100)) for _ in range(400)]
    calls = [asyncio.create_task(till.send(operation)) for operation in operations]
    worth = (await calls[10]).effects[0].points.units
    await asyncio.to_thread(node.stop)  # which insists on exit status 0
    answers = await asyncio.gather(*calls, return_exceptions=True)
    await till.channel.close()
    done = [answer for answer in answers if not isinstance(answer, BaseException)]
    for refused in (answer for answer in answers if isinstance(answer, BaseException)):
        assert isinstance(refused, grpc.aio.AioRpcError)
        too_late = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert refused.code() in too_late, "a call that came too late"
    await asyncio.to_thread(_start_while_a_store_is_held, node)
    till = line(node, Role.TILL, "till-2", "north")
    assert await points(till, card) >= worth * len(done) > 0
    for operation in operations:
        await till.send(operation)
    assert await points(till, card) == worth * len(operations)
    await till.channel.close()


def _start_while_a_store_is_held(node: NodeUnderTest) -> None:
    """Starts the node while somebody still holds one of its stores, as a dying process does."""
    held, other = stores(node)
    handle = os.open(held / DATABASE / OWNER_FILE, os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    starting = threading.Thread(target=node.start)
    starting.start()
    try:
        # The other store is opened by its shard; this one's has been waiting since.
        _wait_for_owner(other)
        with pytest.raises(NodeFailed, match="not running"):
            _ = node.addresses
    finally:
        os.close(handle)
    starting.join(PATIENCE_SECONDS)
    assert not starting.is_alive()


def _wait_for_owner(store: Path) -> None:
    for _ in range(600):
        try:
            owner_of(store)
        except AssertionError:
            threading.Event().wait(0.05)
        else:
            return
    raise AssertionError(f"no shard opened {store}")
