"""Decisions about spending: authorize, capture, void, redeem in one step."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from node.ledger.account import Account, Hold, Purse, Taken
from node.ledger.decision import (
    Accepted,
    Context,
    Decision,
    checked_units,
    closed,
    purse_definition,
    unusable_for_spending,
)
from node.ledger.events import HoldClosed, HoldPlaced, Spent
from node.ledger.lots import revived, take, total
from node.ledger.purses import PurseDefinition
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.transactions import TransactionKind

MAX_SPENDS = 32
"""Purses that one request may spend from."""

MAX_HOLDS = 64
"""Authorizations of one account that may be open at a time."""


class SpendRequest(Struct, frozen=True):
    """How much to spend from one purse: in units, or with `money_minor` in money at the redemption rate."""

    purse: str
    units: int = 0
    money_minor: int = 0


class Place(Struct, frozen=True):
    """Where the spending happens."""

    store_id: str
    channel: str


def redeem(
    account: Account, spends: Sequence[SpendRequest], place: Place, receipt_number: str, context: Context
) -> Decision:
    """Spends in one step, all of the spends or none."""
    taken = unusable_for_spending(account) or _take_all(account, spends, place, context)
    if isinstance(taken, Refused):
        return taken
    return Accepted(TransactionKind.REDEMPTION, (Spent(taken, place.store_id, receipt_number),))


def authorize(
    account: Account, spends: Sequence[SpendRequest], place: Place, hold_seconds: int, context: Context
) -> Decision:
    """Reserves units for `hold_seconds`, all of the spends or none."""
    refused = unusable_for_spending(account)
    if refused is None and len(account.holds) >= MAX_HOLDS:
        refused = refuse(Reason.LIMIT_EXCEEDED, "Too many authorizations of the account are open already.")
    taken = refused or _take_all(account, spends, place, context)
    if isinstance(taken, Refused):
        return taken
    hold = Hold(context.sequence, context.now_ms + hold_seconds * 1000, taken)
    return Accepted(TransactionKind.AUTHORIZATION, (HoldPlaced(hold),))


def capture(
    account: Account, hold_id: int, spends: Sequence[SpendRequest], receipt_number: str, context: Context
) -> Decision:
    """Spends all of a hold, or with `spends` a part of it; the rest goes back to the member.

    A blocked account still captures: the goods were promised when the hold was placed.
    """
    hold = closed(account) or account.hold(hold_id) or _not_open()
    if isinstance(hold, Refused):
        return hold
    split = _split(hold, spends, context) if spends else (hold.taken, ())
    if isinstance(split, Refused):
        return split
    spent, rest = split
    return Accepted(
        TransactionKind.CAPTURE,
        (HoldClosed(hold_id, spent, _given_back(rest, context.now_ms), receipt_number),),
    )


def void(account: Account, hold_id: int, context: Context) -> Decision:
    """Lets a hold go before it was captured."""
    hold = account.hold(hold_id)
    return _not_open() if hold is None else Accepted(TransactionKind.VOID, (release(hold, context.now_ms),))


def release(hold: Hold, now_ms: int) -> HoldClosed:
    """The event that gives a whole hold back."""
    return HoldClosed(hold.hold_id, (), _given_back(hold.taken, now_ms))


def spendable_units(purse: Purse, definition: PurseDefinition) -> int:
    """The most that can be spent from a purse, credit included."""
    return max(0, purse.spendable + definition.credit_limit)


def _wanted(spends: Sequence[SpendRequest], context: Context) -> dict[str, int] | Refused:
    """The units that some spends ask for, by purse."""
    wanted: dict[str, int] = {}
    for spend in spends:
        definition = purse_definition(context, spend.purse)
        units = definition if isinstance(definition, Refused) else units_of(spend, definition)
        if isinstance(units, Refused):
            return units
        if refused := checked_units(units):
            return refused
        wanted[spend.purse] = wanted.get(spend.purse, 0) + units
    return wanted


def _take_all(
    account: Account, spends: Sequence[SpendRequest], place: Place, context: Context
) -> tuple[Taken, ...] | Refused:
    """What to take for all of the spends, one part for each purse."""
    if not 0 < len(spends) <= MAX_SPENDS:
        return refuse(Reason.INVALID_ARGUMENT, f"Name 1 to {MAX_SPENDS} spends.", field="spends")
    wanted = _wanted(spends, context)
    if isinstance(wanted, Refused):
        return wanted
    taken: list[Taken] = []
    for code, units in wanted.items():
        part = _take_one(account.purse(code), units, context.purses[code], place)
        if isinstance(part, Refused):
            return part
        taken.append(part)
    return tuple(taken)


def _take_one(purse: Purse, units: int, definition: PurseDefinition, place: Place) -> Taken | Refused:
    code = definition.code
    if not definition.spendable_at(place.channel, place.store_id):
        return refuse(
            Reason.NOT_SPENDABLE_HERE,
            f"Purse {code!r} cannot be spent in this store or channel.",
            purse=code,
        )
    if units > spendable_units(purse, definition):
        return refuse(
            Reason.INSUFFICIENT_BALANCE,
            f"Purse {code!r} has {purse.spendable} to spend, not {units}. Nothing was taken.",
            purse=code,
            spendable=purse.spendable,
            wanted=units,
        )
    lots, _ = take(purse.lots, units)
    return Taken(code, lots, units - total(lots))


def units_of(spend: SpendRequest, definition: PurseDefinition) -> int | Refused:
    """The units that a spend asks for; money is turned into units at the redemption rate, rounded up."""
    if spend.units:
        return spend.units
    if spend.money_minor <= 0:
        return refuse(Reason.INVALID_ARGUMENT, "A spend names units or money above 0.", field="spends")
    if definition.rate is None:
        return refuse(
            Reason.NOT_SPENDABLE_HERE,
            f"Purse {definition.code!r} has no redemption rate; name units instead of money.",
            purse=definition.code,
        )
    return definition.rate.units_for(spend.money_minor)


def _split(
    hold: Hold, spends: Sequence[SpendRequest], context: Context
) -> tuple[tuple[Taken, ...], tuple[Taken, ...]] | Refused:
    """Splits a hold into what `spends` capture and what is left over."""
    wanted = _wanted(spends, context)
    if isinstance(wanted, Refused):
        return wanted
    spent: list[Taken] = []
    left: list[Taken] = []
    for part in hold.taken:
        lots, rest = take(part.lots, wanted.get(part.purse, 0))
        debt = min(part.debt, wanted.get(part.purse, 0) - total(lots))
        spent.append(Taken(part.purse, lots, debt))
        left.append(Taken(part.purse, rest, part.debt - debt))
        wanted[part.purse] = wanted.get(part.purse, 0) - spent[-1].units
    for code, units in wanted.items():
        if units:
            return refuse(
                Reason.CAPTURE_EXCEEDS_AUTHORIZATION,
                f"The capture from purse {code!r} is {units} more than is held. Nothing was taken.",
                purse=code,
                excess=units,
            )
    return tuple(part for part in spent if part.units), tuple(part for part in left if part.units)


def _given_back(parts: Sequence[Taken], now_ms: int) -> tuple[Taken, ...]:
    return tuple(Taken(part.purse, revived(part.lots, now_ms), part.debt) for part in parts)


def _not_open() -> Refused:
    return refuse(
        Reason.AUTHORIZATION_NOT_OPEN,
        "The authorization has expired, or was captured or voided. Nothing was taken.",
    )
