"""What a till hears from its own node after that was restored from a backup: never what it cannot know."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from node.ledger.refusals import Reason
from node.proto.vafa.pos.v1 import spending_pb2, undo_pb2
from node.storage.keyspace import PartitionMeta, partition_meta_key
from node.storage.memory import MemoryStore
from node.storage.store import Batch
from node.wire.coalition_frames import RecordsWish
from node.wire.coalition_store import RESTORED, Restored
from node.wire.commands import Op
from tests.actors.abroad_merchants import SAFFRON, WireLinks
from tests.actors.abroad_tills import MEMBER, Tills, opened
from tests.actors.harness import body_of, reason_of
from tests.actors.stored import PARTITIONS


@pytest.fixture
async def tills() -> Tills:
    return await opened()


class Cut:
    """A node whose partners cannot be reached."""

    def connected(self, partner_id: str) -> bool:
        return False

    async def send(self, partner_id: str, carried: bytes) -> bool:
        return True

    async def list_records(self, partner_id: str, wish: RecordsWish) -> Sequence[bytes] | None:
        return None


def restore(tills: Tills, backup: list[MemoryStore], *, without: tuple[str, ...] = ()) -> None:
    """`vafa restore` at saffron, whose partners cannot be reached yet."""
    saffron = tills.saffron
    saffron.restore(backup)
    for at, store in enumerate(saffron.stores):
        batch = Batch()
        for number in range(at, PARTITIONS, len(saffron.stores)):
            key = partition_meta_key(number, PartitionMeta.RESTORED)
            batch.put(key, RESTORED.encode(Restored(saffron.now_ms, without, generation=1)))
        store.write(batch)
        store.sync()
    saffron.restart()
    tills.attach()
    saffron.exchanging.links = Cut()


async def reached(tills: Tills) -> None:
    """The partners can be reached again; lanes are opened and everybody has looked."""
    tills.saffron.exchanging.links = WireLinks(SAFFRON, tills.network)
    for _ in range(2):
        await tills.saffron.asks_for_hello()
        await tills.pump()


async def test_a_spend_that_was_done_since_the_backup_is_unknown_until_the_home_node_has_shown_it(
    tills: Tills,
) -> None:
    backup = tills.saffron.backup()
    request = tills.spend(300, confirmation_code=await tills.code(300))
    done = body_of(await tills.asks(Op.REDEEM, request))
    restore(tills, backup)
    assert reason_of(await tills.asks(Op.REDEEM, request)) is Reason.OUTCOME_UNKNOWN
    assert await tills.finds(request.request_id) is Reason.OUTCOME_UNKNOWN
    tills.saffron.restart()  # it does not learn it by starting once more
    tills.attach()
    tills.saffron.exchanging.links = Cut()
    assert reason_of(await tills.asks(Op.REDEEM, request)) is Reason.OUTCOME_UNKNOWN
    await reached(tills)
    again = spending_pb2.RedeemResponse.FromString(body_of(await tills.asks(Op.REDEEM, request)))
    assert again.transaction_id == spending_pb2.RedeemResponse.FromString(done).transaction_id
    assert await tills.nile.points(MEMBER) == 700
    tills.assert_agreed()


async def test_a_capture_and_goods_that_come_back_are_unknown_until_then_too(tills: Tills) -> None:
    backup = tills.saffron.backup()
    request = spending_pb2.AuthorizeRequest(identifier=MEMBER)
    tills.saffron.stamped(request).CopyFrom(request)
    request.spends.add(purse="points", units=300)
    request.proof.confirmation_code = await tills.code(300)
    held = spending_pb2.AuthorizeResponse.FromString(body_of(await tills.asks(Op.AUTHORIZE, request)))
    capture = tills.saffron.stamped(
        spending_pb2.CaptureRequest(identifier=MEMBER, authorization_id=held.transaction_id)
    )
    body_of(await tills.asks(Op.CAPTURE, capture))
    restore(tills, backup)
    assert reason_of(await tills.asks(Op.CAPTURE, capture)) is Reason.OUTCOME_UNKNOWN
    back = tills.saffron.stamped(
        undo_pb2.ReturnRequest(identifier=MEMBER, transaction_id=held.transaction_id)
    )
    assert reason_of(await tills.asks(Op.RETURN, back)) is Reason.OUTCOME_UNKNOWN
    await reached(tills)
    body_of(await tills.asks(Op.CAPTURE, capture))
    body_of(await tills.asks(Op.RETURN, back))
    assert await tills.nile.points(MEMBER) == 1_000
    tills.assert_agreed()


async def test_a_capture_that_a_till_reverses_on_the_restored_node_is_given_back(tills: Tills) -> None:
    backup = tills.saffron.backup()
    request = tills.saffron.stamped(spending_pb2.AuthorizeRequest(identifier=MEMBER))
    request.spends.add(purse="points", units=300)
    request.proof.confirmation_code = await tills.code(300)
    held = spending_pb2.AuthorizeResponse.FromString(body_of(await tills.asks(Op.AUTHORIZE, request)))
    capture = tills.saffron.stamped(
        spending_pb2.CaptureRequest(identifier=MEMBER, authorization_id=held.transaction_id)
    )
    body_of(await tills.asks(Op.CAPTURE, capture))
    restore(tills, backup)
    body_of(await tills.reverses(capture.request_id))
    await reached(tills)
    assert await tills.nile.points(MEMBER) == 1_000
    assert reason_of(await tills.asks(Op.CAPTURE, capture)) is Reason.AUTHORIZATION_NOT_OPEN
    tills.assert_agreed()


async def test_once_the_home_node_has_shown_everything_its_absence_means_that_nothing_was_spent(
    tills: Tills,
) -> None:
    restore(tills, tills.saffron.backup())
    await reached(tills)
    tills.saffron.restart()
    tills.attach()
    tills.saffron.exchanging.links = Cut()
    answer = await tills.asks(Op.REDEEM, tills.spend(300, confirmation_code="0"))
    assert reason_of(answer) is Reason.HOME_UNREACHABLE


async def test_a_home_node_that_is_left_out_of_the_waiting_is_not_waited_for(tills: Tills) -> None:
    restore(tills, tills.saffron.backup(), without=("nile",))
    answer = await tills.asks(Op.REDEEM, tills.spend(300, confirmation_code="0"))
    assert reason_of(answer) is Reason.HOME_UNREACHABLE


async def test_a_node_that_only_started_again_says_at_once_that_nothing_was_spent(tills: Tills) -> None:
    tills.saffron.restart()
    tills.attach()
    tills.saffron.exchanging.links = Cut()
    answer = await tills.asks(Op.REDEEM, tills.spend(300, confirmation_code="0"))
    assert reason_of(answer) is Reason.HOME_UNREACHABLE


async def test_what_the_home_node_hears_of_its_own_members_says_nothing_of_what_tills_have_done(
    tills: Tills,
) -> None:
    backup = tills.saffron.backup()
    request = tills.spend(300, confirmation_code=await tills.code(300))
    body_of(await tills.asks(Op.REDEEM, request))
    restore(tills, backup)
    tills.saffron.exchanging.links = WireLinks(SAFFRON, tills.network)
    await tills.nile.asks_for_hello()
    await tills.pump()  # saffron's own lanes are open, so its members may spend
    tills.saffron.exchanging.links = Cut()
    assert reason_of(await tills.asks(Op.REDEEM, request)) is Reason.OUTCOME_UNKNOWN


async def test_a_spend_that_was_reversed_before_the_restore_is_not_done_when_a_copy_of_it_comes(
    tills: Tills,
) -> None:
    home, here = tills.nile.backup(), tills.saffron.backup()
    request = tills.spend(300, confirmation_code=await tills.code(300))
    body_of(await tills.reverses(request.request_id))
    tills.saffron.now_ms += 1_000
    tills.nile.now_ms += 1_000
    restore(tills, here)
    tills.nile.restore(home)  # nobody knows of the reversal any more
    await tills.nile.opens()
    await reached(tills)
    assert reason_of(await tills.asks(Op.REDEEM, request)) is Reason.OUTCOME_UNKNOWN
    assert await tills.nile.points(MEMBER) == 1_000
    later = tills.spend(300, confirmation_code=await tills.code(300))
    body_of(await tills.asks(Op.REDEEM, later))
    assert await tills.nile.points(MEMBER) == 700


async def test_a_capture_that_was_reversed_before_the_restore_is_not_done_when_a_copy_of_it_comes(
    tills: Tills,
) -> None:
    request = tills.saffron.stamped(spending_pb2.AuthorizeRequest(identifier=MEMBER))
    request.spends.add(purse="points", units=300)
    request.proof.confirmation_code = await tills.code(300)
    held = spending_pb2.AuthorizeResponse.FromString(body_of(await tills.asks(Op.AUTHORIZE, request)))
    here = tills.saffron.backup()
    capture = tills.saffron.stamped(
        spending_pb2.CaptureRequest(identifier=MEMBER, authorization_id=held.transaction_id)
    )
    body_of(await tills.reverses(capture.request_id))
    tills.saffron.now_ms += 1_000
    tills.nile.now_ms += 1_000
    restore(tills, here)
    await reached(tills)
    assert reason_of(await tills.asks(Op.CAPTURE, capture)) is Reason.OUTCOME_UNKNOWN
    again = tills.saffron.stamped(
        spending_pb2.CaptureRequest(identifier=MEMBER, authorization_id=held.transaction_id)
    )
    body_of(await tills.asks(Op.CAPTURE, again))
    assert await tills.nile.points(MEMBER) == 700
