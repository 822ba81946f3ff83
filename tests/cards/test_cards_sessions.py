import pytest

from cards.verification import (
    SESSION_TTL_MS,
    CardRefusal,
    Next,
    OnlineSessions,
    Proven,
    Refused,
    Stage,
)
from tests.cards.bureau import KINDS, NTAG, Bureau, Kind, a_members_card
from tests.cards.tills import SALE, START_MS, a_record, a_ring, started

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def reason(outcome: object) -> CardRefusal:
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


def an_open_session(sessions: OnlineSessions, bureau: Bureau) -> tuple[bytes, bytes]:
    begun = started(a_record(bureau.kind), a_ring())
    assert isinstance(begun, Next)
    assert sessions.add(begun, now_ms=START_MS) is None
    bureau.card.tap()
    return begun.session.session_id, begun.apdu


def a_proven_session(sessions: OnlineSessions, bureau: Bureau) -> bytes:
    name, apdu = an_open_session(sessions, bureau)
    step: object = None
    while not isinstance(step, Proven):
        step = sessions.answer(name, bureau.card.transmit(apdu), SALE, now_ms=START_MS)
        assert not isinstance(step, Refused)
        apdu = step.apdu if isinstance(step, Next) else b""
    return name


@every_kind
def test_a_proof_is_claimed_once_for_the_sale_that_it_was_made_for(kind: Kind) -> None:
    sessions = OnlineSessions()
    name = a_proven_session(sessions, a_members_card(kind))
    claimed = sessions.claim(name, SALE.acquirer, SALE.amount, SALE.unit, now_ms=START_MS)
    assert isinstance(claimed, Proven)
    again = sessions.claim(name, SALE.acquirer, SALE.amount, SALE.unit, now_ms=START_MS)
    assert reason(again) is CardRefusal.REPLAYED


@pytest.mark.parametrize(
    "wrong", [("saffron", SALE.amount, "IRR"), ("pistachio", 1, "IRR"), ("pistachio", SALE.amount, "P")]
)
def test_a_proof_claimed_for_another_sale_is_gone(wrong: tuple[str, int, str]) -> None:
    sessions = OnlineSessions()
    name = a_proven_session(sessions, a_members_card(NTAG))
    assert reason(sessions.claim(name, *wrong, now_ms=START_MS)) is CardRefusal.WRONG_SALE
    again = sessions.claim(name, SALE.acquirer, SALE.amount, SALE.unit, now_ms=START_MS)
    assert reason(again) is CardRefusal.REPLAYED


def test_a_proof_waits_a_minute_and_no_longer() -> None:
    sessions = OnlineSessions()
    name = a_proven_session(sessions, a_members_card(NTAG))
    late = sessions.claim(name, SALE.acquirer, SALE.amount, SALE.unit, now_ms=START_MS + 60_000)
    assert reason(late) is CardRefusal.EXPIRED_SESSION


def test_an_answer_is_taken_once() -> None:
    sessions, bureau = OnlineSessions(), a_members_card(NTAG)
    name, apdu = an_open_session(sessions, bureau)
    answer = bureau.card.transmit(apdu)
    step = sessions.answer(name, answer, SALE, now_ms=START_MS)
    assert isinstance(step, Next)
    assert step.session.stage is Stage.KEY_VERSION
    assert isinstance(sessions.answer(name, b"\x6f\x00", SALE, now_ms=START_MS), Refused)
    assert reason(sessions.answer(name, answer, SALE, now_ms=START_MS)) is CardRefusal.SESSION_OVER


def test_conversations_are_bounded_and_expired_ones_make_room() -> None:
    sessions = OnlineSessions(max_sessions=2)
    begun = [started(a_record(NTAG), a_ring()) for _ in range(4)]
    refused = [sessions.add(one, now_ms=START_MS) for one in begun[:3] if isinstance(one, Next)]
    assert refused == [None, None, Refused(CardRefusal.CARD_BUSY)]
    last = begun[3]
    assert isinstance(last, Next)
    assert sessions.add(last, now_ms=START_MS + SESSION_TTL_MS) is None
    assert len(sessions) == 1
