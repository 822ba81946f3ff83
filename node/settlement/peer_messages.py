"""What two merchants say to each other about a window, as plain data; see `peer_message.proto`."""

from __future__ import annotations

from msgspec import Struct

from node.settlement.documents import Signature, SignedClose, SignedHead


class Propose(Struct, frozen=True):
    """The home node's close."""

    close: SignedClose


class CloseAnswer(Struct, frozen=True):
    """The acquirer's answer: one of the three."""

    agreed: SignedClose | None = None
    different: SignedClose | None = None
    retry_after_ms: int = 0


class HashesWish(Struct, frozen=True):
    """Asks for the chain's hashes at some records of a lane."""

    window: int
    home_id: str
    acquirer_id: str
    lane: int
    numbers: tuple[int, ...] = ()


class LaneHashes(Struct, frozen=True):
    """What one side says of a lane; `hashes` as (number, hash), empty where it has no such record."""

    coalition_id: str
    window: int
    home_id: str
    acquirer_id: str
    lane: int
    end_number: int
    hashes: tuple[tuple[int, bytes], ...]


class SignedLaneHashes(Struct, frozen=True):
    """LaneHashes that were read, with their exact bytes and who says it."""

    hashes: LaneHashes
    hashes_bytes: bytes
    signature: Signature


class RecordWish(Struct, frozen=True):
    """Asks for one record."""

    home_id: str
    acquirer_id: str
    lane: int
    number: int


class RecordShown(Struct, frozen=True):
    """A LaneRecord's bytes; empty where there is none."""

    record: bytes = b""


class Heads(Struct, frozen=True):
    """Heads of statements."""

    heads: tuple[SignedHead, ...] = ()


Said = Propose | CloseAnswer | HashesWish | SignedLaneHashes | RecordWish | RecordShown | Heads
"""Any of them."""

QUESTIONS = (Propose, HashesWish, RecordWish)
"""What is always a question; Heads are one where nobody waits for them."""
