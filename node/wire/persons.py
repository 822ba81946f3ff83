"""Persons between messages and `people`: details, changes by a field mask, consents, dates.

A refusal names the field and says why (`problem` in its details); it never repeats a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from node.ledger.refusals import Reason, Refused, refuse
from node.people.calendars import Calendar, CalendarDate, parse_date
from node.people.consents import Channel, Consent, Purpose
from node.people.invalid import Invalid
from node.people.person import MAX_CONSENTS_A_CHANGE, Person, PersonChanges
from node.proto.vafa.member.v1 import person_pb2 as pb
from node.wire.balances import stamp
from node.wire.parse import invalid, time_ms
from node.wire.records import Codec

PERSON_DATA = Codec(Person)
"""A person as bytes; they are sealed before they go anywhere."""

_TEXTS = ("given_name", "family_name", "phone", "email", "locale")
_CHANGEABLE = frozenset({*_TEXTS, "birth_date", "consents"})


def refusal_of(problem: Invalid, field: str = "person") -> Refused:
    """The refusal of a value that `people` refuses."""
    return refuse(Reason.INVALID_ARGUMENT, problem.message, field=field, problem=problem.reason)


def changes_from(message: pb.Person, paths: Iterable[str], occurred_ms: int) -> PersonChanges | Refused:
    """The changes that a message asks for (AIP-134): of the fields in `paths`, of all with ``*``.

    Without paths, of all fields that are not empty. A field that is named and empty is taken away; consents
    are always added. `occurred_ms` is the time of consents that say none; none may be later than it.
    """
    wanted = _wanted(message, frozenset(paths))
    if isinstance(wanted, Refused):
        return wanted
    values: dict[str, Any] = {name: getattr(message, name) for name in _TEXTS if name in wanted}
    if "birth_date" in wanted:
        values["birth_date"] = _date_from(message)
    if "consents" in wanted:
        values["consents"] = _consents_from(message.consents, occurred_ms)
    for value in values.values():
        if isinstance(value, Refused):
            return value
    return PersonChanges(**values)


def _wanted(message: pb.Person, paths: frozenset[str]) -> frozenset[str] | Refused:
    if paths == {"*"}:
        return _CHANGEABLE
    if not paths <= _CHANGEABLE:
        return invalid(
            "update_mask", f"What can be changed is {', '.join(sorted(_CHANGEABLE))}, or * for all."
        )
    return paths or frozenset(field.name for field, _ in message.ListFields()) & _CHANGEABLE


def _date_from(message: pb.Person) -> CalendarDate | Refused | None:
    given = message.birth_date
    if not given.date:
        return None
    try:
        calendar = Calendar(given.calendar or Calendar.GREGORIAN)
    except ValueError:
        return invalid("person.birth_date.calendar", "This node knows the Gregorian and the Jalali calendar.")
    day = parse_date(given.date, calendar)
    return refusal_of(day, "person.birth_date") if isinstance(day, Invalid) else day


def _consents_from(messages: Iterable[pb.Consent], occurred_ms: int) -> tuple[Consent, ...] | Refused:
    consents: list[Consent] = []
    for message in messages:
        consent = _consent_from(message, occurred_ms)
        if isinstance(consent, Refused):
            return consent
        consents.append(consent)
        if len(consents) > MAX_CONSENTS_A_CHANGE:
            return invalid("person.consents", f"At most {MAX_CONSENTS_A_CHANGE} consents in one change.")
    return tuple(consents)


def _consent_from(message: pb.Consent, occurred_ms: int) -> Consent | Refused:
    if message.channel not in _CHANNELS:
        return invalid("person.consents.channel", "Say by which channel the consent is.")
    if message.purpose not in _PURPOSES:
        return invalid("person.consents.purpose", "Say for which purpose the consent is.")
    at_ms = time_ms(message.time, "person.consents.time") if message.HasField("time") else occurred_ms
    if isinstance(at_ms, Refused):
        return at_ms
    if at_ms > occurred_ms:
        # The latest decision counts: one from the future would outlive every withdrawal until then.
        return invalid("person.consents.time", "A consent is not given after the request that tells of it.")
    return Consent(
        _CHANNELS[message.channel],
        _PURPOSES[message.purpose],
        message.granted,
        at_ms,
        message.source,
        message.text_version,
    )


_CHANNELS = {
    int(pb.CHANNEL_SMS): Channel.SMS,
    int(pb.CHANNEL_EMAIL): Channel.EMAIL,
    int(pb.CHANNEL_PUSH): Channel.PUSH,
    int(pb.CHANNEL_POST): Channel.POST,
    int(pb.CHANNEL_PHONE): Channel.PHONE,
}
_PURPOSES = {
    int(pb.PURPOSE_SERVICE): Purpose.SERVICE,
    int(pb.PURPOSE_MARKETING): Purpose.MARKETING,
    int(pb.PURPOSE_PROFILING): Purpose.PROFILING,
    int(pb.PURPOSE_PARTNER_SHARING): Purpose.PARTNER_SHARING,
}
_CHANNEL_NUMBERS = {channel: number for number, channel in _CHANNELS.items()}
_PURPOSE_NUMBERS = {purpose: number for number, purpose in _PURPOSES.items()}


def person_message(person: Person) -> pb.Person:
    """A person as staff see them."""
    message = pb.Person(
        given_name=person.given_name,
        family_name=person.family_name,
        phone=person.phone,
        email=person.email,
        locale=person.locale,
        consents=[_consent_message(consent) for consent in person.consents],
        referrer_account_id=person.referrer,
        source=person.source,
    )
    if person.birth_date is not None:
        message.birth_date.calendar = int(person.birth_date.calendar)  # type: ignore[assignment]  # the protos' own numbers
        message.birth_date.date = person.birth_date.isoformat()
    return message


def _consent_message(consent: Consent) -> pb.Consent:
    return pb.Consent(
        # A channel that the protos do not name (all at once, print) is shown as not said.
        channel=_CHANNEL_NUMBERS.get(consent.channel, 0),  # type: ignore[arg-type]  # the protos' own numbers
        purpose=_PURPOSE_NUMBERS[consent.purpose],  # type: ignore[arg-type]  # the protos' own numbers
        granted=consent.granted,
        source=consent.source,
        text_version=consent.text_version,
        time=stamp(consent.at_ms),
    )
