"""Who may call what: decided once, by role and method, before any servicer sees a request.

The caller is read from the client certificate (mutual TLS; RFC 5280 SAN URI), checked against revocations on
every call and every message of a stream, and handed on in `CALLER`. A method that is not in `ROLES` is
refused to everybody. Messages are decoded here, behind the door, so that bytes that are none are refused in
the same words everywhere.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Set
from contextvars import ContextVar
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from node.identity.caller import (
    Caller,
    CallerRefused,
    CertificateRefusal,
    Role,
    caller_from_certificate,
    certificate_refusal,
)
from node.ledger.refusals import Reason, Refused, refuse
from node.rpc.roles import OPEN, ROLES
from node.rpc.status import Context, fail
from node.telemetry import REFUSALS, REQUEST_SECONDS, REQUESTS, Figures, trace_id_from
from node.wire.parse import invalid

Handler = Any  # grpc.RpcMethodHandler, which is generic for the type checker alone

CALLER: ContextVar[Caller] = ContextVar("caller")
"""The caller of the current call."""

log = structlog.get_logger()


class _TurnedAway(Exception):
    """The refusal of a call, or of a message in a stream: the answers to those before it go out first."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.reason.name)
        self.refused = refused


class Admission(grpc.aio.ServerInterceptor):
    """The interceptor that admits or refuses every call, and counts it.

    `plaintext_caller` is who everybody is on a node without TLS, which listens on loopback only.
    """

    def __init__(
        self,
        merchant: str,
        revoked: Callable[[], Set[str]],
        figures: Figures,
        *,
        plaintext_caller: Caller | None = None,
    ) -> None:
        self._merchant = merchant
        self._revoked = revoked
        self._figures = figures
        self._plaintext_caller = plaintext_caller
        self._guarded: dict[tuple[str, int], Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps the method's handler; kept, so that this is a look-up for all calls but the first."""
        handler = await continuation(details)
        if handler is None:
            return handler
        key = (details.method, id(handler))
        guarded = self._guarded.get(key)
        if guarded is None:
            guarded = self._guarded[key] = self._guard(details.method, handler)
        return guarded

    def _guard(self, method: str, handler: Any) -> Handler:
        short = method.rsplit("/", 1)[1]
        seconds = self._figures.distribution(REQUEST_SECONDS, short)
        ok = self._figures.count(REQUESTS, short, "OK")

        async def unary(request: Any, context: Context) -> Any:
            started = time.perf_counter()
            try:
                self._admit(method, context)
                response = await inner(_decoded(decode, request), context)
            except Exception as fault:
                await self._failed(short, context, fault)
                raise
            ok.add()
            seconds.observe(time.perf_counter() - started)
            return response

        async def stream(request: Any, context: Context) -> Any:
            try:
                self._admit(method, context)
                many = handler.request_streaming
                taken = self._each(method, decode, request, context) if many else _decoded(decode, request)
                async for response in inner(taken, context):
                    if not many:  # an answer to what was admitted is owed; a feed is not
                        self._admit(method, context)
                    yield response
            except Exception as fault:
                await self._failed(short, context, fault)
                raise
            ok.add()

        decode = handler.request_deserializer
        inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        outer = stream if handler.response_streaming else unary
        return make(outer, None, handler.response_serializer)

    async def _each(
        self, method: str, decode: Callable[[bytes], Any] | None, requests: Any, context: Context
    ) -> AsyncIterator[Any]:
        """The messages of a stream, each admitted anew: a stream may outlive its caller's certificate."""
        async for request in requests:
            self._admit(method, context)
            yield _decoded(decode, request)

    def _admit(self, method: str, context: Context) -> None:
        """Sets CALLER, or turns the call away."""
        if method.startswith(OPEN):
            return
        caller = self._plaintext_caller or self._caller(context)
        if isinstance(caller, Refused):
            raise _TurnedAway(caller)
        if caller.role not in ROLES.get(method, frozenset()):
            raise _TurnedAway(_role_not_allowed(caller.role))
        CALLER.set(caller)

    def _caller(self, context: Context) -> Caller | Refused:
        chain = context.auth_context().get("x509_pem_cert")
        if not chain:
            return refuse(Reason.UNAUTHENTICATED, "Show a client certificate of this node's own authority.")
        try:
            caller = caller_from_certificate(next(iter(chain)))
        except CallerRefused as wrong:
            return refuse(Reason.UNAUTHENTICATED, str(wrong))
        problem = certificate_refusal(
            caller, merchant=self._merchant, now_ms=time.time_ns() // 1_000_000, revoked=self._revoked()
        )
        return caller if problem is None else _not_good(problem)

    async def _failed(self, short: str, context: Context, fault: Exception) -> None:
        """Counts a call that ended badly; a fault is logged by kind and told to the caller as INTERNAL."""
        refusal = isinstance(fault, grpc.aio.AbortError | _TurnedAway)
        self._figures.count(REQUESTS, short, "REFUSED" if refusal else "FAULT").add()
        if isinstance(fault, _TurnedAway):
            self._figures.count(REFUSALS, fault.refused.reason.name).add()
            await fail(context, fault.refused)
        if not refusal:
            log.error(
                "call_faulted",
                method=short,
                trace_id=_trace_shown(context),
                fault=type(fault).__name__,
                exc_info=fault,
            )
            await fail(context, _internal())


def _trace_shown(context: Context) -> str:
    """The trace id that the caller gave the call; empty where it gave none."""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and isinstance(value, str):
            return trace_id_from(value)
    return ""


def _decoded(decode: Callable[[bytes], Any] | None, request: Any) -> Any:
    """The message that some bytes are; the bytes themselves where the method reads them itself."""
    if decode is None:
        return request
    try:
        return decode(request)
    except DecodeError:
        raise _TurnedAway(invalid("", "The bytes are not a message of this kind.")) from None


def _not_good(problem: CertificateRefusal) -> Refused:
    return refuse(Reason.UNAUTHENTICATED, f"Nothing was done: {problem.value}.", problem=problem.name)


def _role_not_allowed(role: Role) -> Refused:
    return refuse(
        Reason.ROLE_NOT_ALLOWED,
        f"A {role.value} may not call this method. Nothing was done.",
        role=role.value,
    )


def _internal() -> Refused:
    return refuse(
        Reason.INTERNAL,
        "A fault inside the node. Ask what became of the request before anything else.",
    )
