"""Merkle trees as RFC 6962, section 2.1, makes them: roots and inclusion proofs.

A leaf is hashed behind the byte 0x00 and an inner node behind 0x01, so that neither passes for the other; the
chain of a lane begins with a tag of its own, so that no hash of it is a node. `Tree` takes leaves one by
one and keeps one hash for each bit of their number; proofs need all leaf hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
LEAF_PREFIX, NODE_PREFIX = b"\x00", b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()
# A hash that was begun is copied for less than a new one costs.
_LEAF, _NODE = hashlib.sha256(LEAF_PREFIX).copy, hashlib.sha256(NODE_PREFIX).copy
PATH_MAX = 64
"""The longest path that is looked at: a tree of 2^64 leaves has none longer."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf."""
    hashing = _LEAF()
    hashing.update(data)
    return hashing.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node above two hashes."""
    hashing = _NODE()
    hashing.update(left + right)
    return hashing.digest()


class Tree:
    """A tree that grows to the right and remembers only complete subtrees: at most one of each height."""

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """Of no leaves yet, or as another tree's `size` and `peaks` say."""
        self.size = size
        """How many leaves it has."""
        self._peaks: list[bytes | None] = [peak or None for peak in peaks]

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of its complete subtrees by height, empty where there is none of that height."""
        return tuple(peak or b"" for peak in self._peaks)

    def add(self, data: bytes) -> None:
        """One more leaf with this content."""
        self.extend((data,))

    def extend(self, leaves: Iterable[bytes]) -> None:
        """More leaves with these contents, in their order; many at once cost least."""
        self.extend_hashed([leaf_hash(leaf) for leaf in leaves])

    def extend_hashed(self, level: list[bytes]) -> None:
        """The same where the leaves' hashes are at hand. The list is used up."""
        self.size += len(level)
        peaks, height = self._peaks, 0
        while level:
            if height == len(peaks):
                peaks.append(None)
            waiting = peaks[height]
            if waiting is not None:
                level.insert(0, waiting)
            peaks[height] = level.pop() if len(level) & 1 else None
            level = _above(level)
            height += 1

    def root(self) -> bytes:
        """The root over the leaves so far; of none it is SHA-256 of nothing."""
        digest: bytes | None = None
        for peak in self._peaks:
            if peak is not None:
                digest = peak if digest is None else node_hash(peak, digest)
        return EMPTY_ROOT if digest is None else digest


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaves with these contents."""
    tree = Tree()
    tree.extend(leaves)
    return tree.root()


def inclusion_path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The path (RFC 6962, 2.1.1) from leaf `index` to the root over these leaf hashes; IndexError outside."""
    if not 0 <= index < len(hashes):
        raise IndexError("no such leaf")
    path: list[bytes] = []
    level = list(hashes)
    # Level by level: an odd last hash moves up unchanged, which is what splitting at powers of two comes to.
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _next_level(level)
        index >>= 1
    return path


def includes(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that the leaf hash `leaf` is the one at `index` of `size` below `root`."""
    if not 0 <= index < size or len(path) > PATH_MAX:
        return False
    digest, last, rest = leaf, size - 1, iter(path)
    # RFC 9162, 2.1.3.2, says for RFC 6962's trees how a path is walked.
    while last > 0:
        if index & 1 or index == last:
            if index & 1:
                sibling = next(rest, None)
                if sibling is None:
                    return False
                digest = node_hash(sibling, digest)
        else:
            sibling = next(rest, None)
            if sibling is None:
                return False
            digest = node_hash(digest, sibling)
        index >>= 1
        last >>= 1
    return next(rest, None) is None and digest == root


def _next_level(level: list[bytes]) -> list[bytes]:
    above = _above(level)
    return [*above, level[-1]] if len(level) & 1 else above


def _above(level: list[bytes]) -> list[bytes]:
    """The hashes above pairs; an odd last one has none. `node_hash` written out: the time is spent here."""
    above = list[bytes]()
    for left, right in zip(level[::2], level[1::2], strict=False):
        hashing = _NODE()
        hashing.update(left + right)
        above.append(hashing.digest())
    return above
