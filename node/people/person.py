"""One person: names, birth, language, consents; and the only way to change them.

Apart from the books: an account knows at most the person's id, and erasing a person leaves the books whole.
"""

from __future__ import annotations

import re
from datetime import date

import msgspec
from msgspec import UNSET, UnsetType

from node.people.calendars import CalendarDate
from node.people.consents import Consent, record_consent
from node.people.invalid import Discreet, Invalid, InvalidReason
from node.people.text import clean_text, first_grapheme

MAX_NAME_CHARS = 100
MAX_PHONE_CHARS = 40
MAX_EMAIL_CHARS = 254
MAX_REFERRER_CHARS = 64
MAX_SOURCE_CHARS = 64
MAX_LOCALE_CHARS = 35
"""RFC 5646 section 4.4.1: a buffer of 35 holds any language tag in use."""
_SCRIPT_CHARS = 4
MAX_CONSENTS_A_CHANGE = 64
_MAX_MASKED_WORDS = 4
_MAX_MASKED_WORD_CHARS = 20


class Person(Discreet, frozen=True, array_like=True):
    """What is known of a person. Texts are as `clean_text` leaves them, empty where unknown.

    Stored: fields are only ever appended, each with a default. Equal inputs give equal records.
    """

    created_at_ms: int
    given_name: str = ""
    family_name: str = ""
    display_name: str = ""
    """What the person wants to be called; without it see `shown_name`."""
    phone: str = ""
    """As the member writes it, for people to read. They are found by their identifiers, never by this."""
    birth_date: CalendarDate | None = None
    locale: str = ""
    """A BCP 47 language tag such as ``fa-IR``."""
    consents: tuple[Consent, ...] = ()
    referrer: str = ""
    """Who brought them, kept from enrolment on."""
    source: str = ""
    """Where they enrolled: a till, the app, an import. Kept from enrolment on."""
    email: str = ""


class PersonChanges(Discreet, frozen=True, kw_only=True):
    """What to change; what is UNSET stays, an empty text or None takes away.

    Referrer, source and time of creation have no place here: rewards are paid by them.
    """

    given_name: str | UnsetType = UNSET
    family_name: str | UnsetType = UNSET
    display_name: str | UnsetType = UNSET
    phone: str | UnsetType = UNSET
    birth_date: CalendarDate | UnsetType | None = UNSET
    locale: str | UnsetType = UNSET
    consents: tuple[Consent, ...] = ()
    """Decisions to add, in the order in which they were taken."""
    email: str | UnsetType = UNSET


_MAX_CHARS = {
    "given_name": MAX_NAME_CHARS,
    "family_name": MAX_NAME_CHARS,
    "display_name": MAX_NAME_CHARS,
    "phone": MAX_PHONE_CHARS,
}


def enrol(
    details: PersonChanges, *, referrer: str = "", source: str = "", created_at_ms: int, today: date
) -> Person | Invalid:
    """A new person. ``today`` is the local date of the merchant; see `change` for what is refused."""
    referrer_or = clean_text(referrer, MAX_REFERRER_CHARS)
    source_or = clean_text(source, MAX_SOURCE_CHARS)
    if isinstance(referrer_or, Invalid):
        return referrer_or
    if isinstance(source_or, Invalid):
        return source_or
    person = Person(created_at_ms=created_at_ms, referrer=referrer_or, source=source_or)
    return change(person, details, today=today)


def change(person: Person, changes: PersonChanges, *, today: date) -> Person | Invalid:
    """The person with all of the changes, or why not; never some of them.

    Refused: texts that `clean_text` refuses, a birth date after ``today`` (a lunar Hijri year read as a
    Jalali one ends up there), a locale that is no language tag, an e-mail address that is none, a
    consent that `record_consent` refuses.
    """
    fields: dict[str, object] = {}
    for name, max_chars in _MAX_CHARS.items():
        text = getattr(changes, name)
        if text is not UNSET:
            fields[name] = clean_text(text, max_chars)
    if changes.locale is not UNSET:
        fields["locale"] = clean_locale(changes.locale)
    if changes.birth_date is not UNSET:
        fields["birth_date"] = _believable(changes.birth_date, today)
    if changes.email is not UNSET:
        fields["email"] = clean_email(changes.email)
    fields["consents"] = _with_consents(person.consents, changes.consents)
    for value in fields.values():
        if isinstance(value, Invalid):
            return value
    return msgspec.structs.replace(person, **fields)


def _believable(birth_date: CalendarDate | None, today: date) -> CalendarDate | Invalid | None:
    if birth_date is not None and birth_date.to_gregorian() > today:
        return Invalid(
            InvalidReason.DATE_OUT_OF_RANGE,
            "The birth date lies in the future. Check the year and the calendar.",
        )
    return birth_date


def _with_consents(kept: tuple[Consent, ...], added: tuple[Consent, ...]) -> tuple[Consent, ...] | Invalid:
    if len(added) > MAX_CONSENTS_A_CHANGE:
        return Invalid(InvalidReason.TOO_LONG, f"At most {MAX_CONSENTS_A_CHANGE} consents in one change.")
    for consent in added:
        history = record_consent(kept, consent)
        if isinstance(history, Invalid):
            return history
        kept = history
    return kept


def clean_email(text: str) -> str | Invalid:
    """An e-mail address as it was written, less white space around it; empty stays empty.

    Checked by its form alone: whether somebody reads it, only a letter to it can tell (RFC 5321 section
    4.5.3.1.3: at most 254 characters).
    """
    address = clean_text(text, MAX_EMAIL_CHARS)
    if isinstance(address, Invalid) or not address:
        return address
    if not _is_email(address):
        return Invalid(InvalidReason.NOT_AN_EMAIL, "Write the e-mail address as name@example.com.")
    return address


_is_email = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+").fullmatch


# --- locale ----------------------------------------------------------------------------------------------

_is_language_tag = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,8})*").fullmatch


def clean_locale(text: str) -> str | Invalid:
    """A BCP 47 tag in the case RFC 5646 section 2.1.1 recommends (``fa-Arab-IR``); empty stays empty.

    Checked by its form alone: a tag that nobody registered falls back to its language, as any other does.
    ``fa_IR``, as POSIX writes it, is read too.
    """
    tag = text.strip().replace("_", "-").lower()
    if not tag:
        return ""
    if len(tag) > MAX_LOCALE_CHARS or not _is_language_tag(tag):
        return Invalid(InvalidReason.NOT_A_LOCALE, "Give the language as a tag such as fa-IR, ar-EG or en.")
    language, *subtags = tag.split("-")
    return "-".join((language, *_cased_subtags(subtags)))


def language_of(locale: str) -> str:
    """The language of a cleaned locale, with its script where it names one: all that receipts need of it."""
    language, *subtags = locale.split("-")
    has_script = bool(subtags) and len(subtags[0]) == _SCRIPT_CHARS and subtags[0].isalpha()
    return f"{language}-{subtags[0]}" if has_script else language


def _cased_subtags(subtags: list[str]) -> list[str]:
    cased: list[str] = []
    is_extension = False
    for subtag in subtags:
        # After a singleton (u-ca-persian, x-shop) two and four letters are no region and no script.
        is_extension = is_extension or len(subtag) == 1
        if is_extension:
            cased.append(subtag)
        elif len(subtag) == 2:
            cased.append(subtag.upper())
        elif len(subtag) == 4:
            cased.append(subtag.title())
        else:
            cased.append(subtag)
    return cased


# --- what a till shows -----------------------------------------------------------------------------------


def shown_name(person: Person) -> str:
    """The name to show where all of it may be seen: the display name, else given and family name."""
    return person.display_name or f"{person.given_name} {person.family_name}".strip()


def masked_name(name: str) -> str:
    """Enough of a name for a cashier to greet by and a stranger to learn little from.

    The first word stays, of each other its first character and an ellipsis: ``فاطمه احمدی`` is ``فاطمه ا…``.
    A name of one word keeps its first character alone. At most four words; empty for an empty name.
    """
    first, *others = name.split()[:_MAX_MASKED_WORDS] or [""]
    if not first:
        return ""
    if not others or len(first) > _MAX_MASKED_WORD_CHARS:
        first = _masked_word(first)
    return " ".join((first, *map(_masked_word, others)))


def _masked_word(word: str) -> str:
    return f"{first_grapheme(word)}…"
