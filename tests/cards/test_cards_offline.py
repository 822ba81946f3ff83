from dataclasses import replace

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from cards.crypto import CardKey
from cards.keys import factory_key
from cards.profiles import ntag424
from cards.profiles.steps import DefaultKey, VersionedKey
from cards.verification import (
    AppletAnswer,
    AppletEvidence,
    CardRefusal,
    CounterWindow,
    EvidenceMalformed,
    ExpectedSale,
    OnlineEvidence,
    Proven,
    Refused,
    Sale,
    SaleMalformed,
    SunEvidence,
    pack_evidence,
    parse_answer,
    parse_sale,
    unpack_evidence,
    verify_applet,
    verify_sun,
)
from tests.cards.bureau import ADDRESS_BASE, JAVACARD, LABEL, NTAG, Bureau, a_bureau, a_members_card
from tests.cards.tills import SALE, a_record, a_ring, cryptogram_of, tap_of

EXPECTED = ExpectedSale(SALE.acquirer, SALE.amount, SALE.unit)


def reason(outcome: object) -> CardRefusal:
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


def an_answer(bureau: Bureau, sale: Sale = SALE) -> AppletAnswer:
    answer = parse_answer(cryptogram_of(bureau, sale.encode()))
    assert answer is not None
    return answer


def judged(
    answer: AppletAnswer,
    *,
    sale: Sale = SALE,
    expected: ExpectedSale = EXPECTED,
    seen: CounterWindow | None = None,
    version: int = 1,
    ring: int = 1,
) -> Proven | Refused:
    record = a_record(JAVACARD, key_version=version)
    return verify_applet(
        record, a_ring(ring), parse_sale(sale.encode()), answer, expected, seen or CounterWindow()
    )


def test_a_sale_proved_while_the_till_was_offline_is_verified_later() -> None:
    proven = judged(an_answer(a_members_card(JAVACARD)))
    assert isinstance(proven, Proven)
    assert (proven.counter, proven.sale_digest) == (1, SALE.digest())


def test_sales_of_two_tills_may_come_in_any_order_and_each_of_them_once() -> None:
    bureau, seen = a_members_card(JAVACARD), CounterWindow()
    answers = [an_answer(bureau) for _ in range(4)]
    for answer in (answers[2], answers[0], answers[3], answers[1]):
        proven = judged(answer, seen=seen)
        assert isinstance(proven, Proven)
        assert proven.counter is not None
        seen = seen.with_counter(proven.counter)
    assert all(reason(judged(answer, seen=seen)) is CardRefusal.REPLAYED for answer in answers)


@pytest.mark.parametrize(
    "other",
    [
        replace(EXPECTED, acquirer="saffron"),
        replace(EXPECTED, amount=SALE.amount + 1),
        replace(EXPECTED, unit="EGP"),
        replace(EXPECTED, terminal="till-8"),
    ],
    ids=["merchant", "amount", "unit", "terminal"],
)
def test_a_true_cryptogram_of_another_sale_is_refused_by_name(other: ExpectedSale) -> None:
    assert reason(judged(an_answer(a_members_card(JAVACARD)), expected=other)) is CardRefusal.WRONG_SALE


def test_a_partner_need_not_name_its_terminal_but_may() -> None:
    named = replace(EXPECTED, terminal=SALE.terminal)
    assert isinstance(judged(an_answer(a_members_card(JAVACARD)), expected=named), Proven)


@pytest.mark.parametrize("at", range(56))
def test_a_cryptogram_is_of_every_byte_of_the_sale(at: int) -> None:
    answer = an_answer(a_members_card(JAVACARD))
    raw = bytearray(SALE.encode())
    raw[at] ^= 1
    changed = parse_sale(bytes(raw))
    outcome = verify_applet(a_record(JAVACARD), a_ring(), changed, answer, EXPECTED, CounterWindow())
    assert reason(outcome) is CardRefusal.BAD_CRYPTOGRAM


def test_a_changed_counter_version_or_cryptogram_is_refused() -> None:
    answer = an_answer(a_members_card(JAVACARD))
    assert reason(judged(replace(answer, counter=2))) is CardRefusal.BAD_CRYPTOGRAM
    assert reason(judged(replace(answer, key_version=2))) is CardRefusal.UNKNOWN_KEY_VERSION
    assert reason(judged(replace(answer, key_version=2), ring=2)) is CardRefusal.BAD_CRYPTOGRAM
    assert reason(judged(replace(answer, cryptogram=bytes(16)))) is CardRefusal.BAD_CRYPTOGRAM


def test_the_version_before_is_accepted_unless_the_card_was_renewed() -> None:
    answer = an_answer(a_members_card(JAVACARD))
    assert isinstance(judged(answer, ring=2), Proven)
    assert reason(judged(answer, ring=2, version=2)) is CardRefusal.UNKNOWN_KEY_VERSION
    assert reason(judged(answer, ring=3)) is CardRefusal.UNKNOWN_KEY_VERSION


@pytest.mark.parametrize("default", [bytes(16), bytes(range(0x40, 0x50))])
def test_an_applet_with_a_key_that_everybody_knows_is_refused_by_name(default: bytes) -> None:
    bureau = a_members_card(JAVACARD)
    for instance in bureau.card.memory.instances.values():
        instance.memory.key = default
    assert reason(judged(an_answer(bureau))) is CardRefusal.DEFAULT_KEY
    assert reason(judged(replace(an_answer(bureau), key_version=0))) is CardRefusal.DEFAULT_KEY


@pytest.mark.parametrize("size", [0, 20, 22])
def test_an_answer_of_another_length_is_no_answer(size: int) -> None:
    assert parse_answer(bytes(size)) is None


def test_a_sale_of_another_length_or_kind_is_no_sale() -> None:
    with pytest.raises(SaleMalformed):
        parse_sale(bytes(55))
    with pytest.raises(ValueError, match="not negative"):
        replace(SALE, amount=-1)
    with pytest.raises(ValueError, match="nonce"):
        replace(SALE, nonce=b"")


# Counters


@examples(st.lists(st.integers(1, 200), max_size=40))
def test_no_counter_is_ever_taken_twice_and_old_ones_are_taken_as_used(counters: list[int]) -> None:
    window, used, highest = CounterWindow(), set[int](), 0
    for counter in counters:
        expected = counter in used or counter <= highest - 64
        assert window.has(counter) is expected
        if not expected:
            window = window.with_counter(counter)
            used.add(counter)
            highest = max(highest, counter)
        else:
            with pytest.raises(ValueError, match="used before"):
                window.with_counter(counter)


def test_a_leap_of_the_counter_forgets_no_more_than_it_must() -> None:
    window = CounterWindow().with_counter(1).with_counter(2**32 - 1)
    assert window.has(1)
    assert not window.has(2**32 - 2)
    assert window.seen < 2**64
    assert CounterWindow().has(0)  # the applet's first is 1
    assert window.has(0)


# Taps


def tapped(address: str, last: int = 0, ring: int = 1, **changes: object) -> Proven | Refused:
    return verify_sun(address, a_record(NTAG, **changes), a_ring(ring), last)


def test_each_tap_proves_the_card_once() -> None:
    bureau = a_members_card(NTAG)
    first, second = tap_of(bureau), tap_of(bureau)
    one, two = tapped(first), tapped(second)
    assert isinstance(one, Proven)
    assert isinstance(two, Proven)
    assert one.sale_digest is None
    assert (one.counter, two.counter) == (1, 2)
    assert one.proof_id != two.proof_id
    assert reason(tapped(first, last=1)) is CardRefusal.REPLAYED
    assert reason(tapped(first, last=2)) is CardRefusal.REPLAYED
    assert isinstance(tapped(second, last=1), Proven)


def test_a_changed_letter_of_a_tap_is_refused_wherever_it_is() -> None:
    address = tap_of(a_members_card(NTAG))
    for at in range(len(ADDRESS_BASE), len(address)):
        changed = address[:at] + ("0" if address[at] != "0" else "1") + address[at + 1 :]
        assert isinstance(tapped(changed), Refused), at


def test_the_server_in_the_address_is_not_part_of_the_proof() -> None:
    address = tap_of(a_members_card(NTAG))
    assert isinstance(tapped(address.replace("card.saffron.example", "other.example")), Proven)


def test_a_tap_of_another_card_is_foreign() -> None:
    address = tap_of(a_members_card(NTAG))
    other_chip = replace(NTAG.identity(), uid=bytes(7))
    assert reason(tapped(address, identity=other_chip)) is CardRefusal.FOREIGN_CARD
    other_alias = replace(NTAG.identity(), alias="6104000000018")
    assert reason(tapped(address, identity=other_alias)) is CardRefusal.FOREIGN_CARD
    assert reason(tapped(address, merchant="pistachio")) is CardRefusal.FOREIGN_CARD


def test_a_tap_signed_by_another_key_was_tampered_with() -> None:
    bureau = a_members_card(NTAG)
    bureau.card.memory.keys[3].value = bytes(range(3, 19))
    assert reason(tapped(tap_of(bureau))) is CardRefusal.TAMPERED


def test_a_tap_of_a_card_with_factory_keys_is_refused_by_name() -> None:
    bureau = a_members_card(NTAG)
    for number in (2, 3):
        bureau.card.memory.keys[number].value = factory_key().raw
    assert reason(tapped(tap_of(bureau))) is CardRefusal.DEFAULT_KEY


def test_a_tap_of_a_blocked_card_is_refused_by_name() -> None:
    assert reason(tapped(tap_of(a_members_card(NTAG)), blocked=True)) is CardRefusal.BLOCKED_CARD


def test_taps_of_the_version_before_are_accepted_unless_the_card_was_renewed() -> None:
    address = tap_of(a_members_card(NTAG))
    assert isinstance(tapped(address, ring=2), Proven)
    assert reason(tapped(address, ring=2, key_version=2)) is CardRefusal.UNKNOWN_KEY_VERSION
    assert reason(tapped(address, ring=3)) is CardRefusal.FOREIGN_CARD


def test_an_address_that_is_no_tap_is_malformed() -> None:
    assert reason(tapped("https://card.saffron.example/t")) is CardRefusal.MALFORMED


def test_a_card_whose_first_tap_was_never_seen_still_counts_from_where_it_is() -> None:
    bureau = a_bureau(NTAG)
    bureau.personalise()
    for _ in range(3):
        tap_of(bureau)
    proven = tapped(tap_of(bureau))
    assert isinstance(proven, Proven)
    assert proven.counter == 4


# Evidence


def test_evidence_survives_the_bytes_of_a_member_proof() -> None:
    answer = an_answer(a_members_card(JAVACARD))
    all_kinds = (
        OnlineEvidence(bytes(range(16))),
        AppletEvidence(parse_sale(SALE.encode()), answer),
        SunEvidence(tap_of(a_members_card(NTAG))),
    )
    for evidence in all_kinds:
        assert unpack_evidence(pack_evidence(evidence)) == evidence


@examples(st.binary(max_size=700))
def test_bytes_that_are_no_evidence_are_refused_and_never_a_fault(raw: bytes) -> None:
    try:
        evidence = unpack_evidence(raw)
    except EvidenceMalformed:
        return
    assert pack_evidence(evidence) == raw


def test_a_plan_whose_tap_key_is_known_is_refused() -> None:
    keys = list(NTAG.keys())
    keys[2] = VersionedKey(CardKey(bytes(16)), 1)
    plan = ntag424.Plan(NTAG.identity(), LABEL, ADDRESS_BASE, ntag424.factory_keys(), tuple(keys))
    with pytest.raises(DefaultKey, match="everybody knows"):
        ntag424.personalise(plan)
