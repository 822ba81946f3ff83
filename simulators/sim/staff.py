"""Staff in a simulation: they enrol members, move points between them, and link and unlink telephones.

All of that spans partitions, and so shards: claims that a crash leaves half-way, units in transit. Two of the
staff may want the same telephone for different members at once; one of them is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from node.identity.caller import Caller
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.wire.commands import Op
from simulators.operations import timestamp
from simulators.purchases import card_identifier, phone_identifier
from simulators.sim.asking import Asker, Call, Sent
from simulators.sim.trace import Trace

GIVES_UP = 0.4
"""The chance that somebody who links a telephone does not wait for the answer."""
PHONES = 5
"""Few, so that they are wanted for several members."""


class Staff(Asker):
    """One of a merchant's staff. `purse` is what may be moved between members."""

    def __init__(
        self, caller: Caller, call: Call, cards: list[str], purse: str, seed: int, clock: Callable[[], int],
        trace: Trace,
    ) -> None:  # fmt: skip
        super().__init__(caller, f"{caller.role.value}:{caller.id}", call, seed, trace)
        self._cards = cards
        self._purse = purse
        self._clock = clock

    async def enrol(self, card: str) -> Sent:
        """Enrols a member with a card; returns once that is done."""
        request = pb.EnrolRequest(identifiers=[card_identifier(card)])
        sent = self._asked(Op.ENROL, request, card)
        await self.until_known(sent)
        return sent

    async def work(self, tasks: int, pause_seconds: tuple[float, float]) -> None:
        """Does so many things, and returns once the outcome of each is known."""
        for _ in range(tasks):
            await asyncio.sleep(self.chance.uniform(*pause_seconds))
            card = self.chance.choice(self._cards)
            draw = self.chance.random()
            if draw < 0.5:
                await self._transfer(card, self.chance.choice(self._cards))
            else:
                phone = phone_identifier(f"0912{self.chance.randrange(PHONES):07d}")
                if draw < 0.8:
                    request: Any = pb.LinkIdentifierRequest(
                        identifier=card_identifier(card), new_identifier=phone
                    )
                    await self._link(self._asked(Op.LINK_IDENTIFIER, request, card))
                else:
                    request = pb.UnlinkIdentifierRequest(identifier=phone)
                    await self.until_known(self._asked(Op.UNLINK_IDENTIFIER, request, card))

    async def _link(self, sent: Sent) -> None:
        """Some close the window at once; what a crash then leaves half made is for the node to end."""
        if self.chance.random() < GIVES_UP:
            self.call_once(sent)
            sent.given_up = True
        else:
            await self.until_known(sent)

    async def _transfer(self, card: str, to_card: str) -> None:
        units = self.chance.randint(1, 25)
        request = pb.TransferRequest(
            identifier=card_identifier(card),
            to_identifier=card_identifier(to_card),
            purse=self._purse,
            units=units,
        )
        await self.until_known(self._asked(Op.TRANSFER, request, card, -units, to_card))

    def _asked(self, op: Op, request: Any, card: str, units: int = 0, to_card: str = "") -> Sent:
        request.request_id = f"{self.caller.id}.{len(self.sent) + 1}"
        request.occurred_time.CopyFrom(timestamp(self._clock()))
        body = request.SerializeToString(deterministic=True)
        sent = Sent(op, request.request_id, self.scope, card, units, body, to_card=to_card)
        self.sent.append(sent)
        return sent
