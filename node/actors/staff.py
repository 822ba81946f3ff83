"""What staff and enrolling tills ask of an account: open, link, block, close, adjust, show."""

from __future__ import annotations

import msgspec

from node.actors import persons
from node.actors.card_proofs import cards_of
from node.actors.desk import Case, Decider, Desk, Inquiry
from node.actors.pin_proofs import pin_state
from node.ledger import adjusting, membership
from node.ledger.account import Account, AccountKind, Link
from node.ledger.decision import Decision
from node.ledger.lots import NEVER_MS
from node.ledger.refusals import Reason, Refused, refuse
from node.people.person import language_of
from node.storage.keyspace import quarantine_key
from node.wire.commands import LinkWish, Op
from node.wire.member_answers import member_shown
from node.wire.steps import account_view

_PREPARED = msgspec.msgpack.Decoder(tuple[LinkWish, ...] | Refused)


def claimed_links(case: Case) -> tuple[Link, ...] | Refused:
    """The identifiers that the index has claimed for the request, or why it has not.

    A refusal travels here too, since the request may be known already: then it gets its answer of then.
    """
    wishes = _PREPARED.decode(case.command.extra)
    if isinstance(wishes, Refused):
        return wishes
    return tuple(Link(wish.digest, wish.kind, wish.since_ms, 0, wish.hint) for wish in wishes)


def enrol(desk: Desk, case: Case, account: Account) -> Decision:
    """Opens the account, with its person where one is given."""
    links, ask = claimed_links(case), case.ask
    if isinstance(links, Refused):
        return links
    known, language = ask.person is not None, ""
    if known:
        person = persons.enrol(desk, case, account.account_id)
        if isinstance(person, Refused):
            return person
        language = language_of(person.locale)
    return membership.open_account(account, ask.kind, links, known, ask.referrer, ask.source, language)


def create_pool(desk: Desk, case: Case, account: Account) -> Decision:
    """Opens a pool."""
    links = claimed_links(case)
    if isinstance(links, Refused):
        return links
    return membership.open_account(account, AccountKind.POOL, links, False, b"", "")


def link(desk: Desk, case: Case, account: Account) -> Decision:
    """Links the identifier that the index has claimed."""
    links = claimed_links(case)
    return links if isinstance(links, Refused) else membership.link(account, links[0], case.now_ms)


def unlink(desk: Desk, case: Case, account: Account) -> Decision:
    """Takes off the identifier that led here."""
    digest = case.command.digest
    decision = membership.unlink(account, digest, case.now_ms, case.occurred_ms)
    if not isinstance(decision, Refused):
        persons.agree_later(desk, case, (digest,))
    return decision


def set_block(desk: Desk, case: Case, account: Account) -> Decision:
    """Blocks or unblocks."""
    return membership.set_block(account, case.ask.blocked, case.ask.reason, case.context())


def close(desk: Desk, case: Case, account: Account) -> Decision:
    """Closes the account; its identifiers become free."""
    ask = case.ask
    decision = membership.close(account, ask.forfeit, ask.reason, case.context(), case.occurred_ms)
    if not isinstance(decision, Refused):
        persons.agree_later(desk, case, persons.open_digests(account))
    return decision


def adjust(desk: Desk, case: Case, account: Account) -> Decision:
    """Changes a balance, or proposes to, by the limits in force now, however far back it is dated."""
    ask = case.ask
    single_limit = desk.programmes.at(case.now_ms).compiled.limits.single_approver_units
    expires_ms = expiry_of_today(desk, case, ask.purse)
    return adjusting.adjust(
        account, ask.purse, ask.units, ask.reason, single_limit, expires_ms, case.context()
    )


def decide_adjustment(desk: Desk, case: Case, account: Account) -> Decision:
    """Approves or rejects what waits."""
    proposal = account.proposal(case.ask.proposal.sequence)
    if proposal is None or case.ask.proposal.partition != case.partition.number:
        return refuse(Reason.PROPOSAL_NOT_OPEN, "There is no such proposal, or it was decided before.")
    expires_ms = expiry_of_today(desk, case, proposal.purse)
    return adjusting.decide_adjustment(
        account, proposal.proposal_id, case.ask.approve, expires_ms, case.context()
    )


def expiry_of_today(desk: Desk, case: Case, purse: str) -> int:
    """When units of a purse that are earned today expire; never, where no rule or activity earns any."""
    plan = desk.programmes.at(case.now_ms).compiled.seasons.plan(case.now_ms)
    earning = (*plan.bases, *plan.multipliers, *plan.activities.values())
    return next((today.expires_ms for today in earning if today.rule.purse == purse), NEVER_MS)


def get_member(desk: Desk, case: Case, account: Account) -> bytes | Refused:
    """The account with its person, also while it is set aside after a fault."""
    person = persons.known(desk, case, account)
    if isinstance(person, Refused):
        return person
    number = case.partition.number
    quarantined = case.work.get(quarantine_key(number, account.account_id)) is not None
    cards, purses = cards_of(case, account), case.edition.purses
    return member_shown(
        account, number, person, purses, desk.settings.currency, quarantined, cards, pin_state(case, account)
    )


def probe(desk: Desk, case: Case, account: Account) -> bytes:
    """What other partitions must agree with the account about."""
    return account_view(account)


DECIDERS: dict[Op, Decider] = {
    Op.ENROL: enrol,
    Op.CREATE_POOL: create_pool,
    Op.UPDATE_PERSON: persons.update,
    Op.ERASE_PERSON: persons.erase,
    Op.LINK_IDENTIFIER: link,
    Op.UNLINK_IDENTIFIER: unlink,
    Op.SET_BLOCK: set_block,
    Op.CLOSE_ACCOUNT: close,
    Op.ADJUST: adjust,
    Op.DECIDE_ADJUSTMENT: decide_adjustment,
}
INQUIRIES: dict[Op, Inquiry] = {
    Op.GET_MEMBER: get_member,
    Op.IDENTIFY: persons.identify,
    Op.PROBE_ACCOUNT: probe,
}
