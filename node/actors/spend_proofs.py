"""What a member proves at this merchant's own tills, whatever proves it: a chip card, or a PIN.

The account that the member's identifier leads to judges. Where a pool pays, the pool takes its word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.actors import card_proofs, pin_proofs
from node.wire import card_words as words

if TYPE_CHECKING:
    from node.actors.desk import Case, Desk
    from node.ledger.account import Account
    from node.ledger.refusals import Refused


def judge(desk: Desk, case: Case, account: Account) -> Refused | None:
    """Why the member has not proved what is asked for; None where nothing is in the way."""
    word = words.word_of(case.op, case.command.extra)
    if word.judged:
        return word.refused
    if case.op not in words.SPENDS and not word.tap:
        return None  # by far the most: nothing is spent, and no card was tapped
    return pin_proofs.judge(desk, case, account, _use(case)) or card_proofs.judge(desk, case, account)


def hand_on(desk: Desk, case: Case, account: Account) -> bytes:
    """The account's word to the pool that pays; empty where there is nothing to prove."""
    refusal = pin_proofs.judge(desk, case, account, _use(case), hands_on=True)
    if refusal is not None:
        return words.word_bytes(words.CardWord(judged=True, refused=refusal))
    word = card_proofs.hand_on(desk, case, account)
    if word or case.op not in pin_proofs.SPENDS or not case.ask.pin:
        return word
    return words.word_bytes(words.CardWord(judged=True))


def _use(case: Case) -> bytes:
    return card_proofs.use_of(case.command.scope, case.request_id, case.body_hash)
