"""The operator's service: partners hand in closes and fetch statements, the operator closes, settles and
marks.

Who calls is known by its certificate: a partner's by the authorities of the directory, the operator's own
by the operator's authority. What counts is signed inside the messages.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message_factory import GetMessageClass

from node.actors.operator_books import OperatorBooks
from node.actors.operator_money import NotDone, Why
from node.coalition.directory import OPERATOR_ID, Window
from node.identity.peers import PeerIdentity, PeerRefused, partner_of
from node.peering.channels import PEER_OPTIONS, peer_credentials
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as pb
from node.rpc.settlement_money import MoneyCalls
from node.settlement.documents import SignedClose
from node.settlement.windows import pairs_of
from node.wire.settlement import mismatch_message, read_mismatch, read_signed_close, signed_head_message
from node.wire.settlement_alone import AloneCheck
from node.wire.settlement_fields import DocumentUnreadable, stamp
from node.wire.settlement_rpc import PART_BYTES, SERVICE
from node.wire.settlement_scan import entry_of
from node.wire.settlement_store import WindowRecord

MAX_RPCS = 256
MAX_PAGE = 500
_CODES = {
    Why.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Why.NOT_YET: grpc.StatusCode.FAILED_PRECONDITION,
    Why.CONFLICT: grpc.StatusCode.ALREADY_EXISTS,
    Why.UNKNOWN: grpc.StatusCode.NOT_FOUND,
}
_BY_OPERATOR = frozenset(
    {"AddCorrection", "CloseWindow", "ConfirmPayment", "DeclareDefault", "SettleWindow", "TopUp"}
)
"""Only the operator calls these; the rest is for partners too."""

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


def clock_ms() -> int:
    """The machine's clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class SettlementService:
    """The servicer. `authorities` are those of the partners, and of the operator under OPERATOR_ID."""

    def __init__(
        self,
        books: OperatorBooks,
        authorities: Callable[[], Mapping[str, bytes]],
        clock: Callable[[], int] = clock_ms,
    ) -> None:
        self._books = books
        self._authorities = authorities
        self._clock_ms = clock
        self._money = MoneyCalls(books, clock, self._now)

    def handlers(self) -> grpc.GenericRpcHandler:
        """All methods, each admitted by certificate before anything is read."""
        methods: dict[str, Any] = {}
        for method in pb.DESCRIPTOR.services_by_name["SettlementService"].methods:
            kinds = ("unary", "stream")
            make = getattr(
                grpc,
                f"{kinds[method.client_streaming]}_{kinds[method.server_streaming]}_rpc_method_handler",
            )
            request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
            inner = getattr(self, method.name, None) or getattr(self._money, method.name)
            handler = self._streamed(inner) if method.server_streaming else self._admitted(method.name, inner)
            methods[method.name] = make(
                handler,
                request_deserializer=request.FromString,
                response_serializer=response.SerializeToString,
            )
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _admitted(self, name: str, inner: Callable[[Any, str], Any]) -> Callable[[Any, Context], Any]:
        async def handle(request: Any, context: Context) -> Any:
            caller = await self._caller(context)
            if name in _BY_OPERATOR and caller != OPERATOR_ID:
                await _end(context, grpc.StatusCode.PERMISSION_DENIED, "Only the operator may do that.")
            try:
                found = await inner(request, caller)
            except (DocumentUnreadable, OverflowError) as wrong:
                await _end(context, grpc.StatusCode.INVALID_ARGUMENT, f"Nothing was changed: {wrong}.")
            if isinstance(found, NotDone):
                await _end(context, _CODES[found.why], found.text)
            return found

        return handle

    def _streamed(
        self, inner: Callable[[Any], AsyncIterator[Any] | NotDone]
    ) -> Callable[[Any, Context], Any]:
        async def handle(request: Any, context: Context) -> AsyncIterator[Any]:
            await self._caller(context)
            found = inner(request)
            if isinstance(found, NotDone):
                await _end(context, _CODES[found.why], found.text)
            async for part in found:
                yield part

        return handle

    async def _caller(self, context: Context) -> str:
        chain = context.auth_context().get("x509_pem_cert")
        try:
            return partner_of(
                next(iter(chain)) if chain else b"", self._authorities(), now_ms=self._clock_ms()
            )
        except PeerRefused as wrong:
            await _end(context, grpc.StatusCode.UNAUTHENTICATED, str(wrong))

    # --- windows -------------------------------------------------------------------------------------------

    async def ListWindows(self, request: pb.ListWindowsRequest, caller: str) -> pb.ListWindowsResponse:
        """The windows that have begun."""
        most = min(request.page_size or 50, MAX_PAGE)
        found = self._books.windows(self._clock_ms(), request.from_number, most)
        return pb.ListWindowsResponse(windows=[self._window(window, record) for window, record in found])

    def _window(self, window: Window, record: WindowRecord) -> pb.SettlementWindow:
        statement = self._books.statement(record.number)
        return pb.SettlementWindow(
            number=record.number,
            open_time=stamp(window.open_time_ms),
            cut_time=stamp(window.cut_time_ms),
            state=pb.WindowState.ValueType(record.state),
            closes=len(self._books.closes(record.number)),
            pairs=len(pairs_of(self._books.directory, record.number)),
            payments_made=len(self._books.money.paid(record.number)),
            payments=len(record.payments),
            head=None if statement is None else signed_head_message(statement.head),
        )

    def _shown(self, record: WindowRecord | NotDone, answer: Callable[..., T]) -> T | NotDone:
        if isinstance(record, NotDone):
            return record
        return answer(window=self._now(record))

    def _now(self, record: WindowRecord) -> pb.SettlementWindow:
        window = self._books.directory.window(record.number)
        assert window is not None, "a window of the books is in the calendar, which only grows"
        return self._window(window, record)

    async def CloseWindow(
        self, request: pb.CloseWindowRequest, caller: str
    ) -> pb.CloseWindowResponse | NotDone:
        """Closes a window after its cut."""
        record = self._books.close_window(request.number, self._clock_ms())
        return self._shown(record, pb.CloseWindowResponse)

    async def SettleWindow(
        self, request: pb.SettleWindowRequest, caller: str
    ) -> pb.SettleWindowResponse | NotDone:
        """Publishes a window's statement."""
        record = self._books.settle(request.number, self._clock_ms(), without_missing=request.without_missing)
        return self._shown(record, pb.SettleWindowResponse)

    # --- closes --------------------------------------------------------------------------------------------

    async def SubmitClose(
        self, request: pb.SubmitCloseRequest, caller: str
    ) -> pb.SubmitCloseResponse | NotDone:
        """Takes a close of the caller's, with both signatures or a zero close by one side alone."""
        signed = read_signed_close(request.close)
        if signed.close.record_count and len(signed.signatures) < 2:
            return NotDone(Why.INVALID, "A close by one side alone comes with its records: SubmitCloseAlone.")
        return self._take(signed, caller) or pb.SubmitCloseResponse()

    def _take(self, signed: SignedClose, caller: str) -> NotDone | None:
        return _not_theirs(signed, caller) or self._books.submit(signed, self._clock_ms())

    async def SubmitCloseAlone(
        self, requests: AsyncIterator[pb.SubmitCloseAloneRequest], caller: str
    ) -> pb.SubmitCloseAloneResponse | NotDone:
        """Takes a close by one side alone, once all its records were seen and both sides' signatures hold."""
        check: AloneCheck | None = None
        async for request in requests:
            if request.WhichOneof("part") == "close":
                signed = read_signed_close(request.close)
                refusal = _not_theirs(signed, caller) or self._books.close_refusal(signed, self._clock_ms())
                if refusal is not None:
                    return refusal
                check = AloneCheck(signed, self._books.directory)
            elif check is None:
                return NotDone(Why.INVALID, "The close comes before its records.")
            else:
                problem = check.add([entry_of(one.SerializeToString()) for one in request.records.records])
                if problem:
                    return NotDone(Why.INVALID, f"The close was not taken: {problem}.")
        if check is None:
            return NotDone(Why.INVALID, "There was no close.")
        problem = check.end()
        if problem:
            return NotDone(Why.INVALID, f"The close was not taken: {problem}.")
        return self._take(check.signed, caller) or pb.SubmitCloseAloneResponse()

    async def ReportMismatch(
        self, request: pb.ReportMismatchRequest, caller: str
    ) -> pb.ReportMismatchResponse | NotDone:
        """Keeps what the caller found where its records and a partner's part."""
        found = read_mismatch(request.mismatch)
        if caller not in (found.home_id, found.acquirer_id):
            return NotDone(Why.INVALID, "A mismatch is reported by one of its two sides.")
        data = mismatch_message(found).SerializeToString()
        self._books.keep_mismatch(found.window, (found.home_id, found.acquirer_id), found.lane, data)
        return pb.ReportMismatchResponse()

    # --- statements ---------------------------------------------------------------------------------------

    def GetStatement(
        self, request: pb.GetStatementRequest
    ) -> AsyncIterator[pb.GetStatementResponse] | NotDone:
        """A published statement in parts."""
        data = self._books.statement_bytes(request.window)
        if data is None:
            return NotDone(Why.UNKNOWN, f"Window {request.window} has no statement yet.")
        return _parts(data)


def _not_theirs(signed: SignedClose, caller: str) -> NotDone | None:
    if caller in (OPERATOR_ID, *signed.close.pair):
        return None
    return NotDone(Why.INVALID, "A close is handed in by one of its two sides.")


class SettlementServer:
    """The server on the operator's port. `start` binds and serves; gives the port."""

    def __init__(
        self,
        service: SettlementService,
        identity: PeerIdentity,
        authorities: Callable[[], Mapping[str, bytes]],
    ) -> None:
        self._server = grpc.aio.server(options=PEER_OPTIONS, maximum_concurrent_rpcs=MAX_RPCS)
        self._server.add_generic_rpc_handlers((service.handlers(),))
        self._credentials = peer_credentials(identity, lambda: list(authorities().values()))

    async def start(self, address: str) -> int:
        """Binds `address` (IP:port) and serves; gives the port."""
        port = self._server.add_secure_port(address, self._credentials)
        await self._server.start()
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Takes no more calls, and waits for those under way."""
        await self._server.stop(grace_seconds)


async def _parts(data: bytes) -> AsyncIterator[pb.GetStatementResponse]:
    for first in range(0, len(data), PART_BYTES):
        yield pb.GetStatementResponse(part=data[first : first + PART_BYTES])


async def _end(context: Context, code: grpc.StatusCode, text: str) -> NoReturn:
    await context.abort(code, text)
    raise AssertionError("abort always raises")
