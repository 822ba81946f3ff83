"""An account that met a fault is set aside with its balances, shown, and put back to work."""

from __future__ import annotations

import pytest

from node.ledger.refusals import Reason
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.storage.keyspace import Kind
from node.wire.commands import Op
from tests.actors.harness import Actors, body_of, by_id, card, reason_of


async def test_an_account_that_was_set_aside_is_still_shown_to_staff(actors: Actors) -> None:
    account_id = await actors.enrol(card(1))
    await actors.buys(card(1), 50)
    await actors.set_aside(bytes.fromhex(account_id))
    assert reason_of(await actors.buys(card(1), 50)) is Reason.ACCOUNT_QUARANTINED
    for _ in range(2):
        assert (await actors.member(card(1))).status == "quarantined"
        assert await actors.points(by_id(account_id)) == 50
        actors.restart()


async def test_a_released_account_goes_on_where_it_was(actors: Actors) -> None:
    account_id = await actors.enrol(card(1))
    await actors.buys(card(1), 50)
    await actors.set_aside(bytes.fromhex(account_id))
    await actors.release(bytes.fromhex(account_id))
    body_of(await actors.buys(card(1), 50))
    assert await actors.points(card(1)) == 100
    actors.restart()
    body_of(await actors.buys(card(1), 50))
    assert await actors.points(card(1)) == 150
    assert list(actors.stored(Kind.QUARANTINE)) == []
    actors.assert_whole()


async def test_the_evidence_is_of_the_first_fault(actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the account is so broken that it cannot even be shown."""
    account_id = bytes.fromhex(await actors.enrol(card(1)))
    await actors.set_aside(account_id)
    ((_, first),) = actors.stored(Kind.QUARANTINE)

    def broken(*_: object) -> bytes:
        raise ValueError("nothing can be read of it")

    for shard in actors.shards:
        monkeypatch.setitem(shard._desk.inquiries, Op.GET_MEMBER, broken)
    actors.now_ms += 1_000
    answer = await actors.tell(Op.GET_MEMBER, pb.GetMemberRequest(identifier=card(1)))
    assert reason_of(answer) is Reason.ACCOUNT_QUARANTINED
    assert [value for _, value in actors.stored(Kind.QUARANTINE)] == [first]


async def test_what_is_due_waits_until_the_account_is_released(actors: Actors) -> None:
    account_id = bytes.fromhex(await actors.enrol(card(1)))
    await actors.buys(card(1), 50)
    await actors.set_aside(account_id)
    actors.now_ms += 500 * 86_400_000
    assert sum(shard.sweep() for shard in actors.shards) == 0
    await actors.release(account_id)
    assert sum(shard.sweep() for shard in actors.shards) == 1
    assert await actors.points(card(1)) == 0
    actors.assert_balanced()
