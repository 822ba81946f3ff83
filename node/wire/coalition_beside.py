"""A Carried whose identifier, proof and salt are sealed for its receiver: what a relay is given to carry."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from google.protobuf.message import DecodeError

from node.identity.beside import SealingKey, seal_beside
from node.identity.keys import KeyUnusable
from node.proto.vafa.coalition.v1 import envelope_pb2

_NAMED = b"x25519:"
_BESIDE = ("identifier", "proof", "salt")


def sealed_for(uri: str, carried: bytes, private: X25519PrivateKey | None = None) -> bytes | None:
    """A Carried's bytes with what is beside the envelope sealed for that key, as they are where nothing is.

    None where something is, and it cannot be sealed: it must then not go by a relay.
    """
    outer = envelope_pb2.Carried.FromString(carried)
    beside = envelope_pb2.Carried(salt=outer.salt)
    if outer.HasField("identifier"):
        beside.identifier.CopyFrom(outer.identifier)
    if outer.HasField("proof"):
        beside.proof.CopyFrom(outer.proof)
    plaintext = beside.SerializeToString()
    if not plaintext:
        return carried
    try:
        ephemeral, ciphertext = seal_beside(uri, plaintext, outer.envelope.header, private)
    except KeyUnusable:
        return None
    for field in _BESIDE:
        outer.ClearField(field)  # type: ignore[arg-type]  # the names above are its fields
    outer.sealed.key_uri, outer.sealed.ephemeral_key, outer.sealed.ciphertext = uri, ephemeral, ciphertext
    return outer.SerializeToString()


def unsealed(key: SealingKey, carried: bytes) -> bytes | None:
    """A Carried's bytes with what was sealed beside the envelope opened; as they are where nothing was.

    None where it is sealed for another key, or does not open beside this message.
    """
    if _NAMED not in carried:  # nearly all of them, and this costs nearly nothing
        return carried
    try:
        outer = envelope_pb2.Carried.FromString(carried)
    except DecodeError:
        return carried  # whoever reads it next refuses it by name
    if not outer.HasField("sealed"):
        return carried
    sealed = outer.sealed
    if sealed.key_uri != key.uri:
        return None
    plaintext = key.open(sealed.ephemeral_key, sealed.ciphertext, outer.envelope.header)
    if plaintext is None:
        return None
    try:
        beside = envelope_pb2.Carried.FromString(plaintext)
    except DecodeError:
        return None
    outer.ClearField("sealed")
    for field in _BESIDE:
        outer.ClearField(field)  # type: ignore[arg-type]  # the names above are its fields
    opened = envelope_pb2.Carried(salt=beside.salt)
    if beside.HasField("identifier"):
        opened.identifier.CopyFrom(beside.identifier)
    if beside.HasField("proof"):
        opened.proof.CopyFrom(beside.proof)
    outer.MergeFrom(opened)
    return outer.SerializeToString()
