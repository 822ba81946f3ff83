import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from cards.keys import Domain, KeyRing
from cards.profiles import ntag424
from cards.verification import (
    SESSION_TTL_MS,
    CardRefusal,
    CounterWindow,
    Next,
    Proven,
    Refused,
    Sale,
    advance,
    begin,
)
from tests.cards.bureau import DESFIRE, JAVACARD, KINDS, NTAG, Bureau, Kind, a_bureau, a_members_card, issuer
from tests.cards.tills import SALE, START_MS, a_record, a_ring, converse, flipped, nth, started

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
native_kind = pytest.mark.parametrize("kind", [NTAG, DESFIRE], ids=lambda kind: kind.name)


def reason(outcome: object) -> CardRefusal:
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


@every_kind
def test_a_members_card_proves_a_sale_at_a_partners_till(kind: Kind) -> None:
    proven = converse(a_members_card(kind))
    assert isinstance(proven, Proven)
    assert (proven.merchant, proven.alias, proven.key_version) == ("saffron", "6104000000017", 1)
    assert proven.sale_digest == SALE.digest()
    assert proven.counter == (1 if kind is JAVACARD else None)


@native_kind
def test_the_card_itself_wrote_down_which_sale_it_proved(kind: Kind) -> None:
    bureau = a_members_card(kind)
    assert isinstance(converse(bureau), Proven)
    memory = bureau.card.memory
    files = memory.files if kind is NTAG else next(iter(memory.applications.values())).files
    assert files[3].content[:32] == SALE.digest()


@every_kind
def test_no_two_proofs_have_the_same_name(kind: Kind) -> None:
    bureau = a_members_card(kind)
    outcomes = [converse(bureau) for _ in range(5)]
    assert len({one.proof_id for one in outcomes if isinstance(one, Proven)}) == 5


@every_kind
def test_a_copy_of_all_that_can_be_read_of_a_card_proves_nothing(kind: Kind) -> None:
    copy = a_members_card(kind)
    _with_other_secrets(copy)
    assert reason(converse(copy)) is CardRefusal.CLONED_CARD


@every_kind
def test_an_answer_that_a_till_changed_once_is_no_copy_but_tampered_with(kind: Kind) -> None:
    last, at = (2, 10) if kind is JAVACARD else (5, 3)
    assert reason(converse(a_members_card(kind), to_node=nth(last, flipped(at)))) is CardRefusal.TAMPERED


@native_kind
def test_a_command_that_a_till_changed_is_tampered_with(kind: Kind) -> None:
    changed = nth(5, flipped(20))
    assert reason(converse(a_members_card(kind), to_card=changed)) is CardRefusal.TAMPERED


@every_kind
def test_a_card_that_failed_is_refused_whatever_it_then_says_of_itself(kind: Kind) -> None:
    copy = a_members_card(kind)
    _with_other_secrets(copy)
    first = 3 if kind is JAVACARD else 5
    for garbage in (b"", b"\x90\x00", b"\x6a\x82", bytes(40) + b"\x90\x00"):
        lying = nth(first, partial(_instead, garbage))
        assert isinstance(converse(copy, to_node=lying), Refused)


def _instead(said: bytes, _: bytes) -> bytes:
    return said


def _with_other_secrets(bureau: Bureau) -> None:
    memory: Any = bureau.card.memory
    if bureau.kind is JAVACARD:
        for instance in memory.instances.values():
            instance.memory.key = bytes(range(3, 19))
        return
    levels = [memory] if bureau.kind is NTAG else list(memory.applications.values())
    for level in levels:
        for slot in level.keys:
            slot.value = bytes(range(3, 19))


@every_kind
def test_answers_recorded_at_one_sale_are_worth_nothing_at_the_next(kind: Kind) -> None:
    bureau, recorded = a_members_card(kind), list[bytes]()

    def record(answer: bytes) -> bytes:
        recorded.append(answer)
        return answer

    assert isinstance(converse(bureau, to_node=record), Proven)
    step: object = started(a_record(kind), a_ring(), replace(SALE, nonce=b"nonce-02"))
    for answer in [*recorded, recorded[-1], recorded[-1]]:
        assert isinstance(step, Next)
        step = advance(step.session, answer, step.session.sale, now_ms=START_MS)
        if not isinstance(step, Next):
            break
    assert isinstance(step, Refused)


@every_kind
def test_a_cryptogram_whose_counter_was_used_is_refused_as_replayed(kind: Kind) -> None:
    bureau = a_members_card(kind)
    ahead = converse(bureau, seen=CounterWindow(highest=100, seen=1))
    if kind is JAVACARD:
        assert reason(ahead) is CardRefusal.REPLAYED
    else:
        assert isinstance(ahead, Proven)


@every_kind
def test_another_merchants_card_is_foreign(kind: Kind) -> None:
    record = a_record(kind, merchant="pistachio")
    assert reason(converse(a_members_card(kind), record)) is CardRefusal.FOREIGN_CARD


@every_kind
def test_a_card_under_anothers_alias_proves_nothing(kind: Kind) -> None:
    victim = replace(kind.identity(), alias="6104000000099")
    assert reason(converse(a_members_card(kind), a_record(kind, identity=victim))) is CardRefusal.FOREIGN_CARD


@every_kind
def test_a_blocked_card_is_refused_by_name_before_it_is_asked_anything(kind: Kind) -> None:
    assert reason(started(a_record(kind, blocked=True), a_ring())) is CardRefusal.BLOCKED_CARD


def test_a_blank_card_is_refused_by_what_it_lacks() -> None:
    assert reason(converse(a_bureau(NTAG))) is CardRefusal.DEFAULT_KEY
    assert reason(converse(a_bureau(DESFIRE))) is CardRefusal.FOREIGN_CARD
    assert reason(converse(a_bureau(JAVACARD))) is CardRefusal.FOREIGN_CARD


@every_kind
def test_a_retired_card_proves_nothing(kind: Kind) -> None:
    bureau = a_members_card(kind)
    keys = kind.keys()
    dead = ntag424.retired_keys(issuer(Domain.MANAGEMENT), kind.identity()) if kind is NTAG else keys
    bureau.run(kind.module.retire(kind.plan(old=keys, new=dead)))
    wanted = CardRefusal.BLOCKED_CARD if kind is NTAG else CardRefusal.FOREIGN_CARD
    assert reason(converse(bureau)) is wanted


@every_kind
def test_a_card_of_another_kind_on_the_reader_is_no_proof(kind: Kind) -> None:
    for other in KINDS:
        if other is not kind:
            outcome = converse(a_members_card(other), a_record(kind))
            assert isinstance(outcome, Refused)


@every_kind
def test_a_card_of_the_version_before_is_accepted_and_an_older_one_is_not(kind: Kind) -> None:
    bureau = a_members_card(kind)
    assert isinstance(converse(bureau, ring=a_ring(2)), Proven)
    assert reason(converse(bureau, ring=a_ring(3))) is CardRefusal.UNKNOWN_KEY_VERSION


@every_kind
def test_a_card_that_was_renewed_does_not_go_back_to_its_old_keys(kind: Kind) -> None:
    bureau = a_members_card(kind)
    renewed = a_record(kind, key_version=2)
    assert reason(converse(bureau, renewed, a_ring(2))) is CardRefusal.UNKNOWN_KEY_VERSION
    bureau.run(kind.module.rotate_keys(kind.plan(old=kind.keys(1), new=kind.keys(2))))
    assert isinstance(converse(bureau, renewed, a_ring(2)), Proven)
    assert isinstance(converse(bureau, a_record(kind), a_ring(2)), Proven)


@native_kind
@pytest.mark.parametrize("at", range(45))
def test_a_till_that_changes_the_bound_sale_on_its_way_to_the_card_proves_nothing(
    kind: Kind, at: int
) -> None:
    # The fifth command binds: head, header, 32 bytes of digest, MAC. Its last byte, Le, is nobody's secret.
    outcome = converse(a_members_card(kind), to_card=nth(5, flipped(5 + at)))
    assert isinstance(outcome, Refused)


@every_kind
def test_a_till_that_changes_any_byte_of_any_proof_on_its_way_to_the_node_proves_nothing(kind: Kind) -> None:
    answers: list[bytes] = []

    def listen(answer: bytes) -> bytes:
        answers.append(answer)
        return answer

    converse(a_members_card(kind), to_node=listen)
    last = len(answers)
    for which in range(last if kind is JAVACARD else 3, last + 1):
        # A MAC covers the status of the last native answer; elsewhere the status word proves nothing by
        # itself.
        covered = len(answers[which - 1]) - (0 if kind is not JAVACARD and which == last else 2)
        for at in range(covered):
            outcome = converse(a_members_card(kind), to_node=nth(which, flipped(at)))
            assert isinstance(outcome, Refused), (which, at)


@every_kind
@pytest.mark.parametrize(
    "garbage", [b"", b"\x90", b"\x90\x00", b"\x91\x00", bytes(70_000), b"\x6f\x00", b"\x61\x10"]
)
def test_garbage_from_a_till_is_a_refusal_and_never_a_fault(kind: Kind, garbage: bytes) -> None:
    for which in range(1, 6):
        outcome = converse(a_members_card(kind), to_node=nth(which, lambda _: garbage))
        honest_select = which == 1 and garbage in (b"\x90\x00", b"\x91\x00")
        too_late = which > 2 and kind is JAVACARD
        assert isinstance(outcome, Refused) or honest_select or too_late


@pytest.mark.parametrize(
    "other",
    [
        replace(SALE, acquirer="saffron"),
        replace(SALE, terminal="till-8"),
        replace(SALE, amount=SALE.amount + 1),
        replace(SALE, unit="EGP"),
        replace(SALE, nonce=b"nonce-99"),
    ],
    ids=["merchant", "terminal", "amount", "unit", "nonce"],
)
def test_a_session_is_for_one_merchant_terminal_and_amount(other: Sale) -> None:
    begun = started(a_record(NTAG), a_ring())
    assert isinstance(begun, Next)
    assert reason(advance(begun.session, b"\x90\x00", other, now_ms=START_MS)) is CardRefusal.WRONG_SALE


def test_a_session_is_short() -> None:
    begun = started(a_record(NTAG), a_ring())
    assert isinstance(begun, Next)
    late = START_MS + SESSION_TTL_MS
    assert isinstance(advance(begun.session, b"\x90\x00", SALE, now_ms=late - 1), Next)
    assert reason(advance(begun.session, b"\x90\x00", SALE, now_ms=late)) is CardRefusal.EXPIRED_SESSION


def test_a_card_that_makes_us_wait_is_no_false_card() -> None:
    delayed = nth(4, lambda _: b"\x91\xad")
    assert reason(converse(a_members_card(NTAG), to_node=delayed)) is CardRefusal.CARD_BUSY


def test_management_keys_are_never_used_at_a_till() -> None:
    ring = KeyRing(issuer(Domain.MANAGEMENT, 1))
    with pytest.raises(ValueError, match="no business at a node"):
        begin(a_record(NTAG), ring, SALE, session_id=bytes(16), rnd_a=bytes(16), now_ms=0)


def test_every_refusal_says_what_to_do_next() -> None:
    assert all(len(one.words.split(". ")) >= 2 for one in CardRefusal)
    assert len({one.words for one in CardRefusal}) == len(CardRefusal)


@every_kind
def test_no_repr_of_a_conversation_shows_a_key_or_what_makes_one(kind: Kind) -> None:
    bureau = a_members_card(kind)
    step: object = started(a_record(kind), a_ring())
    bureau.card.tap()
    texts = [repr(step)]
    while isinstance(step, Next):
        step = advance(step.session, bureau.card.transmit(step.apdu), SALE, now_ms=START_MS)
        texts.append(repr(step))
    keys = kind.keys()
    for secret in [one.key.raw for one in (keys if kind is NTAG else keys.all)]:
        assert not any(repr(secret)[2:-1] in text or secret.hex() in text for text in texts)


def test_verification_needs_nothing_but_pure_python_and_cryptography() -> None:
    """So that a node can import it: no reader, no command line, no framework, no network, nothing of the
    node.
    """
    code = (
        "import sys, cards.verification; "
        "print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(found.stdout.split())
    assert {"cards", "cryptography"} <= loaded
    frameworks = {
        "node",
        "simulators",
        "bench",
        "smartcard",
        "pkcs11",
        "typer",
        "rich",
        "grpc",
        "ray",
        "google",
    }
    outside = {"asyncio", "socket", "ssl", "sqlite3", "subprocess", "logging", "rocksdict"}
    assert not loaded & (frameworks | outside)
