"""What travels beside a signed message, sealed for its receiver alone where a relay carries it.

X25519 (RFC 7748) with a key pair made for the one message, HKDF-SHA-256 (RFC 5869) and AES-256-GCM (NIST SP
800-38D):

    shared     = X25519(ephemeral private key, receiver's public key)
    key        = HKDF(shared, salt: none, info)
    info       = "vafa beside v1" 0x00 || ephemeral public key || receiver's public key
    ciphertext = AES-256-GCM(key, nonce: 12 zero bytes, plaintext, bound to: the header's bytes as signed)

A key seals one message, so the nonce says nothing. What is bound to a header opens beside no other message.
"""

from __future__ import annotations

import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from node.identity.keys import KeyUnusable

KEY_BYTES = 32
_URI = re.compile(r"x25519:([0-9a-f]{64})").fullmatch
_INFO = b"vafa beside v1\x00"
_NONCE = bytes(12)


class SealingKey:
    """A node's private key, which opens what was sealed for it. The repr shows the public key alone."""

    def __init__(self, raw: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(raw)
        self._public = self._private.public_key().public_bytes_raw()
        self.uri = f"x25519:{self._public.hex()}"
        """The public key as the directory names it."""

    def __repr__(self) -> str:
        return f"SealingKey({self.uri!r})"

    def open(self, ephemeral: bytes, ciphertext: bytes, header: bytes) -> bytes | None:
        """What was sealed beside that header; None where it is not for this key, or was changed."""
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
            return AESGCM(_key(shared, ephemeral, self._public)).decrypt(_NONCE, ciphertext, header)
        except (InvalidTag, ValueError):
            return None


def seal_beside(
    uri: str, plaintext: bytes, header: bytes, private: X25519PrivateKey | None = None
) -> tuple[bytes, bytes]:
    """(ephemeral public key, ciphertext) for the key of that URI; `private` is made anew unless it is given.

    KeyUnusable for what is no such URI, or a point with which no secret can be shared.
    """
    found = _URI(uri)
    if found is None:
        raise KeyUnusable("a key to seal for is named x25519: and 64 hex digits")
    public, private = bytes.fromhex(found[1]), private or X25519PrivateKey.generate()
    ephemeral = private.public_key().public_bytes_raw()
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise KeyUnusable("the key to seal for shares no secret with anybody") from None
    return ephemeral, AESGCM(_key(shared, ephemeral, public)).encrypt(_NONCE, plaintext, header)


def _key(shared: bytes, ephemeral: bytes, public: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, _INFO + ephemeral + public).derive(shared)
