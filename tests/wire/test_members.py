"""Requests about members say the same on the wire and inside."""

from __future__ import annotations

import pytest

from node.ledger.account import AccountKind
from node.ledger.refusals import Reason, Refused
from node.people.calendars import Calendar
from node.people.consents import Channel, Purpose
from node.people.person import Person
from node.proto.vafa.common.v1.identifier_pb2 import IDENTIFIER_KIND_CARD, Identifier
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.member.v1 import person_pb2
from node.rpc.member import UNARY
from node.wire.commands import Op
from node.wire.members import member_route, parse_member
from node.wire.persons import changes_from, person_message

NOW_MS = 1_790_000_000_000
CARD = Identifier(kind=IDENTIFIER_KIND_CARD, value="6273000011")


def test_the_enums_of_the_domain_are_those_of_the_public_form() -> None:
    assert {name: int(number) for name, number in pb.AccountKind.items()} == {
        "ACCOUNT_KIND_UNSPECIFIED": 0,
        **{f"ACCOUNT_KIND_{kind.name}": int(kind) for kind in AccountKind},
    }
    assert dict(person_pb2.Calendar.items()) == {
        "CALENDAR_UNSPECIFIED": 0,
        **{f"CALENDAR_{calendar.name}": int(calendar) for calendar in Calendar},
    }
    assert dict(person_pb2.Purpose.items()) == {
        "PURPOSE_UNSPECIFIED": 0,
        **{f"PURPOSE_{purpose.name}": int(purpose) for purpose in Purpose},
    }
    assert {name.removeprefix("CHANNEL_") for name, _ in person_pb2.Channel.items()} - {"UNSPECIFIED"} == {
        channel.name for channel in Channel
    } - {"ANY", "PRINT"}


def test_a_consent_comes_back_by_the_channel_and_purpose_it_was_given_for() -> None:
    given = [
        person_pb2.Consent(channel=channel, purpose=purpose, granted=True, source="form", text_version="1")
        for channel in person_pb2.Channel.values()[1:]
        for purpose in person_pb2.Purpose.values()[1:]
    ]
    for consent in given:
        consent.time.FromMilliseconds(NOW_MS - 5)
    changes = changes_from(person_pb2.Person(consents=given), (), NOW_MS)
    assert not isinstance(changes, Refused)
    assert list(person_message(Person(NOW_MS, consents=changes.consents)).consents) == given


def test_a_new_field_of_a_person_is_not_forgotten_by_the_mask() -> None:
    """Whoever adds a field to the message decides here whether an update may change it."""
    fields = {field.name for field in person_pb2.Person.DESCRIPTOR.fields}
    for name in fields - {"referrer_account_id", "source"}:
        assert not isinstance(changes_from(person_pb2.Person(), (name,), NOW_MS), Refused), name
    for name in ("referrer_account_id", "source", "given_name.x", ""):
        assert isinstance(changes_from(person_pb2.Person(), (name,), NOW_MS), Refused), name


@pytest.mark.parametrize(
    ("calendar", "text", "day"),
    [
        (person_pb2.CALENDAR_UNSPECIFIED, "1989-08-03", (Calendar.GREGORIAN, 1989, 8, 3)),
        (person_pb2.CALENDAR_GREGORIAN, "١٩٨٩/٨/٣", (Calendar.GREGORIAN, 1989, 8, 3)),
        (person_pb2.CALENDAR_JALALI, "۱۳۶۸.۵.۱۲", (Calendar.JALALI, 1368, 5, 12)),
    ],
)
def test_a_day_of_birth_is_read_in_its_calendar_and_any_digits(
    calendar: person_pb2.Calendar.ValueType, text: str, day: tuple[object, ...]
) -> None:
    message = person_pb2.Person(birth_date=person_pb2.CalendarDate(calendar=calendar, date=text))
    changes = changes_from(message, (), NOW_MS)
    assert not isinstance(changes, Refused)
    date = changes.birth_date
    assert date
    assert (date.calendar, date.year, date.month, date.day) == day


def test_a_refusal_names_the_field_and_repeats_nothing_of_the_person() -> None:
    message = person_pb2.Person(birth_date=person_pb2.CalendarDate(calendar=2, date="1368-12-31"))  # type: ignore[arg-type]  # the protos' own numbers
    refused = changes_from(message, (), NOW_MS)
    assert isinstance(refused, Refused)
    assert dict(refused.details) == {"field": "person.birth_date", "problem": "NOT_A_DATE"}
    assert "1368" not in refused.message


def test_every_method_of_the_service_has_its_request() -> None:
    service = pb.DESCRIPTOR.services_by_name["MemberService"]
    assert {method.name for method in service.methods} == set(UNARY)
    for method in service.methods:
        op = UNARY[method.name]
        request = getattr(pb, method.input_type.name)()
        fields = {field.name for field in method.input_type.fields}
        if "identifier" in fields:
            request.identifier.CopyFrom(CARD)
        for other in ("new_identifier", "to_identifier", "pool_identifier"):
            if other in fields:
                getattr(request, other).CopyFrom(CARD)
        if "request_id" in fields:
            request.request_id = "r-1"
            request.occurred_time.FromMilliseconds(NOW_MS)
        if "pin" in fields:
            request.pin = "4815"
        if "card" in fields:
            request.card.profile, request.card.chip_uid, request.card.key_version = 1, bytes(7), 1
        if "proposal_id" in fields:
            request.proposal_id = "03-1f"
        route = member_route(op, request.SerializeToString())
        assert not isinstance(route, Refused), route
        assert len(route.others) == sum(name.endswith("_identifier") for name in fields)
        assert route.way.occurred_ms == (0 if op is Op.GET_MEMBER else NOW_MS)
        if op is not Op.GET_MEMBER:
            parsed = parse_member(op, request.SerializeToString(), "", "USD")
            assert not isinstance(parsed, Refused), parsed
            assert (parsed.request_id, parsed.occurred_ms) == ("r-1", NOW_MS)


def test_a_request_without_a_time_or_with_an_absurd_one_is_refused() -> None:
    request = pb.SetBlockRequest(request_id="r-1", identifier=CARD)
    refused = parse_member(Op.SET_BLOCK, request.SerializeToString(), "", "USD")
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.INVALID_ARGUMENT
    request.occurred_time.seconds = 1 << 40
    refused = parse_member(Op.SET_BLOCK, request.SerializeToString(), "", "USD")
    assert isinstance(refused, Refused)
    assert dict(refused.details)["field"] == "occurred_time"
