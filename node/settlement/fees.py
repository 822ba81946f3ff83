"""What the operator takes of the partners: fixed for a window, for each record, and of the volume.

Each fee is a line of its own, in micro-units; a partner's lines together are its debt to the operator,
rounded once like every other pair's. Of a volume that returns made negative the fee is negative: it is
given back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from node.coalition.directory import Fee, FeeSide, SettlementTerms
from node.coalition.messages import RecordKind
from node.settlement.documents import OPERATOR_ID, FeeLine, PairClose
from node.settlement.netting import UnitValue, add_debt, round_half_even, worth

PPM = 1_000_000
_TAKEN_BACK = (RecordKind.ACCRUAL_RETURN, RecordKind.REDEMPTION_RETURN)


class Activity(Struct):
    """What a partner did on one side of a window's records: how many records, and what they were worth."""

    records: int = 0
    volume_micro: int = 0


def activities(
    closes: Iterable[PairClose], values: Mapping[int, UnitValue]
) -> dict[tuple[str, FeeSide], Activity]:
    """The activity of each partner by side; earned and spent count alike, returns are taken off."""
    found: dict[tuple[str, FeeSide], Activity] = {}
    for close in closes:
        sides = ((close.home_id, FeeSide.HOME), (close.acquirer_id, FeeSide.ACQUIRER))
        for entry in close.sums:
            volume = abs(worth(entry, values)) * (-1 if entry.kind in _TAKEN_BACK else 1)
            for side in sides:
                one = found.setdefault(side, Activity())
                one.records += entry.record_count
                one.volume_micro += volume
    return found


def fee_lines(
    terms: SettlementTerms,
    partners: Iterable[str],
    done: Mapping[tuple[str, FeeSide], Activity],
) -> list[FeeLine]:
    """The fees of a window, by partner and code; fees of nothing are left out."""
    lines = []
    for partner_id in sorted(partners):
        for fee in sorted(terms.fees, key=lambda fee: (fee.code, fee.partner_id)):
            if fee.partner_id in ("", partner_id):
                micro = _amount(fee, done.get((partner_id, fee.side), Activity()))
                if micro:
                    lines.append(FeeLine(partner_id, fee.code, micro))
    return lines


def _amount(fee: Fee, done: Activity) -> int:
    share, _ = round_half_even(done.volume_micro * fee.volume_ppm, PPM)
    return fee.window_micro + fee.record_micro * done.records + share


def owed_to_operator(lines: Iterable[FeeLine]) -> dict[tuple[str, str], int]:
    """The debts that fees make, by pair in byte order."""
    owed: dict[tuple[str, str], int] = {}
    for line in lines:
        add_debt(owed, line.partner_id, OPERATOR_ID, line.micro)
    return owed
