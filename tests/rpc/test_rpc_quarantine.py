"""A fault in one account's business: that account is set aside with the evidence, and nobody else notices."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from node.actors.member import MemberActor
from node.ledger.account import Account
from node.proto.vafa.admin.v1 import admin_service_pb2 as pb
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.storage import keyspace
from node.storage.store import Batch
from node.wire.commands import Op
from simulators.local_node import LocalNode, new_card
from tests.rpc.shop import DAY_MS, Shop, item_reason, refused, sale, spend

pytestmark = pytest.mark.asyncio(loop_scope="module")

POISON = "poison"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sick_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A shop in which accounts are set aside; its books are whole in the end, whoever is."""
    node = LocalNode(tmp_path_factory.mktemp("sick"), shards=1)
    await node.start()
    shop = Shop(node)
    yield shop
    await shop.close()
    await node.stop()
    assert [problem for problem in node.check().problems if "set aside" not in problem] == []


@contextmanager
def poisoned(shop: Shop, op: Op = Op.ACCRUE) -> Iterator[None]:
    """Inside the block, deciding on a purchase by the cashier "poison" meets a fault in the code."""
    desk = shop.node.shards[0].host.shard._desk
    sound = desk.deciders[op]

    def decide(desk: Any, case: Any, account: Account) -> Any:
        if getattr(case.ask, "purchase", None) is None or case.ask.purchase.cashier_id == POISON:
            raise ZeroDivisionError("with مریم's number in its text")
        return sound(desk, case, account)

    desk.deciders[op] = decide
    try:
        yield
    finally:
        desk.deciders[op] = sound


async def set_aside(shop: Shop) -> dict[str, pb.QuarantinedAccount]:
    """The accounts that are set aside, by id; the list is read in pages."""
    found: dict[str, pb.QuarantinedAccount] = {}
    token = ""
    while True:
        request = pb.ListQuarantinedRequest(page_size=1, page_token=token)
        page = await shop.admin.admin.ListQuarantined(request)
        found |= {one.account_id: one for one in page.accounts}
        token = page.next_page_token
        if not token:
            return found


async def release(shop: Shop, account: str) -> None:
    """Staff put an account back to work."""
    await shop.admin.admin.ReleaseQuarantined(
        pb.ReleaseQuarantinedRequest(request_id=uuid.uuid4().hex, account_id=account)
    )


async def sick_member(shop: Shop) -> tuple[Identifier, str]:
    """A member with 20 points whose account a poisoned purchase has set aside."""
    card = new_card()
    account = await shop.node.enrol(card)
    await shop.accrue(card, 2000)
    with poisoned(shop), refused("ACCOUNT_QUARANTINED"):
        await shop.accrue(card, 700, cashier_id=POISON)
    return card, account


async def test_a_fault_refuses_its_one_command_and_the_rest_of_the_batch_is_done(sick_shop: Shop) -> None:
    shop = sick_shop
    sick, well = await shop.member(), await shop.member()
    operations = [
        shop.write.accrual(well, sale(100)),
        shop.write.accrual(sick, sale(200)),
        shop.write.accrual(sick, sale(300, cashier_id=POISON)),
        shop.write.accrual(sick, sale(400)),
        shop.write.accrual(well, sale(500)),
        shop.write.accrual(None, sale(600)),
        shop.write.accrual(None, sale(700, cashier_id=POISON)),
        shop.write.accrual(None, sale(800)),
    ]
    with poisoned(shop):
        results = await shop.till.submit(*operations)
    assert [item_reason(result) for result in results] == [
        "", "", "ACCOUNT_QUARANTINED", "ACCOUNT_QUARANTINED", "", "", "INTERNAL", "",
    ]  # fmt: skip
    assert await shop.points(well) == 6
    with refused("ACCOUNT_QUARANTINED"):
        await shop.points(sick)


async def test_the_evidence_says_what_and_where_and_which_request_but_nothing_of_the_member(
    sick_shop: Shop,
) -> None:
    shop, card = sick_shop, new_card()
    account = await shop.node.enrol(card)
    operation = shop.write.accrual(card, sale(300, cashier_id=POISON))
    with poisoned(shop), refused("ACCOUNT_QUARANTINED"):
        await shop.till.send(operation)
    found = (await set_aside(shop))[account]
    assert found.request_id == operation.accrue.request_id
    assert found.fault.startswith("ZeroDivisionError at ")
    assert "decide" in found.fault
    assert "مریم" not in str(found)
    assert abs(found.time.ToMilliseconds() - shop.node.now_ms()) < 60_000


async def test_an_account_stays_set_aside_across_a_restart_and_goes_on_where_it_was_when_released(
    sick_shop: Shop,
) -> None:
    shop = sick_shop
    card, account = await sick_member(shop)
    await shop.reopen()
    for operation in (shop.write.accrual(card, sale(100)), shop.write.redemption(card, [spend(1)])):
        with refused("ACCOUNT_QUARANTINED") as refusal:
            await shop.till.send(operation)
        assert refusal[0].action.name == "SHOW"
    assert account in await set_aside(shop)
    await release(shop, account)
    assert account not in await set_aside(shop)
    assert await shop.points(card) == 20, "the purchase that met the fault was never recorded"
    await shop.accrue(card, 300)
    await shop.reopen()
    assert await shop.points(card) == 23


async def test_the_very_request_that_met_the_fault_is_done_once_the_fault_is_mended(sick_shop: Shop) -> None:
    shop, card = sick_shop, new_card()
    account = await shop.node.enrol(card)
    operation = shop.write.accrual(card, sale(700, cashier_id=POISON))
    with poisoned(shop), refused("ACCOUNT_QUARANTINED"):
        await shop.till.send(operation)
    await release(shop, account)
    await shop.till.send(operation)
    await shop.till.send(operation)
    assert await shop.points(card) == 7


async def test_what_was_due_before_the_fault_is_kept_whole(sick_shop: Shop) -> None:
    """The purchase touches an account whose points have just expired: that is posted, the purchase is not."""
    shop, card = sick_shop, new_card()
    account = await shop.node.enrol(card)
    await shop.accrue(card, 2000)
    shop.node.advance(400 * DAY_MS)
    with poisoned(shop), refused("ACCOUNT_QUARANTINED"):
        await shop.accrue(card, 700, cashier_id=POISON)
    await release(shop, account)
    assert await shop.points(card) == 0
    await shop.accrue(card, 300)
    assert await shop.points(card) == 3


async def test_a_fault_in_what_happens_by_itself_sets_one_account_aside_and_settles_the_others(
    sick_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, card, other = sick_shop, new_card(), await sick_shop.member(points=9)
    account = await shop.node.enrol(card)
    await shop.accrue(card, 2000)
    sound: Callable[..., bool] = MemberActor.settle_due

    def settle_due(actor: MemberActor, *arguments: Any) -> bool:
        if actor.account_id.hex() == account:
            raise ZeroDivisionError
        return sound(actor, *arguments)

    monkeypatch.setattr(MemberActor, "settle_due", settle_due)
    shop.node.advance(400 * DAY_MS)
    await shop.node.shards[0].call("sweep")
    monkeypatch.undo()
    assert account in await set_aside(shop)
    assert await shop.points(other) == 0
    await release(shop, account)
    await shop.node.shards[0].call("sweep")
    assert await shop.points(card) == 0


async def test_a_stored_account_that_cannot_be_read_is_set_aside_and_kept_as_it_is(sick_shop: Shop) -> None:
    shop, card, other = sick_shop, new_card(), await sick_shop.member(points=9)
    account = bytes.fromhex(await shop.node.enrol(card))
    await shop.accrue(card, 2000)
    host = shop.node.shards[0].host
    partition = keyspace.partition_of(account, 16)
    key = keyspace.account_key(partition, account)
    stored = host._store.get(key)
    assert stored is not None
    newer = bytes((stored[0] + 1,)) + stored[1:]  # as a newer version of the software would write it
    await _overwrite(shop, key, newer)
    await shop.reopen()
    with refused("ACCOUNT_QUARANTINED"):
        await shop.accrue(card, 100)
    assert await shop.points(other) == 9
    await release(shop, account.hex())
    with refused("ACCOUNT_QUARANTINED"):
        await shop.points(card)
    assert account.hex() in await set_aside(shop)
    assert shop.node.shards[0].host._store.get(key) == newer
    await _overwrite(shop, key, stored)
    await release(shop, account.hex())
    assert await shop.points(card) == 20


async def _overwrite(shop: Shop, key: bytes, value: bytes) -> None:
    store, batch = shop.node.shards[0].host._store, Batch()
    batch.put(key, value)
    store.write(batch)
    store.sync()


@pytest.mark.parametrize("account", ["", "00", "0" * 16, "0" * 30, "0" * 34, "zz" * 16, "0" * 4000, "٠" * 32])
async def test_releasing_what_is_no_account_is_refused_and_harms_nobody(
    sick_shop: Shop, account: str
) -> None:
    with refused("INVALID_ARGUMENT"):
        await release(sick_shop, account)
    await sick_shop.accrue(None, 100)


async def test_releasing_an_account_that_is_well_changes_nothing(sick_shop: Shop) -> None:
    card = new_card()
    account = await sick_shop.node.enrol(card)
    await sick_shop.accrue(card, 500)
    await release(sick_shop, account)
    assert await sick_shop.points(card) == 5


async def test_the_status_counts_the_accounts_that_are_set_aside_and_the_check_names_them(
    sick_shop: Shop,
) -> None:
    before = await sick_shop.admin.admin.GetStatus(pb.GetStatusRequest())
    _, account = await sick_member(sick_shop)
    status = await sick_shop.admin.admin.GetStatus(pb.GetStatusRequest())
    assert status.shards[0].quarantined_accounts == before.shards[0].quarantined_accounts + 1
    checked = await sick_shop.admin.admin.CheckBooks(pb.CheckBooksRequest())
    assert not checked.clean
    assert sum(account in finding for finding in checked.findings) == 1
