"""Who signs what this node vouches for, chosen by the scheme of a URI so that a key may move into hardware.

What is signed is the DSSE pre-authentication encoding (secure-systems-lab/dsse, protocol.md) of a type and
the exact bytes: a signature over one type of document never passes for another's.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from node.identity.keys import KeyUnusable, read_secret


class SignatureBroken(Exception):
    """The bytes are not what the named key signed as this type."""


class Signer(Protocol):
    """A private key that signs, wherever it lives."""

    @property
    def public_uri(self) -> str:
        """The public key as `verifier_from_uri` takes it; it also serves as the key's id."""
        ...

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """A signature over exactly these bytes as this type, such as `application/vnd.vafa.backup`."""
        ...


class Verifier(Protocol):
    """A public key."""

    def verify(self, payload_type: str, payload: bytes, signature: bytes) -> None:
        """Return if the key signed exactly these bytes as this type; else raise `SignatureBroken`."""
        ...


class _Ed25519Signer:
    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_uri = f"ed25519:{key.public_key().public_bytes_raw().hex()}"

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        return self._key.sign(_encoded(payload_type, payload))


class _Ed25519Verifier:
    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    def verify(self, payload_type: str, payload: bytes, signature: bytes) -> None:
        try:
            self._key.verify(signature, _encoded(payload_type, payload))
        except InvalidSignature:
            raise SignatureBroken(f"The signature over this {payload_type} does not hold.") from None


def signer_from_uri(uri: str) -> Signer:
    """The signer that a URI names. Known: `file:/path/to/key.pem`, an Ed25519 key in a private PKCS #8 file.

    `KeyUnusable` for another scheme, and for a file that is missing, open to others, or no such key.
    """
    open_key = _SIGNER_SCHEMES.get(urlsplit(uri).scheme)
    if open_key is None:
        raise KeyUnusable(f"No signer is known for {uri}. Known schemes: {', '.join(_SIGNER_SCHEMES)}.")
    return open_key(uri)


def ed25519_signer(key: Ed25519PrivateKey) -> Signer:
    """A signer around a key that is in memory already."""
    return _Ed25519Signer(key)


def verifier_from_uri(uri: str) -> Verifier:
    """The verifier that a `Signer.public_uri` names: `ed25519:` and 64 hex digits; else `KeyUnusable`."""
    scheme, _, key = uri.partition(":")
    try:
        if scheme == "ed25519":
            return _Ed25519Verifier(Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)))
    except ValueError:
        pass
    raise KeyUnusable(f"{uri} is not a public key. Known: ed25519: and 64 hex digits.")


def _file_signer(uri: str) -> Signer:
    path = Path(unquote(urlsplit(uri).path))
    try:
        key = load_pem_private_key(read_secret(path), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} is not an unencrypted Ed25519 key in PEM.")
    return _Ed25519Signer(key)


def _encoded(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


_SIGNER_SCHEMES: dict[str, Callable[[str], Signer]] = {"file": _file_signer}
