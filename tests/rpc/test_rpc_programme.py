"""Programme versions: published over RPC, in force from their time on, and judged by for ever after."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from node.identity.caller import Role
from node.proto.vafa.pos.v1 import inquiry_pb2
from node.proto.vafa.programme.v1 import programme_pb2, programme_service_pb2
from simulators.operations import timestamp
from tests.rpc.shop import DAY_MS, Shop, open_shop, refused, sale

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR_MS = 3_600_000


@pytest_asyncio.fixture(loop_scope="module", params=[1, 3], ids=["1shard", "3shards"])
async def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    """A shop of its own for each test: versions are never taken back, so one test would bind the next."""
    async with open_shop(tmp_path_factory.mktemp("shop"), shards=request.param) as opened:
        yield opened


async def draft(shop: Shop, *, units: int = 1, clip: bool = False) -> programme_pb2.Programme:
    """The version in force, as a draft in which a whole unit of money earns so many points."""
    answer = await shop.admin.programmes.GetProgramme(programme_service_pb2.GetProgrammeRequest(version=1))
    changed: programme_pb2.Programme = answer.programme
    changed.version = 0
    changed.ClearField("effective_time")
    changed.rules[0].rate.units = units
    if clip:
        changed.purses[0].spent_return_policy = programme_pb2.SPENT_RETURN_POLICY_CLIP
    return changed


async def publish(
    shop: Shop, programme: programme_pb2.Programme, effective_ms: int | None = None, request_id: str = ""
) -> programme_service_pb2.PublishProgrammeResponse:
    """Publishes a draft, in force from `effective_ms` on, or now."""
    if effective_ms is not None:
        programme.effective_time.CopyFrom(timestamp(effective_ms))
    request = programme_service_pb2.PublishProgrammeRequest(
        request_id=request_id or uuid.uuid4().hex, programme=programme
    )
    return await shop.admin.programmes.PublishProgramme(request)


async def in_force(shop: Shop, at_ms: int) -> int:
    """The version in force at a moment."""
    request = programme_service_pb2.GetProgrammeRequest(at_time=timestamp(at_ms))
    version: int = (await shop.admin.programmes.GetProgramme(request)).programme.version
    return version


async def test_a_version_judges_what_occurs_from_its_time_on_and_late_sales_by_the_one_before(
    shop: Shop,
) -> None:
    card, now_ms = await shop.member(), shop.node.now_ms()
    published = await publish(shop, await draft(shop, units=5, clip=True), now_ms + HOUR_MS)
    before = await shop.accrue(card, 1000)
    assert (before.programme_version, await shop.points(card)) == (published.version - 1, 10)
    shop.node.advance(2 * HOUR_MS)
    after = await shop.accrue(card, 1000)
    assert (after.programme_version, await shop.points(card)) == (published.version, 60)
    late = await shop.accrue(card, 1000, occurred_ms=now_ms)
    assert (late.programme_version, await shop.points(card)) == (published.version - 1, 70)
    quoted = await shop.till.pos.Quote(
        inquiry_pb2.QuoteRequest(identifier=card, purchase=sale(1000), occurred_time=timestamp(now_ms))
    )
    assert quoted.effects[0].points.units == 10
    await shop.till.send(shop.write.return_of(card, late.transaction_id))
    assert await shop.points(card) == 60
    # The version of then lets a balance go below zero; the one of now would not.
    await shop.redeem(card, 60)
    await shop.till.send(shop.write.return_of(card, before.transaction_id))
    assert await shop.points(card) == -10
    await shop.till.send(shop.write.return_of(card, after.transaction_id))
    assert await shop.points(card) == -10
    await _restarted_judges_alike(shop, now_ms)


async def _restarted_judges_alike(shop: Shop, early_ms: int) -> None:
    await shop.reopen()
    card = await shop.member()
    await shop.accrue(card, 1000, occurred_ms=early_ms)
    assert await shop.points(card) == 10
    await shop.accrue(card, 1000)
    assert await shop.points(card) == 60


async def test_publishing_again_by_the_same_request_makes_no_second_version(shop: Shop) -> None:
    programme, request_id = await draft(shop), uuid.uuid4().hex
    at_ms = shop.node.now_ms() + DAY_MS
    first = await publish(shop, programme, at_ms, request_id)
    assert await publish(shop, programme, at_ms, request_id) == first
    other = await draft(shop, units=9)
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS):
        await publish(shop, other, at_ms, request_id)
    listed = await shop.admin.programmes.ListProgrammes(programme_service_pb2.ListProgrammesRequest())
    assert listed.programmes[0].version == first.version
    assert listed.programmes[0].author == "admin:admin"


async def test_a_mistake_is_mended_at_once_though_a_later_version_waits_which_then_follows(
    shop: Shop,
) -> None:
    later_ms = shop.node.now_ms() + 100 * DAY_MS
    waiting = await publish(shop, await draft(shop, units=7), later_ms)
    mended = await publish(shop, await draft(shop, units=3))
    assert await in_force(shop, shop.node.now_ms() + 1) == mended.version
    assert await in_force(shop, later_ms) == waiting.version
    card = await shop.member()
    await shop.accrue(card, 100)
    assert await shop.points(card) == 3
    again = await publish(shop, await draft(shop, units=8), later_ms)  # in the place of the one that waits
    assert await in_force(shop, later_ms) == again.version


async def test_a_version_cannot_take_effect_in_the_past_nor_in_ages(shop: Shop) -> None:
    last = await publish(shop, await draft(shop), shop.node.now_ms() + 2 * DAY_MS)
    for at_ms in (shop.node.now_ms() - DAY_MS, 7 * 10**12):
        with refused("EFFECTIVE_TIME_OUT_OF_BOUNDS"):
            await publish(shop, await draft(shop), at_ms)
    absurd = await draft(shop)
    for seconds in (2**63 - 1, -(2**63), 10**12):
        absurd.effective_time.seconds = seconds
        with refused("INVALID_PROGRAMME"):
            await publish(shop, absurd)
    listed = await shop.admin.programmes.ListProgrammes(programme_service_pb2.ListProgrammesRequest())
    assert listed.programmes[0].version == last.version


async def test_a_draft_that_makes_no_sense_is_refused_with_every_problem_by_its_path(shop: Shop) -> None:
    broken = await draft(shop)
    for rule in broken.rules:
        rule.condition = "purchase.nonsense ==" + "!" * 50
    for number in range(60):
        broken.rules.add(code=f"rule {number} " + "ب" * 200, purse="no such purse" * 20)
    with refused("INVALID_PROGRAMME", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        await publish(shop, broken)
    assert len(refusal[0].metadata) > 1


async def test_programmes_are_listed_in_pages_newest_first(shop: Shop) -> None:
    await publish(shop, await draft(shop), shop.node.now_ms() + 3 * DAY_MS)
    found: list[int] = []
    token = ""
    while True:
        page = await shop.admin.programmes.ListProgrammes(
            programme_service_pb2.ListProgrammesRequest(page_size=1, page_token=token)
        )
        found += [one.version for one in page.programmes]
        token = page.next_page_token
        if not token:
            break
    assert found == list(range(found[0], 0, -1))
    for made_up in ("x", "-1", "9" * 5000, "٣"):
        with refused("INVALID_CURSOR"):
            await shop.admin.programmes.ListProgrammes(
                programme_service_pb2.ListProgrammesRequest(page_token=made_up)
            )


async def test_a_till_reads_the_programme_in_force(shop: Shop) -> None:
    answer = await shop.till.programmes.GetProgramme(programme_service_pb2.GetProgrammeRequest())
    assert [purse.code for purse in answer.programme.purses] == ["points", "credit", "stamps"]
    for request in (
        programme_service_pb2.GetProgrammeRequest(version=999),
        programme_service_pb2.GetProgrammeRequest(version=-1),
        programme_service_pb2.GetProgrammeRequest(at_time=timestamp(1)),
    ):
        with refused("PROGRAMME_NOT_FOUND"):
            await shop.till.programmes.GetProgramme(request)


async def test_a_preview_says_what_a_draft_would_bring_and_publishes_nothing(shop: Shop) -> None:
    staff = shop.line(Role.STAFF, "maryam")
    request = programme_service_pb2.PreviewProgrammeRequest(
        programme=await draft(shop, units=7), purchase=sale(1000)
    )
    answer = await staff.programmes.PreviewProgramme(request)
    assert [effect.points.units for effect in answer.effects] == [70]
    request.purchase.total.currency = "IRR"
    with refused("WRONG_CURRENCY"):
        await staff.programmes.PreviewProgramme(request)
