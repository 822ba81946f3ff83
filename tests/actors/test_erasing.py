"""Whoever was erased stays erased: a restored backup knows them still, and the node erases them again."""

from __future__ import annotations

from node.actors.erasing import Erasing
from node.identity.caller import Caller, Role
from node.ledger.refusals import Reason
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.storage.keyspace import Kind
from node.wire.commands import Op
from tests.actors.harness import Actors, body_of, by_id, card, every_death, phone, reason_of

RESTORER = Caller(Role.ADMIN, "shop-1", "restore")


class Listed:
    """The control store's list of whom a restore brought back."""

    def __init__(self, *account_ids: str) -> None:
        self.pending = [bytes.fromhex(one) for one in account_ids]

    def settled(self, person_id: bytes) -> None:
        if person_id in self.pending:
            self.pending.remove(person_id)

    async def run(self, actors: Actors) -> None:
        actors.linking._on_erased = self.settled
        lister = Erasing(
            actors.members, actors.linking, lambda: list(self.pending), self.settled, RESTORER,
            lambda: actors.now_ms,
        )  # fmt: skip
        await lister.run()


async def test_phone_and_card_of_an_erased_person_find_nobody_and_the_books_are_as_they_were() -> None:
    actors = Actors()
    gone, stays = await actors.enrol(phone(1), card(1)), await actors.enrol(phone(2))
    await actors.buys(phone(1), 30)
    listed = Listed(gone)
    await listed.run(actors)
    for shown in (phone(1), card(1)):
        assert reason_of(await actors.identify(shown)) is Reason.MEMBER_NOT_FOUND
    assert (await actors.member(phone(2))).account_id == stays
    assert await actors.points(by_id(gone)) == 30
    assert listed.pending == []
    assert await actors.enrol(phone(1)) != gone  # the number is free


async def test_somebody_the_restored_books_do_not_know_is_off_the_list() -> None:
    actors, listed = Actors(), Listed("ab" * 16)
    await listed.run(actors)
    assert listed.pending == []


async def test_somebody_erased_before_the_backup_gets_no_second_entry() -> None:
    actors = Actors()
    gone = await actors.enrol(phone(1))
    erase = actors.stamped(pb.ErasePersonRequest(identifier=by_id(gone)))
    body_of(await actors.tell(Op.ERASE_PERSON, erase))
    entries = len(list(actors.stored(Kind.JOURNAL)))
    listed = Listed(gone)
    await listed.run(actors)
    assert len(list(actors.stored(Kind.JOURNAL))) == entries
    assert listed.pending == []


async def test_an_account_that_was_set_aside_is_erased_once_it_is_back() -> None:
    actors = Actors()
    aside, gone = await actors.enrol(phone(1)), await actors.enrol(phone(2))
    await actors.set_aside(bytes.fromhex(aside))
    listed = Listed(aside, gone)
    await listed.run(actors)
    assert listed.pending == [bytes.fromhex(aside)]
    await actors.release(bytes.fromhex(aside))
    await listed.run(actors)
    assert listed.pending == []
    assert reason_of(await actors.identify(phone(1))) is Reason.MEMBER_NOT_FOUND


async def test_a_holder_of_a_household_is_erased_and_the_household_goes_on() -> None:
    actors = Actors()
    gone, pool = await actors.enrol(phone(1)), await actors.pool(card(9))
    join = actors.stamped(pb.JoinPoolRequest(identifier=phone(1), pool_identifier=card(9)))
    body_of(await actors.tell(Op.JOIN_POOL, join))
    await actors.deliver()
    listed = Listed(gone)
    await listed.run(actors)
    assert listed.pending == []
    assert reason_of(await actors.identify(phone(1))) is Reason.MEMBER_NOT_FOUND
    assert (await actors.member(card(9))).account_id == pool


async def test_a_node_that_dies_while_it_erases_again_goes_on_at_its_next_start() -> None:
    listed = Listed()
    people: list[str] = []

    async def prepare(actors: Actors) -> None:
        people[:] = [await actors.enrol(phone(number)) for number in range(1, 4)]
        listed.pending = [bytes.fromhex(one) for one in people]

    async for actors, when in every_death(listed.run, prepare, shards=3):
        await listed.run(actors)
        assert listed.pending == [], when
        actors.now_ms += 1  # a link ends behind the request that ends it
        for number in range(1, 4):
            assert reason_of(await actors.identify(phone(number))) is Reason.MEMBER_NOT_FOUND, when
        await actors.settle()
        for number in range(1, 4):
            assert await actors.enrol(phone(number)) not in people, when
