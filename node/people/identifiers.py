"""What a member is found by at a till, in the one form under which it is indexed.

However it is typed, scanned or pasted, one card, barcode, phone or token has one normal form, and the normal
form of a normal form is itself. The forms are stored (as keyed hashes), so they never change: a number whose
normal form moved could no longer be found.

========== ============================================ =============================== =================
kind       normal form                                  typed or scanned                normal
========== ============================================ =============================== =================
CARD       4 to 40 of 0-9 A-Z                           ``۶۲۷۳-۰۰ ab``                  ``627300AB``
BARCODE    4 to 40 of 0-9, leading zeros kept           ``٠٠١٢ ٣٤٥٦``                   ``00123456``
PHONE      E.164                                        ``۰۹۱۲ ۱۲۳ ۴۵۶۷`` in region IR  ``+989121234567``
APP_TOKEN  16 to 512 of printable ASCII, case kept      a token and a line end          the token
========== ============================================ =============================== =================

White space, hyphens and invisible characters are dropped from cards, barcodes and phones, and full-width
forms are read as ASCII. NFKC is *not* applied: it would also read ``²`` and ``①`` as digits nobody typed.

Check digits of barcodes are not verified. Lengths 8, 12 and 13 are those of EAN-8, UPC-A and EAN-13, but also
of many in-house Code 128 and Codabar cards, whose last digit is data: nine in ten of these would be refused.
Where a check digit exists the scanner has verified it, and a mistyped number finds nobody. For the same
reason a UPC-A and its EAN-13 with a leading zero stay two barcodes: joining them could open the account of
a stranger.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache

import phonenumbers

from node.people.invalid import Discreet, Invalid, InvalidReason
from node.people.text import DIGITS_TO_ASCII, INVISIBLE

CODE_MIN_CHARS = 4
CODE_MAX_CHARS = 40
APP_TOKEN_MIN_CHARS = 16
APP_TOKEN_MAX_CHARS = 512
MAX_TYPED_CHARS = 128
"""A card, barcode or phone as it was typed, with all its spaces; longer is refused unread."""
MAX_DIALLED_CHARS = 20
"""Of a phone number without spaces: the fifteen digits of E.164 and what is dialled before them."""
MAX_CACHED_PHONES = 8_192


class IdentifierKind(IntEnum):
    """What an identifier is. The values are stored: never renumber them."""

    CARD = 1
    BARCODE = 2
    PHONE = 3
    APP_TOKEN = 4


class NormalForm(Discreet, frozen=True):
    """An identifier as it is indexed. Equal forms are the same identifier; its repr does not show it."""

    kind: IdentifierKind
    text: str


def normalise(kind: IdentifierKind, text: str, *, region: str) -> NormalForm | Invalid:
    """The normal form of an identifier, or why it is none.

    ``region`` is the ISO 3166 code (``"IR"``, ``"EG"``) of the country whose national phone numbers the tills
    type without a country code; other kinds ignore it. Input that is already normal, and mobile numbers as
    they are usually typed, take well under a microsecond.
    """
    return _NORMALISERS[kind](text, region)


def is_region(region: str) -> bool:
    """Whether ``region`` is one whose national phone numbers can be read: for checking a configuration."""
    return region in phonenumbers.SUPPORTED_REGIONS


# --- cards, barcodes, app tokens -------------------------------------------------------------------------

_CARD, _BARCODE, _PHONE, _APP_TOKEN = IdentifierKind

_is_card = re.compile(f"[0-9A-Z]{{{CODE_MIN_CHARS},{CODE_MAX_CHARS}}}").fullmatch
_is_barcode = re.compile(f"[0-9]{{{CODE_MIN_CHARS},{CODE_MAX_CHARS}}}").fullmatch
_is_app_token = re.compile(f"[!-~]{{{APP_TOKEN_MIN_CHARS},{APP_TOKEN_MAX_CHARS}}}").fullmatch

_FULL_WIDTH_TO_ASCII = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_SPACES = (*range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, *range(0x2000, 0x200B))
_MORE_SPACES = (0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
_HYPHENS = (ord("-"), *range(0x2010, 0x2016), 0x2043, 0x2212, 0xFE58, 0xFE63, 0xFF0D)
_TYPED: dict[int, int | None] = {
    **_FULL_WIDTH_TO_ASCII,
    **DIGITS_TO_ASCII,
    **dict.fromkeys((*INVISIBLE, *_SPACES, *_MORE_SPACES, *_HYPHENS), None),
}
_PHONE_PUNCTUATION = "()./"
_TYPED_PHONE: dict[int, int | None] = {
    **_TYPED,
    **{ord(char) + shift: None for char in _PHONE_PUNCTUATION for shift in (0, 0xFEE0)},
}


def _card(text: str, _region: str) -> NormalForm | Invalid:
    if _is_card(text):
        return NormalForm(_CARD, text)
    if len(text) > MAX_TYPED_CHARS:
        return _too_long(CODE_MAX_CHARS)
    folded = text.translate(_TYPED)
    # Only ASCII is upper-cased: ß, ſ and the dotless ı would become letters that nobody typed.
    upper = folded.upper() if folded.isascii() else folded
    if _is_card(upper):
        return NormalForm(_CARD, upper)
    return _refused_code(upper, "a card number is digits and Latin letters")


def _barcode(text: str, _region: str) -> NormalForm | Invalid:
    if _is_barcode(text):
        return NormalForm(_BARCODE, text)
    if len(text) > MAX_TYPED_CHARS:
        return _too_long(CODE_MAX_CHARS)
    folded = text.translate(_TYPED)
    if _is_barcode(folded):
        return NormalForm(_BARCODE, folded)
    return _refused_code(folded, "a barcode is digits")


def _app_token(text: str, _region: str) -> NormalForm | Invalid:
    if _is_app_token(text):
        return NormalForm(_APP_TOKEN, text)
    if len(text) > 2 * APP_TOKEN_MAX_CHARS:
        return _too_long(APP_TOKEN_MAX_CHARS)
    # A token is opaque; only what a scanner puts around it is taken off.
    token = text.strip(" \t\r\n")
    if _is_app_token(token):
        return NormalForm(_APP_TOKEN, token)
    return _refused_token(token)


def _refused_code(folded: str, rule: str) -> Invalid:
    if not folded:
        return _empty()
    if len(folded) > CODE_MAX_CHARS:
        return _too_long(CODE_MAX_CHARS)
    # Too short only if it would do when longer; else a bad character is the better news.
    if len(folded) < CODE_MIN_CHARS and folded.isascii() and folded.isalnum():
        return Invalid(InvalidReason.TOO_SHORT, f"Read it again: at least {CODE_MIN_CHARS} characters.")
    return Invalid(InvalidReason.BAD_CHARACTER, f"Read it again: {rule}.")


def _refused_token(token: str) -> Invalid:
    if not token:
        return _empty()
    if len(token) > APP_TOKEN_MAX_CHARS:
        return _too_long(APP_TOKEN_MAX_CHARS)
    if not (token.isascii() and token.isprintable() and " " not in token):
        return Invalid(
            InvalidReason.BAD_CHARACTER, "Scan the app again: a token is printable ASCII, no space."
        )
    return Invalid(InvalidReason.TOO_SHORT, f"Scan the app again: at least {APP_TOKEN_MIN_CHARS} characters.")


def _empty() -> Invalid:
    return Invalid(InvalidReason.EMPTY, "Nothing was read. Scan or type it again.")


def _too_long(max_chars: int) -> Invalid:
    return Invalid(InvalidReason.TOO_LONG, f"Read it again: at most {max_chars} characters.")


# --- phones ----------------------------------------------------------------------------------------------

# Country code and national pattern of mobile numbers, of countries where "0" goes before a national number
# and "00" before a country code. These need no parser; a test compares them with the parser's answer.
_MOBILES = {
    "IR": ("98", "9[0-9]{9}"),
    "EG": ("20", "1[0-9]{9}"),
    "AE": ("971", "5[0-9]{8}"),
    "IQ": ("964", "7[0-9]{9}"),
    "TR": ("90", "5[0-9]{9}"),
}
_is_known_e164 = re.compile(
    rf"\+(?:{'|'.join(code + mobile for code, mobile in _MOBILES.values())})"
).fullmatch
_known_national = {
    region: (f"+{code}", re.compile(f"(?:0|00{code})({mobile})").fullmatch)
    for region, (code, mobile) in _MOBILES.items()
}
_is_dialable = re.compile(r"\+?[0-9]*").fullmatch


def _phone(text: str, region: str) -> NormalForm | Invalid:
    return _known_mobile(text, region) or _typed_phone(text, region)


def _known_mobile(text: str, region: str) -> NormalForm | None:
    if _is_known_e164(text):
        return NormalForm(_PHONE, text)
    known = _known_national.get(region)
    if known and (match := known[1](text)):
        return NormalForm(_PHONE, known[0] + match[1])
    return None


def _typed_phone(text: str, region: str) -> NormalForm | Invalid:
    if len(text) > MAX_TYPED_CHARS:
        return _too_long(MAX_TYPED_CHARS)
    dialled = text.translate(_TYPED_PHONE)
    if known := _known_mobile(dialled, region):
        return known
    if not dialled:
        return _empty()
    if not _is_dialable(dialled):
        return Invalid(
            InvalidReason.BAD_CHARACTER, "Type it again: a phone number is digits, + only in front."
        )
    e164 = _parse_phone(dialled, region) if len(dialled) <= MAX_DIALLED_CHARS else None
    if e164 is None:
        return Invalid(
            InvalidReason.NOT_A_PHONE_NUMBER,
            "This is no complete phone number. Type it again, with + and the country code if it is foreign.",
        )
    return NormalForm(_PHONE, e164)


@lru_cache(maxsize=MAX_CACHED_PHONES)
def _parse_phone(dialled: str, region: str) -> str | None:
    """The E.164 form of a dialled number, by libphonenumber's metadata; None when it cannot be one.

    Taken are numbers that the metadata knows as valid, and those as long as a mobile number of their country:
    prefixes are opened faster than metadata is upgraded, and a new customer must not wait for a release.
    Not taken are those whose E.164 form reads as another number (a zero too many): they have no normal form.
    """
    try:
        number = phonenumbers.parse(dialled, region)
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        is_stable = phonenumbers.parse(e164, None) == number
    except phonenumbers.NumberParseException:
        return None
    mobile = phonenumbers.PhoneNumberType.MOBILE
    reason = phonenumbers.is_possible_number_for_type_with_reason(number, mobile)
    has_mobile_length = reason == phonenumbers.ValidationResult.IS_POSSIBLE
    is_plausible = has_mobile_length or phonenumbers.is_valid_number(number)
    return e164 if is_stable and is_plausible else None


_NORMALISERS: dict[IdentifierKind, Callable[[str, str], NormalForm | Invalid]] = {
    _CARD: _card,
    _BARCODE: _barcode,
    _PHONE: _phone,
    _APP_TOKEN: _app_token,
}
