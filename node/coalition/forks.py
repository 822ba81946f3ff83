"""Proof that a home node told two histories of a lane, also where it contradicts a record below the head.

A hash commits to all records before it, so a signed head says what every smaller number holds: whoever shows
the records in between shows that the home node has signed the one under the smaller number, at any time.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from node.coalition.envelopes import Message
from node.coalition.lanes import chain, heads_said, is_fork_proof

MAX_LINKS = 1_000
"""Records between the two numbers of one proof; what lies further apart is a dispute without a proof."""


class Link(Struct, frozen=True, array_like=True):
    """A record as the chain hashes it; `request_header` is empty of a cut."""

    request_header: bytes
    core: bytes


class ForkWords(Struct, frozen=True):
    """What proves a fork: two messages, and where their numbers differ the links that lead from `before`, the
    chain's hash under the second's number, to the first's.
    """

    first: Message
    second: Message
    links: tuple[Link, ...] = ()
    before: bytes = b""

    @property
    def holds(self) -> bool:
        """Whether the two messages, each verified, contradict each other.

        Both are one home node's, POSTED or HELLO, in one epoch of one lane. With equal numbers the hashes
        differ. With links the second's number is smaller by as many, the chain from `before` ends in the
        first's hash, and the second's hash is not `before`.
        """
        if not self.links:
            return is_fork_proof(self.first, self.second)
        one, other = heads_said(self.first), heads_said(self.second)
        if one is None or other is None or len(self.links) > MAX_LINKS:
            return False
        in_one_epoch = _lane(self.first) == _lane(self.second) and one[0] == other[0]
        apart = one[1] - other[1] == len(self.links)
        return (
            in_one_epoch and apart and follow(self.before, self.links) == one[2] and self.before != other[2]
        )


def follow(before: bytes, links: Sequence[Link]) -> bytes:
    """The hash to which the links lead."""
    for link in links:
        before = chain(before, link.request_header, link.core)
    return before


def _lane(message: Message) -> tuple[str, str, str, int]:
    header = message.header
    return header.coalition_id, header.sender_id, header.receiver_id, header.lane
