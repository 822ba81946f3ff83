"""A member's name towards one partner: says nothing to the partner, and leads the home node back to the
account.

Each partner knows a member by other 16 bytes, so that two of them cannot put their records together. It is
the account's id, enciphered under a key for that partner, rather than a hash: a home node that comes back
from an old backup must find, from its partners' records alone, accounts that it has lost.

The cipher is a Feistel network of eight rounds whose round function is HMAC-SHA-256, cut to half a block
(Luby and Rackoff, "How to Construct Pseudorandom Permutations from Pseudorandom Functions", 1988; four
rounds make a strong permutation, eight leave room).
"""

from __future__ import annotations

import hmac

PSEUDONYM_BYTES = 16
_HALF = PSEUDONYM_BYTES // 2
_ROUNDS = 8
_TAG = b"vafa pseudonym v1\x00"


def pseudonym(secret: bytes, partner_id: str, account_id: bytes) -> bytes:
    """The account's name towards a partner. `secret` is the home node's own, and lives as long as its
    books.
    """
    key = _key(secret, partner_id)
    left, right = _halves(account_id)
    for number in range(_ROUNDS):
        left, right = right, _mixed(left, key, number, right)
    return left + right


def account_of(secret: bytes, partner_id: str, name: bytes) -> bytes:
    """The account of a pseudonym. Any 16 bytes give some id: look whether it lies where the record says."""
    key = _key(secret, partner_id)
    left, right = _halves(name)
    for number in reversed(range(_ROUNDS)):
        left, right = _mixed(right, key, number, left), left
    return left + right


def _key(secret: bytes, partner_id: str) -> bytes:
    return hmac.digest(secret, _TAG + partner_id.encode(), "sha256")


def _halves(block: bytes) -> tuple[bytes, bytes]:
    if len(block) != PSEUDONYM_BYTES:
        raise ValueError(f"a pseudonym stands for {PSEUDONYM_BYTES} bytes, not {len(block)}")
    return block[:_HALF], block[_HALF:]


def _mixed(half: bytes, key: bytes, number: int, other: bytes) -> bytes:
    stream = hmac.digest(key, bytes((number,)) + other, "sha256")[:_HALF]
    return (int.from_bytes(half, "big") ^ int.from_bytes(stream, "big")).to_bytes(_HALF, "big")
