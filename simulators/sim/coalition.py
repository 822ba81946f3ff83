"""The coalition of a simulation: three merchants, their keys, the signed directory, and members' proofs."""

from __future__ import annotations

import random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from node.coalition.directory import (
    Cap,
    CoalitionPurse,
    Directory,
    ExchangeBounds,
    IdentifierRange,
    Key,
    Partner,
    PartnerStatus,
    Rate,
    Window,
)
from node.identity.keys import private_key_pem
from node.identity.signers import ed25519_signer
from node.people.identifiers import IdentifierKind
from node.wire.coalition_directory import sign_directory

COALITION = "bazaar"
MERCHANTS = ("cedar", "nile", "saffron")
CARD_PREFIX = {"cedar": "627301", "nile": "627302", "saffron": "627303"}
CURRENCY = "USD"
WINDOW_MS = 40_000
WINDOWS = 8
"""Short windows while there is traffic, then a long one: cuts fall into every run."""
DAY_MS = 86_400_000
KEY_SEED_BYTES = 32


class Terms(Struct, frozen=True):
    """What differs between seeds: bounds and caps."""

    cap_units: int = 100_000
    freshness_seconds: int = 120
    hold_seconds_max: int = 300
    old_keys: bool = False
    """Whether each merchant has changed its key, a day before."""


def signing_key(merchant: str) -> Ed25519PrivateKey:
    """A merchant's exchange key, always the same. With "old " before the name, the one before."""
    return Ed25519PrivateKey.from_private_bytes(random.Random(f"key of {merchant}").randbytes(KEY_SEED_BYTES))


def signing_pem(merchant: str) -> bytes:
    """The same as a node keeps it."""
    return private_key_pem(signing_key(merchant))


OPERATOR = ed25519_signer(signing_key("the operator"))
SIGNERS = {merchant: ed25519_signer(signing_key(merchant)) for merchant in MERCHANTS}
OLD_SIGNERS = {merchant: ed25519_signer(signing_key(f"old {merchant}")) for merchant in MERCHANTS}
"""The keys that are valid no more, where `Terms.old_keys` says that there are such."""


def directory(start_ms: int, terms: Terms, purse: str, partitions: int) -> Directory:
    """The directory of a simulation that begins at `start_ms`."""
    opens = [start_ms - DAY_MS, *(start_ms + number * WINDOW_MS for number in range(1, WINDOWS))]
    cuts = [*opens[1:], start_ms + 400 * DAY_MS]
    return Directory(
        COALITION,
        1,
        start_ms - DAY_MS,
        tuple(_partner(merchant, start_ms, partitions, terms) for merchant in MERCHANTS),
        CoalitionPurse(purse, (("en", "Points"),)),
        rates=(
            Rate(1, start_ms - DAY_MS, 10_000, 9_000, CURRENCY),
            Rate(2, start_ms + 60_000, 11_000, 9_500, CURRENCY),
        ),
        windows=tuple(
            Window(number, open_ms, cut_ms)
            for number, (open_ms, cut_ms) in enumerate(zip(opens, cuts, strict=True), 1)
        ),
        caps=tuple(
            Cap(debtor, creditor, terms.cap_units)
            for debtor in MERCHANTS
            for creditor in MERCHANTS
            if debtor != creditor
        ),
        bounds=ExchangeBounds(
            freshness_seconds=terms.freshness_seconds, hold_seconds_max=terms.hold_seconds_max
        ),
    )


def _partner(merchant: str, start_ms: int, partitions: int, terms: Terms) -> Partner:
    keys: tuple[Key, ...] = (Key(SIGNERS[merchant].public_uri, start_ms - DAY_MS),)
    if terms.old_keys:
        keys = (Key(OLD_SIGNERS[merchant].public_uri, start_ms - 30 * DAY_MS, start_ms - DAY_MS), *keys)
    span = IdentifierRange(int(IdentifierKind.CARD), CARD_PREFIX[merchant])
    return Partner(
        merchant,
        merchant.title(),
        PartnerStatus.ACTIVE,
        endpoints=(f"{merchant}.invalid:7443",),
        keys=keys,
        authority_pem=b"-----BEGIN CERTIFICATE-----\n",
        ranges=(span,),
        partitions=partitions,
    )


def signed(made: Directory) -> bytes:
    """A directory as the operator signs it."""
    return sign_directory(made, OPERATOR).data


def card(merchant: str, number: int) -> str:
    """A member's card."""
    return f"{CARD_PREFIX[merchant]}{number:010d}"
