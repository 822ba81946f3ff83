"""Persian, Arabic and English text passes unharmed, and no text harms what is printed beside it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.people.invalid import Invalid, InvalidReason
from node.people.text import BIDI_CONTROLS, clean_text, comparison_form, first_grapheme, fold_digits, isolate

TRICKY = st.text(
    "يىكةأإآٱؤئۀـًَّ\u200c\u200d\u202e\u2066\u2069\u0301\u0345İßſ\u00a0\n\u001f\ufe0f👩🏽a ",
    min_size=1,
    max_size=30,
)
ANY = st.text(
    st.characters(
        categories=["L", "M", "N", "P", "Z", "Cf", "Cc", "S", "Co", "Cn"], exclude_characters="\x00"
    ),
    max_size=30,
)
NASTY = st.builds("".join, st.lists(TRICKY | ANY, max_size=3))

UNHARMED = [
    "فاطمه احمدی",
    "علی‌رضا نمی‌خواهد",  # with ZWNJ
    "محمّد بنُ عبدِ الله",
    "خالد عبد الكريم",  # the Arabic kaf stays in a stored name
    "مصطفى السيد",
    "Zoë O'Neill-Şahin",
    "قیمت: ۱۲٬۵۰۰ ریال (٪۹)",
    "Milk 2% شیر کم‌چرب",
    "👩‍👩‍👧‍👦 👩🏽‍🚀 🇮🇷 ❤️",
    "سلام!\u200f",
    "王小明",
]


@pytest.mark.parametrize("text", UNHARMED)
def test_what_people_write_is_stored_as_they_wrote_it(text: str) -> None:
    assert clean_text(text, 100) == unicodedata.normalize("NFC", text)
    assert clean_text(text, 100) == text or not unicodedata.is_normalized("NFC", text)


def test_controls_and_overrides_go_and_white_space_is_single() -> None:
    assert clean_text("  a\t b\r\n\u2028c\u00a0\u3000d \x1b\x07\x9f\x7f", 100) == "a b c d"
    assert clean_text("a\u202eb\u202cc\u2066d\u2069\ufeff\u200be", 100) == "abcde"
    assert clean_text("\x01 \n\u200b\u2060", 100) == ""
    assert clean_text("e\u200b\u0301", 100) == "\u00e9"


@given(NASTY)
def test_cleaning_twice_is_cleaning_once_and_leaves_nothing_that_reorders(text: str) -> None:
    once = clean_text(text, 100)
    assert isinstance(once, str)
    assert clean_text(once, 100) == once
    assert not {ord(char) for char in once} & BIDI_CONTROLS
    assert all(unicodedata.category(char) != "Cc" for char in once)
    assert once.encode().decode() == once


@pytest.mark.parametrize("text", ["a\ud800", "\udfff", "\ud83d\ude00", "a\x00b", "فا\x00طمه"])
def test_half_characters_and_nuls_are_refused(text: str) -> None:
    answer = clean_text(text, 100)
    assert isinstance(answer, Invalid)
    assert answer.reason is InvalidReason.BAD_CHARACTER


def test_the_bound_counts_what_is_kept_and_a_megabyte_is_refused() -> None:
    assert clean_text("ی" * 10, 10) == "ی" * 10
    assert clean_text("\u200b" + "a" * 10 + "  ", 10) == "a" * 10
    for text in ("a" * 11, "a\u202e" * 11, "\u200b" * (1 << 20), "ی" * (1 << 20), " " * (1 << 20)):
        answer = clean_text(text, 10)
        assert isinstance(answer, Invalid)
        assert answer.reason is InvalidReason.TOO_LONG


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("علي", "علی"),
        ("على", "علی"),
        ("كريمي", "کریمی"),
        ("فاطمة", "فاطمه"),
        ("أحمد", "احمد"),
        ("إبراهيم", "ابراهیم"),
        ("آرش", "ارش"),
        ("مؤمن", "مومن"),
        ("خانۀ", "خانه"),
        ("محمّد", "محمد"),
        ("علـــی", "علی"),
        ("علی‌رضا", "علیرضا"),
        ("ﻋﻠﻲ", "علی"),  # presentation forms of old tills
        ("ZOË", "zoe"),
        ("Straße", "STRASSE"),
        ("İstanbul", "istanbul"),
        ("Ｆａｔｅｍｅｈ", "fatemeh"),
        ("شعبه ۱۲", "شعبه ١٢"),
        ("شعبه ۱۲", "شعبه 12"),
        ("  فاطمه\u00a0 احمدی ", "فاطمه احمدی"),
    ],
)
def test_two_writings_of_a_name_are_found_as_one(one: str, other: str) -> None:
    assert comparison_form(one) == comparison_form(other)


@pytest.mark.parametrize(
    ("one", "other"), [("علی", "علیا"), ("احمد", "محمد"), ("zoe", "zoo"), ("کریم", "گریم")]
)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert comparison_form(one) != comparison_form(other)


@given(NASTY)
def test_a_comparison_form_is_its_own_comparison_form(text: str) -> None:
    assert comparison_form(comparison_form(text)) == comparison_form(text)


@given(st.text("0123456789", max_size=20))
def test_digits_of_three_scripts_fold_to_the_same(digits: str) -> None:
    persian = digits.translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"))
    arabic = digits.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    assert fold_digits(persian) == fold_digits(arabic) == fold_digits(digits) == digits


@given(NASTY)
def test_nothing_inside_an_isolated_text_can_open_or_close_the_isolation(text: str) -> None:
    isolated = isolate(text)
    assert isolated[0] == "\u2068"
    assert isolated[-1] == "\u2069"
    assert not {ord(char) for char in isolated[1:-1]} & BIDI_CONTROLS


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("", ""),
        ("احمدی", "ا"),
        ("مُحمد", "مُ"),
        ("e\u0301a", "e\u0301"),
        ("👩🏽‍🚀ab", "👩🏽‍🚀"),
        ("👩‍👩‍👧‍👦👩", "👩‍👩‍👧‍👦"),
        ("🇮🇷🇪🇬", "🇮🇷"),
        ("❤️x", "❤️"),
        ("ع‌لی", "ع"),
        ("ه‍م", "ه"),
        ("क्षेत्र", "क्"),
        (
            "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007fx",
            "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        ),
    ],
)
def test_a_first_character_is_what_a_reader_sees_as_one(text: str, first: str) -> None:
    assert first_grapheme(text) == first


def test_a_character_with_endless_marks_is_cut() -> None:
    assert len(first_grapheme("a" + "\u0301" * 100_000)) == 32
