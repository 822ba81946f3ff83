"""Proof that a home node told two histories of one lane; anybody verifies it with the directory alone."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from msgspec import Struct

from node.coalition.lanes import heads_said, is_fork_proof
from node.proto.vafa.coalition.v1 import exchange_pb2
from node.wire.coalition import Opener, Unopened
from node.wire.coalition_directory import Unreadable
from node.wire.coalition_trust import KnownDirectories

FORK_PROOF_LABEL = "VAFA FORK PROOF"
MAX_FORK_PROOF_BYTES = 64 * 1024


class Fork(Struct, frozen=True):
    """What a proof proves: the home node signed two hashes for one record number of one epoch of a lane."""

    coalition_id: str
    home_id: str
    acquirer_id: str
    lane: int
    epoch: int
    number: int
    hashes: tuple[bytes, bytes]
    keys: tuple[str, str]


def fork_proof_bytes(first: bytes, second: bytes, coalition_id: str, directory_version: int) -> bytes:
    """A ForkProof around two Envelopes' bytes."""
    message = exchange_pb2.ForkProof(coalition_id=coalition_id, directory_version=directory_version)
    message.first.MergeFromString(first)
    message.second.MergeFromString(second)
    return message.SerializeToString(deterministic=True)


def read_fork_proof(data: bytes, known: KnownDirectories) -> Fork:
    """What the bytes prove, by the keys in the directory; raises Unreadable, in words, where nothing."""
    if len(data) > MAX_FORK_PROOF_BYTES:
        raise Unreadable(f"A fork proof has at most {MAX_FORK_PROOF_BYTES} bytes.")
    try:
        proof = exchange_pb2.ForkProof.FromString(data)
    except DecodeError:
        raise Unreadable("The bytes are no fork proof. Ask for it again.") from None
    if proof.coalition_id != known.coalition_id:
        raise Unreadable(
            f"It is of coalition {proof.coalition_id!r}, the directory of {known.coalition_id!r}."
        )
    opener = Opener("", lambda: known)
    messages = []
    for name, envelope in (("first", proof.first), ("second", proof.second)):
        found = opener.evidence(envelope.SerializeToString())
        if isinstance(found, Unopened):
            older = known.newest.version < proof.directory_version
            hint = f" The directory is older than version {proof.directory_version}." if older else ""
            raise Unreadable(f"Its {name} message does not hold: {found.reason.name}.{hint}")
        messages.append(found)
    first, second = messages
    if not is_fork_proof(first, second):
        raise Unreadable(
            "Both messages are signed, and they do not contradict each other: a fork is two hashes under one "
            "number of one lane and epoch."
        )
    one, other = heads_said(first), heads_said(second)
    assert one is not None, "is_fork_proof looked at both"
    assert other is not None, "is_fork_proof looked at both"
    header = first.header
    return Fork(
        header.coalition_id, header.sender_id, header.receiver_id, header.lane, one[0], one[1],
        (one[2], other[2]), (header.key_uri, second.header.key_uri),
    )  # fmt: skip
