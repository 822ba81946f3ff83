"""A member's record holds what they said, changes as a whole, and shows itself to nobody by accident."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.people.calendars import Calendar, CalendarDate
from node.people.consents import Channel, Consent, Purpose, may
from node.people.invalid import Invalid, InvalidReason
from node.people.person import (
    MAX_CONSENTS_A_CHANGE,
    Person,
    PersonChanges,
    change,
    clean_locale,
    enrol,
    language_of,
    masked_name,
    shown_name,
)

TODAY = date(2026, 3, 20)
BORN = CalendarDate(Calendar.JALALI, 1368, 5, 12)
YES = Consent(Channel.SMS, Purpose.MARKETING, True, 1_700_000_000_000, "till-7", "2026-01")


def fatemeh(**changes: Any) -> Person:
    details = PersonChanges(
        given_name=" فاطمه ",
        family_name="احمدی\n",
        phone="۰۹۱۲ ۱۲۳ ۴۵۶۷",
        birth_date=BORN,
        locale="fa_ir",
        consents=(YES,),
    )
    person = enrol(details, referrer="m-17", source="till-7", created_at_ms=1_700_000_000_000, today=TODAY)
    assert isinstance(person, Person), person
    return changed(person, **changes) if changes else person


def changed(person: Person, **changes: Any) -> Person:
    answer = change(person, PersonChanges(**changes), today=TODAY)
    assert isinstance(answer, Person), answer
    return answer


def reason_of(answer: Person | str | Invalid) -> InvalidReason:
    assert isinstance(answer, Invalid), answer
    return answer.reason


def test_a_person_keeps_what_was_said_at_enrolment() -> None:
    assert fatemeh() == Person(
        created_at_ms=1_700_000_000_000,
        given_name="فاطمه",
        family_name="احمدی",
        phone="۰۹۱۲ ۱۲۳ ۴۵۶۷",
        birth_date=BORN,
        locale="fa-IR",
        consents=(YES,),
        referrer="m-17",
        source="till-7",
    )
    assert shown_name(fatemeh()) == "فاطمه احمدی"
    assert shown_name(fatemeh(display_name="خانم احمدی")) == "خانم احمدی"


def test_a_member_known_by_phone_alone_is_a_person() -> None:
    person = enrol(PersonChanges(), created_at_ms=5, today=TODAY)
    assert person == Person(created_at_ms=5)
    assert isinstance(person, Person)
    assert shown_name(person) == masked_name(shown_name(person)) == ""


def test_what_is_not_named_stays_and_what_is_emptied_goes() -> None:
    person = fatemeh(given_name="Zoë", birth_date=None)
    assert (person.given_name, person.family_name, person.birth_date) == ("Zoë", "احمدی", None)
    assert (person.referrer, person.source, person.created_at_ms) == ("m-17", "till-7", 1_700_000_000_000)
    assert fatemeh(family_name="").family_name == ""
    assert changed(fatemeh()) == fatemeh()


def test_consents_add_up_and_withdrawal_counts() -> None:
    no = msgspec.structs.replace(YES, granted=False, at_ms=YES.at_ms + 1)
    person = fatemeh(consents=(no,))
    assert person.consents == (YES, no)
    assert may(fatemeh().consents, Channel.SMS, Purpose.MARKETING)
    assert not may(person.consents, Channel.SMS, Purpose.MARKETING)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"given_name": "ی" * 101}, InvalidReason.TOO_LONG),
        ({"family_name": "x" * (1 << 20)}, InvalidReason.TOO_LONG),
        ({"display_name": "\ud83d"}, InvalidReason.BAD_CHARACTER),
        ({"phone": "0\x00"}, InvalidReason.BAD_CHARACTER),
        ({"phone": "0" * 41}, InvalidReason.TOO_LONG),
        ({"locale": "فارسی"}, InvalidReason.NOT_A_LOCALE),
        ({"birth_date": CalendarDate(Calendar.JALALI, 1446, 1, 1)}, InvalidReason.DATE_OUT_OF_RANGE),
        ({"birth_date": CalendarDate(Calendar.GREGORIAN, 2026, 3, 21)}, InvalidReason.DATE_OUT_OF_RANGE),
        (
            {"consents": (msgspec.structs.replace(YES, text_version=""),)},
            InvalidReason.CONSENT_WITHOUT_WORDING,
        ),
        ({"consents": (YES,) * (MAX_CONSENTS_A_CHANGE + 1)}, InvalidReason.TOO_LONG),
        ({"email": "fatemeh at example.ir"}, InvalidReason.NOT_AN_EMAIL),
    ],
)
def test_one_bad_detail_refuses_the_whole_change(changes: dict[str, Any], reason: InvalidReason) -> None:
    answer = change(fatemeh(), PersonChanges(**{"given_name": "Zoë", **changes}), today=TODAY)
    assert reason_of(answer) is reason
    assert reason_of(enrol(PersonChanges(**changes), created_at_ms=1, today=TODAY)) is reason


def test_a_referrer_or_source_that_is_no_text_is_refused() -> None:
    assert (
        reason_of(enrol(PersonChanges(), referrer="\x00", created_at_ms=1, today=TODAY))
        is InvalidReason.BAD_CHARACTER
    )
    assert (
        reason_of(enrol(PersonChanges(), source="x" * 65, created_at_ms=1, today=TODAY))
        is InvalidReason.TOO_LONG
    )


def test_somebody_born_today_is_welcome() -> None:
    assert fatemeh(birth_date=CalendarDate(Calendar.GREGORIAN, 2026, 3, 20)).birth_date is not None


def test_a_person_is_stored_unchanged_and_an_older_record_is_still_read() -> None:
    person = fatemeh(display_name="👩🏽‍🚀 فاطمه‌جان")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(person), type=Person) == person
    assert msgspec.msgpack.decode(msgspec.msgpack.encode([5, "Zoë"]), type=Person) == Person(5, "Zoë")


def test_the_stored_order_of_fields_stays() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fatemeh())) == [
        1_700_000_000_000, "فاطمه", "احمدی", "", "۰۹۱۲ ۱۲۳ ۴۵۶۷", [2, 1368, 5, 12], "fa-IR",
        [[1, 2, True, 1_700_000_000_000, "till-7", "2026-01"]], "m-17", "till-7", "",
    ]  # fmt: skip


def test_neither_a_log_nor_a_traceback_shows_a_person() -> None:
    from rich.pretty import pretty_repr

    for record in (fatemeh(), PersonChanges(given_name="فاطمه", phone="0912")):
        for shown in (
            repr(record),
            str(record),
            f"{record}",
            pretty_repr(record),
            repr([record]),
            repr(Holder(record)),
        ):
            assert "فاطمه" not in shown
            assert "912" not in shown


class Holder(msgspec.Struct):
    record: Any


@pytest.mark.parametrize(
    ("typed", "tag"),
    [
        ("fa-IR", "fa-IR"),
        ("FA_ir", "fa-IR"),
        ("ar-eg", "ar-EG"),
        ("en", "en"),
        ("fa-arab-ir", "fa-Arab-IR"),
        ("es-419", "es-419"),
        (" en-GB ", "en-GB"),
        ("", ""),
        ("fa-ir-u-ca-persian-nu-arabext", "fa-IR-u-ca-persian-nu-arabext"),
    ],
)
def test_a_locale_is_kept_as_a_language_tag(typed: str, tag: str) -> None:
    assert clean_locale(typed) == tag


@pytest.mark.parametrize(
    "typed",
    [
        *("f", "fa-", "-IR", "fa--IR", "fa IR", "fa-IR.UTF-8", "فا", "fa-\u202eIR", "\ud800", "a" * 9),
        "en-" + "a-" * 20 + "a",
        pytest.param("e" * 2**20, id="a megabyte"),
    ],
)
def test_what_is_no_language_tag_is_refused(typed: str) -> None:
    assert reason_of(clean_locale(typed)) is InvalidReason.NOT_A_LOCALE


@given(st.from_regex(r"[A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_][A-Za-z]{2})?", fullmatch=True))
def test_a_kept_locale_is_kept_again_as_it_is(typed: str) -> None:
    tag = clean_locale(typed)
    assert isinstance(tag, str)
    assert clean_locale(tag) == tag


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("فاطمه احمدی", "فاطمه ا…"),
        ("محمد رضا کریمی", "محمد ر… ک…"),
        ("علی‌رضا احمدی", "علی‌رضا ا…"),
        ("Fatemeh Ahmadi", "Fatemeh A…"),
        ("محمد الأحمدي", "محمد ا…"),
        ("أحمد مُنير", "أحمد مُ…"),
        ("فاطمه", "ف…"),
        ("王小明", "王…"),
        ("Ana 👩🏽‍🚀star", "Ana 👩🏽‍🚀…"),
        ("", ""),
        ("  ", ""),
        ("a b c d e f g", "a b… c… d…"),
        ("x" * 60 + " y", "x… y…"),
    ],
)
def test_a_till_sees_enough_of_a_name_to_greet_by(name: str, masked: str) -> None:
    assert masked_name(name) == masked


@given(st.text(max_size=200))
def test_a_masked_name_is_short_and_never_tells_the_last_word(name: str) -> None:
    masked = masked_name(name)
    assert len(masked) <= 4 * 33 + 3
    words = name.split()
    if words:
        assert masked.endswith("…")
        assert len(masked.split()) <= 4


@pytest.mark.parametrize(
    ("typed", "language"),
    [
        ("fa_IR", "fa"),
        ("zh-hant-tw", "zh-Hant"),
        ("de-1996", "de"),
        ("en-x-shop", "en"),
        ("ar", "ar"),
        ("", ""),
    ],
)
def test_receipts_learn_of_a_locale_its_language_and_script_alone(typed: str, language: str) -> None:
    locale = clean_locale(typed)
    assert isinstance(locale, str)
    assert language_of(locale) == language
