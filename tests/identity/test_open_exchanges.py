"""What an acquirer keeps of somebody else's member opens for that exchange, at that node alone."""

from __future__ import annotations

import pytest

from node.identity.open_exchanges import seal_open, unseal_open
from node.identity.sealing import SealBroken

SECRET, EXCHANGE = b"s" * 32, bytes(range(16))
PLAIN = b"a card's number and a code"


def test_it_opens_as_it_was_and_the_same_state_is_always_the_same_bytes() -> None:
    sealed = seal_open(SECRET, EXCHANGE, PLAIN)
    assert unseal_open(SECRET, EXCHANGE, sealed) == PLAIN
    assert sealed == seal_open(SECRET, EXCHANGE, PLAIN)
    assert PLAIN not in sealed


def test_other_states_and_other_exchanges_are_told_apart_by_nothing_that_is_kept() -> None:
    sealed = {
        seal_open(SECRET, exchange, plain)[:12]
        for exchange in (EXCHANGE, b"x" * 16)
        for plain in (PLAIN, b"")
    }
    assert len(sealed) == 4


@pytest.mark.parametrize(
    ("secret", "exchange", "change"),
    [(b"t" * 32, EXCHANGE, 0), (SECRET, b"x" * 16, 0), (SECRET, EXCHANGE, 1)],
    ids=["another node", "another exchange", "damaged"],
)
def test_whatever_does_not_belong_together_does_not_open(secret: bytes, exchange: bytes, change: int) -> None:
    sealed = bytearray(seal_open(SECRET, EXCHANGE, PLAIN))
    sealed[-1] ^= change
    with pytest.raises(SealBroken) as broken:
        unseal_open(secret, exchange, bytes(sealed))
    assert "code" not in str(broken.value)


def test_what_is_cut_short_does_not_open() -> None:
    with pytest.raises(SealBroken):
        unseal_open(SECRET, EXCHANGE, b"short")
