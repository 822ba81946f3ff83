"""What a member's proof is worth, and that it is worth it once."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.coalition import proofs
from node.coalition.envelopes import AppAnswer, MemberProof
from node.coalition.proofs import ProofKind, ProofRule, ProofRules, ProofState, Sale, Secrets, Verdict

NOW_MS = 1_800_000_000_000
CODES, APP = b"codes", b"app secret"
SECRETS = Secrets(CODES, APP)
NONCE = b"nonce678"
STEP = NOW_MS // proofs.STEP_MS


def sale(units: int = 100, acquirer: str = "saffron", now_ms: int = NOW_MS) -> Sale:
    return Sale(acquirer, units, now_ms)


def challenged(code: str = "123456", ceiling: int = 100, acquirer: str = "saffron") -> ProofState:
    state = proofs.challenge(ProofState(), acquirer, ceiling, code, CODES, NOW_MS)
    assert state is not None
    return state


def by_code(code: str) -> MemberProof:
    return MemberProof(confirmation_code=code)


def by_app(
    ceiling: int = 100, acquirer: str = "saffron", step: int = STEP, nonce: bytes = NONCE, chars: int = 26
) -> MemberProof:
    code = proofs.app_answer(APP, acquirer, ceiling, nonce, step)[:chars]
    return MemberProof(app_answer=AppAnswer(code, nonce, ceiling, step))


# --- codes
# ----------------------------------------------------------------------------------------------------


def test_a_code_is_good_once() -> None:
    verdict, after = proofs.check(challenged(), by_code("123456"), sale(), SECRETS)
    assert verdict is Verdict.GOOD
    assert proofs.check(after, by_code("123456"), sale(), SECRETS)[0] is Verdict.WRONG


def test_a_code_for_another_acquirer_or_a_smaller_amount_is_refused_and_used_up() -> None:
    state = challenged(ceiling=100)
    assert proofs.check(state, by_code("123456"), sale(acquirer="zagros"), SECRETS) == (Verdict.WRONG, state)
    verdict, after = proofs.check(state, by_code("123456"), sale(101), SECRETS)
    assert verdict is Verdict.OTHER_SALE
    assert after.challenges == ()


def test_a_code_is_not_guessed() -> None:
    state = challenged()
    for _ in range(proofs.CODE_TRIES):
        verdict, state = proofs.check(state, by_code("000000"), sale(), SECRETS)
        assert verdict is Verdict.WRONG
    assert proofs.check(state, by_code("123456"), sale(), SECRETS)[0] is Verdict.EXHAUSTED


def test_a_code_expires() -> None:
    late = sale(now_ms=NOW_MS + proofs.CODE_TTL_MS)
    assert proofs.check(challenged(), by_code("123456"), late, SECRETS)[0] is Verdict.EXPIRED


def test_codes_are_not_sent_in_a_flood_and_a_new_one_replaces_the_old() -> None:
    state = challenged()
    assert proofs.challenge(state, "saffron", 100, "222222", CODES, NOW_MS + 29_999) is None
    newer = proofs.challenge(state, "saffron", 100, "222222", CODES, NOW_MS + 30_000)
    assert newer is not None
    later = sale(now_ms=NOW_MS + 30_001)
    assert proofs.check(newer, by_code("123456"), later, SECRETS)[0] is Verdict.WRONG
    assert proofs.check(newer, by_code("222222"), later, SECRETS)[0] is Verdict.GOOD


def test_a_member_has_a_bounded_number_of_open_codes() -> None:
    state = ProofState()
    for number in range(proofs.MAX_CHALLENGES + 5):
        state = proofs.challenge(state, f"shop-{number}", 1, "123456", CODES, NOW_MS) or state
    assert len(state.challenges) == proofs.MAX_CHALLENGES


def test_what_is_kept_of_a_code_is_keyed_and_binds_acquirer_and_ceiling() -> None:
    kept = {
        proofs.code_digest(key, who, ceiling, "123456")
        for key in (CODES, b"other")
        for who in ("saffron", "zagros")
        for ceiling in (1, 2)
    }
    assert len(kept) == 8


# --- the app
# --------------------------------------------------------------------------------------------------


def test_the_apps_answer_is_the_hmac_that_the_page_says() -> None:
    said = b"vafa app answer v1\x00" + STEP.to_bytes(8, "big") + (100).to_bytes(8, "big") + NONCE + b"saffron"
    number = int.from_bytes(hmac.digest(APP, said, "sha256")[:16], "big") << 2
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    expected = "".join(alphabet[number >> 5 * at & 31] for at in reversed(range(26)))
    assert proofs.app_answer(APP, "saffron", 100, NONCE, STEP) == expected


@pytest.mark.parametrize("chars", [8, 12, 26])
def test_an_answer_is_good_once_however_much_of_it_is_typed(chars: int) -> None:
    verdict, after = proofs.check(ProofState(), by_app(chars=chars), sale(), SECRETS)
    assert verdict is Verdict.GOOD
    assert proofs.check(after, by_app(chars=26), sale(), SECRETS)[0] is Verdict.USED


@pytest.mark.parametrize(
    ("proof", "verdict"),
    [
        (by_app(acquirer="zagros"), Verdict.WRONG),
        (by_app(chars=7), Verdict.WRONG),
        (by_app(nonce=b"short"), Verdict.WRONG),
        (by_app(step=STEP - proofs.STEPS_BACK - 1), Verdict.EXPIRED),
        (by_app(step=STEP + proofs.STEPS_AHEAD + 1), Verdict.EXPIRED),
        (by_app(step=STEP - proofs.STEPS_BACK), Verdict.GOOD),
        (by_app(ceiling=99), Verdict.OTHER_SALE),
        (MemberProof(pin="1234"), Verdict.NOT_ABROAD),
        (MemberProof(card_cryptogram=b"x"), Verdict.WRONG),
        (MemberProof(), Verdict.MISSING),
        (MemberProof(confirmation_code="1", pin="2"), Verdict.MISSING),
        (None, Verdict.MISSING),
    ],
)
def test_what_spends_abroad_and_what_does_not(proof: MemberProof | None, verdict: Verdict) -> None:
    assert proofs.check(ProofState(), proof, sale(), SECRETS)[0] is verdict


def test_an_answer_that_is_sent_on_to_a_pool_stays_good_for_that_very_request() -> None:
    answer = by_app().app_answer
    assert answer is not None
    verdict, after = proofs.check_answer(ProofState(), answer, sale(), APP, b"use one")
    assert verdict is Verdict.GOOD
    assert proofs.check_answer(after, answer, sale(), APP, b"use one") == (Verdict.GOOD, after)
    for other in (b"use two", b""):
        assert proofs.check_answer(after, answer, sale(), APP, other)[0] is Verdict.USED


def test_an_account_that_pays_itself_finds_its_answer_used_whatever_request_comes() -> None:
    answer = by_app().app_answer
    assert answer is not None
    _, after = proofs.check_answer(ProofState(), answer, sale(), APP)
    for use in (b"", b"use one"):
        assert proofs.check_answer(after, answer, sale(), APP, use)[0] is Verdict.USED


def test_a_pool_takes_the_word_of_the_members_own_account() -> None:
    for good_until_ms, verdict in ((NOW_MS, Verdict.GOOD), (0, Verdict.WRONG)):
        word = Secrets(CODES, APP, good_until_ms, handed_on=True)
        assert proofs.check(ProofState(), by_app(), sale(), word) == (verdict, ProofState())


def test_an_answer_that_was_raised_in_amount_no_longer_holds() -> None:
    honest = by_app(ceiling=100)
    assert honest.app_answer is not None
    raised = MemberProof(app_answer=AppAnswer(honest.app_answer.code, NONCE, 1_000, STEP))
    assert proofs.check(ProofState(), raised, sale(1_000), SECRETS)[0] is Verdict.WRONG


def test_no_more_answers_are_remembered_than_bounded_and_the_rest_is_refused() -> None:
    state = ProofState()
    for number in range(proofs.MAX_CONSUMED):
        verdict, state = proofs.check(state, by_app(nonce=number.to_bytes(8, "big")), sale(), SECRETS)
        assert verdict is Verdict.GOOD
    assert proofs.check(state, by_app(), sale(), SECRETS)[0] is Verdict.EXHAUSTED
    later = NOW_MS + 10 * proofs.STEP_MS
    fresh = by_app(step=later // proofs.STEP_MS)
    assert proofs.check(state, fresh, sale(now_ms=later), SECRETS)[0] is Verdict.GOOD


@given(st.text(alphabet="0123456789abcdefghijklmnopqrstuvwxyz -", max_size=40))
def test_a_typed_code_is_read_as_crockford_means_it(text: str) -> None:
    folded = proofs.typed(text)
    assert proofs.typed(folded) == folded
    assert not set(folded) & set("OIL -")


def test_a_card_cryptogram_is_good_once_where_the_verifier_of_cards_says_so() -> None:
    proof, secrets = MemberProof(card_cryptogram=b"tap"), Secrets(CODES, APP, NOW_MS + 1_000)
    verdict, after = proofs.check(ProofState(), proof, sale(), secrets)
    assert verdict is Verdict.GOOD
    assert proofs.check(after, proof, sale(), secrets)[0] is Verdict.USED


# --- limits and PIN
# -------------------------------------------------------------------------------------------


def test_each_kind_of_proof_has_its_limit_in_a_transaction_and_in_a_day() -> None:
    rules = ProofRules(confirmation_code=ProofRule(100, 150))
    state = proofs.count(ProofState(), ProofKind.CONFIRMATION_CODE, 100, 20_000)
    fits = [
        proofs.within_limits(state, kind, units, day, rules)
        for kind, units, day in (
            (ProofKind.CONFIRMATION_CODE, 50, 20_000),
            (ProofKind.CONFIRMATION_CODE, 51, 20_000),
            (ProofKind.CONFIRMATION_CODE, 100, 20_001),
            (ProofKind.CONFIRMATION_CODE, 101, 20_001),
            (ProofKind.APP_ANSWER, 1, 20_000),
            (ProofKind.PIN, 1, 20_000),
        )
    ]
    assert fits == [True, False, True, False, False, False]


def test_days_before_yesterday_are_forgotten() -> None:
    state = ProofState()
    for day in range(20_000, 20_010):
        state = proofs.count(state, ProofKind.APP_ANSWER, 1, day)
    assert len(state.days) == 2


def test_a_code_that_was_typed_in_persian_or_arabic_digits_is_the_same_code() -> None:
    for typed in ("۱۲۳۴۵۶", "١٢٣٤٥٦", " 123456 "):
        assert proofs.check(challenged(), by_code(typed), sale(), SECRETS)[0] is Verdict.GOOD


def test_no_repr_shows_a_proof_or_a_secret() -> None:
    shown = repr(by_code("123456")) + repr(by_app()) + repr(SECRETS)
    assert "123456" not in shown
    assert "app secret" not in shown
