"""Keys that everybody knows: what cards leave the factory with, and what documents and test tools print."""

from itertools import pairwise

from cards.crypto import CardKey

_PERIODS = (8, 16)


def factory_key(key_bytes: int = 16) -> CardKey:
    """The key of zeros with which NTAG 424 DNA and DESFire applications come."""
    return CardKey(bytes(key_bytes))


def well_known_keys() -> tuple[CardKey, ...]:
    """The keys of 128 bits that cards are delivered with: zeros, and GlobalPlatform's 40 41 .. 4F."""
    return factory_key(), CardKey(bytes(range(0x40, 0x50)))


def is_default(key: CardKey) -> bool:
    """Whether no card may be called done while it holds `key`.

    Refused is every key whose bytes rise by one step throughout (zeros, FF, 40 41 .. 4F of GlobalPlatform's
    test cards, 00 11 .. FF), also when such a row of 8 or 16 bytes repeats. By chance a good key is so once
    in 2^100 at most.
    """
    raw = key.raw
    rows = [raw, *(raw[:period] for period in _PERIODS if raw == (raw[:period] * 4)[: len(raw)])]
    return any(_rises_evenly(row) for row in rows)


def _rises_evenly(row: bytes) -> bool:
    step = (row[1] - row[0]) % 256
    return all((after - before) % 256 == step for before, after in pairwise(row))
