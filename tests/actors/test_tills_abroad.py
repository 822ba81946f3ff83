"""What a till hears about members of other merchants: as much as it hears at home."""

from __future__ import annotations

from typing import Any

import pytest

from node.ledger.refusals import Reason, refuse
from node.proto.vafa.common.v1 import transaction_pb2
from node.proto.vafa.pos.v1 import inquiry_pb2, undo_pb2
from node.wire.commands import Op
from tests.actors.abroad_tills import MEMBER, Tills, opened
from tests.actors.harness import body_of, reason_of


@pytest.fixture
async def tills() -> Tills:
    return await opened()


# --- what became of a request ------------------------------------------------------------------------------


async def test_a_sale_that_earned_nothing_abroad_is_found_by_its_request(tills: Tills) -> None:
    request = tills.sale(90, "R-1")
    sold = await tills.accrues(request)
    assert not sold.effects
    found = await tills.finds(request.request_id)
    assert isinstance(found, inquiry_pb2.GetTransactionResponse)
    assert found.transaction.transaction_id == sold.transaction_id
    assert found.transaction.receipt_number == "R-1"
    assert not found.transaction.effects


async def test_a_sale_that_earned_abroad_is_found_as_it_was_answered(tills: Tills) -> None:
    request = tills.sale(4_000, "R-2")
    sold = await tills.accrues(request)
    found = await tills.finds(request.request_id)
    assert isinstance(found, inquiry_pb2.GetTransactionResponse)
    transaction = found.transaction
    assert transaction.transaction_id == sold.transaction_id
    assert (transaction.kind, transaction.receipt_number) == (
        transaction_pb2.TRANSACTION_KIND_ACCRUAL,
        "R-2",
    )
    assert [effect.points.units for effect in transaction.effects] == [40]


async def test_goods_that_came_back_abroad_are_found_by_the_returns_request(tills: Tills) -> None:
    sold = await tills.accrues(tills.sale(4_000))
    back = await tills.returns(sold.transaction_id, "back-1")
    found = await tills.finds("back-1")
    assert isinstance(found, inquiry_pb2.GetTransactionResponse)
    assert found.transaction.transaction_id == back.transaction_id
    assert found.transaction.kind == transaction_pb2.TRANSACTION_KIND_RETURN
    assert [effect.points.units for effect in found.transaction.effects] == [-40]


async def test_a_spend_abroad_is_found_and_a_request_that_never_came_is_not(tills: Tills) -> None:
    request = tills.spend(300, confirmation_code=await tills.code(300))
    body_of(await tills.asks(Op.REDEEM, request))
    found = await tills.finds(request.request_id)
    assert isinstance(found, inquiry_pb2.GetTransactionResponse)
    assert [spent.units for spent in found.transaction.spent] == [300]
    assert await tills.finds("never-came") is Reason.TRANSACTION_NOT_FOUND


# --- a quote -----------------------------------------------------------------------------------------------


async def test_a_quote_says_what_a_members_points_are_worth_abroad_as_at_home(tills: Tills) -> None:
    question = inquiry_pb2.QuoteRequest(identifier=MEMBER)
    question.purchase.total.currency, question.purchase.total.minor = "USD", 550
    question.occurred_time.FromMilliseconds(tills.nile.now_ms)
    here = await tills.nile.at_till(Op.QUOTE, question)
    abroad = await tills.asks(Op.QUOTE, question)
    at_home, quoted = (inquiry_pb2.QuoteResponse.FromString(body_of(one)) for one in (here, abroad))
    assert list(quoted.spend_options) == list(at_home.spend_options)
    (option,) = quoted.spend_options
    assert (option.max_units, option.worth.currency, option.worth.minor) == (550, "USD", 550)
    assert list(quoted.effects) == list(at_home.effects)


# --- a return is not taken back ----------------------------------------------------------------------------


async def test_the_reversal_of_a_return_abroad_is_refused_by_name_and_undoes_nothing(tills: Tills) -> None:
    sold = await tills.accrues(tills.sale(4_000))
    await tills.returns(sold.transaction_id, "back-1")
    answer = await tills.reverses("back-1")
    assert reason_of(answer) is Reason.WRONG_TRANSACTION_KIND
    assert answer.refusal is not None
    assert "sell them anew" in answer.refusal.message
    found = await tills.finds("back-1")
    assert isinstance(found, inquiry_pb2.GetTransactionResponse)
    assert not found.transaction.reversed
    assert await tills.nile.points(MEMBER) == 1_000
    tills.assert_agreed()


async def test_the_return_of_a_spend_abroad_is_not_reversed_without_the_members_word(tills: Tills) -> None:
    request = tills.spend(300, confirmation_code=await tills.code(300))
    await tills.asks(Op.REDEEM, request)
    spent = await tills.finds(request.request_id)
    assert isinstance(spent, inquiry_pb2.GetTransactionResponse)
    await tills.returns(spent.transaction.transaction_id, "back-2")
    assert await tills.nile.points(MEMBER) == 1_000
    assert reason_of(await tills.reverses("back-2")) is Reason.WRONG_TRANSACTION_KIND
    assert await tills.nile.points(MEMBER) == 1_000
    tills.assert_agreed()


async def test_a_return_that_the_home_node_never_heard_of_is_reversed_here(tills: Tills) -> None:
    sold = await tills.accrues(tills.sale(90))
    await tills.returns(sold.transaction_id, "back-3")
    assert body_of(await tills.reverses("back-3"))
    found = await tills.finds("back-3")
    assert isinstance(found, inquiry_pb2.GetTransactionResponse)
    assert found.transaction.reversed


async def test_a_return_that_is_reversed_before_it_came_never_takes_effect(tills: Tills) -> None:
    sold = await tills.accrues(tills.sale(4_000))
    assert body_of(await tills.reverses("back-4"))
    with pytest.raises(AssertionError, match="REQUEST_REVERSED"):
        await tills.returns(sold.transaction_id, "back-4")
    assert await tills.nile.points(MEMBER) == 1_040


def _loses(tills: Tills, monkeypatch: pytest.MonkeyPatch, op: Op, *, after: bool) -> None:
    """The next request of this kind within saffron's node is lost: before its shard did it, or after."""
    asked = tills.saffron.exchanging.ask
    lost = refuse(Reason.OUTCOME_UNKNOWN, "The node lost the request on its way.")

    async def ask(asked_op: Op, *more: Any) -> Any:
        if asked_op is not op:
            return await asked(asked_op, *more)
        monkeypatch.undo()
        if after:
            await asked(asked_op, *more)
        return lost

    monkeypatch.setattr(tills.saffron.exchanging, "ask", ask)


@pytest.mark.parametrize("after", [False, True])
async def test_a_till_is_never_told_that_a_sale_earns_nothing_while_it_may_yet_earn(
    tills: Tills, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    sale = tills.sale(4_000)
    _loses(tills, monkeypatch, Op.ACQUIRER_BEGIN, after=after)
    assert reason_of(await tills.asks(Op.ACCRUE, sale)) is Reason.OUTCOME_UNKNOWN
    [effect] = (await tills.accrues(sale)).effects
    assert (effect.points.units, effect.text.text) == (40, "")
    tills.saffron.now_ms += 60_000  # what nobody said is said when it is due
    await tills.saffron.sends_what_is_due()
    await tills.pump()
    assert await tills.nile.points(MEMBER) == 1_040
    tills.assert_agreed()


async def test_a_return_abroad_is_not_undone_because_its_node_could_not_look_it_up(
    tills: Tills, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold = await tills.accrues(tills.sale(4_000))
    await tills.returns(sold.transaction_id, "back-5")
    _loses(tills, monkeypatch, Op.ACQUIRER_LOOK, after=False)
    assert reason_of(await tills.reverses("back-5")) is Reason.OUTCOME_UNKNOWN
    assert reason_of(await tills.reverses("back-5")) is Reason.WRONG_TRANSACTION_KIND
    assert await tills.nile.points(MEMBER) == 1_000
    tills.assert_agreed()


class Nobody:
    """The links of a node whose partners are out of reach."""

    def connected(self, partner_id: str) -> bool:
        return False

    async def send(self, partner_id: str, carried: bytes) -> bool:
        return False


async def test_a_reversal_says_the_same_when_the_till_asks_again(
    tills: Tills, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr(tills.saffron.exchanging, "links", Nobody())  # what is earned waits here
        sale = tills.sale(4_000)
        await tills.accrues(sale)
        undo = tills.saffron.stamped(
            undo_pb2.ReverseRequest(identifier=MEMBER, original_request_id=sale.request_id)
        )
        first = undo_pb2.ReverseResponse.FromString(body_of(await tills.asks(Op.REVERSE, undo)))
    tills.saffron.now_ms += 60_000  # meanwhile the member's home lets it go
    await tills.saffron.sends_what_is_due()
    await tills.pump()
    again = undo_pb2.ReverseResponse.FromString(body_of(await tills.asks(Op.REVERSE, undo)))
    assert (first.undone, again.undone) == (True, True)  # the first answer may have been lost
    never = tills.saffron.stamped(undo_pb2.ReverseRequest(identifier=MEMBER, original_request_id="no-such"))
    answer = undo_pb2.ReverseResponse.FromString(body_of(await tills.asks(Op.REVERSE, never)))
    assert not answer.undone
    assert await tills.nile.points(MEMBER) == 1_000
    tills.assert_agreed()
