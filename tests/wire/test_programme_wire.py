"""A programme keeps its meaning between the public form, the domain, the store and a merchant's file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from node.ledger.purses import PurseDefinition, PurseKind, RedemptionRate, SpentReturnPolicy
from node.programme import model
from node.programme.default import starter_programme
from node.programme.model import (
    ActivityRule,
    AfterDays,
    EarningRule,
    Exclusion,
    Fixed,
    Limits,
    LineSelector,
    MonthsEnd,
    Multiplier,
    OnDate,
    Programme,
    ProofKind,
    ProofLimit,
    PurseTerms,
    Rate,
    Rounding,
    TimeWindow,
)
from node.programme.problems import Problem
from node.proto.vafa.common.v1 import balance_pb2
from node.proto.vafa.programme.v1 import programme_pb2 as pb
from node.wire.programme import programme_from_proto, programme_to_proto
from node.wire.programme_toml import programme_from_toml, programme_to_toml

PERSIAN = "می\u200cتوانید «{units}» امتیاز خرج کنید\u200f"
FULL = Programme(
    version=7,
    name="باشگاه مشتریان",
    effective_ms=1_773_995_400_123,
    purses=(
        PurseDefinition(
            "points",
            PurseKind.POINTS,
            unit="امتیاز",
            exponent=2,
            spend_order=3,
            channels=("store", "web"),
            stores=("s1",),
            transferable=True,
            credit_limit=500,
            rate=RedemptionRate(100, 1),
            spent_return_policy=SpentReturnPolicy.RECOVER,
        ),
        PurseDefinition("gift", PurseKind.STORED_VALUE, spent_return_policy=SpentReturnPolicy.CLIP),
        PurseDefinition("stamps", PurseKind.STAMPS, goal=10),
        PurseDefinition("plain", PurseKind.POINTS),
    ),
    terms=(
        PurseTerms("points", MonthsEnd(12), 14),
        PurseTerms("gift", AfterDays(30)),
        PurseTerms("stamps", OnDate("2027-03-20")),
        PurseTerms("plain"),
    ),
    rules=(
        EarningRule(
            "base",
            Rate(1, 1_000, Rounding.HALF_EVEN),
            "points",
            LineSelector(("food",), ("organic",), ("1",), ("کاله",)),
            TimeWindow("2026-03-20", "2027-03-20", (5, 6), 1_320, 120),
            "'NOWRUZ' in purchase.codes",
            500,
            "kalleh",
            "nowruz",
            (("en", 'You may "spend" {units} \\ points'), ("fa", PERSIAN)),
        ),
        EarningRule("stamp", Fixed(1), "stamps"),
        EarningRule("double", Multiplier(2_000), "points"),
        EarningRule("none", Exclusion(), lines=LineSelector(groups=("tobacco",))),
    ),
    activities=(
        ActivityRule("visit", "points", 5, 1, "member.known", (("fa", PERSIAN),)),
        ActivityRule("recorded"),
    ),
    limits=Limits(1_000, 2_000),
    proofs=(ProofLimit(ProofKind.CONFIRMATION_CODE, 50, 200), ProofLimit(ProofKind.APP_ANSWER, 10, 10)),
    author="maryam",
)


def test_every_field_keeps_its_meaning_through_the_public_form() -> None:
    assert programme_from_proto(programme_to_proto(FULL), "maryam") == FULL


def test_every_field_keeps_its_meaning_through_the_store() -> None:
    stored = msgspec.msgpack.encode(FULL)
    assert msgspec.msgpack.decode(stored, type=Programme) == FULL


def test_every_field_keeps_its_meaning_through_a_file() -> None:
    text = programme_to_toml(programme_to_proto(FULL))
    assert "باشگاه مشتریان" in text
    assert PERSIAN in text
    read = programme_from_toml(text)
    assert isinstance(read, pb.Programme)
    assert programme_from_proto(read, "maryam") == FULL


def test_the_full_example_says_something_in_every_field() -> None:
    def silent(message: Message, path: str) -> set[str]:
        said = {field.name for field, _ in message.ListFields()}
        found = {f"{path}.{field.name}" for field in message.DESCRIPTOR.fields if field.name not in said}
        for field, value in message.ListFields():
            if field.message_type is not None and not field.is_repeated:
                found |= silent(value, f"{path}.{field.name}")
        return found

    message = programme_to_proto(FULL)
    parts: list[Message] = [message, message.purses[0], message.rules[0], message.activities[0]]
    missing = set().union(*[silent(part, part.DESCRIPTOR.name) for part in parts])
    others = {"days", "on_date", "fixed_units", "multiplier_milli", "exclude", "goal"}
    assert {path.rsplit(".", 1)[1] for path in missing} == others


def test_the_enums_of_the_domain_are_those_of_the_public_form() -> None:
    for ours, theirs, prefix in (
        (PurseKind, balance_pb2.PurseKind, "PURSE_KIND_"),
        (SpentReturnPolicy, pb.SpentReturnPolicy, "SPENT_RETURN_POLICY_"),
        (model.Rounding, pb.Rounding, "ROUNDING_"),
    ):
        assert {f"{prefix}{each.name}": each.value for each in ours} | {f"{prefix}UNSPECIFIED": 0} == dict(
            theirs.items()
        )


def test_what_is_left_unsaid_has_its_documented_meaning() -> None:
    message = pb.Programme(name="x")
    message.purses.add(code="points", kind=balance_pb2.PURSE_KIND_POINTS)
    message.rules.add(code="base", purse="points", rate=pb.Rate(units=1, money_minor=100))
    programme = programme_from_proto(message)
    assert isinstance(programme, Programme)
    assert programme.purses[0].spent_return_policy is SpentReturnPolicy.NEGATIVE
    assert programme.rules[0].grant == Rate(1, 100, Rounding.DOWN)
    assert (programme.effective_ms, programme.terms) == (0, (PurseTerms("points"),))


Change = Callable[[pb.Programme], object]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda draft: setattr(draft.purses[0], "kind", 0), "purses[0].kind"),
        (lambda draft: setattr(draft.purses[0], "kind", 99), "purses[0].kind"),
        (lambda draft: setattr(draft.purses[0], "spent_return_policy", 99), "purses[0].spent_return_policy"),
        (lambda draft: draft.purses[3].expiry.SetInParent(), "purses[3].expiry"),
        (lambda draft: setattr(draft.purses[1], "code", "points"), "purses[1].code"),
        (lambda draft: setattr(draft.rules[0].rate, "rounding", 99), "rules[0].rate.rounding"),
        (lambda draft: draft.rules[1].ClearField("fixed_units"), "rules[1]"),
        (lambda draft: setattr(draft.rules[3], "exclude", False), "rules[3]"),
        (lambda draft: draft.rules[1].lines.SetInParent(), "rules[1].lines"),
        (lambda draft: setattr(draft.effective_time, "seconds", -1), "effective_time"),
        (lambda draft: setattr(draft.effective_time, "seconds", 2**62), "effective_time"),
        (lambda draft: setattr(draft.effective_time, "nanos", -5), "effective_time"),
        (lambda draft: setattr(draft.limits, "single_approver_units", -1), "limits.single_approver_units"),
        (lambda draft: setattr(draft.proofs[0], "proof", 0), "proofs[0].proof"),
        (lambda draft: setattr(draft.proofs[1], "proof", 1), "proofs[1].proof"),
        (lambda draft: setattr(draft.proofs[0], "daily_units", 49), "proofs[0].daily_units"),
        (lambda draft: setattr(draft.proofs[0], "transaction_units", -1), "proofs[0].transaction_units"),
    ],
)
def test_what_the_domain_cannot_say_is_a_problem_at_its_place(change: Change, path: str) -> None:
    draft = programme_to_proto(FULL)
    change(draft)
    problems = programme_from_proto(draft)
    assert isinstance(problems, tuple)
    assert path in [problem.path for problem in problems]


# --- any message -----------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_TIMES = st.integers(0, 4_000_000_000_000).map(
    lambda ms: Timestamp(seconds=ms // 1_000, nanos=ms % 1_000 * 10**6)
)


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return _TEXT
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_ENUM:
            assert field.enum_type is not None
            return st.sampled_from([each.number for each in field.enum_type.values if each.number])
        case FieldDescriptor.TYPE_INT32:
            return st.integers(-(2**31), 2**31 - 1)
        case _:
            return st.integers(-(2**63), 2**63 - 1)


@st.composite
def messages(draw: st.DrawFn, kind: Any = pb.Programme) -> Any:
    """Any message of that kind, with every field sometimes left out."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        if not draw(st.booleans()):
            continue
        child = getattr(message, field.name)
        if field.message_type is None:
            if field.is_repeated:
                child.extend(draw(st.lists(_values(field), max_size=3)))
            else:
                setattr(message, field.name, draw(_values(field)))
        elif field.message_type.GetOptions().map_entry:
            child.update(draw(st.dictionaries(_TEXT, _TEXT, max_size=2)))
        elif field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
            child.CopyFrom(draw(_TIMES))
        elif field.is_repeated:
            for _ in range(draw(st.integers(0, 2))):
                child.append(draw(messages(getattr(pb, field.message_type.name))))
        else:
            child.CopyFrom(draw(messages(getattr(pb, field.message_type.name))))
            child.SetInParent()
    return message


@settings(max_examples=150, deadline=None)
@given(messages())
def test_any_message_survives_a_file(message: pb.Programme) -> None:
    assert programme_from_toml(programme_to_toml(message)) == message


@settings(max_examples=150, deadline=None)
@given(messages())
def test_any_message_is_either_a_programme_or_problems(message: pb.Programme) -> None:
    answer = programme_from_proto(message)
    if isinstance(answer, Programme):
        assert programme_from_proto(programme_to_proto(answer)) == answer
    else:
        assert answer
        assert all(isinstance(problem, Problem) and problem.message for problem in answer)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_whatever_make_reading_a_draft_fail(data: bytes) -> None:
    message = programme_to_proto(FULL)
    try:
        message.MergeFromString(data)
    except Exception:  # the wire refuses what is no message at all
        return
    assert programme_from_proto(message)


# --- files -----------------------------------------------------------------------------------------------


def problem_of(text: str) -> tuple[str, str]:
    [problem] = problems_of(text)
    return problem.path, problem.message


def problems_of(text: str) -> tuple[Problem, ...]:
    answer = programme_from_toml(text)
    assert isinstance(answer, tuple)
    return answer


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("name = 'x'\nversion =", "", "at end of document"),
        ("name = 'x'\nrules = [\n  what\n]", "", "line 3"),
        ("a = " + "[" * 10_000, "", "not a TOML file"),
        ("nam = 'x'", "nam", "do you mean name?"),
        ("colour = 'x'", "colour", "no such field"),
        ("name = 5", "name", "text in quotes"),
        ("version = '1'", "version", "a whole number"),
        ("version = 1.0", "version", "a whole number"),
        ("version = true", "version", "a whole number"),
        ("version = 99999999999", "version", "out of range"),
        ("rules = 'none'", "rules", "a list"),
        ("rules = ['none']", "rules", "a list of tables"),
        ("limits = 5", "limits", "a table"),
        ("[[purses]]\ntransferable = 1", "purses[0].transferable", "true or false"),
        ("[[purses]]\nkind = 'gold'", "purses[0].kind", "one of points, stored_value, stamps"),
        ("[[purses]]\nkind = 1", "purses[0].kind", "one of points, stored_value, stamps"),
        ("[[purses]]\nkind = 'unspecified'", "purses[0].kind", "one of points, stored_value, stamps"),
        ("[[rules]]\n[[rules]]\nrate = { unit = 1 }", "rules[1].rate.unit", "do you mean units?"),
        ("[[rules]]\nreceipt_text = 'x'", "rules[0].receipt_text", "a table of texts by language"),
        ("[[rules]]\nreceipt_text = { fa = 1 }", "rules[0].receipt_text", "a table of texts by language"),
        ("[[rules]]\n[rules.window]\nweekdays = 5", "rules[0].window.weekdays", "a list"),
        ("effective_time = 2026-03-21T00:00:00", "effective_time", "with its offset"),
        ("effective_time = 'soon'", "effective_time", "with its offset"),
        ("effective_time = 5", "effective_time", "with its offset"),
    ],
)
def test_a_mistake_in_a_file_is_said_with_its_place(text: str, path: str, words: str) -> None:
    found_path, message = problem_of(text)
    assert found_path == path
    assert words in message


def test_a_rule_that_does_two_things_at_once_is_refused() -> None:
    problems = problems_of("[[rules]]\nfixed_units = 1\nrate = { units = 1 }\n")
    assert {problem.path for problem in problems} == {"rules[0].fixed_units", "rules[0].rate"}
    assert "Only one of" in problems[0].message


def test_dates_and_times_may_be_written_as_toml_s_own() -> None:
    text = """
    effective_time = 2026-03-21T00:00:00+03:30
    [[rules]]
    window = { start_date = 2026-03-21 }
    """
    message = programme_from_toml(text)
    assert isinstance(message, pb.Programme)
    assert message.effective_time.ToJsonString() == "2026-03-20T20:30:00Z"
    assert message.rules[0].window.start_date == "2026-03-21"


def test_the_starter_programme_can_be_shown_changed_and_read_again() -> None:
    starter = starter_programme(2, name="فروشگاه")
    text = programme_to_toml(programme_to_proto(starter)).replace("فروشگاه", "مغازه")
    message = programme_from_toml(text)
    assert isinstance(message, pb.Programme)
    changed = programme_from_proto(message)
    assert isinstance(changed, Programme)
    assert replace(changed, terms=starter.terms) == replace(starter, name="مغازه")
