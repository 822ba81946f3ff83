"""Made-up members and baskets: the same for the same seed, and such as a node must be able to take."""

from __future__ import annotations

import pytest

from node.people.calendars import Calendar, parse_date
from node.people.identifiers import IdentifierKind, NormalForm, normalise
from node.people.invalid import Invalid
from simulators.shoppers import MAX_MEMBERS, basket, members


def test_a_seed_gives_the_same_members_and_another_seed_gives_others() -> None:
    assert list(members(50, seed=7)) == list(members(50, seed=7))
    assert list(members(50, seed=7))[:10] == list(members(10, seed=7))
    assert list(members(50, seed=7)) != list(members(50, seed=8))


def test_a_sale_is_the_same_in_whatever_order_sales_are_made() -> None:
    shopper = next(members(1, seed=7))
    forwards = [basket(7, sale, shopper, "store-1", 0) for sale in range(20)]
    backwards = [basket(7, sale, shopper, "store-1", 0) for sale in reversed(range(20))]
    assert forwards == backwards[::-1]
    assert basket(8, 3, shopper, "store-1", 0) != forwards[3]


def test_no_two_members_share_a_card_or_a_telephone() -> None:
    everybody = list(members(5_000, seed=3))
    phones = {normalise(IdentifierKind.PHONE, member.phone, region="IR") for member in everybody}
    assert all(isinstance(phone, NormalForm) for phone in phones)
    assert len(phones) == len({member.card for member in everybody}) == 5_000
    last = MAX_MEMBERS - 1
    assert (last * 7_368_787) % 10_000_000 != 0
    with pytest.raises(ValueError, match="only"):
        next(members(MAX_MEMBERS + 1, seed=3))


def test_members_come_in_three_languages_with_digits_and_calendars_of_their_own() -> None:
    everybody = list(members(300, seed=1))
    assert {member.locale for member in everybody} == {"fa-IR", "ar-EG", "en-GB"}
    persian = next(member for member in everybody if member.locale == "fa-IR")
    arabic = next(member for member in everybody if member.locale == "ar-EG")
    assert persian.phone.startswith("+۹۸")
    assert arabic.phone.startswith("+٢٠")
    birth = parse_date(persian.birth_date)
    assert not isinstance(birth, Invalid)
    assert birth.calendar is Calendar.JALALI


def test_a_purchase_adds_up_to_its_lines() -> None:
    for sale in range(200):
        sold = basket(5, sale, None, "store-1", 0)
        purchase = sold.purchase()
        assert purchase.total.minor == sum(line.net_minor for line in purchase.lines)
        assert [line.number for line in purchase.lines] == list(range(1, len(sold.lines) + 1))
        for line in purchase.lines:
            assert line.gross_minor - line.discount_minor == line.net_minor
            assert line.quantity_milli > 0
