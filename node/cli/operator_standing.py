"""What the operator's books mean for the next directory: who is suspended, and which caps a balance covers.

The terms say what partners are meant to be; who has used a prepaid balance up, or is in default, is suspended
all the same, and is active again by the first directory after it has paid.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from node.actors.operator_positions import positions
from node.cli.operator_home import OperatorHome, OperatorRefused
from node.cli.operator_service import CALL_SECONDS, calling, has_store, is_served, resting
from node.cli.settlement_shown import amount
from node.coalition.directory import Cap, Directory, PartnerStatus
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as pb
from node.proto.vafa.settlement.v1.settlement_service_pb2_grpc import SettlementServiceStub
from node.settlement.netting import scale_of, unit_values
from node.settlement.prepaid import Balance, covered_caps
from node.settlement.windows import terms_of


class Standing(Struct, frozen=True):
    """A partner by the books. `balance` of one that pays ahead; `reason` why it is suspended, else empty."""

    partner_id: str
    suspend: bool
    reason: str
    in_default: bool
    balance: Balance | None


def standings(home: OperatorHome) -> list[Standing]:
    """How partners stand by the operator's books, running or at rest; none before there are books."""
    if not has_store(home):
        return []
    found = _asked(home)
    if found is not None:
        return [
            Standing(
                one.partner_id,
                one.suspend,
                one.reason,
                bool(one.defaulted_windows),
                Balance(amount(one.prepaid.balance), amount(one.prepaid.full))
                if one.HasField("prepaid")
                else None,
            )
            for one in found
        ]
    with resting(home) as books:
        return [
            Standing(one.partner_id, one.suspend, one.reason, bool(one.defaulted_windows), one.prepaid)
            for one in positions(books)
        ]


def _asked(home: OperatorHome) -> Sequence[pb.PartnerPosition] | None:
    """The positions from the running service; None where none answers, after a crash of it too."""
    if not is_served(home):
        return None
    try:
        with calling(home) as channel:
            request = pb.ListPositionsRequest()
            return SettlementServiceStub(channel).ListPositions(request, timeout=CALL_SECONDS).positions
    except OperatorRefused:
        return None


def applied(made: Directory, found: Sequence[Standing]) -> tuple[Directory, list[str]]:
    """The directory with what the books say, and a line for a person about each change."""
    by_id = {one.partner_id: one for one in found}
    partners, lines = [], []
    for partner in made.partners:
        standing = by_id.get(partner.partner_id)
        if standing is not None and standing.suspend and partner.status is PartnerStatus.ACTIVE:
            partner = replace(partner, status=PartnerStatus.SUSPENDED)
            lines.append(f"Suspended: {partner.partner_id} {standing.reason}.")
        partners.append(partner)
    caps = made.caps
    for standing in found:
        if standing.in_default:
            caps = tuple(_zero(cap) if cap.debtor_id == standing.partner_id else cap for cap in caps)
            lines.append(f"Caps of {standing.partner_id}: 0, while it is in default.")
        elif standing.balance is not None:
            caps, lowered = _covered(made, caps, standing.partner_id, standing.balance)
            lines += lowered
    return replace(made, partners=tuple(partners), caps=caps), lines


def _zero(cap: Cap) -> Cap:
    return replace(cap, units=0)


def _covered(
    made: Directory, caps: tuple[Cap, ...], partner_id: str, balance: Balance
) -> tuple[tuple[Cap, ...], list[str]]:
    """The caps of one that pays ahead, none above what its balance covers beside the others."""
    window = made.window_at(made.publish_time_ms)
    number = window.number if window else max((one.number for one in made.windows), default=0)
    terms = terms_of(made, number)
    if terms is None:
        return caps, []
    worths = unit_values(made, terms).values()
    dearest = max((max(one.accrual_micro, one.redemption_micro) for one in worths), default=0)
    creditors = [cap.creditor_id for cap in caps if cap.debtor_id == partner_id]
    most = covered_caps(balance, scale_of(terms), dearest, creditors)
    lowered = [
        replace(cap, units=min(cap.units, most[cap.creditor_id])) if cap.debtor_id == partner_id else cap
        for cap in caps
    ]
    changed = [one for one, cap in zip(lowered, caps, strict=True) if one != cap]
    lines = [
        f"Cap of {partner_id} with {one.creditor_id}: {one.units}, what its balance covers."
        for one in changed
    ]
    return tuple(lowered), lines
