"""Decisions that undo: a return (goods come back) and a reversal (a request of unknown outcome).

A return undoes exactly the lines that came back, and the returns of a purchase never exceed it. A reversal
undoes what is left of an entry; lots come back with their own expiry, or with days of grace.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.ledger.account import Account, Taken
from node.ledger.awards import Award
from node.ledger.decision import Accepted, Context, Decision, closed
from node.ledger.events import (
    ActivityEarned,
    AnyEvent,
    Credited,
    Debited,
    Earned,
    HoldClosed,
    HoldPlaced,
    Returned,
    ReturnUndone,
    Reversed,
    Sold,
    Spent,
)
from node.ledger.evolve import evolve
from node.ledger.lots import Lot, Lots, revived, take, take_like, total
from node.ledger.postings import ISSUED, REDEEMED
from node.ledger.purses import PurseDefinition, SpentReturnPolicy
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.returns import LineBack, Part, part_of_purchase
from node.ledger.spending import release
from node.ledger.transactions import Amendment, Entry, TransactionKind


class _Undoing:
    """An account on the way back: applies each event to a private copy, so that the next one sees it."""

    def __init__(self, account: Account, context: Context) -> None:
        self.account = account
        self.context = context
        self.events: list[AnyEvent] = []
        self.shortfall: list[tuple[str, int]] = []

    def happened(self, event: AnyEvent) -> None:
        self.events.append(event)
        self.account = evolve(self.account, event, self.context.now_ms)

    def take_back(self, award: Award, units: int) -> None:
        """Takes `units` of an award back from wherever they are now; see SpentReturnPolicy for the rest.

        Units that have expired meanwhile are with the merchant already.
        """
        if units == 0 or award.expires_ms <= self.context.now_ms:
            return
        purse = self.account.purse(award.purse)
        wanted = award.lot(units)
        waiting, _ = take_like(purse.pending_lots, wanted)
        same, others = take_like(purse.lots, wanted.of(units - total(waiting)))
        missing = units - total(waiting) - total(same)
        rest, _ = take(others, missing)
        missing -= total(rest)
        definition = self.context.purses.get(award.purse)
        owes = definition is None or definition.spent_return_policy is SpentReturnPolicy.NEGATIVE
        if missing and not owes:
            self.shortfall.append((award.purse, missing))
        event = Debited(award.purse, ISSUED, (*same, *rest), waiting, missing if owes else 0)
        if event.lots or event.pending_lots or event.debt:
            self.happened(event)

    def give_back(self, purse: str, lots: Lots) -> None:
        """Gives spent lots back, revived."""
        if lots:
            self.happened(Credited(purse, revived(lots, self.context.now_ms), REDEEMED))


def return_goods(
    account: Account | None, original: Entry, amended: Amendment, lines: Sequence[LineBack], minor: int,
    context: Context,
) -> Decision:  # fmt: skip
    """Takes goods of `original` back: what they earned is undone, what was spent on them is given back.

    `lines` for a purchase with lines, `minor` (money, or units of one purse for a spend) otherwise; neither
    means everything that has not come back yet. Refused: RETURN_EXCEEDS_PURCHASE, ALREADY_REVERSED,
    WRONG_TRANSACTION_KIND, ACCOUNT_CLOSED.
    """
    if amended.reversed_ms:
        return refuse(Reason.ALREADY_REVERSED, "The transaction was reversed; there is nothing to return.")
    if account is not None and (refused := closed(account)):
        return refused
    undoing = _Undoing(account or Account(b""), context)
    for event in original.events:
        if isinstance(event, Earned | Sold):
            part = part_of_purchase(original.sequence, event, amended, lines, minor)
            if isinstance(part, Refused):
                return part
            return _returned_purchase(undoing, event, part)
        if isinstance(event, Spent):
            return _returned_spend(undoing, original.sequence, event.taken, amended, minor)
        if isinstance(event, HoldClosed) and event.spent:
            return _returned_spend(undoing, original.sequence, event.spent, amended, minor)
    return refuse(Reason.WRONG_TRANSACTION_KIND, "Only purchases and spends can be returned.")


def _returned_purchase(undoing: _Undoing, event: Earned | Sold, part: Part) -> Decision:
    awards = event.awards if isinstance(event, Earned) else ()
    for award, units in zip(awards, part.award_units, strict=True):
        undoing.take_back(award, units)
    noted = Returned(part.original, part.lines, part.minor, part.award_units, tuple(undoing.shortfall))
    return Accepted(TransactionKind.RETURN, (noted, *undoing.events))


def _returned_spend(
    undoing: _Undoing, original: int, taken: tuple[Taken, ...], amended: Amendment, minor: int
) -> Decision:
    whole = sum(part.units for part in taken)
    units = minor or whole - amended.minor
    if len(taken) > 1 and units != whole:
        return refuse(Reason.INVALID_ARGUMENT, "A spend from several purses is returned as a whole.")
    if units <= 0 or amended.minor + units > whole:
        return _exceeds(whole - amended.minor)
    for part in taken:
        undoing.give_back(part.purse, _slice_from_end(part, amended.minor, min(units, part.units)))
    return Accepted(TransactionKind.RETURN, (Returned(original, (), units), *undoing.events))


def _slice_from_end(part: Taken, skipped: int, units: int) -> Lots:
    """`units` of what was taken, the last to expire first, after `skipped` that came back before."""
    backwards = (Lot(part.debt), *reversed(part.lots)) if part.debt else tuple(reversed(part.lots))
    _, left = take(backwards, skipped)
    back, _ = take(left, units)
    return back


def _exceeds(left: int) -> Refused:
    return refuse(
        Reason.RETURN_EXCEEDS_PURCHASE,
        f"Only {left} of this transaction can still come back. Nothing was changed.",
        left=left,
    )


def reverse(account: Account | None, original: Entry, amended: Amendment, context: Context) -> Decision:
    """Undoes what is left of `original`, an entry of the same terminal's.

    Refused: ALREADY_REVERSED; WRONG_TRANSACTION_KIND for entries that no till makes; INSUFFICIENT_BALANCE
    where undoing a return would have to take units that are spent and the purse may not go below zero.
    """
    if amended.reversed_ms:
        return refuse(Reason.ALREADY_REVERSED, "The request was reversed before; nothing more was changed.")
    if amended.claimed_by:
        return refuse(Reason.ALREADY_CLAIMED, "A member has claimed the sale; return it instead.")
    undoing = _Undoing(account or Account(b""), context)
    undoing.events.append(Reversed(original.sequence))
    for event in original.events:
        refused = _undo_event(undoing, original, event, amended)
        if refused:
            return refused
    return Accepted(TransactionKind.REVERSAL, tuple(undoing.events))


def _undo_event(undoing: _Undoing, original: Entry, event: AnyEvent, amended: Amendment) -> Refused | None:
    if isinstance(event, Earned | ActivityEarned):
        for at, award in enumerate(event.awards):
            back = amended.award_units[at] if at < len(amended.award_units) else 0
            undoing.take_back(award, award.units - back)
    elif isinstance(event, Spent):
        _undo_spend(undoing, event.taken, amended)
    elif isinstance(event, HoldPlaced):
        hold = undoing.account.hold(event.hold.hold_id)
        if hold is None:
            return refuse(Reason.AUTHORIZATION_NOT_OPEN, "The authorization is no longer open.")
        undoing.happened(release(hold, undoing.context.now_ms))
    elif isinstance(event, HoldClosed) and event.spent:
        _undo_spend(undoing, event.spent, amended)
    elif isinstance(event, Returned):
        undoing.events.append(ReturnUndone(event.original, event.lines, event.minor, event.award_units))
    elif original.kind is TransactionKind.RETURN and isinstance(event, Debited):
        lots = (*event.lots, *event.pending_lots, *((Lot(event.debt),) if event.debt else ()))
        undoing.happened(Credited(event.purse, revived(lots, undoing.context.now_ms), event.book))
    elif original.kind is TransactionKind.RETURN and isinstance(event, Credited):
        return _take_again(undoing, event)
    elif not isinstance(event, Sold):
        return refuse(Reason.WRONG_TRANSACTION_KIND, "A request of this kind cannot be reversed.")
    return None


def _undo_spend(undoing: _Undoing, taken: tuple[Taken, ...], amended: Amendment) -> None:
    skipped = amended.minor
    for part in taken:
        units = part.units - min(skipped, part.units)
        undoing.give_back(part.purse, _slice_from_end(part, part.units - units, units))
        skipped -= part.units - units


def _take_again(undoing: _Undoing, event: Credited) -> Refused | None:
    """Takes again what a return gave back, since the return is undone."""
    units = total(event.lots)
    lots, _ = take(undoing.account.purse(event.purse).lots, units)
    missing = units - total(lots)
    definition: PurseDefinition | None = undoing.context.purses.get(event.purse)
    if missing and definition and definition.spent_return_policy is not SpentReturnPolicy.NEGATIVE:
        return refuse(
            Reason.INSUFFICIENT_BALANCE,
            "What the return gave back is spent already, so the return cannot be undone.",
            purse=event.purse,
        )
    undoing.happened(Debited(event.purse, event.book, lots, (), missing))
    return None
