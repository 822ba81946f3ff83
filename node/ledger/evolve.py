"""From one state to the next: the only code that changes an account, used by the living node and by replay.

An event that does not fit the state is a fault (an exception), never a refusal: `decide` refuses, the
journal only holds what happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from node.ledger import events as ev
from node.ledger.account import (
    COUNTER_DAYS,
    EMPTY_PURSE,
    Account,
    Counter,
    PoolStay,
    Purse,
    Taken,
    transfer_counter,
)
from node.ledger.lots import NEVER_MS, Lot, Lots, add, remove, take, total
from node.ledger.transactions import Entry


def apply_entry(account: Account, entry: Entry) -> Account:
    """The account after all events of `entry`, with its counters of entries and its due time set."""
    for event in entry.events:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            account = handler(account, event, entry.at_ms)
    return replace(
        account, entries=account.entries + 1, last_sequence=entry.sequence, due_ms=earliest_due_ms(account)
    )


def evolve(account: Account, event: ev.AnyEvent, at_ms: int) -> Account:
    """The account after one event that was posted at `at_ms`."""
    handler = _HANDLERS.get(type(event))
    return account if handler is None else handler(account, event, at_ms)


def earliest_due_ms(account: Account) -> int:
    """When something next happens by itself: a lot matures or expires, a hold ends."""
    due = NEVER_MS
    for purse in account.purses.values():
        if purse.lots and purse.lots[0].expires_ms < due:
            due = purse.lots[0].expires_ms
        for lot in purse.pending_lots:
            if lot.available_ms < due:
                due = lot.available_ms
    for hold in account.holds:
        if hold.expires_ms < due:
            due = hold.expires_ms
    return due


def credit(purse: Purse, lots: Lots, at_ms: int) -> Purse:
    """A purse with `lots` added: those not yet available become pending, the rest first repays debt."""
    spendable, pending, debt = purse.lots, purse.pending_lots, purse.debt
    gained = waiting = 0
    for lot in lots:
        if lot.available_ms > at_ms:
            pending = add(pending, lot)
            waiting += lot.units
        else:
            spendable = add(spendable, lot)
            gained += lot.units
    if debt and spendable:
        repaid, spendable = take(spendable, debt)
        debt -= total(repaid)
    return Purse(spendable, pending, debt, purse.spendable + gained, purse.pending + waiting, purse.held)


def debit(purse: Purse, lots: Lots, debt: int) -> Purse:
    """A purse without exactly `lots`, and `debt` further below zero."""
    return replace(
        purse,
        lots=remove(purse.lots, lots),
        debt=purse.debt + debt,
        spendable=purse.spendable - total(lots) - debt,
    )


def forgive(purse: Purse, debt: int) -> Purse:
    """A purse with `debt` units that had gone below zero made good, before any lot comes back to it.

    Debt that has been repaid in the meantime comes back as units that do not expire, since the lots that
    repaid it are gone.
    """
    if not debt:
        return purse
    forgiven = min(purse.debt, debt)
    lots = add(purse.lots, Lot(debt - forgiven))
    return replace(purse, lots=lots, debt=purse.debt - forgiven, spendable=purse.spendable + debt)


def restore(purse: Purse, taken: Taken, at_ms: int) -> Purse:
    """A purse with what was taken put back: the debt made good first, then the lots as they are given."""
    # What was spendable when it was taken is spendable when it comes back.
    lots = tuple(lot if lot.available_ms <= at_ms else replace(lot, available_ms=at_ms) for lot in taken.lots)
    return credit(forgive(purse, taken.debt), lots, at_ms)


def _with_purse(account: Account, code: str, purse: Purse) -> Account:
    return replace(account, purses={**account.purses, code: purse})


def _earned(account: Account, event: ev.Earned | ev.ActivityEarned, at_ms: int) -> Account:
    if not event.awards:
        return account
    purses = dict(account.purses)
    counters = account.counters
    for award in event.awards:
        purses[award.purse] = credit(purses.get(award.purse, EMPTY_PURSE), (award.lot(),), at_ms)
        if award.counter:
            counters = _count(counters, award.counter, award.day, award.units)
    return replace(account, purses=purses, counters=counters)


def _count(counters: tuple[Counter, ...], name: str, day: int, units: int) -> tuple[Counter, ...]:
    for at, old in enumerate(counters):
        if old.day == day and old.name == name:
            return (*counters[:at], Counter(name, day, old.units + units), *counters[at + 1 :])
    kept = [old for old in counters if old.day >= day - COUNTER_DAYS]
    return (*kept, Counter(name, day, units))


def _reversed(account: Account, event: ev.Reversed, at_ms: int) -> Account:
    """What the undone earning had counted towards daily caps is free again.

    A counter of nothing stays until it is old: perhaps that day is the newest, which says what is forgotten.
    """
    counters = account.counters
    for freed in event.freed:
        counters = tuple(
            Counter(old.name, old.day, max(0, old.units - freed.units))
            if (old.name, old.day) == (freed.name, freed.day)
            else old
            for old in counters
        )
    return replace(account, counters=counters)


def _opened(account: Account, event: ev.Opened, at_ms: int) -> Account:
    return replace(account, kind=event.kind, holders=event.holders, opened_ms=at_ms)


def _link_set(account: Account, event: ev.LinkSet, at_ms: int) -> Account:
    link = event.link
    same = [old for old in account.links if (old.digest, old.since_ms) == (link.digest, link.since_ms)]
    if same:
        return replace(account, links=tuple(link if old is same[0] else old for old in account.links))
    return replace(account, links=(*account.links, link))


def _spent(account: Account, event: ev.Spent, at_ms: int) -> Account:
    purses = dict(account.purses)
    for part in event.taken:
        purses[part.purse] = debit(purses.get(part.purse, EMPTY_PURSE), part.lots, part.debt)
    return replace(account, purses=purses)


def _hold_placed(account: Account, event: ev.HoldPlaced, at_ms: int) -> Account:
    purses = dict(account.purses)
    for part in event.hold.taken:
        purse = debit(purses.get(part.purse, EMPTY_PURSE), part.lots, part.debt)
        purses[part.purse] = replace(purse, held=purse.held + part.units)
    return replace(account, purses=purses, holds=(*account.holds, event.hold))


def _hold_closed(account: Account, event: ev.HoldClosed, at_ms: int) -> Account:
    hold = account.hold(event.hold_id)
    if hold is None:
        raise AssertionError("an event closes a hold that is not open")
    purses = dict(account.purses)
    for part in hold.taken:
        purse = purses[part.purse]
        purses[part.purse] = replace(purse, held=purse.held - part.units)
    for part in event.restored:
        purses[part.purse] = restore(purses[part.purse], part, at_ms)
    return replace(account, purses=purses, holds=tuple(other for other in account.holds if other is not hold))


def _matured(account: Account, event: ev.Matured, at_ms: int) -> Account:
    purse = account.purse(event.purse)
    units = total(event.lots)
    waiting = replace(
        purse, pending_lots=remove(purse.pending_lots, event.lots), pending=purse.pending - units
    )
    return _with_purse(account, event.purse, credit(waiting, event.lots, at_ms))


def _expired(account: Account, event: ev.Expired, at_ms: int) -> Account:
    return _with_purse(account, event.purse, debit(account.purse(event.purse), event.lots, 0))


def _credited(account: Account, event: ev.Credited, at_ms: int) -> Account:
    purse = forgive(account.purse(event.purse), event.debt)
    return _with_purse(account, event.purse, credit(purse, event.lots, at_ms))


def _debited(account: Account, event: ev.Debited, at_ms: int) -> Account:
    purse = debit(account.purse(event.purse), event.lots, event.debt)
    if event.pending_lots:
        purse = replace(
            purse,
            pending_lots=remove(purse.pending_lots, event.pending_lots),
            pending=purse.pending - total(event.pending_lots),
        )
    return _with_purse(account, event.purse, purse)


def _entitlement_set(account: Account, event: ev.EntitlementSet, at_ms: int) -> Account:
    new = event.entitlement
    others = tuple(old for old in account.entitlements if (old.code, old.source) != (new.code, new.source))
    return replace(account, entitlements=(*others, new))


def _pool_set(account: Account, event: ev.PoolSet, at_ms: int) -> Account:
    if event.pool_id:
        return replace(account, pools=(*account.pools, PoolStay(event.pool_id, at_ms)))
    left = replace(account.pools[-1], until_ms=at_ms)
    return replace(account, pools=(*account.pools[:-1], left))


def _holder_set(account: Account, event: ev.HolderSet, at_ms: int) -> Account:
    others = tuple(holder for holder in account.holders if holder != event.holder)
    return replace(account, holders=(*others, event.holder) if event.joined else others)


def _person_noted(account: Account, event: ev.PersonNoted, at_ms: int) -> Account:
    return replace(account, erased=account.erased or event.what == "erased", language=event.language)


def _proposed(account: Account, event: ev.Proposed, at_ms: int) -> Account:
    return replace(account, proposals=(*account.proposals, event.proposal))


def _proposal_closed(account: Account, event: ev.ProposalClosed, at_ms: int) -> Account:
    left = tuple(open_ for open_ in account.proposals if open_.proposal_id != event.proposal_id)
    return replace(account, proposals=left)


def _transfer_sent(account: Account, event: ev.TransferSent, at_ms: int) -> Account:
    counters = account.counters
    if event.day:
        counters = _count(counters, transfer_counter(event.purse), event.day, event.units)
    sending = account.sending  # one transfer may be of several purses
    if event.transfer_id not in sending:
        sending = (*sending, event.transfer_id)
    return replace(account, sending=sending, counters=counters)


def _transfer_closed(account: Account, event: ev.TransferClosed, at_ms: int) -> Account:
    return replace(account, sending=tuple(sent for sent in account.sending if sent != event.transfer_id))


_HANDLERS: dict[type, Callable[[Account, Any, int], Account]] = {
    ev.Opened: _opened,
    ev.LinkSet: _link_set,
    ev.StatusSet: lambda account, event, at_ms: replace(account, status=event.status),
    ev.Earned: _earned,
    ev.ActivityEarned: _earned,
    ev.Spent: _spent,
    ev.HoldPlaced: _hold_placed,
    ev.HoldClosed: _hold_closed,
    ev.Matured: _matured,
    ev.Expired: _expired,
    ev.Credited: _credited,
    ev.Debited: _debited,
    ev.EntitlementSet: _entitlement_set,
    ev.Reversed: _reversed,
    ev.Proposed: _proposed,
    ev.ProposalClosed: _proposal_closed,
    ev.PersonNoted: _person_noted,
    ev.PoolSet: _pool_set,
    ev.HolderSet: _holder_set,
    ev.TransferSent: _transfer_sent,
    ev.TransferClosed: _transfer_closed,
}
"""Events that change the account; the others change an amendment, or tell the feed alone."""
