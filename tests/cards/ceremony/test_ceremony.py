"""A ceremony makes a key that none of its people knows, and a record that gives nothing of it away."""

import json
import traceback
from itertools import combinations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cards.ceremony import (
    CeremonyRecord,
    CeremonyRefused,
    Component,
    combine,
    parse_component,
    record_of,
    record_text,
)
from cards.crypto import CardKey, xor
from cards.keys import cmac_check_value, is_default
from cards.keystore import KeyId, KeyPurpose, KeyRecord

FIRST = "9f3b 61c7 08de 4a52 b1e4 7f90 2c6d 83a5"
SECOND = "4c82 d0f1 7b35 96ea 0d2f c8b4 613e 975a"
THIRD = "e815 2a7c c349 b06d 5f91 048e d7a2 3b6f"


def component(name: str, digits: str) -> Component:
    return Component(name, parse_component(digits), 1_000)


def three() -> list[Component]:
    return [component("Zahra", FIRST), component("Omid", SECOND), component("Leila", THIRD)]


def made(parts: list[Component]) -> CeremonyRecord:
    key = combine(parts)
    kept = KeyRecord(KeyId(KeyPurpose.COALITION, "parsi", 1), 128, cmac_check_value(key), 5_000)
    return record_of(kept, "sealed file keys", parts, ["Amir", "Sara"], started_ms=500)


# The key


def test_the_key_is_what_all_components_together_make() -> None:
    first, second, third = (part.value.raw for part in three())

    assert combine(three()).raw == xor(xor(first, second), third)


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=2, max_size=8, unique=True))
def test_any_component_changed_changes_the_key(values: list[bytes]) -> None:
    assume(not any(is_default(CardKey(value)) for value in values))
    parts = [Component(f"custodian {place}", CardKey(value), 1) for place, value in enumerate(values)]
    try:
        whole = combine(parts)
    except CeremonyRefused:
        assume(False)
    for left_out in range(len(parts)):
        rest = bytes(16)
        for part in parts[:left_out] + parts[left_out + 1 :]:
            rest = xor(rest, part.value.raw)
        assert CardKey(xor(rest, parts[left_out].value.raw)) == whole


REFUSED = {
    "one person alone": [component("Zahra", FIRST)],
    "nobody": [],
    "one who comes twice": [component("Zahra Karimi", FIRST), component(" zahra  karimi", SECOND)],
    "the same component from two": [component("Zahra", FIRST), component("Omid", FIRST)],
    "a component of zeros": [component("Zahra", FIRST), component("Omid", "00" * 16)],
    "a well-known pattern": [component("Zahra", FIRST), component("Omid", bytes(range(16)).hex())],
    "lengths that differ": [component("Zahra", FIRST), component("Omid", SECOND + THIRD)],
    "components that make a default key": [
        component("Zahra", FIRST),
        component("Omid", SECOND),
        component("Leila", xor(*(bytes.fromhex(digits) for digits in (FIRST, SECOND))).hex()),
    ],
    "too many": [
        component(f"custodian {n}", (bytes([n]) + bytes.fromhex(FIRST)[1:]).hex()) for n in range(9)
    ],
}


@pytest.mark.parametrize("parts", REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_good_key_is_refused_without_showing_a_component(parts: list[Component]) -> None:
    with pytest.raises(CeremonyRefused) as refused:
        combine(parts)
    shown = "".join(traceback.format_exception(refused.value)).lower()
    assert not any(part.value.raw.hex() in shown for part in parts)


@pytest.mark.parametrize(
    "typed",
    [FIRST.replace(" ", ""), FIRST.upper(), FIRST.replace(" ", "-"), "  " + FIRST.replace(" ", ":\n") + " "],
)
def test_a_component_is_taken_in_any_grouping(typed: str) -> None:
    assert parse_component(typed) == parse_component(FIRST)


def test_digits_of_another_keyboard_are_the_same_digits() -> None:
    persian = FIRST.translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"))

    assert parse_component(persian) == parse_component(FIRST)


@pytest.mark.parametrize(
    "typed", ["", "9f3b", FIRST + "00", FIRST[:-1], FIRST.replace("9f", "zz"), "9f" * 20]
)
def test_what_is_no_component_is_refused_and_not_repeated(typed: str) -> None:
    with pytest.raises(CeremonyRefused) as refused:
        parse_component(typed)
    assert not typed or typed not in str(refused.value)


def test_components_of_every_key_length_are_taken() -> None:
    for size in (16, 24, 32):
        raw = (bytes.fromhex(FIRST) * 2)[:size]
        assert len(parse_component(raw.hex())) == size


# The record


def test_the_record_names_everybody_and_shows_check_values() -> None:
    record = made(three())
    paper = record_text(record)

    for name in ("Zahra", "Omid", "Leila", "Amir", "Sara"):
        assert name in paper
    assert paper.count("signature") == 5
    assert cmac_check_value(combine(three())).hex().upper() in paper
    assert component("Zahra", FIRST).check_value.hex().upper() in paper
    assert record.digest in paper
    assert "1970-01-01 00:00:05 UTC" in paper
    kept = json.loads(record.as_json())
    assert kept["witnesses"] == ["Amir", "Sara"]
    assert kept["key"] == "coalition/parsi/1"


def test_no_byte_of_key_or_component_is_in_the_record() -> None:
    record = made(three())
    texts = [record_text(record), record.as_json().decode(), repr(record), repr(three())]
    secrets = [combine(three()).raw] + [part.value.raw for part in three()]

    for text in texts:
        folded = text.lower().replace(" ", "")
        for raw in secrets:
            # Not even four bytes of it in a row.
            assert not any(raw[at : at + 4].hex() in folded for at in range(len(raw) - 3))
            assert repr(raw)[2:-1] not in text


def test_the_digest_ties_the_paper_to_the_file() -> None:
    first, second = made(three()), made(three()[:2])

    assert first.digest != second.digest
    assert first.digest == made(three()).digest


@pytest.mark.parametrize("witnesses", [[], [" "], ["Amir", "amir"], ["zahra"], ["x" * 81]])
def test_somebody_else_must_have_seen_it(witnesses: list[str]) -> None:
    parts = three()
    kept = KeyRecord(KeyId(KeyPurpose.COALITION, "parsi", 1), 128, bytes(5), 5_000)

    with pytest.raises(CeremonyRefused, match="witness"):
        record_of(kept, "sealed file keys", parts, witnesses, started_ms=1)


def test_different_components_have_different_check_values() -> None:
    for one, other in combinations(three(), 2):
        assert one.check_value != other.check_value
