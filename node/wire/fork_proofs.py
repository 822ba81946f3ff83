"""Proof that a home node told two histories of one lane; anybody verifies it with the directory alone."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from msgspec import Struct

from node.coalition.forks import MAX_LINKS, ForkWords, Link
from node.coalition.lanes import heads_said
from node.proto.vafa.coalition.v1 import exchange_pb2
from node.wire.coalition import Opener, Unopened
from node.wire.coalition_directory import Unreadable
from node.wire.coalition_trust import KnownDirectories

FORK_PROOF_LABEL = "VAFA FORK PROOF"
MAX_FORK_PROOF_BYTES = 1024 * 1024


class Fork(Struct, frozen=True):
    """What a proof proves: the home node signed two hashes for one record number in one epoch of a lane.

    `records_between`: so many records lie between that number and the one through which it signed the first
    hash; none where it signed both under the number itself.
    """

    coalition_id: str
    home_id: str
    acquirer_id: str
    lane: int
    epoch: int
    number: int
    hashes: tuple[bytes, bytes]
    keys: tuple[str, str]
    records_between: int = 0


def fork_proof_bytes(
    first: bytes,
    second: bytes,
    coalition_id: str,
    directory_version: int,
    links: Sequence[Link] = (),
    before: bytes = b"",
) -> bytes:
    """A ForkProof around two Envelopes' bytes, and the links where they name different numbers."""
    message = exchange_pb2.ForkProof(
        coalition_id=coalition_id, directory_version=directory_version, chain_hash=before
    )
    for link in links:
        message.links.add(request_header=link.request_header, core=link.core)
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
    if len(proof.links) > MAX_LINKS:
        raise Unreadable(f"Between two numbers lie at most {MAX_LINKS} records.")
    links = tuple(Link(link.request_header, link.core) for link in proof.links)
    words = ForkWords(messages[0], messages[1], links, proof.chain_hash)
    if not words.holds:
        raise Unreadable(
            "Both messages are signed, and they do not contradict each other: a fork is two hashes under one "
            "number of one lane and epoch."
        )
    first, second = messages
    one, other = heads_said(first), heads_said(second)
    assert one is not None, "`holds` looked at both"
    assert other is not None, "`holds` looked at both"
    header = first.header
    return Fork(
        header.coalition_id, header.sender_id, header.receiver_id, header.lane, other[0], other[1],
        (words.before if links else one[2], other[2]), (header.key_uri, second.header.key_uri), len(links),
    )  # fmt: skip
