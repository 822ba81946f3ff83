"""What an acquirer keeps of a member for as long as an exchange is open, sealed: identifier, proof and salt.

Sealed under a key of the exchange's own, AES-256-GCM (NIST SP 800-38D). The nonce is a hash of what is
sealed, so that the same state of an exchange is always the same bytes; a key seals the few states of one.
"""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from node.identity.sealing import SealBroken

NONCE_BYTES = 12
_KEY_TAG = b"key\x00"
_NONCE_TAG = b"nonce\x00"


def seal_open(secret: bytes, exchange_id: bytes, plaintext: bytes) -> bytes:
    """`plaintext`, sealed for this exchange under the node's secret."""
    key = _key(secret, exchange_id)
    nonce = hmac.digest(key, _NONCE_TAG + plaintext, "sha256")[:NONCE_BYTES]
    return nonce + AESGCM(key).encrypt(nonce, plaintext, exchange_id)


def unseal_open(secret: bytes, exchange_id: bytes, sealed: bytes) -> bytes:
    """What `seal_open` was given, or `SealBroken`: damaged, another exchange's, or another node's."""
    nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return AESGCM(_key(secret, exchange_id)).decrypt(nonce, encrypted, exchange_id)
    except (InvalidTag, ValueError):
        raise SealBroken(
            f"What is kept of the member of exchange {exchange_id.hex()} does not open with this node's "
            "master key. Nothing was read from it; put back the secrets that belong to these stores."
        ) from None


def _key(secret: bytes, exchange_id: bytes) -> bytes:
    return hmac.digest(secret, _KEY_TAG + exchange_id, "sha256")
