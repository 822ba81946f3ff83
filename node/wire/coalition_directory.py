"""The directory and the requests to join, as signed bytes: signing, reading, and the armour they travel in.

Both are signed over the DSSE pre-authentication encoding of their type and their exact bytes. People hand
them to each other, so the files are text (RFC 7468's form), which mail and messengers leave whole.
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage
from msgspec import Struct

from node.coalition.directory import Directory, Partner
from node.identity.keys import KeyUnusable
from node.identity.signers import SignatureBroken, Signer, verifier_from_uri
from node.ledger.refusals import Refused
from node.proto.vafa.coalition.v1 import directory_pb2, peer_service_pb2
from node.wire.coalition_fields import OutOfBounds, converter, read_as
from node.wire.parse import time_ms

DIRECTORY_TYPE = "application/vnd.vafa.directory.v1"
JOIN_REQUEST_TYPE = "application/vnd.vafa.join-request.v1"
MAX_DIRECTORY_BYTES = 4 * 1024 * 1024
MAX_JOIN_REQUEST_BYTES = 64 * 1024

DIRECTORY_LABEL = "VAFA DIRECTORY"
JOIN_REQUEST_LABEL = "VAFA JOIN REQUEST"


class Unreadable(ValueError):
    """A file or bytes that are no such document, or whose signature does not hold; in words for a person."""


class SignedDirectory(Struct, frozen=True):
    """A directory that was read: what it says, which key signed which bytes, and all of it as it travels."""

    directory: Directory
    key_uri: str
    body: bytes
    data: bytes


class JoinRequest(Struct, frozen=True):
    """What a merchant asks for: its entry as it would have it, signed by `key_uri`, one of its own keys."""

    coalition_id: str
    partner: Partner
    request_time_ms: int
    key_uri: str


def sign_directory(directory: Directory, signer: Signer) -> SignedDirectory:
    """Signs a directory as the operator."""
    message = directory_pb2.Directory()
    converter(Directory).fill(message, directory)
    body = message.SerializeToString(deterministic=True)
    data = directory_pb2.SignedDirectory(
        directory=body, signature=signer.sign(DIRECTORY_TYPE, body), key_uri=signer.public_uri
    ).SerializeToString(deterministic=True)
    return SignedDirectory(directory, signer.public_uri, body, data)


def read_directory(data: bytes) -> SignedDirectory:
    """A directory whose signature holds under the key that it names; raises Unreadable.

    Whether that key is the operator's is another question: `coalition_trust.KnownDirectories.accept`.
    """
    if len(data) > MAX_DIRECTORY_BYTES:
        raise Unreadable(f"A directory has at most {MAX_DIRECTORY_BYTES} bytes.")
    outer, inner = directory_pb2.SignedDirectory(), directory_pb2.Directory()
    _parse(outer, data, "directory")
    _verify(outer.key_uri, DIRECTORY_TYPE, outer.directory, outer.signature, "directory")
    _parse(inner, outer.directory, "directory")
    try:
        return SignedDirectory(read_as(Directory, inner), outer.key_uri, outer.directory, data)
    except OutOfBounds as wrong:
        raise Unreadable(f"The directory is signed but cannot be used: {wrong}.") from None


def directory_answer(data: bytes) -> bytes:
    """A GetDirectoryResponse around a SignedDirectory's bytes; empty where there is none."""
    message = peer_service_pb2.GetDirectoryResponse()
    if data:
        message.signed_directory.MergeFromString(data)
    return message.SerializeToString()


def read_directory_answer(data: bytes) -> bytes:
    """The SignedDirectory's bytes in a GetDirectoryResponse; raises Unreadable."""
    message = peer_service_pb2.GetDirectoryResponse()
    _parse(message, data, "directory")
    return message.signed_directory.SerializeToString(deterministic=True)


def sign_join_request(coalition_id: str, partner: Partner, now_ms: int, signer: Signer) -> bytes:
    """A merchant's request as it travels."""
    message = directory_pb2.JoinRequest(coalition_id=coalition_id)
    converter(Partner).fill(message.partner, partner)
    message.request_time.seconds, message.request_time.nanos = now_ms // 1000, now_ms % 1000 * 1_000_000
    body = message.SerializeToString(deterministic=True)
    return directory_pb2.SignedJoinRequest(
        request=body, signature=signer.sign(JOIN_REQUEST_TYPE, body), key_uri=signer.public_uri
    ).SerializeToString(deterministic=True)


def read_join_request(data: bytes) -> JoinRequest:
    """A request that is signed by one of the keys in it; raises Unreadable.

    The signature proves that its sender holds the key, and nothing about who the sender is: the operator
    knows that from elsewhere.
    """
    if len(data) > MAX_JOIN_REQUEST_BYTES:
        raise Unreadable(f"A join request has at most {MAX_JOIN_REQUEST_BYTES} bytes.")
    outer, inner = directory_pb2.SignedJoinRequest(), directory_pb2.JoinRequest()
    _parse(outer, data, "join request")
    _verify(outer.key_uri, JOIN_REQUEST_TYPE, outer.request, outer.signature, "join request")
    _parse(inner, outer.request, "join request")
    at_ms = time_ms(inner.request_time, "request_time")
    try:
        partner = read_as(Partner, inner.partner)
    except OutOfBounds as wrong:
        raise Unreadable(f"The join request is signed but cannot be used: {wrong}.") from None
    if isinstance(at_ms, Refused) or partner.key(outer.key_uri) is None:
        raise Unreadable("The join request is not signed by a key that it asks to have admitted.")
    return JoinRequest(inner.coalition_id, partner, at_ms, outer.key_uri)


def armoured(label: str, data: bytes) -> str:
    """Bytes as a text file that begins and ends by saying what it is (RFC 7468)."""
    lines = textwrap.wrap(base64.b64encode(data).decode(), 64)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def unarmoured(label: str, text: str) -> bytes:
    """The bytes in such a text, whatever stands around it; raises Unreadable."""
    found = re.search(rf"-----BEGIN {label}-----\s(.*?)-----END {label}-----", text, re.DOTALL)
    try:
        if found is not None:
            return base64.b64decode("".join(found[1].split()), validate=True)
    except (binascii.Error, ValueError):
        pass
    what = label.removeprefix("VAFA ").lower()
    raise Unreadable(
        f"That is no {what}: it must hold a whole block from BEGIN {label} to END {label}. Ask for it again."
    )


def _parse(message: ProtoMessage, data: bytes, what: str) -> None:
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise Unreadable(f"The bytes are no {what}. Ask for it again.") from None


def _verify(key_uri: str, type_: str, signed: bytes, signature: bytes, what: str) -> None:
    try:
        verifier_from_uri(key_uri).verify(type_, signed, signature)
    except (SignatureBroken, KeyUnusable):
        raise Unreadable(
            f"The signature on the {what} does not hold: it was changed on its way, or forged. "
            "Nothing was taken from it; ask for it again."
        ) from None
