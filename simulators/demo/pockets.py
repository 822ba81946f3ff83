"""The chip cards in the pockets of the demo's members: all three kinds, of their merchant's own keys.

The cards are made in this process, quickly: the bureau's journals are for plastic that must not be lost. The
node gets a key store with the verification key alone, as `vafa cards node-keys` would make it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from cards.crypto import CardKey
from cards.jobs import IssuerKeys
from cards.keys import Domain, KeyRing, issuer_key
from cards.keystore import KeyId, KeyPurpose, SealedFileStore
from node.identity.keys import write_secret
from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.member.v1 import chip_card_pb2
from simulators.cards.shelf import Profile
from simulators.cards.wallet import Wallet
from simulators.launch import Setting
from simulators.purchases import card_identifier
from simulators.shoppers import Member

MAX_CARDS = 2_000
"""Of one merchant: a card takes a few milliseconds to make, and the demo is to be quick with any number."""

TAP_TRANSACTION_UNITS, TAP_DAY_UNITS = 20, 50

_COST_LOG2 = 14
"""The key of this store guards toys, so the passphrase is not stretched as far as a real one."""


class Pockets:
    """The cards of one merchant's members."""

    def __init__(self, merchant_id: str, directory: Path) -> None:
        """Makes the merchant's keys, and in `directory` the store that its node opens."""
        master = CardKey(os.urandom(16))
        of = {domain: KeyRing(issuer_key(master, merchant_id, domain, 1)) for domain in Domain}
        self._store, self._passphrase_file = directory / "node-keys", directory / "node-keys.pass"
        directory.mkdir(parents=True, exist_ok=True)
        passphrase = os.urandom(16).hex()
        with closing(SealedFileStore.create(self._store, passphrase, cost_log2=_COST_LOG2)) as store:
            key_id = KeyId(KeyPurpose.VERIFICATION, merchant_id, 1)
            store.add(key_id, of[Domain.VERIFICATION].current.key, created_ms=1)
        write_secret(self._passphrase_file, passphrase.encode())
        self.wallet = Wallet(IssuerKeys(of[Domain.MANAGEMENT], of[Domain.VERIFICATION]), os.urandom)
        self.chips: dict[str, chip_card_pb2.ChipCard] = {}

    @property
    def settings(self) -> dict[str, Setting]:
        """What the node's file must say."""
        return {
            "cards.key_store": str(self._store),
            "cards.passphrase_file": str(self._passphrase_file),
            "cards.tap_transaction_units": TAP_TRANSACTION_UNITS,
            "cards.tap_day_units": TAP_DAY_UNITS,
        }

    def fill(self, members: Iterable[Member]) -> None:
        """Makes each member a card, one kind after the other."""
        kinds = list(Profile)
        for number, member in enumerate(members):
            if number == MAX_CARDS:
                return
            self.chips[member.card] = self.wallet.make(kinds[number % len(kinds)], member.card)

    def holds(self, card: str) -> bool:
        """Whether the member of that card's number carries a chip."""
        return card in self.chips

    def shown(self, card: str) -> identifier_pb2.Identifier:
        """What a till's reader gets off the card: a tap, or the number on its label."""
        return self.wallet.shown(card)


def by_number(shown: identifier_pb2.Identifier, card: str) -> identifier_pb2.Identifier:
    """The card by its number, where it was named by a tap; whatever else was shown stays."""
    return card_identifier(card) if shown.kind == identifier_pb2.IDENTIFIER_KIND_CARD_TAP else shown
