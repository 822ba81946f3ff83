"""Units on their way from one account to another are in exactly one place, whatever dies on the way."""

from __future__ import annotations

import asyncio

import pytest

from node.ledger.postings import IN_TRANSIT
from node.ledger.refusals import Reason
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.storage import keyspace
from node.storage.keyspace import Kind
from node.wire.commands import Answer, Op
from tests.actors.harness import Actors, Dead, body_of, by_id, card, every_death, reason_of
from tests.actors.stored import PARTITIONS

DAY_MS = 86_400_000
NOBODY = by_id("0" * 32)


async def sent(
    actors: Actors,
    units: int,
    who: Identifier | None = None,
    to: Identifier | None = None,
    purse: str = "points",
) -> Answer:
    request = pb.TransferRequest(
        identifier=who or card(1), to_identifier=to or card(2), purse=purse, units=units
    )
    return await actors.tell(Op.TRANSFER, actors.stamped(request))


async def two_members(actors: Actors) -> None:
    """One with 100 points, one with none."""
    await actors.enrol(card(1))
    await actors.enrol(card(2))
    await actors.buys(card(1), 100)
    actors.now_ms += 1_000


async def test_units_leave_at_once_arrive_by_delivery_and_keep_their_expiry(actors: Actors) -> None:
    await two_members(actors)
    before = (await actors.member(card(1))).balances[0].next_expiry_time
    answer = pb.TransferResponse.FromString(body_of(await sent(actors, 40)))
    assert answer.balances[0].spendable == 60
    assert actors.books()[IN_TRANSIT, "points"] == 40
    assert await actors.points(card(2)) == 0
    actors.now_ms += 40 * DAY_MS
    await actors.deliver()
    assert await actors.points(card(2)) == 40
    assert (await actors.member(card(2))).balances[0].next_expiry_time == before
    actors.assert_whole()


@pytest.mark.parametrize("to", [NOBODY, card(3)], ids=["nobody", "closed"])
async def test_units_that_cannot_arrive_come_back(actors: Actors, to: Identifier) -> None:
    await two_members(actors)
    account_id = await actors.enrol(card(3))
    body_of(await sent(actors, 40, to=to))
    body_of(
        await actors.tell(
            Op.CLOSE_ACCOUNT, actors.stamped(pb.CloseAccountRequest(identifier=by_id(account_id)))
        )
    )
    await actors.deliver()
    assert await actors.points(card(1)) == 100
    actors.assert_whole()


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("to", [card(2), NOBODY], ids=["arrives", "comes back"])
@pytest.mark.parametrize("is_retried", [False, True], ids=["forgotten", "retried"])
async def test_a_transfer_that_was_cut_short_moves_all_or_nothing(
    to: Identifier, is_retried: bool, shards: int
) -> None:
    request = pb.TransferRequest(
        request_id="move", identifier=card(1), to_identifier=to, purse="points", units=40
    )

    async def story(actors: Actors) -> None:
        await actors.tell(Op.TRANSFER, actors.stamped(request))
        await actors.deliver()

    outcomes = set()
    async for actors, moment in every_death(story, two_members, shards):
        actors.assert_balanced()
        if is_retried:
            body_of(await actors.tell(Op.TRANSFER, actors.stamped(request)))
        await actors.settle()
        actors.assert_whole()
        points = (await actors.points(card(1)), await actors.points(card(2)))
        assert sum(points) == 100, moment
        outcomes.add(points)
    moved = (60, 40) if to == card(2) else (100, 0)
    assert outcomes == {moved} if is_retried else {moved, (100, 0)}


async def test_a_transfer_is_delivered_once_though_the_node_stood_still_for_months(actors: Actors) -> None:
    await two_members(actors)
    request = pb.TransferRequest(
        request_id="move", identifier=card(1), to_identifier=card(2), purse="points", units=40
    )
    body_of(await actors.tell(Op.TRANSFER, actors.stamped(request)))
    # The units arrive, and then the process dies before the sender hears of it.
    actors.dies_after = actors.messages + 1
    with pytest.raises(Dead):
        await actors.until_death(actors.deliver())
    actors.restart()
    assert await actors.points(card(2)) == 40
    actors.now_ms += 100 * DAY_MS
    for shard in actors.shards:
        shard.forget_old_requests(b"")
    await actors.deliver()
    assert (await actors.points(card(1)), await actors.points(card(2))) == (60, 40)
    actors.assert_whole()


async def test_a_transfer_waits_for_an_account_that_was_set_aside(actors: Actors) -> None:
    await two_members(actors)
    body_of(await sent(actors, 40))
    (waiting,) = [value for _, value in actors.stored(Kind.OUTBOX)]
    account_id = bytes.fromhex((await actors.member(card(2))).account_id)
    await actors.set_aside(account_id)
    assert await actors.delivery.round() == (0, 1)
    assert [value for _, value in actors.stored(Kind.OUTBOX)] == [waiting]
    await actors.release(account_id)
    await actors.deliver()
    assert await actors.points(card(2)) == 40
    actors.assert_whole()


async def test_units_that_expired_on_the_way_back_get_days_of_grace(actors: Actors) -> None:
    await two_members(actors)
    body_of(await sent(actors, 40, to=NOBODY))
    actors.now_ms += 500 * DAY_MS
    await actors.deliver()
    assert await actors.points(card(1)) == 40  # the other 60 have expired
    actors.now_ms += 8 * DAY_MS
    assert await actors.points(card(1)) == 0


async def test_no_more_than_the_daily_limit_leaves_an_account(actors: Actors) -> None:
    await two_members(actors)
    await actors.buys(card(1), 1_000)
    body_of(await sent(actors, 400))
    assert reason_of(await sent(actors, 101)) is Reason.LIMIT_EXCEEDED
    body_of(await sent(actors, 100))
    assert reason_of(await sent(actors, 1)) is Reason.LIMIT_EXCEEDED
    actors.now_ms += DAY_MS
    body_of(await sent(actors, 500))
    await actors.deliver()
    actors.assert_whole()


async def test_a_request_that_is_dated_back_counts_on_todays_limit(actors: Actors) -> None:
    await two_members(actors)
    await actors.buys(card(1), 1_000)
    body_of(await sent(actors, 500))
    request = pb.TransferRequest(identifier=card(1), to_identifier=card(2), purse="points", units=500)
    request.occurred_time.FromMilliseconds(actors.now_ms - 2 * DAY_MS)
    assert reason_of(await actors.tell(Op.TRANSFER, actors.stamped(request))) is Reason.LIMIT_EXCEEDED


@pytest.mark.parametrize(
    ("units", "to", "purse", "reason"),
    [
        (101, card(2), "points", Reason.INSUFFICIENT_BALANCE),
        (0, card(2), "points", Reason.INVALID_ARGUMENT),
        (-5, card(2), "points", Reason.INVALID_ARGUMENT),
        (2**62, card(2), "points", Reason.INVALID_ARGUMENT),
        (5, card(1), "points", Reason.INVALID_ARGUMENT),
        (5, card(3), "points", Reason.MEMBER_NOT_FOUND),
        (5, Identifier(), "points", Reason.INVALID_ARGUMENT),
        (5, by_id("zz"), "points", Reason.INVALID_IDENTIFIER),
        (1, card(2), "stamps", Reason.NOT_TRANSFERABLE),
        (1, card(2), "miles", Reason.UNKNOWN_PURSE),
    ],
)
async def test_what_cannot_be_moved_moves_nothing(
    actors: Actors, units: int, to: Identifier, purse: str, reason: Reason
) -> None:
    await two_members(actors)
    request = pb.TransferRequest(identifier=card(1), to_identifier=to, purse=purse, units=units)
    assert reason_of(await actors.tell(Op.TRANSFER, actors.stamped(request))) is reason
    assert list(actors.stored(Kind.OUTBOX)) == []
    actors.assert_whole()


async def test_a_retry_is_answered_as_before_though_the_other_card_is_gone(actors: Actors) -> None:
    await two_members(actors)
    request = pb.TransferRequest(identifier=card(1), to_identifier=card(2), purse="points", units=40)
    # A till whose clock is ahead: by the time it names, the card is nobody's any more.
    request.occurred_time.FromMilliseconds(actors.now_ms + 60_000)
    first = await actors.tell(Op.TRANSFER, actors.stamped(request))
    await actors.deliver()
    unlink = pb.UnlinkIdentifierRequest(identifier=card(2))
    body_of(await actors.tell(Op.UNLINK_IDENTIFIER, actors.stamped(unlink)))
    assert await actors.tell(Op.TRANSFER, request) == first
    await actors.deliver()
    actors.assert_whole()


async def test_an_account_with_units_on_their_way_is_not_closed(actors: Actors) -> None:
    await two_members(actors)
    body_of(await sent(actors, 100))
    request = pb.CloseAccountRequest(identifier=card(1), forfeit_balances=True)
    assert reason_of(await actors.tell(Op.CLOSE_ACCOUNT, actors.stamped(request))) is Reason.ACCOUNT_NOT_EMPTY
    await actors.deliver()
    body_of(await actors.tell(Op.CLOSE_ACCOUNT, actors.stamped(request)))


async def test_transfers_to_and_fro_at_once_lose_and_invent_nothing(actors: Actors) -> None:
    for number in range(6):
        await actors.enrol(card(number))
        await actors.buys(card(number), 100)
    running = asyncio.ensure_future(actors.delivery.run())
    for turn in range(5):
        moves = [sent(actors, 7 + n, card(n), card((n + 1 + turn) % 6)) for n in range(6) for _ in range(3)]
        await asyncio.gather(*moves)
        actors.assert_balanced()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await actors.deliver()
    actors.assert_whole()
    assert sum([await actors.points(card(number)) for number in range(6)]) == 600


async def test_what_cannot_be_delivered_now_is_delivered_when_woken(actors: Actors) -> None:
    """`run` delivers by itself, also what was put into an outbox before it began."""
    await two_members(actors)
    body_of(await sent(actors, 40))
    running = asyncio.ensure_future(actors.delivery.run())
    async with asyncio.timeout(5):
        await actors.until_delivered()
        body_of(await sent(actors, 20))
        actors.delivery.wake()
        await actors.until_delivered()
    running.cancel()
    assert await actors.points(card(2)) == 60


async def test_the_accounts_of_these_tests_lie_in_different_partitions(actors: Actors) -> None:
    """Else they would prove nothing about partitions."""
    await two_members(actors)
    await actors.enrol(card(3))
    partitions = {keyspace.partition_of(bytes.fromhex(name), PARTITIONS) for name in actors.accounts()}
    assert len(partitions) == 3
    assert len({actors.router.shard_of(number) for number in partitions}) == len(actors.shards)
