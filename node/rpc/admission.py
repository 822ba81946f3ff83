"""Who may call what: decided once, by role and method, before any servicer sees a request.

The caller is read from the client certificate (mutual TLS; RFC 5280 SAN URI), checked against revocations on
every call, and handed on in `CALLER`. A method that is not in `ROLES` is refused to everybody.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Set
from contextvars import ContextVar
from typing import Any

import grpc
import structlog

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
from node.telemetry import REFUSALS, REQUEST_SECONDS, REQUESTS, Figures

Handler = Any  # grpc.RpcMethodHandler, which is generic for the type checker alone

CALLER: ContextVar[Caller] = ContextVar("caller")
"""The caller of the current call."""

log = structlog.get_logger()


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
            await self._admit(method, context)
            try:
                response = await inner(request, context)
            except Exception as fault:
                await self._failed(short, context, fault)
                raise
            ok.add()
            seconds.observe(time.perf_counter() - started)
            return response

        async def stream(request: Any, context: Context) -> Any:
            await self._admit(method, context)
            try:
                async for response in inner(request, context):
                    yield response
            except Exception as fault:
                await self._failed(short, context, fault)
                raise
            ok.add()

        inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        outer = stream if handler.response_streaming else unary
        return make(outer, handler.request_deserializer, handler.response_serializer)

    async def _admit(self, method: str, context: Context) -> None:
        """Sets CALLER, or ends the call."""
        if method.startswith(OPEN):
            return
        caller = self._plaintext_caller or self._caller(context)
        if isinstance(caller, Refused):
            await self._refuse(method, context, caller)
            return
        if caller.role not in ROLES.get(method, frozenset()):
            await self._refuse(method, context, _role_not_allowed(caller.role))
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

    async def _refuse(self, method: str, context: Context, refused: Refused) -> None:
        short = method.rsplit("/", 1)[1]
        self._figures.count(REQUESTS, short, "REFUSED").add()
        self._figures.count(REFUSALS, refused.reason.name).add()
        await fail(context, refused)

    async def _failed(self, short: str, context: Context, fault: Exception) -> None:
        """Counts a call that ended badly; a fault is logged by kind and told to the caller as INTERNAL."""
        refusal = isinstance(fault, grpc.aio.AbortError)
        self._figures.count(REQUESTS, short, "REFUSED" if refusal else "FAULT").add()
        if not refusal:
            log.error("call_faulted", method=short, fault=type(fault).__name__, exc_info=fault)
            await fail(context, _internal())


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
