"""What a purse is, as data: the programme defines purses, the ledger only obeys the definitions."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

MAX_UNITS = 10**15
"""The largest amount of one movement: far above any purse, far below 64 bits, so sums never wrap."""


class PurseKind(IntEnum):
    """What a purse holds; the numbers are those of the protos."""

    POINTS = 1
    STORED_VALUE = 2
    STAMPS = 3


class SpentReturnPolicy(IntEnum):
    """What happens when goods come back whose units are spent; the numbers are those of the protos."""

    NEGATIVE = 1
    CLIP = 2
    RECOVER = 3


class RedemptionRate(Struct, frozen=True, array_like=True):
    """So many minor units of the purse are worth so many minor units of the node's currency."""

    units: int
    money_minor: int

    def worth_minor(self, units: int) -> int:
        """What `units` pay for, rounded towards zero: never more than they are worth."""
        worth = abs(units) * self.money_minor // self.units
        return worth if units >= 0 else -worth

    def units_for(self, money_minor: int) -> int:
        """The units that pay `money_minor` in full, rounded up to whole units."""
        return -(-money_minor * self.units // self.money_minor)


class PurseDefinition(Struct, frozen=True, array_like=True):
    """One kind of purse. Expiry and pending days live with the programme, which computes the instants."""

    code: str
    kind: PurseKind
    unit: str = ""
    exponent: int = 0
    spend_order: int = 0
    channels: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    transferable: bool = False
    credit_limit: int = 0
    rate: RedemptionRate | None = None
    spent_return_policy: SpentReturnPolicy = SpentReturnPolicy.NEGATIVE
    goal: int = 0

    def spendable_at(self, channel: str, store_id: str) -> bool:
        """Whether the purse may be spent in this channel and store."""
        return (not self.channels or channel in self.channels) and (
            not self.stores or store_id in self.stores
        )
