"""A tap that names a member, and a household's card, at a partner's till."""

from __future__ import annotations

import asyncio
from typing import Any

from node.ledger.refusals import Reason, refuse
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_CARD_TAP, Identifier
from node.proto.vafa.member.v1 import chip_card_pb2
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2, spending_pb2
from node.wire.commands import Answer, AnswerKind, Command, Op, refused
from tests.actors.abroad_tills import MEMBER
from tests.actors.card_counter import PARTNER, Counter, clone, counter, every_kind, named
from tests.actors.harness import body_of, reason_of
from tests.actors.test_pools import POOL, joins
from tests.cards.bureau import NTAG, Kind
from tests.cards.tills import tap_of


def shown(address: str) -> Identifier:
    return Identifier(kind=IDENTIFIER_KIND_CARD_TAP, value=address)


async def test_a_tap_earns_at_a_partners_till_once_and_is_refused_by_name_then() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    address = shown(tap_of(bureau))
    identify = inquiry_pb2.IdentifyRequest(identifier=address)
    body_of(await till.ask(Op.IDENTIFY, identify))
    body_of(await till.ask(Op.IDENTIFY, identify))
    earned = earning_pb2.AccrueResponse.FromString(body_of(await till.earns(address)))
    assert earned.state == earning_pb2.ACCRUAL_STATE_POSTED
    assert await till.nile.points(MEMBER) == 1_010
    assert named(await till.earns(address)) == "replayed"
    assert named(await till.ask(Op.IDENTIFY, identify)) == "replayed"
    assert await till.nile.points(MEMBER) == 1_010
    till.assert_agreed()


async def test_a_sale_by_a_tap_that_is_sent_again_is_answered_and_counted_once() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    request = till.saffron.stamped(earning_pb2.AccrueRequest(identifier=shown(tap_of(bureau))))
    request.purchase.total.currency, request.purchase.total.minor = "USD", 1_000
    first = await till.ask(Op.ACCRUE, request)
    again = await till.ask(Op.ACCRUE, request)
    one, other = (earning_pb2.AccrueResponse.FromString(body_of(answer)) for answer in (first, again))
    assert one.transaction_id == other.transaction_id
    assert await till.nile.points(MEMBER) == 1_010
    till.assert_agreed()


async def test_a_tap_spends_a_little_at_a_partners_till_by_itself() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    address = tap_of(bureau)
    body_of(await till.spends(b"", units=20, who=shown(address)))
    assert named(await till.spends(b"", units=10, who=shown(address))) == "replayed"
    over = await till.spends(b"", units=21, who=shown(tap_of(bureau)))
    assert reason_of(over) is Reason.PROOF_LIMIT_EXCEEDED
    assert await till.nile.points(MEMBER) == 980
    till.assert_agreed()


def entries(till: Counter) -> int:
    """What saffron's journal holds."""
    return sum(part.sequence for shard in till.saffron.shards for part in shard.partitions.values())


async def test_a_false_tap_records_no_sale_at_a_partners_till() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    address = tap_of(bureau)
    changed = shown(address[:-1] + ("0" if address[-1] != "0" else "1"))
    before = entries(till)
    assert named(await till.earns(changed)) == "tampered"
    assert entries(till) == before
    assert await till.nile.points(MEMBER) == 1_000


async def test_without_the_home_node_a_tap_earns_nothing_and_the_cards_number_does() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    links: Any = till.saffron.exchanging.links
    links.connected = lambda partner_id: False
    answer = await till.earns(shown(tap_of(bureau)))
    assert reason_of(answer) is Reason.HOME_UNREACHABLE
    assert answer.refusal is not None
    assert "number" in answer.refusal.message
    assert (await till.earns(MEMBER)).kind == AnswerKind.DONE


# --- a household's card at a partner's till ----------------------------------------------------------------


@every_kind
async def test_a_household_members_card_proves_at_a_partners_till_what_the_pool_pays(kind: Kind) -> None:
    till, bureau = await counter(PARTNER, kind)
    await till.nile.pool(POOL)
    body_of(await joins(till.nile, MEMBER))
    await till.nile.deliver()
    for node in (till.nile, till.saffron):
        node.now_ms += 1_000
    evidence = await till.converse(bureau)
    assert isinstance(evidence, bytes), evidence
    body_of(await till.spends(evidence))
    assert await till.nile.points(POOL) == 985
    assert named(await till.spends(evidence)) == "replayed"
    false = await till.converse(clone(kind))
    assert isinstance(false, Answer)
    assert named(false) == "cloned_card"
    await till.note(chip_card_pb2.CHIP_STATE_BLOCKED)
    blocked = await till.converse(bureau)
    assert isinstance(blocked, Answer)
    assert named(blocked) == "blocked_card"
    assert await till.nile.points(POOL) == 985
    till.assert_agreed()


async def test_a_household_members_tap_earns_and_spends_for_the_pool_at_a_partners_till() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    await till.nile.pool(POOL)
    body_of(await joins(till.nile, MEMBER))
    await till.nile.deliver()
    for node in (till.nile, till.saffron):
        node.now_ms += 1_000
    body_of(await till.earns(shown(tap_of(bureau))))
    body_of(await till.spends(b"", units=20, who=shown(tap_of(bureau))))
    assert await till.nile.points(POOL) == 990
    till.assert_agreed()


async def test_a_pool_that_could_not_be_asked_yet_is_no_second_use_of_the_card() -> None:
    till, bureau = await counter(PARTNER, NTAG)
    await till.nile.pool(POOL)
    body_of(await joins(till.nile, MEMBER))
    await till.nile.deliver()
    for node in (till.nile, till.saffron):
        node.now_ms += 1_000
    evidence = await till.converse(bureau)
    assert isinstance(evidence, bytes)
    router, busy = till.nile.router, iter([True, True])
    original = router.ask

    async def ask(command: Command) -> Answer:
        if command.op is Op.HOME_MESSAGE and command.extra and next(busy, False):
            return refused(refuse(Reason.OVERLOADED, "The pool's shard has a full queue."))
        return await original(command)

    router.ask = ask  # type: ignore[method-assign]  # a double
    task = asyncio.ensure_future(till.saffron.at_till(Op.REDEEM, _redeem(till, evidence)))
    while not task.done():
        await asyncio.sleep(0)
        await till.pump()
        if not till.network:
            await till.time_passes(1_000)
    body_of(task.result())
    assert next(busy, None) is None
    assert await till.nile.points(POOL) == 985
    till.assert_agreed()


def _redeem(till: Counter, evidence: bytes) -> spending_pb2.RedeemRequest:
    request = till.saffron.stamped(spending_pb2.RedeemRequest(identifier=MEMBER))
    request.spends.add(purse="points", units=15)
    request.proof.card_cryptogram = evidence
    return request
