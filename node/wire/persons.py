"""Persons between messages and `people`: details, changes by a field mask, consents, dates in either calendar.

A refusal names the field and says why (`problem` in its details); it never repeats a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from node.ledger.refusals import Reason, Refused, refuse
from node.people.calendars import Calendar, CalendarDate, parse_date
from node.people.consents import Channel, Consent, Purpose
from node.people.invalid import Discreet, Invalid
from node.people.person import MAX_CONSENTS_A_CHANGE, MAX_SOURCE_CHARS, Person, PersonChanges
from node.people.text import clean_text
from node.proto.vafa.member.v1 import person_pb2 as pb
from node.storage_names import _  # placeholder
