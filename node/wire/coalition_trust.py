"""Which directories this node follows: every version that it accepted, and why another one is not accepted.

The first directory is trusted because a person compared the operator's key. From then on a directory says
which keys may sign the next one, so the operator can change its key, and whoever stole an old one cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from node.coalition.directory import Directory, Key
from node.coalition.directory_checks import problems, succession_problems
from node.wire.coalition_directory import SignedDirectory, Unreadable, read_directory


class NotFollowed(Enum):
    """Why a directory is not taken into use; the value goes into counters."""

    UNREADABLE = "unreadable"
    OLDER = "older"
    OTHER_OF_SAME_VERSION = "other_of_same_version"
    UNKNOWN_KEY = "unknown_key"
    OTHER_COALITION = "other_coalition"
    FROM_THE_FUTURE = "from_the_future"
    UNSOUND = "unsound"


class Rejected(Struct, frozen=True):
    """A directory that is not taken into use: why, and in words for a person."""

    reason: NotFollowed
    text: str


class KnownDirectories:
    """Accepted directories, oldest first; never empty. Immutable: `accept` gives the next.

    Also what verifying partners' signatures needs (`wire.coalition.PartnerKeys`): an old signature holds
    under the key that was valid when it was made, also where a later directory no longer names it.
    """

    def __init__(self, accepted: Sequence[SignedDirectory]) -> None:
        if not accepted:
            raise ValueError("a node follows at least one directory")
        self._accepted = tuple(accepted)
        self.newest: Directory = accepted[-1].directory

    @property
    def accepted(self) -> tuple[SignedDirectory, ...]:
        """All accepted directories, oldest first."""
        return self._accepted

    @property
    def data(self) -> bytes:
        """The newest SignedDirectory's bytes, as partners are handed it."""
        return self._accepted[-1].data

    @property
    def coalition_id(self) -> str:
        """The coalition's id."""
        return self.newest.coalition_id

    @property
    def skew_ms(self) -> int:
        """How far ahead of this node's clock a partner's may run."""
        return self.newest.bounds.freshness_ms

    def partitions_of(self, partner_id: str) -> int:
        """How many lanes a home node has; 0 for who is no partner."""
        partner = self.newest.partner(partner_id)
        return 0 if partner is None else partner.partitions

    def may_sign(self, partner_id: str, key_uri: str, at_ms: int) -> bool:
        """Whether the key was that partner's, and valid, at that time.

        The newest directory that names the key decides, so that the operator can end a stolen key's time.
        """
        for one in reversed(self._accepted):
            partner = one.directory.partner(partner_id)
            key = None if partner is None else partner.key(key_uri)
            if key is not None:
                return key.valid_at(at_ms)
        return False

    def operator_may_sign(self, key_uri: str, at_ms: int) -> bool:
        """Whether the operator may sign the next directory with a key."""
        for one in reversed(self._accepted):
            if one.directory.operator_keys:
                return _valid(one.directory.operator_keys, key_uri, at_ms)
        return key_uri == self._accepted[0].key_uri

    def accept(self, data: bytes, now_ms: int) -> KnownDirectories | Rejected:
        """The directories with one more; this object where it is the newest already; or why not."""
        signed = _read(data, now_ms, self.skew_ms)
        if isinstance(signed, Rejected):
            return signed
        new, newest = signed.directory, self._accepted[-1]
        if new.coalition_id != self.coalition_id:
            text = f"It is the directory of {new.coalition_id}; this node is in {self.coalition_id}."
            return Rejected(NotFollowed.OTHER_COALITION, text)
        if new.version == newest.directory.version and signed.body == newest.body:
            return self
        if new.version == newest.directory.version:
            return Rejected(
                NotFollowed.OTHER_OF_SAME_VERSION,
                f"It is another version {new.version} than this node follows. Keep both files: "
                "an operator shows everybody the same one.",
            )
        if new.version < newest.directory.version:
            text = f"It is version {new.version}; this node follows {newest.directory.version} already."
            return Rejected(NotFollowed.OLDER, text)
        if not self.operator_may_sign(signed.key_uri, new.publish_time_ms):
            return Rejected(
                NotFollowed.UNKNOWN_KEY,
                "It is signed by a key that the directory before it does not name. Where the operator has "
                "changed its key, take the versions in between first, in their order.",
            )
        found = problems(new) or succession_problems(newest.directory, new)
        if found:
            return Rejected(NotFollowed.UNSOUND, " ".join(found))
        return KnownDirectories((*self._accepted, signed))


def first(
    data: bytes, operator_key_uri: str, now_ms: int, skew_ms: int = 300_000
) -> KnownDirectories | Rejected:
    """Begins to follow a directory that a person trusts by its operator's key."""
    signed = _read(data, now_ms, skew_ms)
    if isinstance(signed, Rejected):
        return signed
    if signed.key_uri != operator_key_uri:
        return Rejected(
            NotFollowed.UNKNOWN_KEY,
            f"It is signed by {signed.key_uri}, which is not the operator's key that you named.",
        )
    found = problems(signed.directory)
    if found:
        return Rejected(NotFollowed.UNSOUND, " ".join(found))
    return KnownDirectories((signed,))


def _read(data: bytes, now_ms: int, skew_ms: int) -> SignedDirectory | Rejected:
    try:
        signed = read_directory(data)
    except Unreadable as wrong:
        return Rejected(NotFollowed.UNREADABLE, str(wrong))
    if signed.directory.publish_time_ms > now_ms + skew_ms:
        text = "It says that it was published in the future. Check this machine's clock."
        return Rejected(NotFollowed.FROM_THE_FUTURE, text)
    return signed


def _valid(keys: Sequence[Key], uri: str, at_ms: int) -> bool:
    return any(key.uri == uri and key.valid_at(at_ms) for key in keys)
