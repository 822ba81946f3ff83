"""What a person agreed to: by channel and purpose, with when, where and to which words.

Consent is the latest decision, and the history of decisions is its proof (GDPR article 7(1): who relies on a
consent must be able to show it; 7(3): withdrawing is as easy as giving). No decision means no.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from node.people.invalid import Invalid, InvalidReason
from node.people.text import clean_text

MAX_CONSENTS = 256
"""Decisions kept of one person; beyond it the oldest go that a later one has replaced."""
MAX_SOURCE_CHARS = 64
MAX_TEXT_VERSION_CHARS = 64
_MAX_AT_MS = 7_258_118_400_000  # 2200-01-01


class Channel(IntEnum):
    """By what a person is reached. The values are stored: never renumber them."""

    ANY = 0
    """All channels at once, and what uses no channel, such as profiling."""
    SMS = 1
    EMAIL = 2
    PUSH = 3
    POST = 4
    PHONE = 5
    PRINT = 6
    """Personal text on a receipt or a printed coupon."""


class Purpose(IntEnum):
    """What for. The values are stored: never renumber them."""

    SERVICE = 1
    """About the member's own account: a receipt, points about to expire."""
    MARKETING = 2
    PROFILING = 3
    """Offers chosen by what this member bought."""
    PARTNER_SHARING = 4


class Consent(msgspec.Struct, frozen=True, array_like=True):
    """One decision of a person. Stored: fields are only ever appended."""

    channel: Channel
    purpose: Purpose
    granted: bool
    at_ms: int
    """When the person decided, which may be long before it is recorded."""
    source: str
    """Where: a till, the app, a form."""
    text_version: str = ""
    """Which wording was agreed to; required where ``granted``."""


def may(consents: tuple[Consent, ...], channel: Channel, purpose: Purpose) -> bool:
    """Whether the person may be reached by ``channel`` for ``purpose``; without a decision, no.

    The latest decision counts among those on this channel and on `Channel.ANY`: "stop everything" ends an
    earlier yes to SMS, and a later yes to SMS opens SMS alone. At the same millisecond a no counts.
    """
    latest_ms, granted = -1, False
    for consent in consents:
        if consent.purpose != purpose or consent.channel not in (channel, Channel.ANY):
            continue
        if consent.at_ms > latest_ms:
            latest_ms, granted = consent.at_ms, consent.granted
        elif consent.at_ms == latest_ms:
            granted = granted and consent.granted
    return granted


def record_consent(consents: tuple[Consent, ...], consent: Consent) -> tuple[Consent, ...] | Invalid:
    """The history with one more decision; the same decision twice is kept once.

    Refused: a grant without the version of its wording, a time before 1970 or after 2200, texts that
    `clean_text` refuses. A withdrawal is never refused for want of room.
    """
    if not 0 <= consent.at_ms < _MAX_AT_MS:
        return Invalid(InvalidReason.TIME_OUT_OF_RANGE, "The time of the consent is not believable.")
    source = clean_text(consent.source, MAX_SOURCE_CHARS)
    text_version = clean_text(consent.text_version, MAX_TEXT_VERSION_CHARS)
    if isinstance(source, Invalid):
        return source
    if isinstance(text_version, Invalid):
        return text_version
    if consent.granted and not text_version:
        return Invalid(
            InvalidReason.CONSENT_WITHOUT_WORDING,
            "A consent counts only with the version of the text agreed to.",
        )
    cleaned = msgspec.structs.replace(consent, source=source, text_version=text_version)
    if cleaned in consents:
        return consents
    return _within_bound((*consents, cleaned))


def _within_bound(consents: tuple[Consent, ...]) -> tuple[Consent, ...]:
    """At most `MAX_CONSENTS` decisions. The latest of each channel and purpose, which `may` reads, stay."""
    surplus = len(consents) - MAX_CONSENTS
    if surplus <= 0:
        return consents
    latest: dict[tuple[Channel, Purpose], Consent] = {}
    for consent in consents:
        key = (consent.channel, consent.purpose)
        if key not in latest or _replaces(consent, latest[key]):
            latest[key] = consent
    replaced = [consent for consent in consents if consent is not latest[consent.channel, consent.purpose]]
    dropped = {id(consent) for consent in sorted(replaced, key=lambda consent: consent.at_ms)[:surplus]}
    return tuple(consent for consent in consents if id(consent) not in dropped)


def _replaces(consent: Consent, other: Consent) -> bool:
    return (consent.at_ms, not consent.granted) > (other.at_ms, not other.granted)
