"""What a rule of the programme grants. The programme computes awards; the ledger posts them."""

from __future__ import annotations

from msgspec import Struct

from node.ledger.lots import NEVER_MS, Lot


class Award(Struct, frozen=True, array_like=True, gc=False):
    """Units that one rule grants for one purchase or activity.

    `line_shares` says how the units spread over the receipt's lines as (line number, units), summing to
    `units`; it is empty where the purchase has no lines. A return takes back the shares of the lines that
    came back. `counter` names what a daily cap counts ("" where there is none), `day` the local day.
    """

    rule: str
    purse: str
    units: int
    available_ms: int = 0
    expires_ms: int = NEVER_MS
    funder: str = ""
    campaign: str = ""
    line_shares: tuple[tuple[int, int], ...] = ()
    counter: str = ""
    day: int = 0
    receipt_text: str = ""

    def lot(self, units: int | None = None) -> Lot:
        """The lot that the award becomes, or a part of it."""
        return Lot(
            self.units if units is None else units,
            self.expires_ms,
            self.available_ms,
            self.funder,
            self.campaign,
        )
