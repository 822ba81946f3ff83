"""Made-up members and what they buy, the same for the same seed.

Names are Persian, Arabic and English, written as their bearers write them; telephone numbers are Iranian and
Egyptian mobile numbers, typed in any of the digits that people type. All are made up by chance.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.member.v1 import person_pb2
from simulators.catalogue import GOODS, Article
from simulators.purchases import Basket, BasketLine, card_identifier, phone_identifier

MAX_MEMBERS = 1_000_000
"""So many members have cards and telephone numbers of their own."""

CARD_PREFIX_DIGITS = 4
"""All cards of one seed begin with the same digits, and those of the next seeds with others."""

CURRENCY = "USD"
CURRENCY_EXPONENT = 2

_PERSIAN_DIGITS = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
_ARABIC_DIGITS = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
_MAX_LINES = 9
_SPREAD = 7_368_787
"""A prime: multiplied by it, numbers that follow each other lie far apart and still never meet."""


@dataclass(frozen=True, slots=True)
class _People:
    """Where members come from: their names, how they type numbers, and in which calendar they were born."""

    locale: str
    given_names: tuple[str, ...]
    family_names: tuple[str, ...]
    phone_prefix: str
    digits: dict[int, int]
    calendar: person_pb2.Calendar.ValueType
    first_birth_year: int
    weight: int


_PEOPLES = (
    _People(
        "fa-IR",
        ("زهرا", "فاطمه", "مریم", "نرگس", "شیرین", "علی‌رضا", "محمد", "حسین", "آرش", "بهرام", "پارسا", "کیان"),
        ("محمدی", "حسینی", "کریمی", "رضایی", "موسوی", "جعفری", "قاسمی", "نوری", "یزدان‌پناه", "فراهانی"),
        "+98912",
        _PERSIAN_DIGITS,
        person_pb2.CALENDAR_JALALI,
        1330,
        5,
    ),
    _People(
        "ar-EG",
        ("أحمد", "محمود", "يوسف", "عمر", "كريم", "فاطمة", "ندى", "ياسمين", "هدى", "منى", "عبد الرحمن"),
        ("السيد", "حسن", "إبراهيم", "عبد الله", "مصطفى", "منصور", "الشريف", "فؤاد", "رمضان", "خليل"),
        "+2010",
        _ARABIC_DIGITS,
        person_pb2.CALENDAR_GREGORIAN,
        1951,
        3,
    ),
    _People(
        "en-GB",
        ("Alice", "Thomas", "Grace", "Oliver", "Hannah", "James", "Zoë", "Seán", "Ruth", "Daniel"),
        ("Walker", "O'Neill", "Hughes", "Taylor-Green", "Adeyemi", "Clarke", "Murphy", "Khan", "Wood"),
        "+2011",
        {},
        person_pb2.CALENDAR_GREGORIAN,
        1951,
        2,
    ),
)


@dataclass(frozen=True, slots=True)
class Member:
    """A made-up person with a card and a telephone; `phone` is in the member's own digits."""

    number: int
    given_name: str
    family_name: str
    locale: str
    card: str
    phone: str
    birth_calendar: person_pb2.Calendar.ValueType
    birth_date: str
    wants_offers: bool

    def identifiers(self) -> list[identifier_pb2.Identifier]:
        """What the member is enrolled with."""
        return [card_identifier(self.card), phone_identifier(self.phone)]

    def person(self) -> person_pb2.Person:
        """What the member fills in."""
        consents = [
            person_pb2.Consent(
                channel=person_pb2.CHANNEL_SMS,
                purpose=purpose,
                granted=granted,
                source="till",
                text_version="1",
            )
            for purpose, granted in (
                (person_pb2.PURPOSE_SERVICE, True),
                (person_pb2.PURPOSE_MARKETING, self.wants_offers),
            )
        ]
        return person_pb2.Person(
            given_name=self.given_name,
            family_name=self.family_name,
            phone=self.phone,
            birth_date=person_pb2.CalendarDate(calendar=self.birth_calendar, date=self.birth_date),
            locale=self.locale,
            consents=consents,
            source="till",
        )


def members(count: int, seed: int) -> Iterator[Member]:
    """The first `count` members of this seed. `ValueError` for more than `MAX_MEMBERS`."""
    if count > MAX_MEMBERS:
        raise ValueError(f"there are names and numbers for {MAX_MEMBERS} members only")
    return (_member(number, seed) for number in range(count))


def basket(seed: int, sale: int, member: Member | None, store_id: str, occurred_ms: int) -> Basket:
    """What a customer buys in sale number `sale` of this seed; receipts are numbered by the sale.

    Titles are in the member's language, English for a customer without a card.
    """
    chance = random.Random(f"basket {seed} {sale}")
    count = min(_MAX_LINES, 1 + int(chance.expovariate(0.4)))
    language = member.locale[:2] if member is not None else "en"
    lines = tuple(_line(article, language, chance) for article in chance.sample(GOODS, count))
    return Basket(
        receipt_number=f"{sale:08d}",
        store_id=store_id,
        card=member.card if member is not None else "",
        occurred_ms=occurred_ms,
        currency=CURRENCY,
        lines=lines,
    )


def _member(number: int, seed: int) -> Member:
    chance = random.Random(f"member {seed} {number}")
    (people,) = chance.choices(_PEOPLES, [people.weight for people in _PEOPLES])
    # Telephone numbers and cards must not meet, so they are spread out instead of drawn.
    spread = (number * _SPREAD + seed) % 10_000_000
    phone = (
        f"{people.phone_prefix}{spread:07d}"
        if people.locale == "fa-IR"
        else f"{people.phone_prefix}{spread:08d}"
    )
    card = f"9{seed % 1000:03d}{number:07d}"
    year, month, day = (
        people.first_birth_year + chance.randrange(55),
        chance.randint(1, 12),
        chance.randint(1, 28),
    )
    return Member(
        number=number,
        given_name=chance.choice(people.given_names),
        family_name=chance.choice(people.family_names),
        locale=people.locale,
        card=card + _luhn_digit(card),
        phone=phone.translate(people.digits),
        birth_calendar=people.calendar,
        birth_date=f"{year}-{month:02d}-{day:02d}".translate(people.digits),
        wants_offers=chance.random() < 0.6,
    )


def _line(article: Article, language: str, chance: random.Random) -> BasketLine:
    if article.by_weight:
        quantity_milli = chance.randrange(150, 2_500)
        gross_minor = article.price_minor * quantity_milli // 1000
    else:
        pieces = chance.choices((1, 2, 3, 6), (70, 20, 7, 3))[0]
        quantity_milli, gross_minor = pieces * 1000, pieces * article.price_minor
    discount_minor = gross_minor // 10 if chance.random() < 0.15 else 0
    return BasketLine(
        title=article.titles[language],
        sku=article.sku,
        group_path=article.group_path,
        brand=article.brand,
        quantity_milli=quantity_milli,
        net_minor=gross_minor - discount_minor,
        discount_minor=discount_minor,
    )


def _luhn_digit(digits: str) -> str:
    """The check digit of ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)
