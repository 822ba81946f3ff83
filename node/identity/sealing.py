"""Personal data, sealed under a key of the person's own; destroying that key is the erasure.

A person's key is random, and kept only wrapped by the node's master key (AES key wrap, RFC 3394, which needs
no nonce and detects damage). Data is AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; one key seals
far fewer than the 2^32 messages for which that is safe. Who it is about and which version of the record it is
are authenticated, so that a sealed record fits no other person and no other version.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from node.identity.keys import SecretKey

_FORMAT = b"\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class SealBroken(Exception):
    """Sealed data or a wrapped key that does not open: damaged, forged, or another's."""


def new_person_key(master: SecretKey) -> bytes:
    """A fresh key for one person, wrapped. Keep it in one place: where it is deleted, its data is erased."""
    return _wrap(master, os.urandom(_KEY_BYTES))


def rewrap(old_master: SecretKey, new_master: SecretKey, wrapped: bytes) -> bytes:
    """The same person's key under a new master key; what it sealed stays as it is. May be `SealBroken`."""
    return _wrap(new_master, _unwrap(old_master, wrapped))


def seal(master: SecretKey, wrapped: bytes, person_id: str, record_version: int, plaintext: bytes) -> bytes:
    """`plaintext` encrypted under the person's key, for this person and version of the record only (>= 0)."""
    nonce = os.urandom(_NONCE_BYTES)
    bound_to = _bound_to(person_id, record_version)
    return _FORMAT + nonce + AESGCM(_unwrap(master, wrapped)).encrypt(nonce, plaintext, bound_to)


def unseal(master: SecretKey, wrapped: bytes, person_id: str, record_version: int, sealed: bytes) -> bytes:
    """What `seal` was given, or `SealBroken`, which names the person's id and nothing else."""
    nonce, encrypted = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    if sealed[:1] != _FORMAT or len(nonce) != _NONCE_BYTES:
        raise SealBroken(f"The sealed data of person {person_id} is of no known format.")
    key = AESGCM(_unwrap(master, wrapped))
    try:
        return key.decrypt(nonce, encrypted, _bound_to(person_id, record_version))
    except InvalidTag:
        raise SealBroken(
            f"The sealed data of person {person_id} is damaged, or another person's or version's. Nothing was"
            " read from it; restore it from a backup."
        ) from None


def _wrap(master: SecretKey, key: bytes) -> bytes:
    return _FORMAT + aes_key_wrap(master.raw, key)


def _unwrap(master: SecretKey, wrapped: bytes) -> bytes:
    try:
        if wrapped[:1] == _FORMAT:
            return aes_key_unwrap(master.raw, wrapped[1:])
    except InvalidUnwrap:
        pass
    raise SealBroken("A person's key does not open with this node's master key: damaged, or of another node.")


def _bound_to(person_id: str, record_version: int) -> bytes:
    return b"vafa person\0" + record_version.to_bytes(8, "big") + person_id.encode()
