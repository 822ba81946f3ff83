"""One merchant's tills in a town where everybody shops everywhere: who comes, how they agree to a spend.

The till makes the same calls for all. What is other merchants' about a customer is the card's number, and
that a spend takes a proof: the chip card's, or a code that the home node sends to the member's telephone, and
that the member tells the cashier.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import balance_pb2, identifier_pb2
from simulators import shoppers
from simulators.demo.coalition.merchants import Merchant
from simulators.demo.figures import Figures
from simulators.demo.pockets import Pockets
from simulators.demo.shopping import Shop, card_proof, identifier_shown
from simulators.purchases import Basket, card_identifier
from simulators.shoppers import Member
from simulators.till import Till

CODE_PAUSE_SECONDS = 31.0
"""A home node sends a member one code in half a minute for one acquirer; until then it pays in money."""

_CODES_PREFERRED = 3
"""Abroad every third member pays by a code, though there is a card in the pocket."""
_ANONYMOUS = 0.06
_FROM_ELSEWHERE = 0.4
_TRIES = 8


@dataclass(slots=True, kw_only=True)
class Town(Shop):
    """The tills of `own`. `out` holds the cards of all who stand at a till anywhere: nobody stands at two.

    `abroad` are the figures of other merchants' members by their home's id; `figures` those of our own and of
    customers without a card.
    """

    own: Merchant
    others: Sequence[Merchant]
    out: set[str]
    abroad: Mapping[str, Figures]
    asked_seconds: dict[str, float] = field(default_factory=dict)
    homes: dict[str, Merchant] = field(default_factory=dict)

    def next_basket(self, member: Member | None, store_id: str) -> Basket:
        """A sale of this moment with a receipt number of its own."""
        sale = self.next_sale
        self.next_sale += 1
        return shoppers.basket(self.seed, sale, member, store_id, time.time_ns() // 1_000_000)

    def new_sale(self, store_id: str) -> tuple[int, Member | None, Basket]:
        """The next customer: mostly our own members, often others', a few without a card."""
        sale = self.next_sale
        chance = random.Random(f"town {self.seed} {sale}")
        member = None if chance.random() < _ANONYMOUS else self._somebody(chance)
        return sale, member, self.next_basket(member, store_id)

    def _somebody(self, chance: random.Random) -> Member | None:
        """A member who stands at no till; after a few tries a customer without a card comes instead."""
        for _ in range(_TRIES):
            home = chance.choice(self.others) if chance.random() < _FROM_ELSEWHERE else self.own
            member = chance.choice(home.members)
            if member.card not in self.out:
                self.out.add(member.card)
                self.homes[member.card] = home
                return member
        return None

    def home_of(self, member: Member) -> Merchant:
        """Whose member a customer is. The demo knows; the till does not."""
        return self.homes[member.card]

    def figures_of(self, member: Member | None) -> Figures:
        """Our own figures, or those of that home's members at our tills."""
        return self.figures if member is None else self.figures_by_card(member.card)

    def figures_by_card(self, card: str) -> Figures:
        """The same by what a till was shown; what is no card of a customer's here is one of our own's."""
        home = self.homes.get(card, self.own)
        return self.figures if home is self.own else self.abroad[home.merchant_id]

    def named(self, member: Member | None, chance: random.Random) -> identifier_pb2.Identifier | None:
        """At home by card or telephone; abroad by the card, whose beginning says whose member it is."""
        if member is None or self.home_of(member) is self.own:
            return identifier_shown(member, chance)
        return card_identifier(member.card)

    def pockets_of(self, member: Member) -> Pockets | None:
        """Those of the member's own merchant."""
        return self.home_of(member).pockets

    def may_pay(self, member: Member) -> bool:
        """Abroad not within half a minute of the last code; with a card on the reader at any time."""
        if self.home_of(member) is self.own or self.by_card(member):
            return True
        now_seconds = time.monotonic()
        last_seconds = self.asked_seconds.get(member.card)
        if last_seconds is not None and now_seconds - last_seconds < CODE_PAUSE_SECONDS:
            return False
        self.asked_seconds[member.card] = now_seconds
        return True

    async def agree(
        self, till: Till, member: Member, part: balance_pb2.Spend
    ) -> envelope_pb2.MemberProof | None:
        """With the card on the reader: what it proves. Else abroad the code from the member's telephone."""
        home = self.home_of(member)
        if self.by_card(member):
            return await card_proof(self, till, member, part)
        if home is self.own:
            return None
        return (await ask_code(till, member, part, home, self))[0]

    def by_card(self, member: Member) -> bool:
        """Whether the card on the reader proves what is spent. Abroad some would rather have a code."""
        at_home = self.home_of(member) is self.own
        return member.card in self.on_reader and (at_home or bool(member.number % _CODES_PREFERRED))

    def left(self, member: Member | None) -> None:
        """Free to go to another till."""
        if member is not None:
            self.out.discard(member.card)


async def ask_code(
    till: Till, member: Member, part: balance_pb2.Spend, home: Merchant, town: Town
) -> tuple[envelope_pb2.MemberProof, str]:
    """A proof with the code that the home node sent, and the words in which it came."""
    before = len(home.phones.texts(member.phone))
    figures = town.figures_of(member)
    with figures.timed("request proof"):
        await till.request_proof(card_identifier(member.card), [part])
    with figures.timed("code arrives"):
        code, words = await home.phones.code(member.phone, before, town.own.trader.name)
    figures.counts["codes"] += bool(code)
    return envelope_pb2.MemberProof(confirmation_code=code or "000000"), words
