"""How a member agrees to spend abroad, and why a merchant that lies cannot drain a balance.

Without the member's proof a rogue acquirer could spend any balance whose card it has seen. A PIN alone
never spends abroad, and neither does a code that says nothing of the sale: the rogue till sees both. What
does:

- a confirmation code, which the home node itself sends to the member in words that name acquirer and amount;
- the member's app, which answers the till's nonce for one acquirer and a ceiling (below);
- a chip card's cryptogram over the sale, verified by a port that cards fill.

A proof is consumed at the first RESERVE that carries it, whatever becomes of that. A till that lies on its
display is limited by caps and limits, not by cryptography.

    app answer = HMAC-SHA-256(secret, "vafa app answer v1" 0x00, step, ceiling, nonce, acquirer id)
with step and ceiling as 8 bytes big-endian and a nonce of 8 bytes; the code is its first 16 bytes in
Crockford's base 32, of which at least the first 8 characters are shown.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from node.coalition.envelopes import AppAnswer, MemberProof

CODE_DIGITS = 6
CODE_TRIES = 5
"""Wrong codes that a challenge bears."""
CODE_TTL_MS = 300_000
MAX_CHALLENGES = 8
"""Challenges of one member that are open at a time, over all acquirers; the oldest gives way."""
CHALLENGE_PAUSE_MS = 30_000
"""Between two challenges of one member's by one acquirer: a flood of messages is no proof of anything."""

STEP_MS = 30_000
STEPS_BACK, STEPS_AHEAD = 4, 1
"""How many 30-second steps the app's clock may lag, with the time that typing takes, or lead."""
NONCE_BYTES = 8
ANSWER_BYTES = 16
ANSWER_CHARS_MIN = 8
ANSWER_CHARS = 26
MAX_CONSUMED = 64
"""Answers of one member that are remembered as consumed; more within their steps are refused unseen."""

_DIGITS = str.maketrans("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩", "0123456789" * 2)
"""What a cashier's keyboard makes of the digits that the member reads out."""
TAP_LIMIT = "tap_limit"
REPLAYED = "replayed"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ANSWER_TAG = b"vafa app answer v1\x00"
_CODE_TAG = b"vafa confirmation code v1\x00"


class ProofKind(StrEnum):
    """The ways to prove, by the field of MemberProof."""

    CONFIRMATION_CODE = "confirmation_code"
    APP_ANSWER = "app_answer"
    PIN = "pin"
    CARD_CRYPTOGRAM = "card_cryptogram"


ABROAD = frozenset({ProofKind.CONFIRMATION_CODE, ProofKind.APP_ANSWER, ProofKind.CARD_CRYPTOGRAM})
"""What may spend abroad, each by itself."""


class Verdict(StrEnum):
    """What a proof is worth."""

    GOOD = "good"
    MISSING = "missing"
    NOT_ABROAD = "not_abroad"
    WRONG = "wrong"
    EXPIRED = "expired"
    USED = "used"
    EXHAUSTED = "exhausted"
    """Too many wrong ones."""
    OTHER_SALE = "other_sale"
    """It says another acquirer, or less than the amount."""


class Challenge(Struct, frozen=True, array_like=True):
    """A code that was sent: for whom, up to how much, until when. `digest` is keyed; the code is not kept."""

    acquirer_id: str
    ceiling_units: int
    digest: bytes
    sent_ms: int
    expires_ms: int
    tries_left: int = CODE_TRIES


class Consumed(Struct, frozen=True, array_like=True):
    """An app answer or cryptogram that was used, until it could not be good any more anyway.

    `use` names the RESERVE that a pool was sent with an app's answer; the same one that comes again finds
    the answer still good.
    """

    digest: bytes
    until_ms: int
    use: bytes = b""


class DayCount(Struct, frozen=True, array_like=True):
    """Units that a kind of proof has spent in one local day."""

    proof: str
    day: int
    units: int


class ProofState(Struct, frozen=True, array_like=True):
    """What the home node keeps of one member's proofs, durable with the account."""

    challenges: tuple[Challenge, ...] = ()
    consumed: tuple[Consumed, ...] = ()
    days: tuple[DayCount, ...] = ()


class ProofRule(Struct, frozen=True):
    """What the home programme lets one kind of proof spend abroad, in units."""

    transaction_units: int
    day_units: int


class ProofRules(Struct, frozen=True):
    """The home programme's rules by kind of proof; a kind without a rule spends nothing."""

    confirmation_code: ProofRule | None = None
    app_answer: ProofRule | None = None
    card_cryptogram: ProofRule | None = None

    def rule(self, kind: ProofKind) -> ProofRule | None:
        """The rule of a kind."""
        return getattr(self, kind, None) if kind in ABROAD else None


class Sale(Struct, frozen=True):
    """What a proof must be for."""

    acquirer_id: str
    units: int
    now_ms: int


def kind_of(proof: MemberProof | None) -> ProofKind | None:
    """Which proof it is; None where there is none, or more than one."""
    if proof is None:
        return None
    given = [kind for kind in ProofKind if getattr(proof, kind)]
    return given[0] if len(given) == 1 else None


# --- confirmation codes ------------------------------------------------------------------------------------


def challenge(
    state: ProofState, acquirer_id: str, ceiling_units: int, code: str, secret: bytes, now_ms: int
) -> ProofState | None:
    """The state with one more open code, which the caller sends; None where one was sent a moment ago.

    `code` is CODE_DIGITS random digits. An earlier code for the same acquirer is good no more.
    """
    alive = [one for one in state.challenges if one.expires_ms > now_ms]
    if any(one.acquirer_id == acquirer_id and now_ms - one.sent_ms < CHALLENGE_PAUSE_MS for one in alive):
        return None
    others = tuple(one for one in alive if one.acquirer_id != acquirer_id)[-(MAX_CHALLENGES - 1) :]
    digest = code_digest(secret, acquirer_id, ceiling_units, code)
    new = Challenge(acquirer_id, ceiling_units, digest, now_ms, now_ms + CODE_TTL_MS)
    return replace(state, challenges=(*others, new))


def code_digest(secret: bytes, acquirer_id: str, ceiling_units: int, code: str) -> bytes:
    """What is kept of a code. Keyed: six digits are guessed in no time by whoever reads the disk."""
    ceiling = ceiling_units.to_bytes(8, "big")
    return hmac.digest(secret, _CODE_TAG + ceiling + code.encode() + b"\x00" + acquirer_id.encode(), "sha256")


def _check_code(state: ProofState, code: str, sale: Sale, secret: bytes) -> tuple[Verdict, ProofState]:
    mine = next((one for one in state.challenges if one.acquirer_id == sale.acquirer_id), None)
    if mine is None:
        return Verdict.WRONG, state
    others = tuple(one for one in state.challenges if one is not mine)
    if mine.expires_ms <= sale.now_ms:
        return Verdict.EXPIRED, replace(state, challenges=others)
    if mine.tries_left <= 0:
        return Verdict.EXHAUSTED, state
    read_out = code.strip().translate(_DIGITS)
    digest = code_digest(secret, mine.acquirer_id, mine.ceiling_units, read_out)
    if not hmac.compare_digest(digest, mine.digest):
        worn = replace(mine, tries_left=mine.tries_left - 1)
        return Verdict.WRONG, replace(state, challenges=(*others, worn))
    consumed = replace(state, challenges=others)
    return (Verdict.GOOD if sale.units <= mine.ceiling_units else Verdict.OTHER_SALE), consumed


# --- the app's answer --------------------------------------------------------------------------------------


def app_answer(secret: bytes, acquirer_id: str, ceiling_units: int, nonce: bytes, time_step: int) -> str:
    """The code that the app shows, all ANSWER_CHARS characters of it."""
    said = time_step.to_bytes(8, "big") + ceiling_units.to_bytes(8, "big") + nonce
    code = hmac.digest(secret, _ANSWER_TAG + said + acquirer_id.encode(), "sha256")[:ANSWER_BYTES]
    number = int.from_bytes(code, "big") << (ANSWER_CHARS * 5 - ANSWER_BYTES * 8)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range((ANSWER_CHARS - 1) * 5, -1, -5))


def typed(code: str) -> str:
    """A code as it was typed, in the form in which it is compared: Crockford's letters, digits of any
    script, no spaces or hyphens.
    """
    folded = code.translate(_DIGITS).upper().translate({ord(char): None for char in " -"})
    return folded.translate(str.maketrans("OIL", "011"))


def check_answer(
    state: ProofState, answer: AppAnswer, sale: Sale, secret: bytes, use: bytes = b""
) -> tuple[Verdict, ProofState]:
    """What an app's answer is worth for a sale abroad, and the member's state after it.

    `use`: of the RESERVE that the member's own account sends on to the pool that pays; empty where it pays.
    """
    step = sale.now_ms // STEP_MS
    code = typed(answer.code)
    sound = (
        ANSWER_CHARS_MIN <= len(code) <= ANSWER_CHARS
        and len(answer.nonce) == NONCE_BYTES
        and 0 <= answer.ceiling_units < 1 << 63
        and secret
    )
    if not sound:
        return Verdict.WRONG, state
    if not -STEPS_BACK <= answer.time_step - step <= STEPS_AHEAD:
        return Verdict.EXPIRED, state
    right = app_answer(secret, sale.acquirer_id, answer.ceiling_units, answer.nonce, answer.time_step)
    if not hmac.compare_digest(right[: len(code)].encode(), code.encode()):
        return Verdict.WRONG, state
    until_ms = (answer.time_step + STEPS_BACK + 1) * STEP_MS
    verdict, state = _consume(state, right.encode(), until_ms, sale.now_ms, use)
    if verdict is Verdict.GOOD and sale.units > answer.ceiling_units:
        return Verdict.OTHER_SALE, state
    return verdict, state


def _consume(
    state: ProofState, proof: bytes, until_ms: int, now_ms: int, use: bytes = b""
) -> tuple[Verdict, ProofState]:
    digest = hashlib.sha256(proof).digest()[:16]
    alive = tuple(one for one in state.consumed if one.until_ms > now_ms)
    before = next((one for one in alive if one.digest == digest), None)
    if before is not None:
        again = bool(use) and before.use == use
        return Verdict.GOOD if again else Verdict.USED, replace(state, consumed=alive)
    if len(alive) >= MAX_CONSUMED:
        return Verdict.EXHAUSTED, replace(state, consumed=alive)
    return Verdict.GOOD, replace(state, consumed=(*alive, Consumed(digest, until_ms, use)))


# --- all of them -------------------------------------------------------------------------------------------


class Secrets(Struct, frozen=True):
    """What the home node knows: the node's own secret for codes, the member's app's, and the card's verdict.

    `good_until_ms` is what the verifier of cards found: 0 means that it holds for nothing (or that there is
    no such verifier); else until when the cryptogram could come again. `refusal` is the name of what is wrong
    with it; `TAP_LIMIT` where it is true and alone does not spend so much.

    `handed_on`: a pool pays, and that is the word of the member's own account on an app's answer too.
    """

    codes: bytes
    app: bytes = b""
    good_until_ms: int = 0
    refusal: str = ""
    handed_on: bool = False

    def __repr__(self) -> str:
        return "Secrets(...)"


def check(
    state: ProofState, proof: MemberProof | None, sale: Sale, secrets: Secrets
) -> tuple[Verdict, ProofState]:
    """What a proof is worth for a sale abroad, and the member's state after it: consumed, or one try fewer.

    The state is to be kept whatever the verdict and whatever becomes of the RESERVE.
    """
    kind = kind_of(proof)
    if proof is None or kind is None:
        return Verdict.MISSING, state
    if kind is ProofKind.PIN:
        return Verdict.NOT_ABROAD, state
    if kind is ProofKind.CONFIRMATION_CODE:
        return _check_code(state, proof.confirmation_code, sale, secrets.codes)
    if kind is ProofKind.APP_ANSWER:
        assert proof.app_answer is not None
        if secrets.handed_on:
            return (Verdict.GOOD if secrets.good_until_ms else Verdict.WRONG), state
        return check_answer(state, proof.app_answer, sale, secrets.app)
    if not secrets.good_until_ms:
        return Verdict.WRONG, state
    return _consume(state, proof.card_cryptogram, secrets.good_until_ms, sale.now_ms)


def within_limits(state: ProofState, kind: ProofKind, units: int, day: int, rules: ProofRules) -> bool:
    """Whether a kind of proof may spend `units` in one transaction, and on that local day."""
    rule = rules.rule(kind)
    if rule is None or units > rule.transaction_units:
        return False
    return counted(state, kind, day) + units <= rule.day_units


def counted(state: ProofState, kind: ProofKind, day: int) -> int:
    """The units that a kind of proof has spent on a local day."""
    return sum(one.units for one in state.days if one.proof == kind and one.day == day)


def count(state: ProofState, kind: ProofKind, units: int, day: int) -> ProofState:
    """Counts a spend on its local day, and forgets all days before the one before."""
    kept = tuple(one for one in state.days if one.day >= day - 1 and (one.proof, one.day) != (kind, day))
    return replace(state, days=(*kept, DayCount(kind, day, counted(state, kind, day) + units)))
