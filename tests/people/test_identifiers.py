"""However a member's identifier reaches a till, it is looked up in one form."""

from __future__ import annotations

import random
import unicodedata
from itertools import product

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.people import identifiers
from node.people.identifiers import IdentifierKind, NormalForm, is_region, normalise
from node.people.invalid import Invalid, InvalidReason

PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
ARABIC_INDIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
FULL_WIDTH = str.maketrans("0123456789+", "０１２３４５６７８９＋")
NOISE = [
    " ",
    "\u00a0",
    "\u2009",
    "\t",
    "-",
    "\u2011",
    "–",
    "−",
    "\u200b",
    "\u200c",
    "\u200e",
    "\u202e",
    "\u2066",
]
REGIONS = st.sampled_from(["IR", "EG", "AE", "IQ", "TR", "DE", "US", "IT", "AR", "MX", "RU", "GB"])
ANY_TEXT = st.text(st.characters(), max_size=80) | st.text("0123456789۰۱۲٣٤٥+-() aZ\u200c\u202e", max_size=30)

NATIONAL_MOBILES = {  # as people say them, without the 0 in front
    "IR": st.from_regex("9[0-9]{9}", fullmatch=True),
    "EG": st.from_regex("1[0-9]{9}", fullmatch=True),
    "AE": st.from_regex("5[0-9]{8}", fullmatch=True),
    "IQ": st.from_regex("7[0-9]{9}", fullmatch=True),
    "TR": st.from_regex("5[0-9]{9}", fullmatch=True),
}
CODES = {"IR": "98", "EG": "20", "AE": "971", "IQ": "964", "TR": "90"}


def reason_of(kind: IdentifierKind, text: str, region: str = "IR") -> InvalidReason:
    answer = normalise(kind, text, region=region)
    assert isinstance(answer, Invalid), "this was taken"
    return answer.reason


def form_of(kind: IdentifierKind, text: str, region: str = "IR") -> str:
    answer = normalise(kind, text, region=region)
    assert isinstance(answer, NormalForm), answer
    assert answer.kind is kind
    return answer.text


def noisy(text: str, seed: int) -> str:
    rng = random.Random(seed)
    return "".join(rng.choice([*NOISE, "", ""]) + char for char in text) + rng.choice(NOISE)


# --- phones ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "09121234567",
        "9121234567",
        "989121234567",
        "+989121234567",
        "00989121234567",
        "00 98 912 123 4567",
        "+98 (0) 912-123-4567",
        "0912.123.4567",
        "۰۹۱۲ ۱۲۳ ۴۵۶۷",
        "٠٩١٢١٢٣٤٥٦٧",
        "۰۹۱۲١٢٣4567",
        "＋９８９１２１２３４５６７",
        "\u202a+98 912 123 4567\u202c",
        "\u200e09121234567\r\n",
        "＋９８（０）９１２．１２３．４５６７",
    ],
)
def test_an_iranian_mobile_is_one_number_however_it_is_typed(typed: str) -> None:
    assert form_of(IdentifierKind.PHONE, typed) == "+989121234567"


def test_a_national_number_belongs_to_the_country_of_the_tills() -> None:
    assert form_of(IdentifierKind.PHONE, "٠١٠١٢٣٤٥٦٧٨", "EG") == "+201012345678"
    assert form_of(IdentifierKind.PHONE, "02 25555555", "EG") == "+20225555555"
    assert form_of(IdentifierKind.PHONE, "021 12345678", "IR") == "+982112345678"
    assert form_of(IdentifierKind.PHONE, "+989121234567", "EG") == "+989121234567"
    assert form_of(IdentifierKind.PHONE, "011 98 912 123 4567", "US") == "+989121234567"


@given(data=st.data(), region=st.sampled_from(sorted(CODES)))
def test_the_short_cut_for_mobiles_answers_what_the_parser_answers(data: st.DataObject, region: str) -> None:
    mobile = data.draw(NATIONAL_MOBILES[region])
    code = CODES[region]
    for typed in (f"+{code}{mobile}", f"00{code}{mobile}", f"0{mobile}"):
        parsed = phonenumbers.parse(typed, region)
        e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        assert form_of(IdentifierKind.PHONE, typed, region) == e164
        assert identifiers._parse_phone.__wrapped__(typed, region) == e164


@pytest.mark.parametrize("region", sorted(CODES))
@pytest.mark.parametrize("count", range(6, 13))
def test_the_short_cut_takes_mobiles_of_the_right_length_alone(region: str, count: int) -> None:
    for first in "123456789":
        national = first + "2345678901234"[: count - 1]
        for typed in (f"+{CODES[region]}{national}", f"00{CODES[region]}{national}", f"0{national}"):
            answer = normalise(IdentifierKind.PHONE, typed, region=region)
            parsed = identifiers._parse_phone.__wrapped__(typed, region)
            assert parsed == (answer.text if isinstance(answer, NormalForm) else None)


@given(
    region=st.sampled_from(sorted(CODES)),
    home=st.sampled_from(sorted(CODES)),
    digits=st.from_regex("[1579][0-9]{7,10}", fullmatch=True),
    written=st.sampled_from(["+{}{}", "00{}{}", "+{}0{}", "{0:.0}0{1}", "{0:.0}00{1}", "{}{}"]),
)
def test_the_short_cut_takes_no_number_that_the_parser_refuses_or_reads_otherwise(
    region: str, home: str, digits: str, written: str
) -> None:
    typed = written.format(CODES[home], digits)
    answer = normalise(IdentifierKind.PHONE, typed, region=region)
    parsed = identifiers._parse_phone.__wrapped__(typed, region)
    assert parsed == (answer.text if isinstance(answer, NormalForm) else None)


@given(data=st.data(), home=st.sampled_from(sorted(CODES)), region=REGIONS)
def test_a_number_with_its_country_code_is_the_same_in_every_country(
    data: st.DataObject, home: str, region: str
) -> None:
    e164 = f"+{CODES[home]}{data.draw(NATIONAL_MOBILES[home])}"
    assert form_of(IdentifierKind.PHONE, e164, region) == e164
    assert identifiers._parse_phone.__wrapped__(e164, region) == e164


def test_numbers_of_a_prefix_newer_than_the_metadata_are_taken() -> None:
    unknown = phonenumbers.parse("09781234567", "IR")
    assert not phonenumbers.is_valid_number(unknown), "the metadata learnt this prefix: choose another"
    assert form_of(IdentifierKind.PHONE, "0978 123 4567") == "+989781234567"


@pytest.mark.parametrize(
    "typed", ["0912123", "12345", "110", "+98912", "0912123456789012", "+", "00", "+0", "0" * 30]
)
def test_a_number_broken_off_or_too_long_is_refused_before_somebody_is_enrolled_with_it(typed: str) -> None:
    assert reason_of(IdentifierKind.PHONE, typed) is InvalidReason.NOT_A_PHONE_NUMBER


@pytest.mark.parametrize(
    "typed", ["0800FLOWERS", "0912123456x7", "0912+1234567", "++989121234567", "علی", "०९१२१२३४५६७"]
)
def test_a_phone_number_is_digits(typed: str) -> None:
    assert reason_of(IdentifierKind.PHONE, typed) is InvalidReason.BAD_CHARACTER


def test_a_national_number_in_no_known_country_is_refused() -> None:
    assert reason_of(IdentifierKind.PHONE, "09121234567", "ZZ") is InvalidReason.NOT_A_PHONE_NUMBER
    assert is_region("IR")
    assert is_region("EG")
    assert not is_region("ZZ")
    assert not is_region("ir")


# --- cards, barcodes, tokens -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "627300AB12",
        "6273-00ab-12",
        "۶۲۷۳ ۰۰ab ۱۲",
        "٦٢٧٣٠٠AB١٢",
        "６２７３００ａｂ１２",
        "\ufeff627300aB12\r\n",
    ],
)
def test_a_card_is_one_card_however_it_is_typed(typed: str) -> None:
    assert form_of(IdentifierKind.CARD, typed) == "627300AB12"


@pytest.mark.parametrize(
    "typed", ["123ß", "ſ1234", "ı2345", "12345²", "①2345", "ﬁ123", "12_34", "کارت۱۲", "12\x0034"]
)
def test_letters_and_digits_that_only_look_like_others_are_refused(typed: str) -> None:
    assert reason_of(IdentifierKind.CARD, typed) is InvalidReason.BAD_CHARACTER


def test_barcodes_keep_leading_zeros_and_need_no_check_digit() -> None:
    assert form_of(IdentifierKind.BARCODE, "٠٠١٢ ٣٤٥٦") == "00123456"
    assert form_of(IdentifierKind.BARCODE, "4006381333930") == "4006381333930"  # EAN-13 would end in 1
    assert form_of(IdentifierKind.BARCODE, "0036000291452") != form_of(IdentifierKind.BARCODE, "036000291452")
    assert reason_of(IdentifierKind.BARCODE, "40063A") is InvalidReason.BAD_CHARACTER


def test_an_app_token_keeps_every_character_between_what_the_scanner_adds() -> None:
    token = "eyJhbGciOi.-_~Zz=+/"
    assert form_of(IdentifierKind.APP_TOKEN, f"{token}\r\n") == token
    assert form_of(IdentifierKind.APP_TOKEN, token.upper()) != form_of(
        IdentifierKind.APP_TOKEN, token.lower()
    )
    assert reason_of(IdentifierKind.APP_TOKEN, "a" * 15) is InvalidReason.TOO_SHORT
    assert reason_of(IdentifierKind.APP_TOKEN, "a" * 513) is InvalidReason.TOO_LONG
    for bad in ("a" * 16 + " b", "a" * 16 + "\x00", "a" * 16 + "ی", "a" * 16 + "\u200b"):
        assert reason_of(IdentifierKind.APP_TOKEN, bad) is InvalidReason.BAD_CHARACTER


@pytest.mark.parametrize("kind", [IdentifierKind.CARD, IdentifierKind.BARCODE])
def test_codes_have_4_to_40_characters(kind: IdentifierKind) -> None:
    assert form_of(kind, "1" * 4) == "1" * 4
    assert form_of(kind, "1" * 40) == "1" * 40
    assert reason_of(kind, "123") is InvalidReason.TOO_SHORT
    assert reason_of(kind, "1" * 41) is InvalidReason.TOO_LONG


@given(
    code=st.text("0123456789", min_size=4, max_size=40),
    kind=st.sampled_from([IdentifierKind.CARD, IdentifierKind.BARCODE]),
    seed=st.integers(0, 2**32),
)
def test_the_digits_of_three_scripts_and_any_spacing_agree(
    code: str, kind: IdentifierKind, seed: int
) -> None:
    for table in (PERSIAN, ARABIC_INDIC, FULL_WIDTH):
        assert form_of(kind, code.translate(table)) == code
    if len(noisy(code, seed)) <= identifiers.MAX_TYPED_CHARS:
        assert form_of(kind, noisy(code.translate(PERSIAN), seed)) == code


# --- all kinds -----------------------------------------------------------------------------------------


@given(kind=st.sampled_from(IdentifierKind), text=ANY_TEXT, region=REGIONS)
@example(IdentifierKind.PHONE, "0 15 1234-5678", "AR")
@example(IdentifierKind.PHONE, "044 55 1234 5678", "MX")
@example(IdentifierKind.PHONE, "000488569", "AE")
@example(IdentifierKind.PHONE, "+3530047407206", "IE")
@example(IdentifierKind.PHONE, "00028850083", "AU")
@example(IdentifierKind.PHONE, "0007310298", "AE")
def test_a_normal_form_is_its_own_normal_form_and_ascii(kind: IdentifierKind, text: str, region: str) -> None:
    once = normalise(kind, text, region=region)
    if isinstance(once, NormalForm):
        assert once.text.isascii()
        assert normalise(kind, once.text, region=region) == once
        assert normalise(kind, once.text, region="IR") == once


@given(text=ANY_TEXT)
def test_a_code_is_taken_only_for_the_characters_that_are_in_it(text: str) -> None:
    answer = normalise(IdentifierKind.CARD, text, region="IR")
    if isinstance(answer, NormalForm):
        digits = [str(unicodedata.decimal(char)) for char in text if char.isdecimal()]
        assert [char for char in answer.text if char.isdigit()] == digits


def test_refusals_do_not_repeat_what_was_typed_and_reprs_do_not_show_it() -> None:
    secret = "0912-SECRET-77"
    for kind in IdentifierKind:
        answer = normalise(kind, secret + "\u0000", region="IR")
        assert isinstance(answer, Invalid)
        assert "SECRET" not in repr(answer)
        assert "912" not in answer.message
    form = normalise(IdentifierKind.PHONE, "09121234567", region="IR")
    assert "912" not in repr(form)
    assert "912" not in str(form)
    assert "912" not in f"{form!r} {form}"


@pytest.mark.parametrize("kind", list(IdentifierKind))
@pytest.mark.parametrize("filler", ["1", "۱", " ", "\u200b", "\u202e", "ی", "👩‍👩‍👧"])
def test_a_megabyte_is_refused_unread(kind: IdentifierKind, filler: str) -> None:
    assert reason_of(kind, filler * (1 << 20)) is InvalidReason.TOO_LONG


@pytest.mark.parametrize("kind", list(IdentifierKind))
def test_an_empty_identifier_says_so(kind: IdentifierKind) -> None:
    assert reason_of(kind, "") is InvalidReason.EMPTY
    assert reason_of(kind, " \r\n") is InvalidReason.EMPTY


@pytest.mark.parametrize(
    ("kind", "text"),
    list(
        product(
            IdentifierKind, ["\ud800" * 20, "123\udfff4567890123456", "\u202e" + "9" * 3 + "\U0010ffff" * 17]
        )
    ),
)
def test_half_characters_and_unassigned_ones_are_refused(kind: IdentifierKind, text: str) -> None:
    assert reason_of(kind, text) is InvalidReason.BAD_CHARACTER


def test_the_stored_numbers_of_the_kinds_stay() -> None:
    assert {kind.name: kind.value for kind in IdentifierKind} == {
        "CARD": 1,
        "BARCODE": 2,
        "PHONE": 3,
        "APP_TOKEN": 4,
    }
