"""Certificates: one-time codes, enrolment, renewal, revocation."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace

from node.actors.control import Control, PendingEnrolment
from node.identity.ca import Authority, RequestRefused, issue_client_certificate
from node.identity.caller import Caller, CallerRefused, Role, caller_from_uri
from node.identity.enrolment import EnrolmentRefusal, new_ticket, redeem, ticket_number
from node.ledger.refusals import Reason, Refused, refuse
from node.proto.vafa.terminal.v1 import terminal_service_pb2 as pb
from node.proto.vafa.terminal.v1 import terminal_service_pb2_grpc
from node.rpc.admission import CALLER
from node.rpc.status import Context, fail
from node.wire.balances import stamp
from node.wire.parse import invalid

CERTIFICATE_DAYS = 400
DEFAULT_TTL_SECONDS = 3_600
MAX_TTL_SECONDS = 604_800
MAX_GATEWAY_TERMINALS = 2_000
TICKET_TRIES = 20
MAX_PAGE = 500

_ROLES = {
    pb.ROLE_TERMINAL: Role.TILL,
    pb.ROLE_GATEWAY: Role.GATEWAY,
    pb.ROLE_STAFF: Role.STAFF,
    pb.ROLE_READER: Role.READER,
}
_NUMBERS = {role: number for number, role in _ROLES.items()}


class _Issuing:
    """What both services share: the authority, the control store, and the merchant's name."""

    def __init__(self, control: Control, authority: Authority, merchant: str) -> None:
        self._control = control
        self._authority = authority
        self._merchant = merchant

    async def _caller_of(self, identity: pb.CallerIdentity, context: Context) -> Caller:
        role = _ROLES.get(identity.role)
        if role is None:
            await fail(
                context, invalid("identity.role", "Say who is meant: terminal, gateway, staff or reader.")
            )
            raise AssertionError("fail always raises")
        try:
            return Caller(role, self._merchant, identity.id, identity.store_id)
        except CallerRefused as wrong:
            await fail(context, invalid("identity", str(wrong)))
            raise AssertionError("fail always raises") from None

    async def _issue(
        self, csr_pem: bytes, caller: Caller, terminals: tuple[str, ...], context: Context
    ) -> bytes:
        try:
            issued = issue_client_certificate(
                self._authority, csr_pem, caller, now_ms=_now_ms(), validity_days=CERTIFICATE_DAYS
            )
        except RequestRefused as wrong:
            await fail(context, invalid("csr_pem", str(wrong)))
            raise AssertionError("fail always raises") from None
        self._control.issued(issued.caller, terminals)
        return issued.pem


class EnrolmentService(_Issuing, terminal_service_pb2_grpc.EnrolmentServiceServicer):
    """See the proto. Served without client certificates, on a port of its own."""

    def __init__(self, control: Control, authority: Authority, merchant: str) -> None:
        super().__init__(control, authority, merchant)
        self._trying = asyncio.Lock()

    async def RedeemCode(self, request: pb.RedeemCodeRequest, context: Context) -> pb.RedeemCodeResponse:
        """Turns a code and a request into a certificate."""
        number = ticket_number(request.code)
        if number is None:
            await fail(context, _not_opened(EnrolmentRefusal.MALFORMED))
            raise AssertionError("fail always raises")
        # One try at a time, or many at once would count as one.
        async with self._trying:
            pending = self._control.pending(number)
            if pending is None:
                await fail(context, _not_opened(EnrolmentRefusal.WRONG_CODE))
                raise AssertionError("fail always raises")
            ticket, problem = await asyncio.to_thread(redeem, pending.ticket, request.code, _now_ms())
            caller = caller_from_uri(ticket.caller_uri)
            if problem is None:
                # A request that is refused has not used up the code.
                certificate = await self._issue(request.csr_pem, caller, pending.terminals, context)
            self._control.keep_pending(number, PendingEnrolment(ticket, pending.terminals))
        if problem is not None:
            await fail(context, _not_opened(problem))
        return pb.RedeemCodeResponse(
            certificate_pem=certificate,
            authority_pem=self._authority.certificate_pem,
            identity=pb.CallerIdentity(
                role=_NUMBERS[caller.role], store_id=caller.store, id=caller.id, terminals=pending.terminals
            ),
        )


class TerminalService(_Issuing, terminal_service_pb2_grpc.TerminalServiceServicer):
    """See the proto."""

    async def CreateEnrolment(
        self, request: pb.CreateEnrolmentRequest, context: Context
    ) -> pb.CreateEnrolmentResponse:
        """Makes a one-time code."""
        caller = await self._caller_of(request.identity, context)
        terminals = tuple(request.identity.terminals)
        if len(terminals) > MAX_GATEWAY_TERMINALS or (terminals and caller.role is not Role.GATEWAY):
            await fail(
                context, invalid("identity.terminals", "Only a gateway lists terminals, at most 2,000.")
            )
        for terminal in terminals:
            store, _, till = terminal.partition("/")
            try:
                Caller(Role.TILL, self._merchant, till, store)
            except CallerRefused:
                await fail(context, invalid("identity.terminals", "A terminal is named store/terminal."))
        ttl_seconds = request.ttl_seconds or DEFAULT_TTL_SECONDS
        if not 0 < ttl_seconds <= MAX_TTL_SECONDS:
            await fail(context, invalid("ttl_seconds", f"A code is good for 1 to {MAX_TTL_SECONDS} seconds."))
        for _ in range(TICKET_TRIES):
            now_ms = _now_ms()
            ticket, code = await asyncio.to_thread(
                new_ticket,
                caller,
                created_by=CALLER.get().uri,
                now_ms=now_ms,
                randomness=os.urandom(32),
                ttl_ms=ttl_seconds * 1000,
            )
            known = self._control.pending(ticket.number)
            live = known is not None and known.ticket.expires_ms > now_ms and not known.ticket.redeemed_ms
            if not live:
                self._control.keep_pending(ticket.number, PendingEnrolment(ticket, terminals))
                return pb.CreateEnrolmentResponse(code=code, expire_time=stamp(ticket.expires_ms))
        await fail(
            context, refuse(Reason.OVERLOADED, "Too many codes are waiting to be used; try again later.")
        )
        raise AssertionError("fail always raises")

    async def ListCallers(self, request: pb.ListCallersRequest, context: Context) -> pb.ListCallersResponse:
        """Who holds a certificate, by serial number."""
        size = min(max(request.page_size, 0) or 50, MAX_PAGE)
        records = [record for record in self._control.callers() if record.serial > request.page_token]
        return pb.ListCallersResponse(
            callers=[
                pb.CallerRecord(
                    identity=pb.CallerIdentity(
                        role=_NUMBERS.get(Role(record.role), pb.ROLE_UNSPECIFIED),
                        store_id=record.store,
                        id=record.id,
                        terminals=record.terminals,
                    ),
                    serial=record.serial,
                    expire_time=stamp(record.not_after_ms),
                    revoked=record.revoked,
                )
                for record in records[:size]
            ],
            next_page_token=records[size - 1].serial if len(records) > size else "",
        )

    async def RevokeCaller(
        self, request: pb.RevokeCallerRequest, context: Context
    ) -> pb.RevokeCallerResponse:
        """Revokes all certificates of a caller."""
        caller = await self._caller_of(request.identity, context)
        return pb.RevokeCallerResponse(revoked_certificates=self._control.revoke(caller))

    async def RenewCertificate(
        self, request: pb.RenewCertificateRequest, context: Context
    ) -> pb.RenewCertificateResponse:
        """A new certificate for the caller itself; the old one stays good until it expires."""
        caller = replace(CALLER.get(), serial="", not_after_ms=0)
        terminals = (
            tuple(sorted(self._control.terminals_of(caller.id))) if caller.role is Role.GATEWAY else ()
        )
        certificate = await self._issue(request.csr_pem, caller, terminals, context)
        return pb.RenewCertificateResponse(certificate_pem=certificate)


def _not_opened(problem: EnrolmentRefusal) -> Refused:
    return refuse(Reason.ENROLMENT_CODE_INVALID, problem.value, problem=problem.name)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
