"""What a shard is told of chip cards: the merchant's verification keys, and what a tap alone may spend.

Keys come out of a key store, which `cards` opens for us by an entry point: the node itself imports of cards
only what verifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
from msgspec import Struct

from node.config import ConfigError
from node.config_template import CardsSection

ENTRY_POINTS = "vafa.card_keys"


class CardsSpec(Struct, frozen=True):
    """The verification keys as (version, key), the newest first; and the bounds of taps, in units."""

    merchant: str
    keys: tuple[tuple[int, bytes], ...]
    tap_transaction_units: int = 0
    tap_day_units: int = 0

    def __repr__(self) -> str:
        return f"CardsSpec(merchant={self.merchant!r}, versions={[version for version, _ in self.keys]})"


def cards_spec(merchant: str, section: CardsSection) -> bytes:
    """The spec as bytes for the shards; empty where the configuration names no key store.

    `ConfigError`, without a byte of a key, when the store cannot be opened or has no verification keys of
    the merchant.
    """
    if not section.key_store:
        return b""
    points = list(entry_points(group=ENTRY_POINTS))
    if not points:
        raise ConfigError("[cards] key_store is set, and the package that opens key stores is missing.")
    file = Path(section.passphrase_file) if section.passphrase_file else None
    opened = points[0].load()(section.key_store, file, merchant)
    if isinstance(opened, str):
        raise ConfigError(f"[cards] key_store: {opened}")
    keys: Sequence[tuple[int, bytes]] = opened
    return encode(CardsSpec(merchant, tuple(keys), section.tap_transaction_units, section.tap_day_units))


SPEC = msgspec.msgpack.Decoder(CardsSpec)
encode = msgspec.msgpack.Encoder().encode
