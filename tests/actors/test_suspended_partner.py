"""A partner whose prepaid balance is used up, or that is in default, is suspended by the next directory: at
the tills its members go on earning, nobody spends, and what is under way is finished.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.coalition.directory import PartnerStatus
from node.coalition.exchange import AcquirerState
from node.coalition.messages import ExchangeReason
from node.ledger.refusals import Reason
from node.wire.abroad_refusals import why_not
from node.wire.coalition_directory import sign_directory
from node.wire.coalition_trust import KnownDirectories, first
from tests.actors.abroad_merchants import _OPERATOR, DIRECTORY, NILE, SAFFRON, Bazaar
from tests.actors.abroad_stories import opened, returns, spends, state


async def _suspend(bazaar: Bazaar, partner_id: str, status: PartnerStatus = PartnerStatus.SUSPENDED) -> None:
    """Both nodes follow a directory in which a partner is suspended."""
    partners = tuple(
        replace(one, status=status) if one.partner_id == partner_id else one for one in DIRECTORY.partners
    )
    signed = sign_directory(replace(DIRECTORY, version=2, partners=partners), _OPERATOR).data
    for merchant in (bazaar.nile, bazaar.saffron):
        found = first(signed, _OPERATOR.public_uri, merchant.now_ms)
        assert isinstance(found, KnownDirectories), found
        merchant.directories.known, merchant.directories.signed = found, signed
        merchant.restart()
    await bazaar.open()


@pytest.mark.parametrize("suspended", [NILE, SAFFRON])
async def test_members_earn_nobody_spends_and_what_is_under_way_is_finished(suspended: str) -> None:
    bazaar = await opened()
    await bazaar.saffron.earns("before", 1, 100)
    await spends(bazaar, "held", 30, one_step=False)
    bazaar.nile.now_ms += 60_000
    bazaar.saffron.now_ms += 60_000
    code = await bazaar.saffron.asks_for_code(1, 1_000)
    await bazaar.pump()
    await _suspend(bazaar, suspended)
    await bazaar.saffron.earns("while", 1, 40)
    await bazaar.pump()
    assert await state(bazaar, "while") is AcquirerState.DONE
    outcome = await bazaar.saffron.spends("not now", 1, 10, code, True)
    await bazaar.pump()
    if suspended == NILE:  # the till's own node knows that its members spend nothing
        assert outcome.refused == ExchangeReason.NOT_A_PARTNER
    else:  # the member's own node takes nothing of a suspended partner's tills
        known = await bazaar.saffron.looks("not now")
        assert (known.state, known.reason) == (AcquirerState.FAILED, ExchangeReason.NOT_A_PARTNER)
    await bazaar.saffron.captures("held", 30)
    await bazaar.pump()
    assert await state(bazaar, "held") is AcquirerState.DONE
    await returns(bazaar, "back", "before", 100)
    assert await state(bazaar, "back") is AcquirerState.DONE
    bazaar.assert_agreed()
    assert bazaar.nile.position() == 30 - 100 - 40 + 100
    await _suspend(bazaar, suspended, PartnerStatus.ACTIVE)  # it has paid
    await spends(bazaar, "again", 10)
    assert await state(bazaar, "again") is AcquirerState.DONE


def test_the_till_hears_that_points_are_kept_and_earning_goes_on() -> None:
    refusal = why_not(ExchangeReason.NOT_A_PARTNER)
    assert refusal.reason is Reason.PARTNER_NOT_ACTIVE
    assert "points are kept" in refusal.message
