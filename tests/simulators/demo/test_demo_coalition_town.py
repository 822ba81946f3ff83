"""Tills of a town: everybody shops everywhere, and what a till does while a node is away."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from google.rpc import code_pb2

from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import balance_pb2, effect_pb2, refusal_pb2
from node.proto.vafa.pos.v1 import earning_pb2, operation_pb2, spending_pb2
from simulators.demo.coalition import town as town_module
from simulators.demo.coalition.hours import Place, catch_up, note, sell_without_a_line, serve_or_go_offline
from simulators.demo.coalition.merchants import TRADERS, Merchant, members_of
from simulators.demo.coalition.outage import ask_meanwhile
from simulators.demo.coalition.phones import Phones
from simulators.demo.coalition.town import Town
from simulators.demo.figures import Figures
from simulators.demo.shopping import Counter
from simulators.launch import NodeUnderTest
from simulators.scripted_node import ScriptedNode, refusing
from simulators.shoppers import Member
from simulators.till import Patience, Till

HASTY = Patience(attempts=2, attempt_seconds=0.5, total_seconds=1.0, first_wait_seconds=0.01)


def merchants(tmp_path: Path) -> list[Merchant]:
    return [
        Merchant(
            trader,
            NodeUnderTest(tmp_path / trader.merchant_id, trader.merchant_id),
            members_of(number, 12, 1),
            Phones(tmp_path / f"{trader.merchant_id}.jsonl"),
        )
        for number, trader in enumerate(TRADERS)
    ]


def a_town(tmp_path: Path) -> Town:
    own, *others = merchants(tmp_path)
    abroad = {one.merchant_id: Figures() for one in others}
    return Town(
        seed=3, members=own.members, figures=Figures(), own=own, others=others, out=set(), abroad=abroad
    )


def test_cards_say_whose_member_somebody_is(tmp_path: Path) -> None:
    ranges = [merchant.card_range for merchant in merchants(tmp_path)]
    assert len(set(ranges)) == 3
    for merchant in merchants(tmp_path):
        assert all(member.card.startswith(merchant.card_range) for member in merchant.members)


def test_nobody_stands_at_two_tills_and_members_of_all_come(tmp_path: Path) -> None:
    town = a_town(tmp_path)
    inside: list[Member] = []
    for _ in range(200):
        _, member, _ = town.new_sale("store-1")
        if member is not None:
            assert member.card not in [one.card for one in inside]
            inside.append(member)
        if len(inside) > 5:
            town.left(inside.pop(0))
    homes = {home.merchant_id for home in town.homes.values()}
    assert homes == {"saffron", "nile", "camden"}


def test_abroad_the_card_is_shown_and_a_code_is_asked_for_once_in_half_a_minute(tmp_path: Path) -> None:
    town = a_town(tmp_path)
    guest, own = town.others[0].members[0], town.own.members[0]
    town.homes = {guest.card: town.others[0], own.card: town.own}
    for chance in range(30):
        shown = town.shown(guest, random.Random(chance))
        assert shown is not None
        assert shown.value == guest.card
    assert town.may_pay(guest)
    assert not town.may_pay(guest)
    assert town.may_pay(own)
    assert town.may_pay(own)
    assert town.figures_of(guest) is town.abroad["nile"]
    assert town.figures_of(own) is town.figures_of(None) is town.figures


async def test_without_a_code_there_is_no_right_proof(
    tmp_path: Path, scripted_node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = a_town(tmp_path)
    guest = town.others[0].members[0]
    town.homes = {guest.card: town.others[0]}

    monkeypatch.setattr("simulators.demo.coalition.phones.CODE_SECONDS", 0.05)
    async with Till(scripted_node.address, scripted_node.certificate()) as till:
        part = balance_pb2.Spend(purse="points", units=4)
        proof, words = await town_module.ask_code(till, guest, part, town.others[0], town)
    assert (proof, words) == (envelope_pb2.MemberProof(confirmation_code="000000"), "")
    assert town.figures_of(guest).counts["codes"] == 0


async def test_a_till_whose_node_is_silent_goes_offline_and_posts_everything_once_it_is_back(
    tmp_path: Path, scripted_node: ScriptedNode
) -> None:
    town = a_town(tmp_path)
    async with Till(scripted_node.address, scripted_node.certificate(), patience=HASTY) as till:
        place = Place(town, Counter(till, "store-1"))
        # Questions are answered and the changes behind them are not: the node dies in the middle of a sale.
        while not till.unanswered:
            scripted_node.script = ["serve", "cut", "cut", "cut", "cut"]
            await serve_or_go_offline(place)
            assert place.offline or not till.unanswered
        for _ in range(3):
            await sell_without_a_line(place)
        kept = list(place.kept)
        assert len(kept) == till.unanswered
        scripted_node.script = []
        await catch_up(place, lambda count: None)
        assert not place.offline
        assert till.unanswered == 0
        assert set(kept) <= set(scripted_node.executed)
    assert town.out == set()


async def test_a_late_answer_to_a_payment_that_was_undone_moves_nothing() -> None:
    figures = Figures()
    spent = [balance_pb2.Spent(purse="points", units=7)]
    redeemed = operation_pb2.OperationResult(redeem=spending_pb2.RedeemResponse(spent=spent))
    note(figures, redeemed, undone=True)
    assert figures.redeemed["points"] == 0
    note(figures, redeemed, undone=False)
    assert figures.redeemed["points"] == 7
    points = effect_pb2.PointsEffect(purse="points", units=5)
    accrued = earning_pb2.AccrueResponse(effects=[effect_pb2.Effect(points=points)])
    note(figures, operation_pb2.OperationResult(accrue=accrued), undone=False)
    assert (figures.issued["points"], figures.counts["offline_accruals"]) == (5, 1)
    reason = refusal_pb2.Refusal(reason=refusal_pb2.REASON_DUPLICATE_RECEIPT)
    note(figures, operation_pb2.OperationResult(refusal=reason), undone=False)
    assert figures.refusals.total() == 1


async def test_what_a_till_is_told_while_a_home_is_gone_is_kept_as_it_was_told(
    tmp_path: Path, scripted_node: ScriptedNode
) -> None:
    town = a_town(tmp_path)
    gone = refusing(code_pb2.FAILED_PRECONDITION, "HOME_UNREACHABLE", "It cannot be reached.", action="SHOW")
    async with Till(scripted_node.address, scripted_node.certificate(), patience=HASTY) as till:
        place = Place(town, Counter(till, "store-1"))
        scripted_node.script = ["serve", gone]
        told = await ask_meanwhile(place, town.others[0])
        assert (told.reason, told.words, told.spent) == ("HOME_UNREACHABLE", "It cannot be reached.", False)
        assert not told.kept  # this node said that the earning was posted
        assert not told.right
        assert (await ask_meanwhile(place, town.others[0])).spent
    assert town.out == set()
