"""Text about people: what is stored, what is compared, and what is safe to print.

Three forms, each idempotent:

* the **stored** form (`clean_text`) keeps what was written. It drops what nobody can see or mean (controls,
  zero-width spaces), and composes by NFC, so that the same writing is the same bytes.
* the **comparison** form (`comparison_form`) is for finding and matching, never for showing: letters that
  Persian and Arabic keyboards confuse become one, case and vowel marks go.
* the **isolated** form (`isolate`) is for printing a value of any direction amid other text.

Bidirectional controls (UAX 9). Embeddings, overrides and isolates (U+202A to U+202E, U+2066 to U+2069) are
dropped from stored text, not balanced: a name or a product title is one short run that never needs them, an
override makes a text read as something else than it is, and an unclosed one turns the rest of a receipt
around. What such a text does need, isolation from its surroundings, belongs to the printing. The implicit
marks (U+200E, U+200F, U+061C) are kept: they reach no further than the characters beside them, and people
write them to set a full stop or a bracket right. ZWNJ and ZWJ are kept too: Persian spelling needs the first,
emoji the second.
"""

from __future__ import annotations

import re
import unicodedata

from node.people.invalid import Invalid, InvalidReason

ZWJ = "\u200d"
_FIRST_STRONG_ISOLATE = "\u2068"
_POP_DIRECTIONAL_ISOLATE = "\u2069"

_PERSIAN_DIGITS = "۰۱۲۳۴۵۶۷۸۹"
_ARABIC_INDIC_DIGITS = "٠١٢٣٤٥٦٧٨٩"

DIGITS_TO_ASCII: dict[int, int | None] = {
    ord(digit): ord("0") + value
    for script in (_PERSIAN_DIGITS, _ARABIC_INDIC_DIGITS)
    for value, digit in enumerate(script)
}
"""A `str.translate` table from Persian and Arabic-Indic digits to ASCII."""

BIDI_CONTROLS: frozenset[int] = frozenset((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
"""Embeddings, overrides and isolates: code points that reorder text beyond their neighbours."""

INVISIBLE: frozenset[int] = BIDI_CONTROLS | {
    0x00AD,  # soft hyphen
    0x061C,  # Arabic letter mark
    0x180E,  # Mongolian vowel separator
    *range(0x200B, 0x2010),  # zero-width space, non-joiner and joiner, left-to-right and right-to-left marks
    *range(0x2060, 0x2066),  # word joiner, invisible operators
    *range(0x206A, 0x2070),  # deprecated format characters
    0xFEFF,  # byte order mark
}
"""Code points that take no room on paper: a pasted or scanned identifier may carry any of them."""

_KEPT_INVISIBLE = {0x061C, 0x200C, 0x200D, 0x200E, 0x200F}
# \t \n \v \f \r, U+001C to U+001F and U+0085 are absent: str.split() knows them as white space.
_CONTROLS = {*range(0x01, 0x09), *range(0x0E, 0x1C), *range(0x7F, 0x85), *range(0x86, 0xA0)}
_DROPPED: dict[int, None] = dict.fromkeys(
    (INVISIBLE - _KEPT_INVISIBLE) | _CONTROLS | {0xFFF9, 0xFFFA, 0xFFFB}
)
_DROPPED_BIDI: dict[int, None] = dict.fromkeys(BIDI_CONTROLS)
_SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")

# Marks that a writer may leave out: Latin accents, Arabic vowel signs, hamza and madda on a letter, tatweel.
_OPTIONAL_MARKS = re.compile(
    "[\u0300-\u036f\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]"
)
_COMPARED: dict[int, int | None] = {
    **DIGITS_TO_ASCII,
    **dict.fromkeys(INVISIBLE, None),
    **dict.fromkeys((ord("ي"), ord("ى"), ord("ې")), ord("ی")),
    **dict.fromkeys((ord("ك"), ord("ڪ")), ord("ک")),
    **dict.fromkeys((ord("ة"), ord("ە"), ord("ہ"), ord("ھ")), ord("ه")),
    ord("ٱ"): ord("ا"),
    **dict.fromkeys(range(0xFE00, 0xFE10), None),  # variation selectors
}

_EMOJI_SKIN_TONES = range(0x1F3FB, 0x1F400)
_REGIONAL_INDICATORS = range(0x1F1E6, 0x1F200)
_EMOJI_TAGS = range(0xE0020, 0xE0080)
_MAX_CLUSTER_CHARS = 32


def fold_digits(text: str) -> str:
    """The text with Persian and Arabic-Indic digits as ASCII digits."""
    return text if text.isascii() else text.translate(DIGITS_TO_ASCII)


def clean_text(text: str, max_chars: int) -> str | Invalid:
    """The form in which a text is stored and shown; empty when nothing is left of it.

    White space of any kind (also line ends) becomes single spaces, none at the ends. Arabic and Persian
    letters stay as they were typed: somebody's name is spelt as they spell it.

    Refused: more than ``max_chars`` characters, a NUL, a lone surrogate (no UTF-8 exists for it).
    """
    # What is dropped does not count, but a megabyte of it is not looked at either.
    if len(text) > 2 * max_chars:
        return _too_long(max_chars)
    if not (text.isascii() and text.isprintable()):
        if _SURROGATE_OR_NUL.search(text):
            return Invalid(
                InvalidReason.BAD_CHARACTER, "The text contains a NUL or half a character. Type it again."
            )
        text = unicodedata.normalize("NFC", text.translate(_DROPPED))
    cleaned = " ".join(text.split())
    return cleaned if len(cleaned) <= max_chars else _too_long(max_chars)


def _too_long(max_chars: int) -> Invalid:
    return Invalid(InvalidReason.TOO_LONG, f"The text is too long; at most {max_chars} characters are kept.")


def comparison_form(text: str) -> str:
    """The form in which two writings of a name are the same, for search and for "did you mean".

    NFKD, case folded, digits in ASCII, ي ى as ی, ك as ک, ة as ه, أ إ آ as ا, without vowel marks, accents,
    tatweel and zero-width characters (``علی‌رضا`` is ``علیرضا``), white space single. It confuses on purpose:
    equal forms suggest a person, they never prove one.
    """
    if not text.isascii():
        text = _OPTIONAL_MARKS.sub("", unicodedata.normalize("NFKD", text)).translate(_COMPARED)
    return " ".join(text.casefold().split())


def isolate(text: str) -> str:
    """The text between FSI and PDI, so that it neither turns nor is turned by what is printed around it.

    Its own embeddings, overrides and isolates are dropped, or one of them could close ours.
    """
    return f"{_FIRST_STRONG_ISOLATE}{text.translate(_DROPPED_BIDI)}{_POP_DIRECTIONAL_ISOLATE}"


def first_grapheme(text: str) -> str:
    """The first character as a reader sees it: with its marks, skin tone, ZWJ sequence, or as a flag.

    A near enough reading of UAX 29 for masking; at most 32 code points. Empty for an empty text.
    """
    end = 1
    while end < min(len(text), _MAX_CLUSTER_CHARS):
        before, here = text[end - 1], ord(text[end])
        is_flag = end == 1 and ord(before) in _REGIONAL_INDICATORS and here in _REGIONAL_INDICATORS
        # A joiner binds emoji and Indic letters; between letters of other scripts it changes shapes only.
        is_joined = before == ZWJ and (here > 0x2000 or 0x0900 <= here < 0x0E00)
        if not (is_flag or is_joined or _extends(text[end])):
            break
        end += 1
    return text[:end].rstrip(ZWJ)


def _extends(char: str) -> bool:
    return (
        char == ZWJ
        or unicodedata.category(char)[0] == "M"
        or ord(char) in _EMOJI_SKIN_TONES
        or ord(char) in _EMOJI_TAGS
    )
