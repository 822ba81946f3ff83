"""A hostile partner: it holds one merchant's keys, sees whatever that merchant's node says and hears, and
misuses both.

The merchant's own node runs on, so lanes are open and there is honest traffic to misuse. What the hostile
partner says is put on the wire in the merchant's name; what the node says it may hold back or replace.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from node.coalition.envelopes import Draft, Message
from node.coalition.lanes import GENESIS
from node.coalition.messages import ExchangeReason, HeadAck, Hello, HelloReply, MessageType, Posted
from node.identity.signers import Signer
from node.wire.coalition import Carried, EnvelopeSealer, carried_bytes, reopen
from simulators.sim.coalition import COALITION, MERCHANTS, SIGNERS

if TYPE_CHECKING:
    from simulators.chaos.hostile import Hostile
    from simulators.sim.partner import PartnerNode

TRIES = 30
"""How often an attack is looked for a chance to be made, and made again where it was lost on the way."""
PAUSE_SECONDS = 2.0
HEARD_SECONDS = 1.5
"""From an attack until it must have been counted, in good weather."""
FOR_THE_MOMENT = (ExchangeReason.LANE_NOT_READY, ExchangeReason.OVERLOADED)
"""Refusals that say nothing of what was refused: it may be sent again."""
MAX_SEEN = 4_000
REPLAYED = 0.1
"""The share of what the merchant's node says that comes again, much later."""

Hook = Callable[[str, str, Carried], Sequence[bytes] | None]
"""What arrives in place of a message that passes by; None where that is not its business."""


class Attack(Struct, frozen=True):
    """A misuse. `make` does it once to a victim, and says whether there was a chance to; the victim must then
    count one more message refused for `reason`.

    `why`: the lane is set aside, for this.
    """

    name: str
    reason: ExchangeReason
    make: Callable[[Thief, str], bool]
    why: str = ""


class Deed(Struct):
    """An attack on a victim: how often it was made, and refused by its name. `twice` are lanes on which it
    said a record that its node says otherwise: where that one came first, this one is another history.
    """

    attack: Attack
    victim: str
    made: int = 0
    refused: int = 0
    twice: list[int] = []


class Seen(Struct, frozen=True):
    """A message that passed by."""

    sender: str
    receiver: str
    at_ms: int
    carried: Carried

    @property
    def message(self) -> Message:
        """What is signed."""
        return self.carried.message


class Thief:
    """The hostile partner. `own_id` is the merchant whose keys it holds."""

    def __init__(self, world: Hostile, own_id: str, chance: random.Random) -> None:
        self.world = world
        self.own_id = own_id
        self.chance = chance
        self.hooks: list[Hook] = []
        self.deeds: list[Deed] = []
        self.aside: dict[tuple[str, int], Attack] = {}
        """Lanes of its members, by acquirer, on which it has said what must set them aside."""
        self.twice: set[tuple[str, int]] = set()
        """Lanes on which it has signed a record that must be refused and that its node signs otherwise: where
        the refused one comes once more, late, it is a second history."""
        self.read: list[bytes] = []
        """Records of lanes between others that it was given: none, if all is right."""
        self._now: Deed | None = None
        self._sprung: dict[str, int] = {}
        self._seen: list[Seen] = []
        self._acked: dict[tuple[str, int], int] = {}
        self._hashes: dict[tuple[str, int, int], bytes] = {}
        """By acquirer, lane and number: what the merchant's node has said of its records."""
        world.network.tap = self._passes

    @property
    def victims(self) -> tuple[str, ...]:
        """The honest merchants."""
        return tuple(merchant for merchant in MERCHANTS if merchant != self.own_id)

    def third(self, victim: str) -> str:
        """The other honest merchant."""
        return next(one for one in self.victims if one != victim)

    # --- what passes by -----------------------------------------------------------------------------------

    def _passes(self, sender: str, receiver: str, data: bytes) -> Sequence[bytes]:
        if self.own_id not in (sender, receiver):
            return [data]
        carried = reopen(data)
        other = receiver if sender == self.own_id else sender
        arrives = self.world.network.passes(sender, receiver) and self._tells_time(other)
        for hook in list(self.hooks) if arrives else ():
            instead = hook(sender, receiver, carried)
            if instead is not None:
                return instead
        self._note(sender, receiver, carried)
        if sender == self.own_id and self.chance.random() < REPLAYED:
            later = self.chance.uniform(0, 100)
            self.world.outside.call_later(later, self.world.network.inject, sender, receiver, data)
        return [data]

    def _note(self, sender: str, receiver: str, carried: Carried) -> None:
        if len(self._seen) >= MAX_SEEN:
            del self._seen[: MAX_SEEN // 2]
        self._seen.append(Seen(sender, receiver, self.world.clock_ms(), carried))
        body, lane = carried.message.body, carried.message.header.lane
        if sender == self.own_id and isinstance(body, Posted):
            self._hashes[receiver, lane, body.core.number] = body.hash
        elif sender == self.own_id and isinstance(body, Hello):
            self._hashes[receiver, lane, body.head.number] = body.head.hash
        elif receiver == self.own_id and isinstance(body, HeadAck | HelloReply):
            self._acked[sender, lane] = body.head.number

    def said_to(self, victim: str, *types: MessageType) -> Iterator[Seen]:
        """What the merchant's node has said to a victim, the newest first."""
        return self._passed(self.own_id, victim, types)

    def heard_from(self, victim: str, *types: MessageType) -> Iterator[Seen]:
        """What it has heard, the newest first."""
        return self._passed(victim, self.own_id, types)

    def _passed(self, sender: str, receiver: str, types: Sequence[MessageType]) -> Iterator[Seen]:
        for seen in reversed(self._seen):
            between = (seen.sender, seen.receiver) == (sender, receiver)
            if between and (not types or seen.message.header.type in types):
                yield seen

    def hash_of(self, victim: str, lane: int, number: int) -> bytes | None:
        """The hash of one of the merchant's records, where it passed by."""
        return GENESIS if number == 0 else self._hashes.get((victim, lane, number))

    def newest_of(self, victim: str, lane: int) -> int:
        """The number of the newest of the merchant's records that a victim has said that it holds."""
        return self._acked.get((victim, lane), 0)

    def epoch_of(self, victim: str, lane: int, *, home: bool) -> int:
        """The newest epoch that was said on a lane; `home`: of the merchant's own members."""
        said = self.said_to(victim, MessageType.HELLO) if home else self.heard_from(victim, MessageType.HELLO)
        return next((one.message.header.epoch for one in said if one.message.header.lane == lane), 0)

    # --- traps -------------------------------------------------------------------------------------------

    def waits_for(self, victim: str, hook: Hook) -> bool:
        """Sets a trap, once; False: it is made when something falls into it, which says `springs`."""
        if not self.hooks:
            self.hooks.append(hook)
        return False

    def springs(self, victim: str) -> None:
        """Something fell into the trap, and what was waited for is made now."""
        self.hooks.clear()
        assert self._now is not None, "a trap is of an attack"
        self._sprung.setdefault(victim, self.counted(victim, self._now.attack.reason))

    def sets_aside(self, victim: str, lane: int) -> None:
        """Notes that the victim must set a lane aside for what is said now."""
        assert self._now is not None, "only an attack does that"
        self.aside[victim, lane] = self._now.attack

    def signs_twice(self, victim: str, lane: int) -> None:
        """Notes that a lane may be set aside, should what is said now come again later."""
        assert self._now is not None, "only an attack does that"
        self._now.twice.append(lane)
        self.twice.add((victim, lane))

    def spoiled(self, victim: str, lane: int) -> bool:
        """Whether a lane is set aside by now, or may be: it then refuses everything by that name."""
        return (victim, lane) in self.aside or (victim, lane) in self.twice

    # --- what it says -------------------------------------------------------------------------------------

    def seal(
        self,
        draft: Draft,
        victim: str,
        *,
        sender: str = "",
        signer: Signer | None = None,
        late_ms: int = 0,
    ) -> Message:
        """Signs in the merchant's name, or what else is claimed; `late_ms`: so long ago, by what it says."""
        key = SIGNERS[self.own_id] if signer is None else signer
        sealer = EnvelopeSealer(COALITION, sender or self.own_id, lambda _: key)
        return sealer.seal(draft, victim, self.world.clock_ms() - late_ms)

    def put(self, victim: str, data: bytes) -> None:
        """Puts bytes on the merchant's wire to a victim."""
        self.world.network.inject(self.own_id, victim, data)

    def say(self, victim: str, draft: Draft, beside: Carried | None = None, **more: object) -> None:
        """Signs and sends, with what travelled beside another message."""
        message = self.seal(draft, victim, **more)  # type: ignore[arg-type]  # each of them is what `seal` calls it
        self.put(victim, with_beside(message, beside))

    # --- its day ------------------------------------------------------------------------------------------

    async def work(self, attacks: Sequence[Attack]) -> None:
        """Makes every attack once on a victim; tries again while there is no chance, or it was lost."""
        await self.world.everybody_enrolled()
        for attack in attacks:
            await asyncio.sleep(self.chance.uniform(0.5, 6.0))
            await self.attack(attack, self.chance.choice(self.victims))

    async def attack(self, attack: Attack, victim: str) -> Deed:
        """One attack, until it was refused by its name."""
        deed = Deed(attack, victim)
        self.deeds.append(deed)
        self._now = deed
        first: int | None = None
        for _ in range(TRIES):
            before = self._sprung.pop(victim, None)
            busy = self._put_off(victim)
            # Whoever is down or cut off hears nothing, and to a wrong clock all is stale: that is no attack.
            if before is None and self.world.network.passes(self.own_id, victim) and self._tells_time(victim):
                counted = self.counted(victim, attack.reason)
                before = counted if attack.make(self, victim) else None
            if before is not None:
                deed.made += 1
                first = before if first is None else first
                self.world.trace.fault(self.own_id, f"hostile: {attack.name}", victim)
            await asyncio.sleep(HEARD_SECONDS)
            # In bad weather an attack may be heard only after it was made again.
            if first is not None and self.counted(victim, attack.reason) > first:
                deed.refused = self.counted(victim, attack.reason) - first
                break
            if before is not None and self._put_off(victim) > busy:
                deed.made -= 1  # perhaps this was put off, too: the victim has not judged it
            await asyncio.sleep(PAUSE_SECONDS)
        self.hooks.clear()
        return deed

    def counted(self, victim: str, reason: ExchangeReason) -> int:
        """Messages of the merchant's that a victim has refused for a reason, in all its lives."""
        return self._node(victim).refused(self.own_id)[reason.name]

    def _put_off(self, victim: str) -> int:
        """Messages of the merchant's that a victim has refused for the moment, whatever they say."""
        refused = self._node(victim).refused(self.own_id)
        return sum(refused[reason.name] for reason in FOR_THE_MOMENT)

    def _tells_time(self, victim: str) -> bool:
        """Whether a victim's clock is right."""
        return not self._node(victim).skew_ms

    def _node(self, merchant: str) -> PartnerNode:
        return next(node for node in self.world.partners if node.plan.merchant == merchant)


def with_beside(message: Message, beside: Carried | None) -> bytes:
    """A message with what travelled beside another one."""
    if beside is None:
        return carried_bytes(message)
    return carried_bytes(
        message,
        identifier_kind=beside.identifier_kind,
        identifier=beside.identifier,
        proof=beside.proof,
        salt=beside.salt,
        evidence=beside.evidence,
    )


def flipped(data: bytes) -> bytes:
    """Bytes with the last bit changed."""
    return data[:-1] + bytes((data[-1] ^ 1,))


def with_signature(carried: Carried, signature: bytes) -> bytes:
    """A message as it was, with another signature."""
    return with_beside(replace(carried.message, signature=signature), carried)
