"""What partners ask about a member of this node's before a sale: a code to be sent, and what may be spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.actors.home_booking import Seat, elsewhere, seat_of
from node.actors.home_cards import card_stepped
from node.actors.home_lanes import Life
from node.actors.turn import Opening
from node.coalition import proofs
from node.coalition.card_messages import CardStep
from node.coalition.directory import may_begin
from node.coalition.envelopes import Draft
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
)
from node.storage import coalition_keys as keys
from node.wire import coalition_store as store
from node.wire.coalition import Carried, carried_bytes
from node.wire.coalition_records import CodeToSend, Said
from node.wire.commands import Answer

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


def kept_proofs(opening: Opening, account_id: bytes) -> proofs.ProofState:
    """What is kept of a member's proofs, in the partition of the account that pays."""
    data = None
    if account_id:
        data = opening.work.get(keys.member_proof_key(opening.partition.number, account_id))
    return proofs.ProofState() if data is None else store.PROOFS.decode(data)
