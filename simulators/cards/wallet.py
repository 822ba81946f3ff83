"""Members' virtual cards, finished, in the members' hands: noted at the node, and put on a till's reader."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from cards.apdu import card_chain
from cards.jobs import RECIPES, IssuerKeys
from cards.jobs.manifest import KeysWanted, Manifest
from cards.keys import CardIdentity, CardProfile
from cards.profiles import desfire, javacard, ntag424
from cards.profiles.globalplatform import GlobalPlatformVisit
from cards.profiles.native_card import NativeVisit
from cards.profiles.steps import run_steps
from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import balance_pb2, identifier_pb2
from node.proto.vafa.member.v1 import chip_card_pb2, member_service_pb2
from simulators import reader
from simulators.cards.card import RandomBytes
from simulators.cards.desfire.card import Desfire
from simulators.cards.ntag424.card import Ntag424
from simulators.cards.shelf import AnyCard, Profile, new_card

ADDRESS_BASE = "https://card.example/t"

Tamper = Callable[[bytes], bytes]


class Wallet:
    """Finished cards by number, of one merchant's keys. Numbers have 4 to 16 digits or capital letters."""

    def __init__(self, keys: IssuerKeys, random_bytes: RandomBytes) -> None:
        self._keys = keys
        self._random = random_bytes
        self._cards: dict[str, AnyCard] = {}

    def make(self, profile: Profile, number: str) -> chip_card_pb2.ChipCard:
        """A finished card of that number, and what its node is to note of it."""
        card, kind = new_card(profile, self._random), CardProfile[profile.name]
        recipe, current = RECIPES[kind], self._keys.verification.current
        card.tap()
        visit = recipe.visit(card_chain(card), self._random)
        uid = recipe.identify(visit)
        assert uid is not None, "a new virtual card shows its UID"
        base = ADDRESS_BASE if profile is Profile.NTAG424 else ""
        manifest = Manifest(
            "wallet",
            profile.value,
            current.merchant,
            1,
            number,
            KeysWanted(current.version),
            address_base=base,
        )
        plan = recipe.plan(manifest, self._keys, CardIdentity(kind, uid, number))
        run_steps(visit, recipe.steps(manifest, plan))
        card.power_off()
        self._cards[number] = card
        return chip_card_pb2.ChipCard(
            profile=chip_card_pb2.ChipProfile.ValueType(kind.value),
            chip_uid=uid,
            key_version=current.version,
            state=chip_card_pb2.CHIP_STATE_ACTIVE,
        )

    def holds(self, number: str) -> bool:
        """Whether a card of that number was made."""
        return number in self._cards

    def shown(self, number: str) -> identifier_pb2.Identifier:
        """What a till's reader gets off a card that is put on it: the address of a tap where the card makes
        one, else the number on its label, which it shows to everybody.
        """
        card = self._cards[number]
        card.tap()
        try:
            chain = card_chain(card)
            if isinstance(card, Ntag424):
                address = ntag424.read_address(NativeVisit(chain, self._random))
                kind = identifier_pb2.IDENTIFIER_KIND_CARD_TAP
                return identifier_pb2.Identifier(kind=kind, value=address)
            if isinstance(card, Desfire):
                label = desfire.read_label(NativeVisit(chain, self._random))
            else:
                label = javacard.read_label(GlobalPlatformVisit(chain, self._random))
        finally:
            card.power_off()
        return identifier_pb2.Identifier(kind=identifier_pb2.IDENTIFIER_KIND_CARD, value=label.alias)

    async def prove(
        self,
        pos: Any,
        shown: identifier_pb2.Identifier,
        spend: balance_pb2.Spend,
        tamper: Tamper = lambda apdu: apdu,
    ) -> envelope_pb2.MemberProof:
        """Put the card on a till's reader until it has proved a spend; `pos` is the till's PosService stub.

        What the node refuses comes out as the stub gives it. `tamper` changes what the card answers.
        """
        with self.on_reader(shown.value) as transmit:
            return await reader.prove(pos, shown, spend, lambda apdu: tamper(transmit(apdu)))

    @contextmanager
    def on_reader(self, number: str) -> Iterator[reader.Transmit]:
        """The card on a reader, for as long as the block lasts."""
        card = self._cards[number]
        card.tap()
        try:
            yield card.transmit
        finally:
            card.power_off()


async def note(
    members: Any, shown: identifier_pb2.Identifier, chip: chip_card_pb2.ChipCard, now_ms: int
) -> None:
    """Tell the node of a card; `members` is a stub of MemberService, of staff's."""
    occurred = Timestamp()
    occurred.FromMilliseconds(now_ms)
    await members.RecordCard(
        member_service_pb2.RecordCardRequest(
            request_id=uuid.uuid4().hex, identifier=shown, occurred_time=occurred, card=chip
        )
    )
