"""What becomes of a pair when a partner is away at the cut, never signs, or leaves: each outcome is defined.

away at the cut    its partners wait out the time to sign; what it signs within it is taken
never signs        the other side hands in what both had signed before; what nobody can prove waits for the
                   next window; after some windows the operator is advised to suspend it
leaves             it signs closes until its last window; what is still disputed then is between the two
                   merchants, who hold each other's signatures; nobody else's window waits
does not pay       see `defaults`

No outcome changes what any other pair owes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from node.coalition.directory import Directory, PartnerStatus
from node.settlement.windows import takes_part

SILENT_WINDOWS_MAX = 2
"""Windows in a row without a signature, after which a partner should be suspended."""


class Advice(Struct, frozen=True):
    """What the operator should do about a partner, and why; it decides, and publishes a directory."""

    partner_id: str
    status: PartnerStatus
    why: str


def advice_of(directory: Directory, window: int, silent: Mapping[str, int]) -> list[Advice]:
    """Whom to suspend after a window; `silent` counts each partner's windows in a row without any
    signature.
    """
    return [
        Advice(
            partner.partner_id,
            PartnerStatus.SUSPENDED,
            f"has signed nothing for {silent[partner.partner_id]} windows in a row",
        )
        for partner in directory.partners
        if partner.status is PartnerStatus.ACTIVE
        and takes_part(partner, window)
        and silent.get(partner.partner_id, 0) >= SILENT_WINDOWS_MAX
    ]


def silent_after(
    directory: Directory, window: int, signers: Iterable[str], before: Mapping[str, int]
) -> dict[str, int]:
    """The count of silent windows of each partner after this one; signing once sets it back."""
    signed = set(signers)
    return {
        partner.partner_id: before.get(partner.partner_id, 0) + 1
        for partner in directory.partners
        if takes_part(partner, window) and partner.partner_id not in signed
    }
