"""Running a node: what its status says, backups while it serves, books that are proven, plaintext at home."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
import structlog.testing
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from node.config import ConfigError
from node.proto.vafa.admin.v1 import admin_service_pb2 as pb
from node.proto.vafa.coalition.v1.coalition_service_pb2 import ListRecordsRequest
from node.proto.vafa.coalition.v1.coalition_service_pb2_grpc import CoalitionServiceStub
from node.proto.vafa.pos.v1 import inquiry_pb2
from simulators.faults.methods import GUARDED
from simulators.local_node import LocalNode, new_card
from simulators.operations import OperationWriter
from simulators.refusal import Action
from tests.rpc.shop import Line, Shop, receipt, refused, sale

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_status_adds_up(shop: Shop) -> None:
    before = await shop.admin.admin.GetStatus(pb.GetStatusRequest())
    card = await shop.member(points=40)
    await shop.redeem(card, 15)
    after = await shop.admin.admin.GetStatus(pb.GetStatusRequest())
    old, new = ({one.purse: one for one in status.totals} for status in (before, after))
    issued = new["points"].issued - (old["points"].issued if "points" in old else 0)
    redeemed = new["points"].redeemed - (old["points"].redeemed if "points" in old else 0)
    assert (issued, redeemed, after.accounts - before.accounts) == (40, 15, 1)
    assert not any(one.books_sum for one in after.totals)
    assert sum(shard.entries for shard in after.shards) == await shop.entries()
    assert sorted(number for shard in after.shards for number in shard.partitions) == list(range(16))
    assert after.merchant_id == "shop-1"
    assert after.programme_version == 1


async def test_the_books_are_proven_while_tills_go_on(shop: Shop) -> None:
    card = await shop.member()
    sales = [asyncio.create_task(shop.accrue(card, 100)) for _ in range(100)]
    checked = await shop.admin.admin.CheckBooks(pb.CheckBooksRequest())
    await asyncio.gather(*sales)
    assert checked.clean, checked.findings
    assert await shop.points(card) == 100


async def test_a_backup_is_made_while_tills_go_on_and_is_whole(shop: Shop) -> None:
    card = await shop.member()
    sales = [asyncio.create_task(shop.accrue(card, 100)) for _ in range(100)]
    answer = await shop.admin.admin.CreateBackup(pb.CreateBackupRequest(name="nightly-1"))
    await asyncio.gather(*sales)
    assert await asyncio.to_thread(_size_of, Path(answer.path)) >= answer.size_bytes > 0
    with refused("INVALID_ARGUMENT"):
        await shop.admin.admin.CreateBackup(pb.CreateBackupRequest(name="nightly-1"))


def _size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["", "..", "../x", "/tmp/x", "a/b", ".hidden", "x" * 65, "پشتیبان", "a\x00"])
async def test_a_backup_is_written_nowhere_but_among_the_backups(shop: Shop, name: str) -> None:
    with refused("INVALID_ARGUMENT"):
        await shop.admin.admin.CreateBackup(pb.CreateBackupRequest(name=name))


async def test_reflection_names_every_service_that_the_port_serves(one_shop: Shop) -> None:
    # The reflection client is a blocking one.
    certificate = one_shop.node.certificate(GUARDED[0].allowed[0], "till-1", "north")
    address = one_shop.node.addresses.address

    def services() -> set[str]:
        with grpc.secure_channel(address, certificate.channel_credentials()) as channel:
            return set(ProtoReflectionDescriptorDatabase(channel).get_services())

    named = await asyncio.to_thread(services)
    assert named >= {method.path.split("/")[1] for method in GUARDED}


async def test_plaintext_serves_on_loopback_and_is_refused_anywhere_else(tmp_path: Path) -> None:
    for address in ("0.0.0.0:0", "192.0.2.7:7443"):
        with pytest.raises(ConfigError, match="plaintext"):
            LocalNode(tmp_path / address[:3], settings={"plaintext": True, "listen": address})
    node = LocalNode(tmp_path / "home", settings={"plaintext": True})
    await node.start()
    try:
        async with grpc.aio.insecure_channel(node.addresses.address) as channel:
            line, write = Line(channel), OperationWriter()
            await line.send(write.accrual(None, sale(100, store_id="north", receipt_number=receipt())))
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert health.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await node.stop()


async def test_a_fault_in_the_gateway_is_logged_with_the_callers_trace_id_and_told_as_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(shop.node.node.counter, "ask", fail)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with structlog.testing.capture_logs() as lines, refused("INTERNAL") as refusal:
        await shop.till.pos.GetBalance(
            inquiry_pb2.GetBalanceRequest(identifier=new_card()),
            metadata=(("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),),
        )
    assert refusal[0].action is Action.ASK
    (line,) = (line for line in lines if line["event"] == "call_faulted")
    assert (line["method"], line["trace_id"], line["fault"]) == ("GetBalance", trace, "ZeroDivisionError")


async def test_a_partner_that_the_directory_does_not_name_cannot_be_asked_for_its_records(shop: Shop) -> None:
    coalition = CoalitionServiceStub(shop.admin.channel)
    for partner_id in ("", "nobody", "سوق"):
        request = ListRecordsRequest(partner_id=partner_id, from_partner=True)
        with refused("INVALID_ARGUMENT"):
            await coalition.ListRecords(request)
        request.from_partner = False
        assert not (await coalition.ListRecords(request)).records
