"""Proof that a statement counts one record: from the record to its lane's root, its close, the signed head.

Whoever has the directory checks it; nothing of any other record is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from node.coalition.lanes import chain
from node.coalition.messages import Posted
from node.proto.vafa.settlement.v1 import close_pb2
from node.settlement.documents import LaneClose, SignedClose, SignedHead
from node.settlement.merkle import includes, inclusion_path, leaf_hash
from node.wire.settlement import read_signed_head, signed_head_message
from node.wire.settlement_fields import parsed
from node.wire.settlement_lines import ReadStatement, read_line
from node.wire.settlement_scan import entry_of, number_of
from node.wire.settlement_signing import Open

MAX_RECORDS = 50_000_000
"""Records of one lane in one window: 32 bytes of memory each while a proof is made."""


class NotCounted(LookupError):
    """The statement does not count the record; the text says why, for a person."""


class Counted(Struct, frozen=True):
    """What a proof proves: the record's own words, and the window and pair that count it."""

    window: int
    home_id: str
    acquirer_id: str
    lane: int
    posted: Posted
    head: SignedHead


def prove(
    statement: ReadStatement,
    pair: tuple[str, str],
    lane: int,
    hashes: Sequence[bytes],
    record: bytes,
    previous: bytes,
) -> bytes:
    """The proof of one LaneRecord; NotCounted where the statement does not have it.

    `hashes` are the chain's hashes at all records that the close counts of the lane, in their order, and
    `previous` the one before the record.
    """
    at, close = _line_of(statement, pair)
    found = next((one for one in close.close.lanes if one.lane == lane), None)
    number = number_of(entry_of(record))
    if found is None or not found.from_number <= number <= found.to_number:
        raise NotCounted(f"Window {statement.facts.window} does not count record {number} of lane {lane}.")
    if len(hashes) != found.record_count or hashes[-1] != found.end_hash:
        raise NotCounted(
            "The records here are not those that the statement counts; run vafa settlement verify."
        )
    index = number - found.from_number
    message = close_pb2.InclusionProof(
        coalition_id=statement.facts.coalition_id,
        window=statement.facts.window,
        previous_hash=previous,
        record_index=index,
        record_count=len(hashes),
        record_path=inclusion_path([leaf_hash(one) for one in hashes], index),
        close_line=statement.line_bytes[at],
        line_index=at,
        line_count=len(statement.line_bytes),
        line_path=inclusion_path([leaf_hash(one) for one in statement.line_bytes], at),
        head=signed_head_message(statement.head),
    )
    message.record.MergeFromString(record)
    return message.SerializeToString()


def _line_of(statement: ReadStatement, pair: tuple[str, str]) -> tuple[int, SignedClose]:
    for at, line in enumerate(statement.lines):
        if isinstance(line, SignedClose) and line.close.pair == pair:
            return at, line
    raise NotCounted(f"Window {statement.facts.window} has no close of {pair[0]} with {pair[1]}.")


def check_proof(data: bytes, operator_signed: Callable[[SignedHead], bool], open_: Open) -> Counted | str:
    """What a proof proves, or in words why it proves nothing. Raises DocumentUnreadable for what is no
    proof.
    """
    message = parsed(close_pb2.InclusionProof, data)
    head = read_signed_head(message.head)
    line = read_line(message.close_line)
    if not operator_signed(head):
        return "the operator did not sign the statement"
    named = (head.head.coalition_id, head.head.window) == (message.coalition_id, message.window)
    if not named or head.head.line_count != message.line_count:
        return "the statement is of another window, or has another number of lines"
    leaf = leaf_hash(message.close_line)
    if not includes(leaf, message.line_index, message.line_count, message.line_path, head.head.line_root):
        return "the close is not in the statement"
    if not isinstance(line, SignedClose):
        return "the line is no close"
    posted = open_(message.record.posted.SerializeToString())
    if posted is None or not isinstance(posted.body, Posted):
        return "the home node did not sign the record"
    core = posted.body.core
    lane = next((one for one in line.close.lanes if one.lane == core.lane), None)
    if lane is None or not _counted(message, lane, posted.body):
        return "the record is not in the close"
    if (posted.header.sender_id, posted.header.receiver_id) != line.close.pair:
        return "the record is of another pair"
    return Counted(line.close.window, *line.close.pair, core.lane, posted.body, head)


def _counted(message: close_pb2.InclusionProof, lane: LaneClose, posted: Posted) -> bool:
    digest = chain(message.previous_hash, message.record.request.header, posted.core_bytes)
    if digest != posted.hash or posted.core.number != lane.from_number + message.record_index:
        return False
    if message.record_count != lane.record_count:
        return False
    path = message.record_path
    return includes(leaf_hash(digest), message.record_index, message.record_count, path, lane.record_root)
