"""A node in miniature, against which a till is tried: wire and mutual TLS are real, what answers is a script.

It keeps no books. It executes each request id once and remembers that it did, which is all that a till's
discipline depends on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from node.identity.ca import Authority, issue_client_certificate, issue_server_certificate, new_authority
from node.identity.caller import Caller, Role
from node.identity.keys import new_tls_key, private_key_pem
from node.proto.vafa.common.v1 import refusal_pb2, transaction_pb2
from node.proto.vafa.pos.v1 import (
    earning_pb2,
    inquiry_pb2,
    operation_pb2,
    pos_service_pb2_grpc,
    spending_pb2,
    undo_pb2,
)
from node.proto.vafa.terminal.v1 import terminal_service_pb2, terminal_service_pb2_grpc
from simulators.enrolment import TillCertificate, new_key_and_request

_ANSWERS: dict[str, Any] = {
    "accrue": earning_pb2.AccrueResponse,
    "record_activity": earning_pb2.RecordActivityResponse,
    "claim": earning_pb2.ClaimPurchaseResponse,
    "authorize": spending_pb2.AuthorizeResponse,
    "capture": spending_pb2.CaptureResponse,
    "void": spending_pb2.VoidResponse,
    "redeem": spending_pb2.RedeemResponse,
    "return": undo_pb2.ReturnResponse,
    "reverse": undo_pb2.ReverseResponse,
}


def refusing(
    code: int, reason: str, message: str, *, domain: str = "vafa", retry_delay_ms: int = 0, **metadata: str
) -> status_pb2.Status:
    """A status as a node sends it with a refusal."""
    status = status_pb2.Status(code=code, message=message)
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata))
    status.details.append(info)
    if retry_delay_ms:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(retry_delay_ms)
        retry = any_pb2.Any()
        retry.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        status.details.append(retry)
    return status


@dataclass
class ScriptedNode(pos_service_pb2_grpc.PosServiceServicer):
    """Executes each request id once and remembers its answer, as a node does; fails as `script` says.

    `script` is what becomes of the next calls, in order: "lose" executes and loses the answer, "cut" loses
    the request, "hang" never answers, a Status refuses; when it is empty all is well. `received` is every
    request as (kind, bytes); `executed` the ids in the order in which they took effect.
    """

    authority: Authority
    address: str = ""
    enrol_address: str = ""
    script: list[str | status_pb2.Status] = field(default_factory=list)
    item_refusals: dict[str, list[refusal_pb2.Refusal]] = field(default_factory=dict)
    break_stream_after: int = 0
    received: list[tuple[str, bytes]] = field(default_factory=list)
    received_at: list[float] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    transactions: list[transaction_pb2.Transaction] = field(default_factory=list)

    async def _answer(self, kind: str, request: Any, context: Any) -> Any:
        self.received.append((kind, request.SerializeToString()))
        self.received_at.append(time.monotonic())
        step = self.script.pop(0) if self.script else "serve"
        if isinstance(step, status_pb2.Status):
            await context.abort_with_status(rpc_status.to_status(step))
        if step == "cut":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        answer = self._execute(kind, request)
        if step == "lose":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if step == "hang":
            await asyncio.Event().wait()
        return answer

    def _execute(self, kind: str, request: Any) -> Any:
        if request.request_id not in self.executed:
            self.executed.append(request.request_id)
        return _ANSWERS[kind](transaction_id=f"tx-{request.request_id}")

    async def Accrue(self, request: Any, context: Any) -> Any:
        """As scripted."""
        return await self._answer("accrue", request, context)

    async def RecordActivity(self, request: Any, context: Any) -> Any:
        """As scripted."""
        return await self._answer("record_activity", request, context)

    async def ClaimPurchase(self, request: Any, context: Any) -> Any:
        """As scripted."""
        return await self._answer("claim", request, context)

    async def Authorize(self, request: Any, context: Any) -> Any:
        """As scripted."""
        return await self._answer("authorize", request, context)

    async def Capture(self, request: Any, context: Any) -> Any:
        """As scripted."""
        return await self._answer("capture", request, context)

    async def Void(self, request: Any, context: Any) -> Any:
        """As scripted."""
        return await self._answer("void", request, context)

    async def Redeem(self, request: Any, context: Any) -> Any:
        """As scripted."""
        return await self._answer("redeem", request, context)

    async def RequestProof(self, request: Any, context: Any) -> Any:
        """Says that a code is on its way; nobody sends one."""
        self.received.append(("request_proof", request.SerializeToString()))
        return spending_pb2.RequestProofResponse(required=True)

    async def BeginCardProof(self, request: Any, context: Any) -> Any:
        """No card is read here."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no cards")

    async def ContinueCardProof(self, request: Any, context: Any) -> Any:
        """No card is read here."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no cards")

    async def Return(self, request: Any, context: Any) -> Any:
        """As scripted."""
        return await self._answer("return", request, context)

    async def Reverse(self, request: Any, context: Any) -> Any:
        """As scripted."""
        return await self._answer("reverse", request, context)

    async def Identify(self, request: Any, context: Any) -> Any:
        """Knows nobody by name."""
        return inquiry_pb2.IdentifyResponse(account_id="1", status=inquiry_pb2.ACCOUNT_STATUS_ACTIVE)

    async def Quote(self, request: Any, context: Any) -> Any:
        """Promises nothing."""
        return inquiry_pb2.QuoteResponse(programme_version=1)

    async def GetBalance(self, request: Any, context: Any) -> Any:
        """Holds nothing."""
        return inquiry_pb2.GetBalanceResponse()

    async def GetTransaction(self, request: Any, context: Any) -> Any:
        """Knows what was executed."""
        if request.request_id not in self.executed:
            unknown = refusing(code_pb2.NOT_FOUND, "TRANSACTION_NOT_FOUND", "No such request is known.")
            await context.abort_with_status(rpc_status.to_status(unknown))
        found = transaction_pb2.Transaction(transaction_id=f"tx-{request.request_id}")
        return inquiry_pb2.GetTransactionResponse(transaction=found)

    async def ListStatement(self, request: Any, context: Any) -> Any:
        """Pages through `transactions`."""
        first = int(request.page_token or "0")
        page = self.transactions[first : first + request.page_size]
        token = str(first + len(page)) if first + len(page) < len(self.transactions) else ""
        return inquiry_pb2.ListStatementResponse(transactions=page, next_page_token=token)

    async def Submit(self, request: Any, context: Any) -> Any:
        """As scripted; single operations are refused as `item_refusals` says."""
        self.received.append(("submit", request.SerializeToString()))
        step = self.script.pop(0) if self.script else "serve"
        if isinstance(step, status_pb2.Status):
            await context.abort_with_status(rpc_status.to_status(step))
        results = [self._item(operation) for operation in request.operations]
        if step == "lose":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return operation_pb2.SubmitResponse(results=results)

    async def SubmitStream(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """Breaks once after so many answers as `break_stream_after` says."""
        answered = 0
        async for request in requests:
            yield operation_pb2.SubmitStreamResponse(result=self._item(request.operation))
            answered += 1
            if answered == self.break_stream_after:
                self.break_stream_after = 0
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    def _item(self, operation: operation_pb2.Operation) -> operation_pb2.OperationResult:
        kind = operation.WhichOneof("operation") or ""
        request = getattr(operation, kind)
        refusals = self.item_refusals.get(request.request_id)
        if refusals:
            return operation_pb2.OperationResult(refusal=refusals.pop(0))
        return operation_pb2.OperationResult(**{kind: self._execute(kind, request)})

    def certificate(self, till: str = "till-1", store: str = "store-1") -> TillCertificate:
        """A certificate for a till of this node."""
        key_pem, request_pem = new_key_and_request()
        return TillCertificate(self.authority.certificate_pem, self.sign(request_pem, till, store), key_pem)

    def sign(self, request_pem: bytes, till: str, store: str) -> bytes:
        """The certificate for a signing request, both PEM."""
        caller = Caller(Role.TILL, "shop", till, store)
        now_ms = time.time_ns() // 1_000_000
        return issue_client_certificate(
            self.authority, request_pem, caller, now_ms=now_ms, validity_days=2
        ).pem


@dataclass
class _Enrolment(terminal_service_pb2_grpc.EnrolmentServiceServicer):
    node: ScriptedNode

    async def RedeemCode(self, request: Any, context: Any) -> Any:
        """One code is right."""
        if request.code != "1234":
            wrong = refusing(code_pb2.UNAUTHENTICATED, "ENROLMENT_CODE_INVALID", "The code is wrong.")
            await context.abort_with_status(rpc_status.to_status(wrong))
        return terminal_service_pb2.RedeemCodeResponse(
            certificate_pem=self.node.sign(request.csr_pem, "till-9", "store-1"),
            authority_pem=self.node.authority.certificate_pem,
        )


@asynccontextmanager
async def serve_scripted_node() -> AsyncIterator[ScriptedNode]:
    """A scripted node that serves on loopback, its enrolment port beside it; the only code is "1234"."""
    now_ms = time.time_ns() // 1_000_000
    authority = new_authority("shop", now_ms=now_ms)
    key = new_tls_key()
    certificate = issue_server_certificate(
        authority, key.public_key(), ["127.0.0.1"], now_ms=now_ms, validity_days=2
    )
    pair = [(private_key_pem(key), certificate)]
    node = ScriptedNode(authority)
    server, enrolment = grpc.aio.server(), grpc.aio.server()
    pos_service_pb2_grpc.add_PosServiceServicer_to_server(node, server)
    terminal_service_pb2_grpc.add_EnrolmentServiceServicer_to_server(_Enrolment(node), enrolment)
    mutual = grpc.ssl_server_credentials(pair, authority.certificate_pem, require_client_auth=True)
    node.address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', mutual)}"
    enrol_port = enrolment.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair))
    node.enrol_address = f"127.0.0.1:{enrol_port}"
    await server.start()
    await enrolment.start()
    try:
        yield node
    finally:
        await server.stop(None)
        await enrolment.stop(None)
