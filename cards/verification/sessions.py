"""The conversations with cards that are under way at a home node, and those that ended well and wait to be
used.

In memory only: a node that restarts has forgotten them, and the card is put on the reader again. Not safe for
threads: one owner calls it.
"""

from collections import OrderedDict
from dataclasses import dataclass

from cards.verification.online import Next, OnlineSession, Step, advance
from cards.verification.outcome import CardRefusal, Proven, Refused
from cards.verification.sale import Sale

MAX_SESSIONS = 10_000
"""Conversations and unused proofs together; more are refused until some end or expire."""
PROOF_TTL_MS = 60_000
"""How long a good proof waits for the reservation that it is for."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    proven: Proven
    sale: Sale
    until_ms: int


class OnlineSessions:
    """Each session takes one answer at a time and each proof is claimed once, whatever is repeated or
    raced.
    """

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self._max_sessions = max_sessions
        self._open: dict[bytes, OnlineSession] = {}
        self._proven: dict[bytes, _Waiting] = {}
        self._claimed: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open) + len(self._proven)

    def add(self, begun: Next, *, now_ms: int) -> Refused | None:
        """Keep a conversation that `begin` began; CARD_BUSY when there are too many."""
        if len(self) >= self._max_sessions:
            self._forget_expired(now_ms)
        if len(self) >= self._max_sessions:
            return Refused(CardRefusal.CARD_BUSY)
        self._open[begun.session.session_id] = begun.session
        return None

    def sale_of(self, session_id: bytes) -> Sale | None:
        """What an open conversation is about; None for one that is not open."""
        session = self._open.get(session_id)
        return None if session is None else session.sale

    def answer(self, session_id: bytes, answer: bytes, sale: Sale, *, now_ms: int) -> Step:
        """Take the card's answer: what to send next, or how it ended. SESSION_OVER for a session that is not
        open.
        """
        # Out before it is used: a second answer to the same command finds nothing.
        session = self._open.pop(session_id, None)
        if session is None:
            return Refused(CardRefusal.SESSION_OVER)
        step = advance(session, answer, sale, now_ms=now_ms)
        if isinstance(step, Next):
            self._open[session_id] = step.session
        elif isinstance(step, Proven):
            self._proven[session_id] = _Waiting(step, sale, now_ms + PROOF_TTL_MS)
        return step

    def claim(
        self, session_id: bytes, acquirer: str, amount: int, unit: str, *, now_ms: int
    ) -> Proven | Refused:
        """Use up the proof of a session, for the sale that it was made for. It is gone, whatever comes of
        it. REPLAYED for one that was claimed before, as far back as is remembered.
        """
        waiting = self._proven.pop(session_id, None)
        if waiting is None:
            known = session_id in self._claimed
            return Refused(CardRefusal.REPLAYED if known else CardRefusal.SESSION_OVER)
        self._claimed[session_id] = None
        if len(self._claimed) > self._max_sessions:
            self._claimed.popitem(last=False)
        if now_ms >= waiting.until_ms:
            return Refused(CardRefusal.EXPIRED_SESSION)
        if (waiting.sale.acquirer, waiting.sale.amount, waiting.sale.unit) != (acquirer, amount, unit):
            return Refused(CardRefusal.WRONG_SALE)
        return waiting.proven

    def _forget_expired(self, now_ms: int) -> None:
        self._open = {name: one for name, one in self._open.items() if one.expires_ms > now_ms}
        self._proven = {name: one for name, one in self._proven.items() if one.until_ms > now_ms}
