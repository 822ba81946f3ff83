"""Nobody is written to who did not say yes, and who said what stays provable."""

from __future__ import annotations

from functools import reduce

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.people.consents import MAX_CONSENTS, Channel, Consent, Purpose, may, record_consent
from node.people.invalid import Invalid, InvalidReason

History = tuple[Consent, ...]
CONSENTS = st.builds(
    Consent,
    channel=st.sampled_from([Channel.ANY, Channel.SMS, Channel.EMAIL]),
    purpose=st.sampled_from([Purpose.MARKETING, Purpose.PROFILING]),
    granted=st.booleans(),
    at_ms=st.integers(1_000, 1_012),
    source=st.sampled_from(["till-1", "app"]),
    text_version=st.sampled_from(["1", "2"]),
)


def decided(
    granted: bool, at_ms: int, channel: Channel = Channel.SMS, purpose: Purpose = Purpose.MARKETING
) -> Consent:
    return Consent(channel, purpose, granted, at_ms, "till-7", "2026-01" if granted else "")


def recorded(history: History, consent: Consent) -> History:
    answer = record_consent(history, consent)
    assert not isinstance(answer, Invalid), answer
    return answer


def history_of(*consents: Consent) -> History:
    return reduce(recorded, consents, ())


@pytest.mark.parametrize("channel", list(Channel))
@pytest.mark.parametrize("purpose", list(Purpose))
def test_without_a_decision_the_answer_is_no(channel: Channel, purpose: Purpose) -> None:
    assert not may((), channel, purpose)


def test_a_yes_is_for_that_channel_and_purpose_alone() -> None:
    history = history_of(decided(True, 1))
    assert may(history, Channel.SMS, Purpose.MARKETING)
    assert not may(history, Channel.EMAIL, Purpose.MARKETING)
    assert not may(history, Channel.SMS, Purpose.PARTNER_SHARING)
    assert not may(history, Channel.ANY, Purpose.MARKETING)


def test_the_latest_decision_counts_also_when_it_arrives_first() -> None:
    yes, no, yes_again = decided(True, 1), decided(False, 2), decided(True, 3)
    assert not may(history_of(yes, no), Channel.SMS, Purpose.MARKETING)
    assert not may(history_of(no, yes), Channel.SMS, Purpose.MARKETING)
    assert may(history_of(yes_again, no, yes), Channel.SMS, Purpose.MARKETING)


def test_stop_everything_ends_every_channel_until_a_later_yes() -> None:
    history = history_of(decided(True, 1), decided(True, 2, Channel.EMAIL), decided(False, 3, Channel.ANY))
    assert not may(history, Channel.SMS, Purpose.MARKETING)
    assert not may(history, Channel.EMAIL, Purpose.MARKETING)
    history = recorded(history, decided(True, 4))
    assert may(history, Channel.SMS, Purpose.MARKETING)
    assert not may(history, Channel.EMAIL, Purpose.MARKETING)
    everything = history_of(decided(True, 1, Channel.ANY), decided(False, 2, Channel.PUSH))
    assert may(everything, Channel.POST, Purpose.MARKETING)
    assert not may(everything, Channel.PUSH, Purpose.MARKETING)


def test_of_a_yes_and_a_no_at_the_same_time_the_no_counts() -> None:
    for pair in ((decided(True, 5), decided(False, 5)), (decided(False, 5), decided(True, 5))):
        assert not may(history_of(*pair), Channel.SMS, Purpose.MARKETING)


def test_the_history_is_kept_and_a_repeated_decision_is_kept_once() -> None:
    yes, no = decided(True, 1), decided(False, 2)
    assert history_of(yes, no, yes, no) == (yes, no)


def test_a_yes_names_the_words_agreed_to_and_a_no_needs_none() -> None:
    answer = record_consent((), Consent(Channel.SMS, Purpose.SERVICE, True, 1, "app", " "))
    assert isinstance(answer, Invalid)
    assert answer.reason is InvalidReason.CONSENT_WITHOUT_WORDING
    assert len(recorded((), Consent(Channel.SMS, Purpose.SERVICE, False, 1, ""))) == 1


@pytest.mark.parametrize("at_ms", [-1, -(2**63), 2**63 - 1, 7_258_118_400_000])
def test_a_decision_at_an_absurd_time_is_refused(at_ms: int) -> None:
    answer = record_consent((), decided(True, at_ms))
    assert isinstance(answer, Invalid)
    assert answer.reason is InvalidReason.TIME_OUT_OF_RANGE


@pytest.mark.parametrize("field", ["source", "text_version"])
@pytest.mark.parametrize("text", ["x" * 65, "\x00", "\ud800", pytest.param("ی" * 2**20, id="a megabyte")])
def test_absurd_texts_are_refused(field: str, text: str) -> None:
    assert isinstance(record_consent((), msgspec.structs.replace(decided(True, 1), **{field: text})), Invalid)


def test_a_no_is_taken_however_long_the_history_is_and_the_bound_holds() -> None:
    history: History = ()
    for at_ms in range(3 * MAX_CONSENTS):
        history = recorded(history, decided(at_ms % 2 == 0, at_ms))
    assert len(history) == MAX_CONSENTS
    first_yes = decided(True, 0, Channel.EMAIL, Purpose.SERVICE)
    history = recorded(history, first_yes)
    history = recorded(history, decided(False, 10**6))
    assert len(history) == MAX_CONSENTS
    assert first_yes in history, "a decision that still counts is never dropped, be it the oldest"
    assert not may(history, Channel.SMS, Purpose.MARKETING)
    assert may(history, Channel.EMAIL, Purpose.SERVICE)


@pytest.mark.parametrize(
    ("decisions", "answer"),
    [
        ((decided(True, 100, purpose=Purpose.SERVICE), decided(False, 50, purpose=Purpose.SERVICE)), True),
        ((decided(True, 100, purpose=Purpose.SERVICE), decided(False, 100, purpose=Purpose.SERVICE)), False),
        ((decided(False, 100, purpose=Purpose.SERVICE), decided(True, 100, purpose=Purpose.SERVICE)), False),
    ],
)
def test_an_old_decision_that_counts_outlives_any_number_of_others(
    decisions: tuple[Consent, ...], answer: bool
) -> None:
    history = history_of(*decisions)
    for at_ms in range(1_000, 1_000 + 2 * MAX_CONSENTS):
        history = recorded(history, decided(at_ms % 2 == 0, at_ms))
    assert may(history, Channel.SMS, Purpose.SERVICE) is answer


@given(st.lists(CONSENTS, max_size=30), st.sampled_from(Channel), st.sampled_from(Purpose))
def test_dropping_replaced_decisions_changes_no_answer(
    consents: list[Consent], channel: Channel, purpose: Purpose
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("node.people.consents.MAX_CONSENTS", 6)
        bounded = history_of(*consents)
    whole = history_of(*consents)
    assert len(bounded) <= 6
    assert may(bounded, channel, purpose) == may(whole, channel, purpose)
    assert may(whole, channel, purpose) == may(tuple(reversed(whole)), channel, purpose)


@given(CONSENTS)
def test_a_decision_is_stored_unchanged(consent: Consent) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(consent), type=Consent) == consent


def test_the_stored_numbers_of_channels_and_purposes_stay() -> None:
    assert [(channel.name, channel.value) for channel in Channel] == [
        ("ANY", 0), ("SMS", 1), ("EMAIL", 2), ("PUSH", 3), ("POST", 4), ("PHONE", 5), ("PRINT", 6),
    ]  # fmt: skip
    assert [(purpose.name, purpose.value) for purpose in Purpose] == [
        ("SERVICE", 1), ("MARKETING", 2), ("PROFILING", 3), ("PARTNER_SHARING", 4),
    ]  # fmt: skip
