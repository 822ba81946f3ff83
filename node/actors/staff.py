"""What staff and enrolling tills ask of an account."""

from __future__ import annotations

import msgspec

from node.actors.desk import Case, Decider, Desk, Inquiry
from node.ledger import membership
from node.ledger.account import Account, Link
from node.ledger.decision import Decision
from node.wire import members
from node.wire.commands import LinkWish, Op

_LINKS = msgspec.msgpack.Decoder(tuple[LinkWish, ...])


def enrol(desk: Desk, case: Case, account: Account) -> Decision:
    """Opens the account, with the identifiers that the index has claimed for it."""
    wishes = _LINKS.decode(case.command.extra)
    links = tuple(Link(wish.digest, wish.kind, wish.since_ms, 0, wish.hint) for wish in wishes)
    ask = case.ask
    return membership.open_account(ask.kind, links, b"", ask.referrer, ask.source)


DECIDERS: dict[Op, Decider] = {Op.ENROL: enrol}
INQUIRIES: dict[Op, Inquiry] = {}


def equip(desk: Desk) -> None:
    """Adds the parsers and answers of these requests."""
    for op in DECIDERS:
        desk.parsers[op] = members.parse_member
        desk.answerers[op] = members.answer_member
