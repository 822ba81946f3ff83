"""Which code handles which command: the desk's tables, filled in one place."""

from __future__ import annotations

from node.actors import inquiries, staff, tills
from node.actors.desk import Desk
from node.wire import answers, requests, steps
from node.wire import inquiries as questions
from node.wire.commands import Op

_TILL_MUTATIONS = (
    Op.ACCRUE, Op.RECORD_ACTIVITY, Op.CLAIM_PURCHASE, Op.AUTHORIZE, Op.CAPTURE, Op.VOID, Op.REDEEM,
    Op.RETURN, Op.REVERSE,
)  # fmt: skip


def equip(desk: Desk) -> None:
    """Gives the desk a parser, a decision and an answer for every command that concerns an account."""
    desk.deciders.update(tills.DECIDERS)
    desk.deciders.update(staff.DECIDERS)
    desk.inquiries.update(inquiries.INQUIRIES)
    desk.inquiries.update(staff.INQUIRIES)
    for op in _TILL_MUTATIONS:
        desk.parsers[op] = requests.parse
        desk.answerers[op] = answers.answer
    for op in inquiries.INQUIRIES:
        desk.parsers[op] = questions.parse_inquiry
    for op in steps.STEPS:
        desk.parsers[op] = steps.parse_step
        desk.answerers[op] = steps.answer_step
    staff.equip(desk)
