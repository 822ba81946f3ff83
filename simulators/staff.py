"""The merchant's staff and systems: who enrols members, hands out codes for tills and looks at the books."""

from __future__ import annotations

import time
import uuid
from types import TracebackType
from typing import Self

import grpc

from node.proto.vafa.admin.v1 import admin_service_pb2, admin_service_pb2_grpc
from node.proto.vafa.coalition.v1 import coalition_service_pb2, coalition_service_pb2_grpc
from node.proto.vafa.member.v1 import chip_card_pb2, member_service_pb2, member_service_pb2_grpc
from node.proto.vafa.programme.v1 import programme_pb2, programme_service_pb2, programme_service_pb2_grpc
from node.proto.vafa.terminal.v1 import terminal_service_pb2, terminal_service_pb2_grpc
from simulators.cards.wallet import note
from simulators.enrolment import TillCertificate
from simulators.operations import timestamp
from simulators.purchases import card_identifier
from simulators.shoppers import Member

_DEADLINE_SECONDS = 15.0
_PAGE = 500


class Staff:
    """One person's connection with a staff certificate. What the node refuses is raised as AioRpcError."""

    def __init__(self, address: str, certificate: TillCertificate) -> None:
        """Make it inside a running event loop, and close it or use `async with`."""
        self._channel = grpc.aio.secure_channel(address, certificate.channel_credentials())
        self._members = member_service_pb2_grpc.MemberServiceStub(self._channel)
        self._terminals = terminal_service_pb2_grpc.TerminalServiceStub(self._channel)
        self._programmes = programme_service_pb2_grpc.ProgrammeServiceStub(self._channel)
        self._coalition = coalition_service_pb2_grpc.CoalitionServiceStub(self._channel)
        self._admin = admin_service_pb2_grpc.AdminServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def enrol(self, member: Member, occurred_ms: int | None = None) -> str:
        """Open an account for a member; its id. `occurred_ms` is when the form was filled in, None is now."""
        answer = await self._members.Enrol(
            member_service_pb2.EnrolRequest(
                request_id=uuid.uuid4().hex,
                occurred_time=timestamp(_now_ms() if occurred_ms is None else occurred_ms),
                kind=member_service_pb2.ACCOUNT_KIND_PERSONAL,
                identifiers=member.identifiers(),
                person=member.person(),
            ),
            timeout=_DEADLINE_SECONDS,
        )
        return answer.account_id

    async def note_card(self, number: str, chip: chip_card_pb2.ChipCard) -> None:
        """Tell the node of a chip card, by the number that is linked already."""
        await note(self._members, card_identifier(number), chip, _now_ms())

    async def till_code(self, store_id: str, till_id: str) -> str:
        """A one-time code with which that till enrols itself."""
        identity = terminal_service_pb2.CallerIdentity(
            role=terminal_service_pb2.ROLE_TERMINAL, store_id=store_id, id=till_id
        )
        answer = await self._terminals.CreateEnrolment(
            terminal_service_pb2.CreateEnrolmentRequest(identity=identity), timeout=_DEADLINE_SECONDS
        )
        return answer.code

    async def programme(self) -> programme_pb2.Programme:
        """The programme in force."""
        answer = await self._programmes.GetProgramme(
            programme_service_pb2.GetProgrammeRequest(), timeout=_DEADLINE_SECONDS
        )
        return answer.programme

    async def links(self) -> coalition_service_pb2.GetCoalitionResponse:
        """The directory that the node follows, and how its links to partners stand."""
        request = coalition_service_pb2.GetCoalitionRequest()
        return await self._coalition.GetCoalition(request, timeout=_DEADLINE_SECONDS)

    async def lane_records(self, partner_id: str, *, home: bool, lane: int) -> list[bytes]:
        """All records of one lane with a partner, as this node holds them; `home`: the members are ours."""
        records: list[bytes] = []
        while True:
            request = coalition_service_pb2.ListRecordsRequest(
                partner_id=partner_id, home=home, lane=lane, from_number=len(records) + 1, page_size=_PAGE
            )
            page = (await self._coalition.ListRecords(request, timeout=_DEADLINE_SECONDS)).records
            records += [record.SerializeToString(deterministic=True) for record in page]
            if len(page) < _PAGE:
                return records

    async def status(self) -> admin_service_pb2.GetStatusResponse:
        """The node's state, with the totals of its books."""
        request = admin_service_pb2.GetStatusRequest()
        return await self._admin.GetStatus(request, timeout=_DEADLINE_SECONDS)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
