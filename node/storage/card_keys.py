"""The keys of what a partition keeps of chip cards; see `keyspace` for the rules that all keys follow."""

from __future__ import annotations

from node.storage.keyspace import ID_BYTES, BadKey, Kind, kind_range


def card_key(partition: int, account_id: bytes, digest: bytes) -> bytes:
    """The key of a card's record: the account's id, and the digest of the card's number."""
    if len(account_id) != ID_BYTES or len(digest) != ID_BYTES:
        raise BadKey("an account's id and an identifier's digest have 16 bytes each")
    return kind_range(partition, Kind.CARD)[0] + account_id + digest
