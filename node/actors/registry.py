"""Which code handles which command: the desk's tables, filled in one place."""

from __future__ import annotations

from node.actors import card_proofs, inquiries, pin_proofs, pools, spend_proofs, staff, tills
from node.actors.desk import Desk
from node.wire import answers, cards, member_answers, members, pins, requests, steps
from node.wire import inquiries as questions
from node.wire.commands import Op

_TILL_MUTATIONS = (
    Op.ACCRUE, Op.RECORD_ACTIVITY, Op.CLAIM_PURCHASE, Op.AUTHORIZE, Op.CAPTURE, Op.VOID, Op.REDEEM,
    Op.RETURN, Op.REVERSE,
)  # fmt: skip
_OF_POOLS = (Op.TRANSFER, Op.JOIN_POOL, Op.LEAVE_POOL)


def equip(desk: Desk) -> None:
    """Gives the desk a parser, a decision and an answer for every command that concerns an account."""
    desk.deciders.update(tills.DECIDERS)
    desk.deciders.update(staff.DECIDERS)
    desk.deciders.update(pools.DECIDERS)
    desk.deciders.update(card_proofs.DECIDERS)
    desk.deciders.update(pin_proofs.DECIDERS)
    desk.inquiries.update(inquiries.INQUIRIES)
    desk.inquiries.update(staff.INQUIRIES)
    desk.inquiries.update(card_proofs.INQUIRIES)
    desk.inquiries.update(pin_proofs.INQUIRIES)
    desk.judge_card, desk.hand_on_card = spend_proofs.judge, spend_proofs.hand_on
    for op in _TILL_MUTATIONS:
        desk.parsers[op] = requests.parse
        desk.answerers[op] = answers.answer
    for op in inquiries.INQUIRIES:
        desk.parsers[op] = questions.parse_inquiry
    for op in steps.STEPS:
        desk.parsers[op] = steps.parse_step
        desk.answerers[op] = steps.answer_step
    for op in card_proofs.INQUIRIES:
        desk.parsers[op] = cards.parse_card_proof
    desk.parsers[Op.REQUEST_PROOF] = pins.parse_proof_wish
    for op in (*staff.DECIDERS, *card_proofs.DECIDERS, *pin_proofs.DECIDERS, *_OF_POOLS):
        desk.parsers[op] = members.parse_member
        desk.answerers[op] = member_answers.answer_member
    desk.parsers[Op.GET_MEMBER] = members.parse_get_member
    desk.parsers[Op.IDENTIFY] = questions.parse_inquiry
    desk.parsers[Op.PROBE_ACCOUNT] = steps.parse_probe
