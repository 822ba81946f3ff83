"""The three merchants of the demo's coalition: who they are, their nodes, and their members' telephones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulators import shoppers
from simulators.demo.coalition.phones import Phones
from simulators.demo.pockets import Pockets
from simulators.launch import NodeUnderTest
from simulators.shoppers import Member

COALITION = "bazaar"
PURSE = "points"
"""The purse that works abroad; it is in the programme that every new node starts with."""


@dataclass(frozen=True, slots=True)
class Trader:
    """A merchant as it would introduce itself."""

    merchant_id: str
    name: str
    country: str
    language: str
    time_zone: str


TRADERS = (
    Trader("saffron", "فروشگاه زعفران", "IR", "fa", "Asia/Tehran"),
    Trader("nile", "سوق النيل", "EG", "ar", "Africa/Cairo"),
    Trader("camden", "Camden Stores", "GB", "en", "Europe/London"),
)


@dataclass(frozen=True, slots=True)
class Merchant:
    """A trader with its node, its members, where the node leaves their messages, and their cards."""

    trader: Trader
    node: NodeUnderTest
    members: Sequence[Member]
    phones: Phones
    pockets: Pockets | None = None

    @property
    def merchant_id(self) -> str:
        """Its id in the directory."""
        return self.trader.merchant_id

    @property
    def card_range(self) -> str:
        """How the cards of all its members begin, and nobody else's."""
        return self.members[0].card[: shoppers.CARD_PREFIX_DIGITS]


def members_of(number: int, count: int, seed: int) -> Sequence[Member]:
    """The members of merchant `number`; each merchant's cards have a beginning of their own."""
    return list(shoppers.members(count, len(TRADERS) * seed + number))
