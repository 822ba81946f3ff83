"""Decisions that undo: a return (goods come back) and a reversal (a request of unknown outcome).

A return undoes exactly the lines that came back, and the returns of a purchase never exceed it. A reversal
undoes what is left of an entry; lots come back with their own expiry, or with days of grace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.ledger.account import Account, Counter, Taken
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
from node.ledger.postings import ISSUED, REDEEMED, is_payable
from node.ledger.purses import SpentReturnPolicy
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.returns import LineBack, Part, part_of_purchase
from node.ledger.spending import release, spendable_units
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

        Units whose expiry has passed count as with the merchant already: whether they were spent before
        cannot be told from the lots, and the member has the benefit of the doubt.
        """
        if units == 0 or award.expires_ms <= self.context.now_ms:
            return
        purse = self.account.purse(award.purse)
        wanted = award.lot(units)
        waiting, _ = take_like(purse.pending_lots, wanted)
        found, missing = _found(purse.lots, (wanted.of(units - total(waiting)),))
        owes = self.may_owe(award.purse)
        if missing and not owes:
            self.shortfall.append((award.purse, missing))
        event = Debited(award.purse, ISSUED, found, waiting, missing if owes else 0)
        if event.lots or event.pending_lots or event.debt:
            self.happened(event)

    def give_back(self, taken: Taken, book: str) -> None:
        """Gives back what was taken: lots revived, and what had gone below zero made good."""
        if taken.units:
            lots = revived(taken.lots, self.context.now_ms)
            self.happened(Credited(taken.purse, lots, book, taken.debt))

    def may_owe(self, purse: str) -> bool:
        """Whether an undoing may take a purse below zero."""
        definition = self.context.purses.get(purse)
        return definition is None or definition.spent_return_policy is SpentReturnPolicy.NEGATIVE


def _found(lots: Lots, wanted: Iterable[Lot], missing: int = 0) -> tuple[Lots, int]:
    """Looks for `wanted`, and `missing` units of any terms, in `lots`; returns (found, still missing).

    The very lots come first; what is not there any more is taken from those that expire first.
    """
    found: list[Lot] = []
    for lot in wanted:
        same, lots = take_like(lots, lot)
        found.extend(same)
        missing += lot.units - total(same)
    rest, _ = take(lots, missing)
    return (*found, *rest), missing - total(rest)


def return_goods(
    account: Account | None, original: Entry, amended: Amendment, lines: Sequence[LineBack], minor: int,
    context: Context, abroad: str = "",
) -> Decision:  # fmt: skip
    """Takes goods of `original` back: what they earned is undone, what was spent on them is given back.

    `lines` for a purchase with lines, `minor` (money, or units of one purse for a spend) otherwise; neither
    means everything that has not come back yet. `abroad` is the book of the partner at whose till the
    goods came back; what was spent there is given back there and nowhere else. Refused:
    RETURN_EXCEEDS_PURCHASE, ALREADY_REVERSED,
    ALREADY_CLAIMED (the member's transaction is the one to return), WRONG_TRANSACTION_KIND, ACCOUNT_CLOSED,
    INVALID_ARGUMENT where lines or an amount do not suit the transaction.
    """
    if amended.reversed_ms:
        return refuse(Reason.ALREADY_REVERSED, "The transaction was reversed; there is nothing to return.")
    if amended.claimed_by:
        return refuse(
            Reason.ALREADY_CLAIMED, "A member has claimed the sale; return the member's transaction instead."
        )
    if account is not None and (refused := closed(account)):
        return refused
    undoing = _Undoing(account or Account(b""), context)
    for event in original.events:
        if isinstance(event, Earned | Sold):
            part = part_of_purchase(original.sequence, event, amended, lines, minor)
            if isinstance(part, Refused):
                return part
            return _returned_purchase(undoing, event, part)
        if taken := _spent_by(event):
            if _book_of(event) != abroad:
                return _of_another_merchant()
            if lines:
                return refuse(Reason.INVALID_ARGUMENT, "A spend has no lines; name units.", field="lines")
            return _returned_spend(undoing, original.sequence, taken, amended, minor, abroad or REDEEMED)
    return refuse(Reason.WRONG_TRANSACTION_KIND, "Only purchases and spends can be returned.")


def _returned_purchase(undoing: _Undoing, event: Earned | Sold, part: Part) -> Decision:
    awards = event.awards if isinstance(event, Earned) else ()
    for award, units in zip(awards, part.award_units, strict=True):
        undoing.take_back(award, units)
    noted = Returned(part.original, part.lines, part.minor, part.award_units, tuple(undoing.shortfall))
    return Accepted(TransactionKind.RETURN, (noted, *undoing.events))


def _spent_by(event: AnyEvent) -> tuple[Taken, ...]:
    """What an event spent, by purse; empty where it spent nothing.

    A debit towards a partner is a spend too: one that a record told of which the node itself had lost.
    """
    if isinstance(event, Debited):
        return (Taken(event.purse, event.lots, event.debt),) if is_payable(event.book) else ()
    return event.taken if isinstance(event, Spent) else event.spent if isinstance(event, HoldClosed) else ()


def _book_of(event: AnyEvent) -> str:
    """The partner's book that an event's spend went to; empty for the node's own."""
    return event.book if isinstance(event, Spent | HoldClosed | Debited) else ""


def _of_another_merchant() -> Refused:
    return refuse(
        Reason.WRONG_TRANSACTION_KIND,
        "This was spent at another merchant's till; the goods come back there. Nothing was changed.",
    )


def _returned_spend(
    undoing: _Undoing, original: int, taken: tuple[Taken, ...], amended: Amendment, minor: int, book: str
) -> Decision:
    whole = sum(part.units for part in taken)
    units = minor or whole - amended.minor
    if units <= 0 or amended.minor + units > whole:
        return _exceeds(whole - amended.minor)
    if len(taken) > 1 and units != whole:
        return refuse(Reason.INVALID_ARGUMENT, "A spend from several purses is returned as a whole.")
    for part in taken:
        undoing.give_back(_end_of(part, amended.minor, min(units, part.units)), book)
    return Accepted(TransactionKind.RETURN, (Returned(original, (), units), *undoing.events))


def _end_of(part: Taken, skipped: int, units: int) -> Taken:
    """`units` of what was taken, counted from its end, after `skipped` that came back before.

    What went below zero was taken last and comes back first, then the lots, the last to expire first.
    """
    debt = min(units, max(0, part.debt - skipped))
    _, left = take(part.lots[::-1], max(0, skipped - part.debt))
    lots, _ = take(left, units - debt)
    return Taken(part.purse, lots, debt)


def _exceeds(left: int) -> Refused:
    return refuse(
        Reason.RETURN_EXCEEDS_PURCHASE,
        f"Only {left} of this transaction can still come back. Nothing was changed.",
        left=left,
    )


def reverse(
    account: Account | None,
    original: Entry,
    amended: Amendment,
    context: Context,
    returned: Amendment | None = None,
) -> Decision:
    """Undoes what is left of `original`, an entry of the same terminal's, and frees the caps it counted on.

    `returned` is needed where `original` is a return: what became of the entry whose goods it took back.
    Refused: ALREADY_REVERSED, also for the return of what was reversed since; ALREADY_CLAIMED;
    ACCOUNT_CLOSED; AUTHORIZATION_NOT_OPEN; WRONG_TRANSACTION_KIND for entries that no till makes;
    INSUFFICIENT_BALANCE where undoing a return would have to take units that are spent and the purse may not
    go below zero.
    """
    if amended.reversed_ms:
        return refuse(Reason.ALREADY_REVERSED, "The request was reversed before; nothing more was changed.")
    if amended.claimed_by:
        return refuse(Reason.ALREADY_CLAIMED, "A member has claimed the sale; return it instead.")
    if account is not None and (refused := closed(account)):
        return refused
    if original.kind is TransactionKind.RETURN:
        if returned is None:
            raise ValueError("a return is reversed with the amendment of what it returned")
        if returned.reversed_ms:
            return refuse(
                Reason.ALREADY_REVERSED, "What was returned has been reversed as a whole, the return with it."
            )
    undoing = _Undoing(account or Account(b""), context)
    undoing.events.append(Reversed(original.sequence, _counted_by(original)))
    for event in original.events:
        refused = _undo_event(undoing, original, event, amended)
        if refused:
            return refused
    return Accepted(TransactionKind.REVERSAL, tuple(undoing.events))


def _counted_by(original: Entry) -> tuple[Counter, ...]:
    """What the awards of an entry counted towards daily caps."""
    return tuple(
        Counter(award.counter, award.day, award.units)
        for event in original.events
        if isinstance(event, Earned | ActivityEarned)
        for award in event.awards
        if award.counter
    )


def _undo_event(undoing: _Undoing, original: Entry, event: AnyEvent, amended: Amendment) -> Refused | None:
    if isinstance(event, Earned | ActivityEarned):
        for at, award in enumerate(event.awards):
            back = amended.award_units[at] if amended.award_units else 0
            undoing.take_back(award, award.units - back)
    elif taken := _spent_by(event):
        if _book_of(event):
            return _of_another_merchant()
        skipped = amended.minor  # all of it, or of one purse only
        for part in taken:
            undoing.give_back(_end_of(part, skipped, max(0, part.units - skipped)), REDEEMED)
            skipped = max(0, skipped - part.units)
    elif isinstance(event, HoldPlaced):
        hold = undoing.account.hold(event.hold.hold_id)
        if hold is None:
            return refuse(Reason.AUTHORIZATION_NOT_OPEN, "The authorization is no longer open.")
        undoing.happened(release(hold, undoing.context.now_ms))
    elif isinstance(event, Returned):
        undoing.events.append(ReturnUndone(event.original, event.lines, event.minor, event.award_units))
    elif original.kind is TransactionKind.RETURN and isinstance(event, Debited):
        undoing.give_back(Taken(event.purse, (*event.lots, *event.pending_lots), event.debt), event.book)
    elif original.kind is TransactionKind.RETURN and isinstance(event, Credited):
        return _take_again(undoing, event)
    elif not isinstance(event, Sold):
        return refuse(Reason.WRONG_TRANSACTION_KIND, "A request of this kind cannot be reversed.")
    return None


def _take_again(undoing: _Undoing, event: Credited) -> Refused | None:
    """Takes again what a return gave back, since the return is undone.

    As in `take_back`, units whose expiry has passed count as with the merchant already.
    """
    wanted = tuple(lot for lot in event.lots if lot.expires_ms > undoing.context.now_ms)
    purse = undoing.account.purse(event.purse)
    definition = undoing.context.purses.get(event.purse)
    units = total(wanted) + event.debt
    if definition and not undoing.may_owe(event.purse) and units > spendable_units(purse, definition):
        return refuse(
            Reason.INSUFFICIENT_BALANCE,
            "What the return gave back is spent already, so the return cannot be undone.",
            purse=event.purse,
        )
    found, missing = _found(purse.lots, wanted, event.debt)
    if found or missing:
        undoing.happened(Debited(event.purse, event.book, found, (), missing))
    return None
