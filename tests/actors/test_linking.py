"""Identifiers lie in one partition, accounts in another; whatever dies in between, they agree in the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.actors import linking
from node.ledger.refusals import Reason
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.wire.commands import Command, LinkWish, Op
from tests.actors.harness import (
    TILL,
    Actors,
    Dead,
    body_of,
    by_id,
    card,
    every_death,
    phone,
    reason_of,
)

ENROL = pb.EnrolRequest(request_id="enrol", identifiers=[card(1), phone(1), card(2)])
LINK = pb.LinkIdentifierRequest(request_id="link", identifier=card(1), new_identifier=card(2))
UNLINK = pb.UnlinkIdentifierRequest(request_id="unlink", identifier=card(1))
CLOSE = pb.CloseAccountRequest(request_id="close", identifier=card(1), forfeit_balances=True)
ERASE = pb.ErasePersonRequest(request_id="erase", identifier=card(1))

each_shards = pytest.mark.parametrize("shards", [1, 3])


async def nothing(actors: Actors) -> None:
    """Nobody is a member yet."""


async def one_member(actors: Actors) -> None:
    await actors.enrol(card(1), phone(1))
    actors.now_ms += 1_000


async def enrolled(actors: Actors) -> None:
    await actors.tell(Op.ENROL, actors.stamped(ENROL), TILL)


async def linked(actors: Actors) -> None:
    await actors.tell(Op.LINK_IDENTIFIER, actors.stamped(LINK))


@each_shards
async def test_an_enrolment_that_was_cut_short_is_finished_by_its_retry(shards: int) -> None:
    async for actors, moment in every_death(enrolled, nothing, shards):
        body_of(await actors.tell(Op.ENROL, actors.stamped(ENROL), TILL))
        actors.assert_whole()
        assert len(actors.accounts()) == 1, moment
        for shown in (card(1), phone(1), card(2)):
            body_of(await actors.identify(shown))


@each_shards
async def test_an_enrolment_that_was_cut_short_and_forgotten_is_all_or_nothing(shards: int) -> None:
    outcomes = set()
    async for actors, moment in every_death(enrolled, nothing, shards):
        await actors.settle()
        actors.assert_whole()
        found = [reason_of(await actors.identify(shown)) for shown in (card(1), phone(1), card(2))]
        assert len(set(found)) == 1, moment
        outcomes.add(found[0])
        if found[0]:
            await actors.enrol(card(1), phone(1), card(2))  # nothing is left claimed
    assert outcomes == {None, Reason.MEMBER_NOT_FOUND}


@each_shards
async def test_a_link_that_was_cut_short_is_all_or_nothing(shards: int) -> None:
    outcomes = set()
    async for actors, moment in every_death(linked, one_member, shards):
        await actors.settle()
        actors.assert_whole()
        outcome = reason_of(await actors.identify(card(2)))
        outcomes.add(outcome)
        body_of(await actors.tell(Op.LINK_IDENTIFIER, actors.stamped(LINK)))
        actors.assert_whole()
        assert (await actors.member(card(2))).account_id == (await actors.member(card(1))).account_id, moment
    assert outcomes == {None, Reason.MEMBER_NOT_FOUND}


@each_shards
@pytest.mark.parametrize(
    ("op", "request_"),
    [(Op.UNLINK_IDENTIFIER, UNLINK), (Op.CLOSE_ACCOUNT, CLOSE), (Op.ERASE_PERSON, ERASE)],
    ids=["unlink", "close", "erase"],
)
async def test_an_identifier_that_was_let_go_is_free_though_nobody_asks_again(
    op: Op, request_: pb.UnlinkIdentifierRequest, shards: int
) -> None:
    async def story(actors: Actors) -> None:
        await actors.tell(op, actors.stamped(type(request_).FromString(request_.SerializeToString())))

    freed = set()
    async for actors, _ in every_death(story, one_member, shards):
        await actors.settle()
        actors.assert_whole()
        (before,) = actors.accounts().values()
        actors.now_ms += 1_000
        answer = await actors.tell(Op.ENROL, actors.stamped(pb.EnrolRequest(identifiers=[card(1)])))
        freed.add(reason_of(answer))
        assert actors.erased in ([], [before.account_id], [before.account_id] * 2)
        assert bool(actors.erased) == before.erased
        actors.assert_whole()
    assert freed == {None, Reason.IDENTIFIER_TAKEN}


@each_shards
async def test_a_claim_under_way_is_left_alone_and_a_forgotten_one_is_not(
    shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "SWEPT_KEYS", 2)  # many steps of a sweep
    actors = Actors(shards=shards)
    for number in range(10):
        await actors.enrol(card(number))
    for number in range(100, 120):
        digest = actors.resolver.digest(1, card(number).value)
        assert isinstance(digest, bytes)
        await actors.linking.claim(digest, [LinkWish(digest, 1)])  # each for an account that is never opened
    assert await actors.linking.sweep() == 0
    actors.now_ms += linking.STALE_MS
    assert await actors.linking.sweep() == 0
    actors.now_ms += 1
    assert await actors.linking.sweep() == 20
    actors.assert_whole()


async def test_what_cannot_be_agreed_on_now_is_not_forgotten(actors: Actors) -> None:
    await one_member(actors)
    account_id = bytes.fromhex((await actors.member(card(1))).account_id)
    actors.dies_after = actors.messages + 2  # the identifier resolved, the account done, the index not yet
    with pytest.raises(Dead):
        await actors.until_death(actors.tell(Op.UNLINK_IDENTIFIER, actors.stamped(UNLINK)))
    actors.restart()
    await actors.set_aside(account_id)
    assert await actors.delivery.round() == (0, 1)
    assert await actors.delivery.round() == (0, 1)
    await actors.release(account_id)
    await actors.deliver()
    actors.assert_whole()


async def test_a_claim_that_is_not_confirmed_finds_nobody() -> None:
    actors = Actors()
    account_id = await actors.enrol(card(1))
    digest = actors.resolver.digest(1, card(2).value)
    assert isinstance(digest, bytes)
    await actors.linking.claim(bytes.fromhex(account_id), [LinkWish(digest, 1)])
    assert reason_of(await actors.identify(card(2))) is Reason.MEMBER_NOT_FOUND


async def test_of_many_who_want_one_card_at_once_one_gets_it_and_the_others_nothing() -> None:
    actors = Actors()
    requests = [actors.stamped(pb.EnrolRequest(identifiers=[card(1), phone(n)])) for n in range(20)]
    answers = await asyncio.gather(*(actors.tell(Op.ENROL, request) for request in requests))
    won = [answer for answer in answers if reason_of(answer) is None]
    assert len(won) <= 1
    assert {reason_of(answer) for answer in answers} - {None} == {Reason.IDENTIFIER_TAKEN}
    assert len(actors.accounts()) == len(won)
    actors.assert_whole()


async def test_one_request_sent_by_many_at_once_enrols_one() -> None:
    actors = Actors()
    request = actors.stamped(pb.EnrolRequest(identifiers=[card(1), phone(1)]))
    answers = await asyncio.gather(*(actors.tell(Op.ENROL, request) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    body_of(answers[0])
    assert len(actors.accounts()) == 1
    actors.assert_whole()


async def test_linking_and_unlinking_one_card_at_once_leaves_index_and_accounts_in_agreement() -> None:
    actors = Actors()
    first, second = await actors.enrol(phone(1)), await actors.enrol(phone(2))

    async def link(account_id: str) -> None:
        wish = pb.LinkIdentifierRequest(identifier=by_id(account_id), new_identifier=card(1))
        await actors.tell(Op.LINK_IDENTIFIER, actors.stamped(wish))

    async def unlink() -> None:
        await actors.tell(
            Op.UNLINK_IDENTIFIER, actors.stamped(pb.UnlinkIdentifierRequest(identifier=card(1)))
        )

    for _ in range(10):
        actors.now_ms += 10
        await asyncio.gather(link(first), unlink(), link(second), unlink(), link(first))
        await actors.deliver()
        actors.assert_whole()


async def test_a_caller_who_hangs_up_leaves_nothing_half_done() -> None:
    actors = Actors()
    request = actors.stamped(pb.EnrolRequest(identifiers=[card(1), phone(1)]))
    for _ in range(8):
        call = asyncio.ensure_future(actors.tell(Op.ENROL, request))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    await actors.members.drain()
    assert len(actors.accounts()) == 1
    actors.assert_whole()


async def test_under_overload_a_request_is_refused_for_now_and_done_when_it_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actors = Actors(shards=1)
    (lane,) = actors.router.lanes
    put, room, asked = lane.put, 0, 0

    def crowded(command: Command, waiting: Any, place: int) -> None:
        nonlocal asked
        asked += 1
        monkeypatch.setattr(lane, "_queue_limit", 1_000 if asked <= room else 0)
        put(command, waiting, place)

    monkeypatch.setattr(lane, "put", crowded)
    request = actors.stamped(pb.EnrolRequest(identifiers=[card(1), phone(1)]))
    seen = []
    for before in range(6):  # the queue is full at each step of the work in turn
        room, asked = before, 0
        answer = await actors.tell(Op.ENROL, request)
        seen.append((reason_of(answer), asked))
    # Two claims, the account, a look at it, two confirmations; nothing more is asked of a full queue.
    assert seen == [
        (Reason.OVERLOADED, 2),
        (Reason.OVERLOADED, 2),
        (Reason.OVERLOADED, 3),
        (Reason.UNAVAILABLE, 4),
        (Reason.UNAVAILABLE, 6),
        (Reason.UNAVAILABLE, 6),
    ]
    room, asked = 1_000, 0
    body_of(await actors.tell(Op.ENROL, request))
    actors.assert_whole()


async def test_a_try_that_is_refused_takes_nothing_from_one_that_is_not() -> None:
    """Two bodies under one request id, one of them bad, at every distance from each other."""
    for apart in range(40):
        actors = Actors(shards=1)
        good = actors.stamped(pb.EnrolRequest(request_id="1", identifiers=[card(1)]))
        bad = actors.stamped(pb.EnrolRequest(request_id="1", identifiers=[card(1)]))
        bad.person.birth_date.date = "2199-01-01"
        first = asyncio.ensure_future(actors.tell(Op.ENROL, bad))
        for _ in range(apart):
            await asyncio.sleep(0)
        answer = await actors.tell(Op.ENROL, good)
        assert reason_of(await first) in (Reason.INVALID_ARGUMENT, Reason.REQUEST_ID_REUSED)
        body_of(answer)
        actors.assert_whole()
