"""Tills of a town: everybody shops everywhere, and what a till does while a node is away."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from google.rpc import code_pb2

from node.actors.card_spec import SPEC, cards_spec
from node.config_template import CardsSection
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import balance_pb2, effect_pb2, identifier_pb2, refusal_pb2
from node.proto.vafa.pos.v1 import earning_pb2, operation_pb2, spending_pb2
from node.wire.card_words import tap_number
from simulators.demo.coalition import town as town_module
from simulators.demo.coalition.hours import Place, catch_up, note, sell_without_a_line, serve_or_go_offline
from simulators.demo.coalition.merchants import TRADERS, Merchant, members_of
from simulators.demo.coalition.outage import ask_meanwhile
from simulators.demo.coalition.phones import Phones
from simulators.demo.coalition.town import Town
from simulators.demo.figures import Figures
from simulators.demo.pockets import Pockets, by_number
from simulators.demo.shopping import Counter, record_sale
from simulators.launch import NodeUnderTest
from simulators.purchases import card_identifier
from simulators.refusal import Refused
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


# --- chip cards ---------------------------------------------------------------------------------------------


def a_town_with_cards(tmp_path: Path) -> Town:
    town = a_town(tmp_path)
    for merchant in (town.own, *town.others):
        pockets = Pockets(merchant.merchant_id, tmp_path / "cards" / merchant.merchant_id)
        pockets.fill(merchant.members)
        object.__setattr__(merchant, "pockets", pockets)
    return town


def test_all_three_kinds_of_card_are_carried_and_named_by_what_a_reader_gets(tmp_path: Path) -> None:
    town = a_town_with_cards(tmp_path)
    guests = town.others[0]
    assert guests.pockets is not None
    assert len({chip.profile for chip in guests.pockets.chips.values()}) == 3
    kinds = set()
    for guest in guests.members[:3]:
        town.homes[guest.card] = guests
        first, second = (town.shown(guest, random.Random(1)) for _ in range(2))
        assert first is not None
        assert second is not None
        assert (tap_number(first.value) or first.value) == guest.card
        assert (first != second) == (first.kind == identifier_pb2.IDENTIFIER_KIND_CARD_TAP)
        kinds.add(first.kind)
        assert by_number(first, guest.card) == card_identifier(guest.card)
    assert kinds == {identifier_pb2.IDENTIFIER_KIND_CARD_TAP, identifier_pb2.IDENTIFIER_KIND_CARD}
    assert town.abroad[guests.merchant_id].counts["card_taps"] == 6


def test_a_node_opens_the_store_that_the_pockets_left_and_finds_no_other_key_in_it(tmp_path: Path) -> None:
    pockets = Pockets("saffron", tmp_path)
    settings = {key.removeprefix("cards."): value for key, value in pockets.settings.items()}
    section = msgspec.convert(settings, CardsSection)
    spec = SPEC.decode(cards_spec("saffron", section))
    assert [version for version, _ in spec.keys] == [1]


def test_without_a_node_that_can_verify_a_tap_the_cards_number_is_shown(tmp_path: Path) -> None:
    town = a_town_with_cards(tmp_path)
    guest = town.others[0].members[0]
    town.homes[guest.card] = town.others[0]
    assert town.named(guest, random.Random(1)) == card_identifier(guest.card)


async def test_a_sale_by_a_tap_that_cannot_be_verified_is_recorded_by_the_cards_number(
    tmp_path: Path, scripted_node: ScriptedNode
) -> None:
    town = a_town_with_cards(tmp_path)
    member = town.own.members[0]
    town.homes[member.card] = town.own
    assert town.own.pockets is not None
    shown, number = town.own.pockets.shown(member.card), card_identifier(member.card)
    basket = town.next_basket(member, "store-1")
    gone = refusing(code_pb2.FAILED_PRECONDITION, "HOME_UNREACHABLE", "It cannot be reached.", action="SHOW")
    async with Till(scripted_node.address, scripted_node.certificate(), patience=HASTY) as till:
        scripted_node.script = [gone, "serve"]
        operation, accrued = await record_sale(Figures(), till, shown, number, basket)
        assert operation.accrue.identifier == number
        assert accrued.transaction_id
        scripted_node.script = [gone]
        with pytest.raises(Refused):
            await record_sale(Figures(), till, number, number, basket)
