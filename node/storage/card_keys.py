"""The keys of what a partition keeps of chip cards and PINs; `keyspace` has the rules that all keys obey."""

from __future__ import annotations

from node.storage.keyspace import ID_BYTES, BadKey, Kind, kind_range


def card_key(partition: int, account_id: bytes, digest: bytes) -> bytes:
    """The key of a card's record: the account's id, and the digest of the card's number."""
    if len(account_id) != ID_BYTES or len(digest) != ID_BYTES:
        raise BadKey("an account's id and an identifier's digest have 16 bytes each")
    return kind_range(partition, Kind.CARD)[0] + account_id + digest


def pin_key(partition: int, account_id: bytes) -> bytes:
    """The key of what is kept of a member's PIN."""
    if len(account_id) != ID_BYTES:
        raise BadKey("an account's id has 16 bytes")
    return kind_range(partition, Kind.MEMBER_PIN)[0] + account_id
