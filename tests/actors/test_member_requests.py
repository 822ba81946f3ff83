"""What staff can do to an account, and what they cannot."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from node.ledger.refusals import Reason
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_PHONE, Identifier
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.member.v1.person_pb2 import Person
from node.proto.vafa.pos.v1 import inquiry_pb2
from node.wire.commands import AnswerKind, Op
from tests.actors.harness import (
    STAFF,
    TILL,
    Actors,
    body_of,
    by_id,
    card,
    phone,
    reason_of,
)

NOBODY = "0" * 32
NO_PHONE = Identifier(kind=IDENTIFIER_KIND_PHONE, value="12")


async def blocked(actors: Actors, who: Identifier, is_blocked: bool = True) -> None:
    request = actors.stamped(pb.SetBlockRequest(identifier=who, blocked=is_blocked, reason="lost card"))
    body_of(await actors.tell(Op.SET_BLOCK, request))


async def closed(actors: Actors, who: Identifier, forfeit: bool = False) -> Reason | None:
    request = actors.stamped(pb.CloseAccountRequest(identifier=who, forfeit_balances=forfeit))
    return reason_of(await actors.tell(Op.CLOSE_ACCOUNT, request))


# --- enrolment ----------------------------------------------------------------------------------------


async def test_a_new_member_is_found_by_everything_they_show(actors: Actors) -> None:
    account_id = await actors.enrol(card(1), phone(2), caller=TILL)
    for shown in (card(1), phone(2), Identifier(kind=IDENTIFIER_KIND_PHONE, value="+98 912 000 0002")):
        answer = inquiry_pb2.IdentifyResponse.FromString(body_of(await actors.identify(shown)))
        assert answer.account_id == account_id
    actors.assert_whole()


async def test_a_repeated_enrolment_gives_the_same_account(actors: Actors) -> None:
    request = actors.stamped(pb.EnrolRequest(identifiers=[card(1)]))
    first = await actors.tell(Op.ENROL, request, TILL)
    assert await actors.tell(Op.ENROL, request, TILL) == first
    assert len(actors.accounts()) == 1
    actors.assert_whole()


async def test_a_request_id_is_a_terminals_own_also_for_enrolment(actors: Actors) -> None:
    mine = pb.EnrolRequest(request_id="1", identifiers=[card(1)])
    theirs = pb.EnrolRequest(request_id="1", identifiers=[card(2)])
    body_of(await actors.tell(Op.ENROL, actors.stamped(mine), TILL))
    body_of(await actors.tell(Op.ENROL, actors.stamped(theirs), STAFF))
    assert len(actors.accounts()) == 2


async def test_the_same_id_with_another_body_enrols_nobody_and_takes_no_identifier(actors: Actors) -> None:
    await actors.tell(Op.ENROL, actors.stamped(pb.EnrolRequest(request_id="1", identifiers=[card(1)])))
    other = actors.stamped(pb.EnrolRequest(request_id="1", identifiers=[card(1), card(2)]))
    assert reason_of(await actors.tell(Op.ENROL, other)) is Reason.REQUEST_ID_REUSED
    actors.assert_whole()
    await actors.enrol(card(2))


async def test_a_request_id_that_was_forgotten_opens_no_account_over_an_old_one(actors: Actors) -> None:
    await actors.tell(Op.ENROL, actors.stamped(pb.EnrolRequest(request_id="1", identifiers=[card(1)])))
    actors.now_ms += 40 * 86_400_000
    for shard in actors.shards:
        shard.forget_old_requests(b"")
    again = actors.stamped(pb.EnrolRequest(request_id="1", identifiers=[card(2)]))
    assert reason_of(await actors.tell(Op.ENROL, again)) is Reason.REQUEST_ID_REUSED
    actors.assert_whole()


async def test_an_identifier_that_is_listed_twice_counts_once(actors: Actors) -> None:
    await actors.enrol(phone(1), Identifier(kind=IDENTIFIER_KIND_PHONE, value="۰۹۱۲ ۰۰۰ ۰۰۰۱"))
    assert len((await actors.member(phone(1))).identifiers) == 1


async def test_a_taken_identifier_enrols_nobody_and_frees_the_others(actors: Actors) -> None:
    await actors.enrol(card(1))
    request = actors.stamped(pb.EnrolRequest(identifiers=[card(2), card(1), card(3)]))
    assert reason_of(await actors.tell(Op.ENROL, request)) is Reason.IDENTIFIER_TAKEN
    actors.assert_whole()
    await actors.enrol(card(2), card(3))


async def test_a_retry_is_answered_as_before_though_the_card_is_somebody_elses_now(actors: Actors) -> None:
    request = actors.stamped(pb.EnrolRequest(identifiers=[card(1)]))
    first = await actors.tell(Op.ENROL, request)
    actors.now_ms += 1_000
    unlink = actors.stamped(pb.UnlinkIdentifierRequest(identifier=card(1)))
    body_of(await actors.tell(Op.UNLINK_IDENTIFIER, unlink))
    other = await actors.enrol(card(1))
    actors.now_ms += 1_000
    assert await actors.tell(Op.ENROL, request) == first
    assert (await actors.member(card(1))).account_id == other
    await actors.deliver()
    actors.assert_whole()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.EnrolRequest(kind=pb.ACCOUNT_KIND_POOL), Reason.INVALID_ARGUMENT),
        (pb.EnrolRequest(kind=99), Reason.INVALID_ARGUMENT),  # type: ignore[arg-type]  # numbers of the protos, some unknown
        (pb.EnrolRequest(kind=pb.ACCOUNT_KIND_BEARER, person=Person()), Reason.INVALID_ARGUMENT),
        (pb.EnrolRequest(person=Person(referrer_account_id="xyz")), Reason.INVALID_ARGUMENT),
        (pb.EnrolRequest(person=Person(referrer_account_id="ab")), Reason.INVALID_ARGUMENT),
        (pb.EnrolRequest(identifiers=[by_id(NOBODY)]), Reason.INVALID_IDENTIFIER),
        (
            pb.EnrolRequest(identifiers=[Identifier(kind=IDENTIFIER_KIND_PHONE, value="12")]),
            Reason.INVALID_IDENTIFIER,
        ),
        (pb.EnrolRequest(identifiers=[card(n) for n in range(17)]), Reason.INVALID_ARGUMENT),
        (pb.EnrolRequest(request_id="no spaces"), Reason.INVALID_ARGUMENT),
        (pb.EnrolRequest(terminal_id="north/till-2"), Reason.TERMINAL_NOT_ALLOWED),
    ],
)
async def test_what_makes_no_sense_enrols_nobody(
    actors: Actors, request_: pb.EnrolRequest, reason: Reason
) -> None:
    request = pb.EnrolRequest.FromString(request_.SerializeToString())
    request.identifiers.append(card(99))
    assert reason_of(await actors.tell(Op.ENROL, actors.stamped(request), TILL)) is reason
    assert actors.accounts() == {}
    actors.assert_whole()


# --- identifiers --------------------------------------------------------------------------------------


async def test_a_lost_card_is_replaced_and_the_points_stay(actors: Actors) -> None:
    await actors.enrol(card(1), phone(1))
    await actors.buys(card(1), 50)
    actors.now_ms += 1_000
    body_of(
        await actors.tell(
            Op.UNLINK_IDENTIFIER, actors.stamped(pb.UnlinkIdentifierRequest(identifier=card(1)))
        )
    )
    new = pb.LinkIdentifierRequest(identifier=phone(1), new_identifier=card(2))
    body_of(await actors.tell(Op.LINK_IDENTIFIER, actors.stamped(new)))
    actors.now_ms += 1_000
    assert reason_of(await actors.identify(card(1))) is Reason.MEMBER_NOT_FOUND
    assert await actors.points(card(2)) == 50
    await actors.deliver()
    actors.assert_whole()


async def test_a_card_that_found_a_new_owner_is_found_again_at_once(actors: Actors) -> None:
    await actors.enrol(card(1))
    await actors.identify(card(1))  # the gateway remembers the first owner
    actors.now_ms += 1_000
    await actors.tell(Op.UNLINK_IDENTIFIER, actors.stamped(pb.UnlinkIdentifierRequest(identifier=card(1))))
    second = await actors.enrol(card(1))
    actors.now_ms += 1_000
    answer = inquiry_pb2.IdentifyResponse.FromString(body_of(await actors.identify(card(1))))
    assert answer.account_id == second


async def test_a_repeated_unlink_never_takes_the_card_from_its_next_owner(actors: Actors) -> None:
    """Also where the caller's clock is ahead of the node's, so that the retry names a later time."""
    await actors.enrol(card(1))
    unlink = pb.UnlinkIdentifierRequest(identifier=card(1))
    unlink.occurred_time.FromMilliseconds(actors.now_ms + 60_000)
    first = await actors.tell(Op.UNLINK_IDENTIFIER, actors.stamped(unlink))
    second = await actors.enrol(card(1))
    actors.now_ms += 30_000
    assert await actors.tell(Op.UNLINK_IDENTIFIER, unlink) == first
    actors.now_ms += 60_000
    assert (await actors.member(card(1))).account_id == second


async def test_a_link_that_is_repeated_after_the_card_was_taken_off_does_not_put_it_back(
    actors: Actors,
) -> None:
    await actors.enrol(card(1))
    link = actors.stamped(pb.LinkIdentifierRequest(identifier=card(1), new_identifier=card(2)))
    first = await actors.tell(Op.LINK_IDENTIFIER, link)
    actors.now_ms += 1_000
    await actors.tell(Op.UNLINK_IDENTIFIER, actors.stamped(pb.UnlinkIdentifierRequest(identifier=card(2))))
    assert await actors.tell(Op.LINK_IDENTIFIER, link) == first
    await actors.deliver()
    actors.assert_whole()
    await actors.enrol(card(2))


async def test_a_taken_identifier_is_not_linked(actors: Actors) -> None:
    await actors.enrol(card(1))
    await actors.enrol(card(2))
    link = actors.stamped(pb.LinkIdentifierRequest(identifier=card(1), new_identifier=card(2)))
    assert reason_of(await actors.tell(Op.LINK_IDENTIFIER, link)) is Reason.IDENTIFIER_TAKEN
    actors.assert_whole()


async def test_an_account_is_not_unlinked_by_its_id(actors: Actors) -> None:
    account_id = await actors.enrol(card(1))
    unlink = actors.stamped(pb.UnlinkIdentifierRequest(identifier=by_id(account_id)))
    assert reason_of(await actors.tell(Op.UNLINK_IDENTIFIER, unlink)) is Reason.INVALID_IDENTIFIER


# --- block, close -------------------------------------------------------------------------------------


async def test_a_blocked_account_earns_and_does_not_spend_until_it_is_unblocked(actors: Actors) -> None:
    await actors.enrol(card(1))
    await actors.buys(card(1), 50)
    await blocked(actors, card(1))
    body_of(await actors.buys(card(1), 50))
    assert reason_of(await actors.redeems(card(1), 10)) is Reason.ACCOUNT_BLOCKED
    assert (await actors.member(card(1))).status == "blocked"
    await blocked(actors, card(1), False)
    body_of(await actors.redeems(card(1), 100))


async def test_an_account_with_points_is_closed_only_where_they_may_lapse(actors: Actors) -> None:
    account_id = await actors.enrol(card(1))
    await actors.buys(card(1), 50)
    assert await closed(actors, card(1)) is Reason.ACCOUNT_NOT_EMPTY
    actors.now_ms += 1_000
    assert await closed(actors, card(1), forfeit=True) is None
    assert (await actors.member(by_id(account_id))).status == "closed"
    await actors.deliver()
    actors.assert_whole()
    await actors.enrol(card(1))  # the card is free


async def test_nothing_more_happens_to_a_closed_account(actors: Actors) -> None:
    account_id = await actors.enrol(card(1))
    await closed(actors, card(1))
    who = by_id(account_id)
    asked: list[tuple[Op, Message]] = [
        (Op.UPDATE_PERSON, pb.UpdatePersonRequest(identifier=who)),
        (Op.LINK_IDENTIFIER, pb.LinkIdentifierRequest(identifier=who, new_identifier=card(2))),
        (Op.SET_BLOCK, pb.SetBlockRequest(identifier=who, blocked=True)),
        (Op.ADJUST, pb.AdjustRequest(identifier=who, purse="points", units=1, reason="x")),
        (Op.CLOSE_ACCOUNT, pb.CloseAccountRequest(identifier=who)),
    ]
    for op, request in asked:
        assert reason_of(await actors.tell(op, actors.stamped(request))) is Reason.ACCOUNT_CLOSED, op
    await actors.deliver()
    actors.assert_whole()


# --- every request ------------------------------------------------------------------------------------

REQUESTS: list[tuple[Op, Message]] = [
    (Op.UPDATE_PERSON, pb.UpdatePersonRequest()),
    (Op.LINK_IDENTIFIER, pb.LinkIdentifierRequest(new_identifier=card(2))),
    (Op.UNLINK_IDENTIFIER, pb.UnlinkIdentifierRequest()),
    (Op.SET_BLOCK, pb.SetBlockRequest(blocked=True)),
    (Op.CLOSE_ACCOUNT, pb.CloseAccountRequest()),
    (Op.ERASE_PERSON, pb.ErasePersonRequest()),
    (Op.ADJUST, pb.AdjustRequest(purse="points", units=7, reason="x")),
    (Op.TRANSFER, pb.TransferRequest(to_identifier=card(3), purse="points", units=7)),
    (Op.JOIN_POOL, pb.JoinPoolRequest(pool_identifier=card(4))),
]


@pytest.mark.parametrize(
    ("op", "request_"), REQUESTS, ids=lambda one: one.name if isinstance(one, Op) else ""
)
async def test_a_request_that_is_repeated_takes_effect_once(
    actors: Actors, op: Op, request_: Message
) -> None:
    await actors.enrol(card(1))
    await actors.enrol(card(3))
    await actors.pool(card(4))
    if op is not Op.CLOSE_ACCOUNT:
        await actors.buys(card(1), 50)
    request = actors.stamped(type(request_).FromString(request_.SerializeToString()))
    request.identifier.CopyFrom(card(1))  # type: ignore[attr-defined]  # each of these messages has one
    actors.now_ms += 1_000
    first = await actors.tell(op, request)
    body_of(first)
    await actors.deliver()
    before = actors.accounts()
    for _ in range(3):
        actors.now_ms += 1_000
        assert await actors.tell(op, request) == first
    await actors.deliver()
    if op is not Op.JOIN_POOL:  # which notes its holder on the pool once more
        assert actors.accounts() == before
    actors.assert_whole()
    actors.restart()
    assert await actors.tell(op, request) == first


@pytest.mark.parametrize(
    "op",
    [op for op, _ in REQUESTS] + [Op.ENROL, Op.CREATE_POOL, Op.GET_MEMBER, Op.LEAVE_POOL],
    ids=lambda op: op.name,
)
@pytest.mark.parametrize("body", [b"", b"\xff\xff", b"\x0a", b"\x0a\x01\xff", b"\x0a\x03a-1"])
async def test_garbage_is_refused_and_changes_nothing(actors: Actors, op: Op, body: bytes) -> None:
    answer = await actors.members.ask(STAFF, op, body, "t" * 32)
    assert answer.kind == AnswerKind.REFUSED
    assert list(actors.everything()) == []


async def test_an_account_that_is_not_there_is_not_found(actors: Actors) -> None:
    for who in (card(1), by_id(NOBODY)):
        assert (
            reason_of(await actors.tell(Op.GET_MEMBER, pb.GetMemberRequest(identifier=who)))
            is Reason.MEMBER_NOT_FOUND
        )
        block = actors.stamped(pb.SetBlockRequest(identifier=who, blocked=True))
        assert reason_of(await actors.tell(Op.SET_BLOCK, block)) is Reason.MEMBER_NOT_FOUND
    wrong = pb.GetMemberRequest(identifier=by_id("abc"))
    assert reason_of(await actors.tell(Op.GET_MEMBER, wrong)) is Reason.INVALID_IDENTIFIER
