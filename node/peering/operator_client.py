"""A merchant's calls to the operator's service, as calls of bytes; what they say is in
`wire.settlement_rpc`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc

from node.coalition.directory import OPERATOR_ID, Directory
from node.identity.peers import PeerIdentity
from node.peering.channels import dial
from node.peering.ports import PartnerEntry
from node.settlement.documents import Mismatch, SignedClose
from node.wire.settlement_rpc import (
    SERVICE,
    WindowShown,
    alone_bytes,
    mismatch_bytes,
    payments_wish,
    read_defaulted,
    read_part,
    read_windows,
    statement_wish,
    submit_bytes,
    windows_bytes,
)

CALL_SECONDS = 30.0
STATEMENT_SECONDS = 600.0
MAX_STATEMENT_BYTES = 1 << 30


class OperatorRefuses(Exception):
    """The operator did not take something; the text is its own. `lasting`: it never will."""

    def __init__(self, text: str, *, lasting: bool) -> None:
        super().__init__(text)
        self.lasting = lasting


class OperatorClient:
    """Calls to the operator that a directory names; a call without one, or without an answer, gives None."""

    def __init__(self, directory: Directory, identity: PeerIdentity) -> None:
        node = directory.operator
        self._channel: grpc.aio.Channel | None = None
        if node is not None and node.endpoints:
            entry = PartnerEntry(OPERATOR_ID, node.authority_pem, node.endpoints)
            self._channel = dial(entry, node.endpoints[0], identity)

    async def windows(self, from_number: int) -> list[WindowShown] | None:
        """The operator's windows from a number on."""
        data = await self._call("ListWindows", windows_bytes(from_number))
        return None if data is None else read_windows(data)

    async def defaulted(self, window: int) -> frozenset[str] | None:
        """Who is in default of a window with a statement."""
        data = await self.payments(window)
        return None if data is None else read_defaulted(data)

    async def payments(self, window: int) -> bytes | None:
        """The payments of a window as they stand: a ListPaymentsResponse."""
        return await self._call("ListPayments", payments_wish(window))

    async def positions(self) -> bytes | None:
        """How this partner stands with the operator: a ListPositionsResponse."""
        return await self._call("ListPositions", b"")

    async def report_payments(self, request: bytes) -> bytes | None:
        """Hands over a ReportPaymentsRequest; gives the ReportPaymentsResponse."""
        return await self._call("ReportPayments", request)

    async def submit(self, signed: SignedClose) -> bool:
        """Hands in a close of both sides, or a zero close by one alone; whether it was taken."""
        return await self._call("SubmitClose", submit_bytes(signed)) is not None

    async def submit_alone(self, signed: SignedClose, records: Iterable[bytes]) -> bool:
        """Hands in a close by this side alone with its LaneRecords; whether it was taken."""
        if self._channel is None:
            return False
        call: Any = self._channel.stream_unary(f"/{SERVICE}/SubmitCloseAlone")
        try:
            await call(alone_bytes(signed, records), timeout=STATEMENT_SECONDS)
        except grpc.aio.AioRpcError as error:
            _told(error)
            return False
        return True

    async def report(self, found: Mismatch) -> bool:
        """Tells the operator what was found; whether it was taken."""
        return await self._call("ReportMismatch", mismatch_bytes(found)) is not None

    async def statement(self, window: int) -> bytes | None:
        """A published statement's file."""
        if self._channel is None:
            return None
        call: Any = self._channel.unary_stream(f"/{SERVICE}/GetStatement")
        parts, size = [], 0
        try:
            async for data in call(statement_wish(window), timeout=STATEMENT_SECONDS):
                parts.append(read_part(data))
                size += len(parts[-1])
                if size > MAX_STATEMENT_BYTES:
                    return None
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                _told(error)
            return None
        return b"".join(parts)

    async def close(self) -> None:
        """Ends the connection."""
        if self._channel is not None:
            await self._channel.close()

    async def _call(self, name: str, request: bytes) -> bytes | None:
        if self._channel is None:
            return None
        call: Any = self._channel.unary_unary(f"/{SERVICE}/{name}")
        try:
            answer: bytes = await call(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            _told(error)
            return None
        return answer


_LASTING = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED})
_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def _told(error: grpc.aio.AioRpcError) -> None:
    """Raises what the operator said; nothing where it was merely out of reach."""
    if error.code() not in _PASSING:
        raise OperatorRefuses(str(error.details()), lasting=error.code() in _LASTING) from None
