"""A merchant's node is killed in the middle of the day, and what tills elsewhere are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import balance_pb2
from node.proto.vafa.pos.v1 import earning_pb2
from simulators.demo.coalition.hours import Place
from simulators.demo.coalition.merchants import PURSE, Merchant
from simulators.demo.shopping import HOME_UNREACHABLE
from simulators.launch import NodeFailed
from simulators.purchases import card_identifier
from simulators.refusal import Refused
from simulators.staff import Staff

LINK_SECONDS = 90.0
_POLL_SECONDS = 0.1
_BASKETS = 5


@dataclass(frozen=True, slots=True)
class Told:
    """What one till was told about a member whose home was gone: whether earning was kept for later, and the
    reason and words with which spending was refused. `spent` must never be."""

    till: str
    kept: bool
    spent: bool
    reason: str
    words: str

    @property
    def right(self) -> bool:
        """Whether it is what a till has to be told: earn later, spend not."""
        return self.kept and not self.spent and self.reason == HOME_UNREACHABLE


async def ask_meanwhile(place: Place, home: Merchant) -> Told:
    """A member of `home`, whose node is gone, at a till of another merchant's."""
    town, till = place.town, place.stand.till
    member = next(one for one in home.members if one.card not in town.out)
    town.out.add(member.card)
    town.homes[member.card] = home
    card, figures = card_identifier(member.card), town.figures_of(member)
    # A sale too small to earn anything would not have to be kept for later.
    baskets = [town.next_basket(member, place.stand.store_id) for _ in range(_BASKETS)]
    basket = max(baskets, key=lambda one: one.total_minor)
    accrued = await till.accrue(card, basket.purchase())
    figures.counts["accruals"] += 1
    figures.told(accrued.effects)
    pending = accrued.state == earning_pb2.ACCRUAL_STATE_PENDING
    figures.counts["pending"] += pending
    proof = envelope_pb2.MemberProof(confirmation_code="123456")
    wanted = till.write.redemption(card, [balance_pb2.Spend(purse=PURSE, units=1)], proof=proof)
    name = f"{town.own.trader.name}, {place.stand.store_id}"
    try:
        figures.paid((await till.send(wanted)).redeem.spent)
    except Refused as refused:
        figures.refusals[refused.refusal.reason] += 1
        return Told(name, pending, False, refused.refusal.reason, refused.refusal.message)
    finally:
        town.left(member)
    return Told(name, pending, True, "", "")


async def until_linked(staffs: Mapping[str, Staff], among: Sequence[str]) -> None:
    """Returns once every node of `among` is connected with every other. `NodeFailed` where it never is."""
    give_up_at = time.monotonic() + LINK_SECONDS
    while time.monotonic() < give_up_at:
        if all([await _linked(staffs[one], set(among) - {one}) for one in among]):
            return
        await asyncio.sleep(_POLL_SECONDS)
    raise NodeFailed(f"The nodes found no way to each other within {LINK_SECONDS:.0f} s.")


async def until_missed(staff: Staff, gone_id: str) -> None:
    """Returns once a node has noticed that a partner is gone."""
    give_up_at = time.monotonic() + LINK_SECONDS
    while await _linked(staff, {gone_id}):
        if time.monotonic() > give_up_at:
            raise NodeFailed(f"A killed partner still counts as connected after {LINK_SECONDS:.0f} s.")
        await asyncio.sleep(_POLL_SECONDS)


async def _linked(staff: Staff, partners: set[str]) -> bool:
    links = (await staff.links()).links
    return partners <= {link.partner_id for link in links if link.connected}
