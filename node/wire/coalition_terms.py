"""A coalition's terms from the operator's TOML file, and the next directory that they make."""

from __future__ import annotations

import tomllib
import zoneinfo
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from node.coalition.directory import (
    Cap,
    CoalitionPurse,
    Directory,
    ExchangeBounds,
    Funding,
    IdentifierRange,
    Key,
    OperatorNode,
    Partner,
    PartnerStatus,
    Rate,
    Window,
)
from node.config import SLUG_PATTERN
from node.people.calendars import LAST_DAY, Calendar, CalendarDate, in_calendar
from node.people.identifiers import IdentifierKind
from node.wire.coalition_directory import JoinRequest, Unreadable
from node.wire.settlement_terms import AccountSection, OperatorSection, SettlementSection

Slug = Annotated[str, Meta(pattern=rf"^{SLUG_PATTERN}\Z")]
_KINDS = {kind.name.lower(): kind for kind in IdentifierKind}
_STATUS = {status.name.lower(): status for status in PartnerStatus}
_HOUR_MS = 3_600_000
MAX_WINDOWS = 10_000
"""From the first day of the calendar on: 27 years of days, or 190 of weeks."""


class _Section(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class CoalitionTerms(_Section, frozen=True):
    """[coalition]"""

    id: Slug


class PurseTerms(_Section, frozen=True):
    """[purse]"""

    code: Annotated[str, Meta(min_length=1, max_length=64)]
    exponent: Annotated[int, Meta(ge=0, le=6)] = 0
    names: dict[str, Annotated[str, Meta(min_length=1, max_length=120)]] = {}


class RateTerms(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_time": "from"}):
    """[[rates]]"""

    version: Annotated[int, Meta(ge=1, le=1_000_000)]
    from_time: datetime
    accrual_micro: Annotated[int, Meta(ge=0)]
    redemption_micro: Annotated[int, Meta(ge=0)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class CalendarTerms(_Section, frozen=True):
    """[calendar]"""

    time_zone: str
    first_day: date
    every: Literal["day", "week", "month", "jalali_month"] = "month"
    ahead: Annotated[int, Meta(ge=2, le=400)] = 24


class PairTerms(_Section, frozen=True):
    """[[caps.pairs]]"""

    debtor: Slug
    creditor: Slug
    units: Annotated[int, Meta(ge=0)]


class CapTerms(_Section, frozen=True):
    """[caps]"""

    default_units: Annotated[int, Meta(ge=0)] = 0
    pairs: tuple[PairTerms, ...] = ()


class PartnerTerms(_Section, frozen=True):
    """[partners.ID]: what the operator decides; the rest is the merchant's request."""

    status: Literal["active", "suspended", "left"] = "active"
    ranges: tuple[str, ...] = ()
    relay: str = ""
    endpoints: tuple[str, ...] | None = None
    ended_keys: dict[str, datetime] = {}
    account: AccountSection | None = None
    funding: Literal["postpaid", "prepaid"] = "postpaid"
    from_window: Annotated[int, Meta(ge=0)] = 0
    last_window: Annotated[int, Meta(ge=0)] = 0


class Terms(_Section, frozen=True):
    """The whole file."""

    coalition: CoalitionTerms
    purse: PurseTerms
    rates: Annotated[tuple[RateTerms, ...], Meta(min_length=1)]
    calendar: CalendarTerms
    caps: CapTerms = CapTerms()
    bounds: ExchangeBounds = ExchangeBounds()
    partners: dict[Slug, PartnerTerms] = {}
    settlement: tuple[SettlementSection, ...] = ()
    operator: OperatorSection = OperatorSection()


def read_terms(text: str) -> Terms:
    """The terms in a file's text; raises Unreadable with the line or key that is wrong."""
    try:
        terms = msgspec.convert(tomllib.loads(text), Terms)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(f"It is not TOML: {error}. Mend that line.") from None
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$").removeprefix(".") or "the file"
        raise Unreadable(f"{key}: {problem}. The comment above it says what is allowed.") from None
    for rate in terms.rates:
        _moment(rate.from_time, f"rates, version {rate.version}: from")
    try:
        zoneinfo.ZoneInfo(terms.calendar.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Unreadable(f"calendar.time_zone: {terms.calendar.time_zone!r} is not a time zone.") from None
    for partner in terms.partners.values():
        for text in partner.ranges:
            range_from(text)
    return terms


def range_from(text: str) -> IdentifierRange:
    """A range as people write it, `card:6273` or `phone:+98912`; raises Unreadable.

    The prefix is that of the normal form: a phone begins with +, a card has digits and capital letters.
    """
    kind, _, prefix = text.partition(":")
    found = _KINDS.get(kind.strip().lower())
    prefix = prefix.strip()
    sound = found is not None and prefix.isascii() and 0 < len(prefix) <= 64
    if found is IdentifierKind.PHONE:
        sound = sound and prefix[0] == "+" and (len(prefix) == 1 or prefix[1:].isdigit())
    elif found is IdentifierKind.BARCODE:
        sound = sound and prefix.isdigit()
    elif found is IdentifierKind.CARD:
        sound = sound and prefix.isalnum() and prefix == prefix.upper()
    if not sound or found is None:
        raise Unreadable(
            f"{text!r} is not a range. Write the kind ({', '.join(_KINDS)}), a colon and how the numbers "
            "begin, as in card:6273 or phone:+98912."
        )
    return IdentifierRange(int(found), prefix)


def range_text(span: IdentifierRange) -> str:
    """A range as people write it."""
    return f"{IdentifierKind(span.kind).name.lower()}:{span.prefix}"


def next_directory(
    terms: Terms,
    requests: Mapping[str, JoinRequest],
    before: Directory | None,
    operator_keys: tuple[Key, ...],
    now_ms: int,
    authority_pem: bytes = b"",
) -> Directory:
    """The directory that the terms make, to follow `before`; Unreadable where a partner has no request.

    `authority_pem` is that of the operator's own service, where it has one.

    Whether it is sound is `coalition.directory_checks`' to say.
    """
    partners = []
    for partner_id, said in terms.partners.items():
        request = requests.get(partner_id)
        if request is None:
            raise Unreadable(
                f"partners.{partner_id}: no request of it was admitted. `vafa operator admit` first."
            )
        known = before.partner(partner_id) if before else None
        partners.append(_partner(request, said, known, now_ms))
    return Directory(
        coalition_id=terms.coalition.id,
        version=before.version + 1 if before else 1,
        publish_time_ms=now_ms,
        partners=tuple(partners),
        purse=CoalitionPurse(
            terms.purse.code, tuple(sorted(terms.purse.names.items())), terms.purse.exponent
        ),
        rates=tuple(
            Rate(
                rate.version,
                _moment(rate.from_time, "rates"),
                rate.accrual_micro,
                rate.redemption_micro,
                rate.currency,
            )
            for rate in terms.rates
        ),
        windows=windows_of(terms.calendar, before.windows if before else (), now_ms),
        caps=_caps(terms),
        operator_keys=operator_keys,
        bounds=terms.bounds,
        settlement_terms=tuple(section.terms() for section in terms.settlement),
        operator=OperatorNode(terms.operator.endpoints, authority_pem) if terms.operator.endpoints else None,
    )


def says_the_same(one: Directory, other: Directory) -> bool:
    """Whether two directories differ in nothing but version and time of publication."""
    return replace(one, version=0, publish_time_ms=0) == replace(other, version=0, publish_time_ms=0)


def windows_of(calendar: CalendarTerms, before: tuple[Window, ...], now_ms: int) -> tuple[Window, ...]:
    """Windows that have begun as they were published, then those of the calendar: as many ahead as it says.

    The first window that is ever published is the one that `now_ms` lies in, or the first to come.
    """
    kept = [window for window in before if window.open_time_ms <= now_ms]
    windows = list(kept)
    opened_ms: int | None = kept[-1].cut_time_ms if kept else None
    for at_ms in _boundaries(calendar):
        if opened_ms is None or (not windows and at_ms <= now_ms):
            opened_ms = at_ms  # nothing has begun yet, so the first window begins no earlier than needed
        elif at_ms > opened_ms:
            number = windows[-1].number + 1 if windows else 1
            windows.append(Window(number, opened_ms, at_ms))
            opened_ms = at_ms
            if sum(window.open_time_ms > now_ms for window in windows) >= calendar.ahead:
                return tuple(windows)
    raise Unreadable("calendar.first_day lies too far back or ahead to reckon windows from it.")


def _boundaries(calendar: CalendarTerms) -> Iterator[int]:
    """Midnights at which windows begin, from the first day on, in epoch milliseconds."""
    zone = zoneinfo.ZoneInfo(calendar.time_zone)
    for number in range(MAX_WINDOWS):
        day = _day_after(calendar.first_day, calendar.every, number)
        if day >= LAST_DAY - timedelta(days=366):
            return
        yield int(datetime.combine(day, time(), zone).timestamp()) * 1000


def _day_after(first: date, every: str, number: int) -> date:
    if every == "day":
        return first + timedelta(days=number)
    if every == "week":
        return first + timedelta(weeks=number)
    if every == "month":
        months = first.year * 12 + first.month - 1 + number
        day = min(first.day, 28)  # a day that every month has
        return date(months // 12, months % 12 + 1, day)
    begun = in_calendar(first, Calendar.JALALI)
    months = begun.year * 12 + begun.month - 1 + number
    return CalendarDate(Calendar.JALALI, months // 12, months % 12 + 1, min(begun.day, 29)).to_gregorian()


def _partner(request: JoinRequest, said: PartnerTerms, known: Partner | None, now_ms: int) -> Partner:
    wanted = request.partner
    return replace(
        wanted,
        status=_STATUS[said.status],
        endpoints=wanted.endpoints if said.endpoints is None else said.endpoints,
        relay_partner_id=said.relay,
        keys=_keys(wanted, said, known, now_ms),
        ranges=tuple(range_from(text) for text in said.ranges),
        account=said.account.account() if said.account else wanted.account,
        funding=Funding.PREPAID if said.funding == "prepaid" else Funding.POSTPAID,
        from_window=said.from_window,
        last_window=said.last_window,
    )


def _keys(wanted: Partner, said: PartnerTerms, known: Partner | None, now_ms: int) -> tuple[Key, ...]:
    """Known keys with the time from which they are valid, new ones after them; dropped ones end now."""
    ended = {uri: _moment(at, "ended_keys") for uri, at in said.ended_keys.items()}
    keys = []
    for key in known.keys if known else ():
        if wanted.key(key.uri) is None and not key.not_after_ms:
            key = replace(key, not_after_ms=now_ms)
        keys.append(key)
    listed = {key.uri for key in keys}
    # A little early: the merchant's clock may be behind the operator's.
    keys += [replace(key, not_before_ms=now_ms - _HOUR_MS) for key in wanted.keys if key.uri not in listed]
    return tuple(replace(key, not_after_ms=ended[key.uri]) if key.uri in ended else key for key in keys)


def _caps(terms: Terms) -> tuple[Cap, ...]:
    """Every pair of partners that have not left, in both directions."""
    said = {(pair.debtor, pair.creditor): pair.units for pair in terms.caps.pairs}
    names = [name for name, partner in terms.partners.items() if partner.status != "left"]
    pairs = [(debtor, creditor) for debtor in names for creditor in names if debtor != creditor]
    every = {pair: said.get(pair, terms.caps.default_units) for pair in pairs} | said
    return tuple(Cap(debtor, creditor, units) for (debtor, creditor), units in every.items())


def _moment(at: datetime, where: str) -> int:
    if at.tzinfo is None:
        raise Unreadable(f"{where}: {at.isoformat()} says no offset from UTC. Write it as {at.isoformat()}Z.")
    return int(at.timestamp()) * 1000
