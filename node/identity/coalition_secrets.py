"""What a node derives from its master key for the coalition: nothing here is stored, and all of it survives
a restore.

Each use has a key of its own (HMAC-SHA-256 over a tag), so that none says anything of another.
"""

from __future__ import annotations

import hmac

from node.identity.beside import SealingKey
from node.identity.keys import SecretKey

_PSEUDONYMS = b"vafa coalition pseudonyms v1"
_CODES = b"vafa coalition codes v1"
_SEALING = b"vafa coalition sealing v1"
_OPEN = b"vafa coalition open exchanges v1"
_APPS = b"vafa coalition apps v1"
_EXCHANGES = b"vafa coalition exchanges v1"
_SALTS = b"vafa coalition salts v1"
EXCHANGE_ID_BYTES = 16
SALT_BYTES = 16


class CoalitionSecrets:
    """The keys of one node. The repr shows none."""

    def __init__(self, master_key: SecretKey) -> None:
        self._master = master_key.raw
        self.pseudonyms = self._key(_PSEUDONYMS)
        """Enciphers accounts towards partners."""
        self.codes = self._key(_CODES)
        """Keys what is kept of confirmation codes and PINs."""
        self.open_exchanges = self._key(_OPEN)
        """Seals what an acquirer keeps of members while exchanges are open."""
        self.sealing = SealingKey(self._key(_SEALING))
        """Opens what partners seal for this node, where a relay carries it."""
        self._apps = self._key(_APPS)
        self._exchanges = self._key(_EXCHANGES)
        self._salts = self._key(_SALTS)

    def app(self, account_id: bytes) -> bytes:
        """The secret that a member's app is given, once, to answer tills with."""
        return hmac.digest(self._apps, account_id, "sha256")

    def exchange_id(self, scope: str, request_id: str) -> bytes:
        """The exchange of a till's request: a retry is the same exchange, also on an empty disk."""
        return hmac.digest(self._exchanges, _request(scope, request_id), "sha256")[:EXCHANGE_ID_BYTES]

    def salt(self, scope: str, request_id: str) -> bytes:
        """The salt of the commitments in that exchange's messages."""
        return hmac.digest(self._salts, _request(scope, request_id), "sha256")[:SALT_BYTES]

    def _key(self, tag: bytes) -> bytes:
        return hmac.digest(self._master, tag, "sha256")


def _request(scope: str, request_id: str) -> bytes:
    encoded = scope.encode()
    return len(encoded).to_bytes(4, "big") + encoded + request_id.encode()
