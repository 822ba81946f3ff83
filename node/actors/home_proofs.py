"""What partners ask about a member of this node's before a sale: a code to be sent, and what may be spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.actors import card_proofs
from node.actors.home_booking import Seat, elsewhere, seat_of
from node.actors.home_cards import card_proof, card_proved, card_stepped
from node.actors.home_lanes import Life
from node.actors.turn import Opening
from node.coalition import proofs
from node.coalition.card_messages import CardStep
from node.coalition.directory import may_begin
from node.coalition.envelopes import Draft, Message
from node.coalition.messages import (
    LANE_UNKNOWN,
    Body,
    Challenge,
    Challenged,
    ExchangeReason,
    Inquire,
    Inquired,
    MessageType,
    ProofLimit,
    Reserve,
)
from node.storage import coalition_keys as keys
from node.wire import coalition_store as store
from node.wire.card_words import ProofFound, proof_found, proof_found_bytes
from node.wire.coalition import Carried, carried_bytes
from node.wire.coalition_records import POOL_HOLDER, CodeToSend, Said
from node.wire.commands import Answer, AnswerKind

if TYPE_CHECKING:
    from node.actors.abroad import Abroad
    from node.actors.home import HomeSide


QUESTIONS = frozenset({MessageType.CHALLENGE, MessageType.INQUIRE, MessageType.CARD_STEP})


class HomeProofs:
    """CHALLENGE, INQUIRE and CARD_STEP. All are signed on no lane, and change nothing of a balance."""

    def __init__(self, abroad: Abroad, side: HomeSide) -> None:
        self._abroad = abroad
        self._side = side

    def asked(self, opening: Opening, life: Life, carried: Carried) -> Answer | None:
        """A question about a member; one that is older than the freshness bound is refused."""
        message = carried.message
        bounds = self._abroad.directory.bounds
        if abs(opening.work.clock_ms - message.header.issue_time_ms) > bounds.freshness_ms:
            self._side.refuse(opening, life, message, ExchangeReason.STALE)
            return None
        if not may_begin(self._abroad.directory, life.partner_id, spending=True):
            self._side.refuse(opening, life, message, ExchangeReason.NOT_A_PARTNER)
            return None
        seat = seat_of(self._abroad, opening, opening.command.account_id)
        moved = elsewhere(seat, opening.command, message)
        if moved is not None:
            return moved
        body = message.body
        if isinstance(body, Challenge):
            answer: Body = self._challenge(opening, life, seat, carried, body)
            type_ = MessageType.CHALLENGED
        elif isinstance(body, CardStep):
            answer = card_stepped(self._abroad, opening, seat, life.partner_id, body)
            type_ = MessageType.CARD_STEPPED
        else:
            assert isinstance(body, Inquire)
            answer, type_ = self._inquire(opening, life, seat), MessageType.INQUIRED
        draft = Draft(type_, LANE_UNKNOWN, 0, message.header.exchange_id, answer)
        sealed = self._abroad.seal(draft, life.partner_id, opening.work.clock_ms)
        opening.says.append(Said(life.partner_id, carried_bytes(sealed)))
        return None

    def _challenge(
        self, opening: Opening, life: Life, seat: Seat, carried: Carried, body: Challenge
    ) -> Challenged:
        """Makes a code for the member, if there is one; the answer does not tell."""
        now_ms = opening.work.clock_ms
        answer = Challenged(now_ms + proofs.CODE_TTL_MS)
        if seat.account is None or not seat.usable:
            return answer
        number = int.from_bytes(self._abroad.entropy(8), "big") % 10**proofs.CODE_DIGITS
        code = str(number).zfill(proofs.CODE_DIGITS)
        state = kept_proofs(opening, seat.prover_id)
        codes = self._abroad.secrets.codes
        state_after = proofs.challenge(state, life.partner_id, body.ceiling_units, code, codes, now_ms)
        if state_after is None:  # one was sent a moment ago
            return answer
        key = keys.member_proof_key(opening.partition.number, seat.prover_id)
        opening.work.put(key, store.PROOFS.encode(state_after))
        opening.codes.append(
            CodeToSend(
                seat.prover_id,
                carried.identifier_kind,
                carried.identifier,
                life.partner_id,
                body.ceiling_units,
                code,
                answer.expire_time_ms,
            )
        )
        return answer

    def _inquire(self, opening: Opening, life: Life, seat: Seat) -> Inquired:
        """What a member may spend abroad, and with which proof."""
        if seat.account is None:
            return Inquired(-1, b"", (), ExchangeReason.MEMBER_NOT_FOUND)
        spec = self._abroad.spec
        rules = self._abroad.rules(opening.work.clock_ms)
        limits = []
        for kind in sorted(proofs.ABROAD):
            rule = rules.rule(kind)
            if rule is not None:
                limits.append(ProofLimit(kind.value, rule.transaction_units))
        purse = seat.account.purse(self._abroad.directory.purse.code)
        spendable = max(0, purse.spendable) if spec.tells_balance else -1
        name = self._abroad.pseudonym(life.partner_id, seat.account_id)
        return Inquired(spendable, name, tuple(limits), ExchangeReason.UNSPECIFIED)


def hand_on(abroad: Abroad, opening: Opening, carried: Carried, moved: Answer) -> Answer:
    """The answer that sends a RESERVE on to the pool that pays, with what became here of its proof.

    A card's cryptogram and an app's answer are good once, whoever pays: the member's own account judges them,
    so that joining or leaving a pool makes none of them good again. The same RESERVE that comes again is told
    the same: the pool knows it, or has not heard of it yet.
    """
    body = carried.message.body
    if moved.kind != AnswerKind.POOLED or not isinstance(body, Reserve):
        return moved
    seat = seat_of(abroad, opening, opening.command.account_id)
    use = use_of(carried.message)
    if card_proof(carried):
        found = card_proved(abroad, opening, seat, carried, use)
    elif carried.proof is not None and proofs.kind_of(carried.proof) is proofs.ProofKind.APP_ANSWER:
        found = _answered(abroad, opening, seat, carried, body.units, use)
    else:
        return moved
    return Answer(AnswerKind.POOLED, moved.body + proof_found_bytes(found))


def _answered(
    abroad: Abroad, opening: Opening, seat: Seat, carried: Carried, units: int, use: bytes
) -> ProofFound:
    """What an app's answer is worth; kept as used in the partition of the member's own account."""
    assert carried.proof is not None, "the caller has looked"
    answer, now_ms = carried.proof.app_answer, opening.work.clock_ms
    assert answer is not None, "the caller has looked"
    sale = proofs.Sale(carried.message.header.sender_id, units, now_ms)
    state = kept_proofs(opening, seat.account_id)
    verdict, after = proofs.check_answer(state, answer, sale, abroad.secrets.app(seat.account_id), use)
    if after != state:
        key = keys.member_proof_key(opening.partition.number, seat.account_id)
        opening.work.put(key, store.PROOFS.encode(after))
    return ProofFound(now_ms) if verdict is proofs.Verdict.GOOD else ProofFound(0, verdict.name)


def use_of(message: Message) -> bytes:
    """What a proof is used up for: this request, however often it comes, and no other."""
    header = message.header
    return card_proofs.use_of(header.sender_id, header.exchange_id, header.body_hash)


def found_by(opening: Opening) -> ProofFound | None:
    """What the member's own account found of a proof; None where this account is the member's own."""
    extra = opening.command.extra
    return proof_found(POOL_HOLDER.decode(extra).found) if extra else None


def secrets_of(abroad: Abroad, seat: Seat, found: ProofFound | None) -> proofs.Secrets:
    """What this node knows of the proofs of the member who spends, beside what was `found` of this one."""
    own, word = abroad.secrets, found or ProofFound()
    handed_on = seat.prover_id != seat.account_id
    app = own.app(seat.prover_id)
    return proofs.Secrets(own.codes, app, word.good_until_ms, word.refusal, handed_on=handed_on)


def kept_proofs(opening: Opening, account_id: bytes) -> proofs.ProofState:
    """What is kept of a member's proofs, in the partition of the account that pays."""
    data = None
    if account_id:
        data = opening.work.get(keys.member_proof_key(opening.partition.number, account_id))
    return proofs.ProofState() if data is None else store.PROOFS.decode(data)
