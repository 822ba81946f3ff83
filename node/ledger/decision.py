"""What every decision takes and gives."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from node.ledger.account import Account, Status
from node.ledger.events import AnyEvent
from node.ledger.purses import MAX_UNITS, PurseDefinition
from node.ledger.refusals import Reason, Refused, refuse
from node.ledger.transactions import TransactionKind


class Context(Struct, frozen=True):
    """The circumstances of a decision, so that the decision itself has no clock and no luck.

    `now_ms` is the home node's clock; `sequence` is the number that the entry will have, which is also the
    id of a hold or proposal that it makes. `purses` are those of the programme version that judges.
    """

    now_ms: int
    sequence: int
    purses: Mapping[str, PurseDefinition]
    caller: str = ""


class Accepted(Struct, frozen=True, gc=False):
    """A decision: what happened. The caller turns it into an entry and answers from that."""

    kind: TransactionKind
    events: tuple[AnyEvent, ...]


Decision = Accepted | Refused


def closed(account: Account) -> Refused | None:
    """The refusal of anything on a closed account, or None."""
    if account.status is Status.CLOSED:
        return refuse(Reason.ACCOUNT_CLOSED, "The account is closed. Nothing was changed.")
    return None


def unusable_for_spending(account: Account) -> Refused | None:
    """The refusal of spending from a closed or blocked account, or None."""
    if account.status is Status.BLOCKED:
        return refuse(
            Reason.ACCOUNT_BLOCKED,
            "The account is blocked for spending. Nothing was taken; ask staff to lift the block.",
        )
    return closed(account)


def purse_definition(context: Context, code: str) -> PurseDefinition | Refused:
    """The purse of that code, or why not."""
    definition = context.purses.get(code)
    if definition is None:
        return refuse(Reason.UNKNOWN_PURSE, f"The programme has no purse {code!r}.", purse=code)
    return definition


def checked_units(units: int) -> Refused | None:
    """The refusal of an amount that is not between 1 and MAX_UNITS, or None."""
    if 0 < units <= MAX_UNITS:
        return None
    return refuse(
        Reason.INVALID_ARGUMENT, f"An amount lies between 1 and {MAX_UNITS} minor units.", field="units"
    )
