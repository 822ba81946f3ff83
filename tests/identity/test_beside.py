"""What is sealed beside a message opens for its receiver and beside that message, and for nothing else."""

from __future__ import annotations

import pytest

from node.identity.beside import SealingKey, seal_beside
from node.identity.keys import KeyUnusable

HEADER, PLAIN = b"the header as it was signed", b"a phone number and a code"
KEY = SealingKey(b"r" * 32)


def test_it_opens_for_the_receiver_and_is_never_sealed_the_same_way_twice() -> None:
    ephemeral, ciphertext = seal_beside(KEY.uri, PLAIN, HEADER)
    assert KEY.open(ephemeral, ciphertext, HEADER) == PLAIN
    assert PLAIN not in ciphertext
    assert seal_beside(KEY.uri, PLAIN, HEADER) != (ephemeral, ciphertext)


def test_beside_another_message_for_another_node_or_changed_it_does_not_open() -> None:
    ephemeral, ciphertext = seal_beside(KEY.uri, PLAIN, HEADER)
    changed = bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]
    assert KEY.open(ephemeral, ciphertext, HEADER + b".") is None
    assert SealingKey(b"q" * 32).open(ephemeral, ciphertext, HEADER) is None
    assert KEY.open(ephemeral, changed, HEADER) is None
    assert KEY.open(SealingKey(b"q" * 32).uri.encode()[-32:], ciphertext, HEADER) is None


@pytest.mark.parametrize("ephemeral", [b"", bytes(32), b"x" * 31])
def test_a_point_that_shares_no_secret_opens_nothing(ephemeral: bytes) -> None:
    assert KEY.open(ephemeral, b"c" * 32, HEADER) is None


@pytest.mark.parametrize(
    "uri", ["", "x25519:00", "ed25519:" + "0" * 64, "x25519:" + "0" * 64, "x25519:" + "G" * 64]
)
def test_nothing_is_sealed_for_what_is_no_key(uri: str) -> None:
    with pytest.raises(KeyUnusable):
        seal_beside(uri, PLAIN, HEADER)


def test_the_secret_key_is_shown_nowhere() -> None:
    assert (b"r" * 32).hex() not in repr(KEY)
    assert "rrrr" not in repr(KEY)
