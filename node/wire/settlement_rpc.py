"""Requests and answers of the operator's service, to bytes and back; for whoever speaks to it without
protos.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from node.proto.vafa.coalition.v1 import exchange_pb2
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as pb
from node.settlement.documents import Mismatch, SignedClose
from node.settlement.windows import WindowState
from node.wire.settlement import mismatch_message, signed_close_message
from node.wire.settlement_fields import parsed, read_stamp

SERVICE = "vafa.settlement.v1.SettlementService"
RECORDS_AT_ONCE = 64
PART_BYTES = 1024 * 1024


class WindowShown(Struct, frozen=True):
    """A window as the operator shows it."""

    number: int
    cut_time_ms: int
    state: WindowState
    published: bool


def submit_bytes(signed: SignedClose) -> bytes:
    """A SubmitCloseRequest."""
    return pb.SubmitCloseRequest(close=signed_close_message(signed)).SerializeToString()


def alone_bytes(signed: SignedClose, records: Iterable[bytes]) -> Iterator[bytes]:
    """SubmitCloseAloneRequests: the close, then its LaneRecords some at a time."""
    yield pb.SubmitCloseAloneRequest(close=signed_close_message(signed)).SerializeToString()
    part = pb.SubmitCloseAloneRequest()
    for record in records:
        part.records.records.append(exchange_pb2.LaneRecord.FromString(record))
        if len(part.records.records) >= RECORDS_AT_ONCE:
            yield part.SerializeToString()
            part = pb.SubmitCloseAloneRequest()
    if part.records.records:
        yield part.SerializeToString()


def mismatch_bytes(found: Mismatch) -> bytes:
    """A ReportMismatchRequest."""
    return pb.ReportMismatchRequest(mismatch=mismatch_message(found)).SerializeToString()


def windows_bytes(from_number: int) -> bytes:
    """A ListWindowsRequest."""
    return pb.ListWindowsRequest(from_number=from_number).SerializeToString()


def read_windows(data: bytes) -> list[WindowShown]:
    """The windows of a ListWindowsResponse; raises DocumentUnreadable."""
    message = parsed(pb.ListWindowsResponse, data)
    known = {int(state): state for state in WindowState}
    return [
        WindowShown(one.number, read_stamp(one.cut_time), known[one.state], one.HasField("head"))
        for one in message.windows
        if one.state in known
    ]


def payments_wish(window: int) -> bytes:
    """A ListPaymentsRequest."""
    return pb.ListPaymentsRequest(window=window).SerializeToString()


def read_defaulted(data: bytes) -> frozenset[str]:
    """Who is in default, of a ListPaymentsResponse; raises DocumentUnreadable."""
    message = parsed(pb.ListPaymentsResponse, data)
    return frozenset(one.partner_id for one in message.defaulted)


def statement_wish(window: int) -> bytes:
    """A GetStatementRequest."""
    return pb.GetStatementRequest(window=window).SerializeToString()


def read_part(data: bytes) -> bytes:
    """The bytes in a GetStatementResponse; raises DocumentUnreadable."""
    return parsed(pb.GetStatementResponse, data).part
