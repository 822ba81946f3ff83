"""Records of a lane for people: each with what both sides signed, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from google.protobuf.message import DecodeError
from msgspec import Struct

from node.coalition.envelopes import Message
from node.coalition.lanes import GENESIS, chain
from node.coalition.messages import Posted, PostedCore, RecordKind
from node.proto.vafa.coalition.v1 import exchange_pb2
from node.wire.coalition import Opener, Unopened
from node.wire.coalition_trust import KnownDirectories


class LaneLine(Struct, frozen=True):
    """One record. `problems` is empty where both signatures hold and the hash follows from the one before.

    `core` is None where the record cannot be read at all.
    """

    core: PostedCore | None
    hash: bytes
    epoch: int
    home_key: str
    acquirer_key: str
    problems: tuple[str, ...]


def lane_lines(
    records: Iterable[bytes], known: KnownDirectories, home_id: str, acquirer_id: str, *, from_start: bool
) -> Iterator[LaneLine]:
    """LaneRecords in their order, each verified. Without the start the first one's hash is taken as it is."""
    opener = Opener(home_id, lambda: known)
    previous = GENESIS if from_start else b""
    number = 0
    for data in records:
        line = _line(opener, data, previous, number, (home_id, acquirer_id))
        previous, number = line.hash, line.core.number if line.core else 0
        yield line


class Compared(Struct, frozen=True):
    """A lane as its two sides hold it: how many records were read of each, and how many are the same.

    `differs` is the number of the first record that the two hold otherwise, or that does not hold; `problem`
    then says what does not. Nothing is read after it. Without one a side may still have more records.
    """

    own: int
    other: int
    same: int
    differs: int = 0
    problem: str = ""


def compare(own: Iterable[LaneLine], other: Iterable[LaneLine]) -> Compared:
    """Both sides' lines of a lane, each from its start. A hash stands for all records up to its own."""
    own_count = other_count = same = 0
    for number, (ours, theirs) in enumerate(zip_longest(own, other), start=1):
        own_count += ours is not None
        other_count += theirs is not None
        problem = next((line.problems[0] for line in (ours, theirs) if line and line.problems), "")
        if problem or (ours and theirs and ours.hash != theirs.hash):
            return Compared(own_count, other_count, same, number, problem)
        if ours and theirs:
            same = number
    return Compared(own_count, other_count, same)


def _line(opener: Opener, data: bytes, previous: bytes, before: int, sides: tuple[str, str]) -> LaneLine:
    try:
        record = exchange_pb2.LaneRecord.FromString(data)
    except DecodeError:
        return LaneLine(None, b"", 0, "", "", ("it is no record",))
    posted = opener.evidence(record.posted.SerializeToString())
    if isinstance(posted, Unopened):
        return LaneLine(None, b"", 0, "", "", (f"the home node's signature: {posted.reason.name}",))
    body = posted.body
    if not isinstance(body, Posted):
        return LaneLine(None, b"", 0, "", "", ("it is no POSTED",))
    request = opener.evidence(record.request.SerializeToString()) if record.HasField("request") else None
    problems = list(_problems(posted, body, request, sides))
    core = body.core
    signed = request.header_bytes if isinstance(request, Message) else b""
    if previous and body.hash != chain(previous, signed, body.core_bytes):
        problems.append("its hash does not follow from the record before")
    if before and core.number != before + 1:
        problems.append(f"it follows number {before}")
    key = request.header.key_uri if isinstance(request, Message) else ""
    header = posted.header
    return LaneLine(core, body.hash, header.epoch, header.key_uri, key, tuple(problems))


def _problems(
    posted: Message, body: Posted, request: Message | Unopened | None, sides: tuple[str, str]
) -> Iterator[str]:
    if (posted.header.sender_id, posted.header.receiver_id) != sides:
        yield "it is of other merchants"
    if isinstance(request, Unopened):
        yield f"the acquirer's signature: {request.reason.name}"
    elif request is None:
        if body.core.kind is not RecordKind.CUT:
            yield "the acquirer's request is missing"
    elif (request.header.receiver_id, request.header.sender_id) != sides:
        yield "its request is of other merchants"
    elif request.header.exchange_id != body.core.exchange_id:
        yield "its request is of another exchange"
