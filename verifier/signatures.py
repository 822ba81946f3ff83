"""Who signed what: Ed25519 over the DSSE pre-authentication encoding, keys from the signed directory."""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.timestamp_pb2 import Timestamp

from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2, lane_pb2
from node.proto.vafa.coalition.v1.directory_pb2 import Directory, Key, SignedDirectory
from node.proto.vafa.settlement.v1.close_pb2 import Signature

LANE_HEADS: dict[int, type[lane_pb2.Hello | lane_pb2.HeadAck | lane_pb2.HelloReply]] = {
    envelope_pb2.MESSAGE_TYPE_HELLO: lane_pb2.Hello,
    envelope_pb2.MESSAGE_TYPE_HEAD_ACK: lane_pb2.HeadAck,
    envelope_pb2.MESSAGE_TYPE_HELLO_REPLY: lane_pb2.HelloReply,
}
"""Messages by which a side says how far it has a lane, beside POSTED."""


class Untrusted(Exception):
    """The directory cannot be used, so nothing can be checked by it."""


def holds(public_key: bytes, kind: str, document: bytes, signature: bytes) -> bool:
    """Whether a key signed a document of a kind (secure-systems-lab/dsse, protocol.md)."""
    encoded = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(document), document)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, encoded)
    except (InvalidSignature, ValueError):
        return False
    return True


def load_directory(data: bytes, operator_key: str = "") -> tuple[Directory, bytes, set[str]]:
    """The directory, its signed bytes, the operator's keys; `Untrusted` where its signature does not hold.

    `operator_key` is the key that you know to be the operator's; without it the key that signed is believed.
    """
    if data.startswith(b"-----BEGIN"):
        data = base64.b64decode(b"".join(line for line in data.splitlines() if b"-----" not in line))
    signed = SignedDirectory.FromString(data)
    raw = bytes.fromhex(signed.key_uri.removeprefix("ed25519:"))
    if not holds(raw, "application/vnd.vafa.directory.v1", signed.directory, signed.signature):
        raise Untrusted("the directory's signature does not hold")
    directory = Directory.FromString(signed.directory)
    keys = {signed.key_uri, *(key.uri for key in directory.operator_keys)}
    if operator_key and operator_key not in keys:
        raise Untrusted("the directory is not signed by the operator's key that you gave")
    return directory, signed.directory, keys


def milliseconds(time: Timestamp) -> int:
    """A time in epoch milliseconds."""
    return time.seconds * 1000 + time.nanos // 1_000_000


def _key_of(directory: Directory, partner_id: str, uri: str) -> Key | None:
    keys = [key for one in directory.partners if one.partner_id == partner_id for key in one.keys]
    return next((key for key in keys if key.uri == uri), None)


def partner_signed(
    directory: Directory, by: Signature, kind: str, document: bytes, since: int, until: int
) -> bool:
    """Whether the named partner signed, with a key of its that was valid at some time in [since, until]."""
    key = _key_of(directory, by.signer_id, f"ed25519:{by.public_key.hex()}")
    if key is None or milliseconds(key.not_before) > until:
        return False
    if key.HasField("not_after") and milliseconds(key.not_after) <= since:
        return False
    return holds(by.public_key, kind, document, by.signature)


def said_of_lane(
    directory: Directory, envelope: envelope_pb2.Envelope, sender: str, receiver: str
) -> tuple[int, int, bytes] | None:
    """(lane, number, hash) to which a signed message commits its sender; None where to none."""
    header = envelope_pb2.Header.FromString(envelope.header)
    key, issued = _key_of(directory, sender, header.key_uri), milliseconds(header.issue_time)
    names = (header.coalition_id, header.sender_id, header.receiver_id)
    if key is None or names != (directory.coalition_id, sender, receiver):
        return None
    if milliseconds(key.not_before) > issued or 0 < milliseconds(key.not_after) <= issued:
        return None
    raw, kind = bytes.fromhex(header.key_uri.removeprefix("ed25519:")), "application/vnd.vafa.exchange.v1"
    if not holds(raw, kind, envelope.header, envelope.signature):
        return None
    if hashlib.sha256(envelope.body).digest() != header.body_hash:
        return None
    if header.type == envelope_pb2.MESSAGE_TYPE_POSTED:
        posted = exchange_pb2.Posted.FromString(envelope.body)
        core = exchange_pb2.PostedCore.FromString(posted.core)
        said = core.lane, core.number, posted.hash
    elif header.type in LANE_HEADS:
        head = LANE_HEADS[header.type].FromString(envelope.body).head
        said = head.lane, head.number, head.hash
    else:
        return None
    return said if said[0] == header.lane else None
