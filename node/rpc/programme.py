"""Publishing and reading programme versions."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from node.actors.control import Control
from node.actors.programmes import Programmes
from node.ledger.earning import purchase_problem
from node.ledger.refusals import Reason, Refused, refuse
from node.programme.model import Programme
from node.programme.problems import Problem
from node.proto.vafa.programme.v1 import programme_service_pb2 as pb
from node.proto.vafa.programme.v1 import programme_service_pb2_grpc
from node.rpc.admission import CALLER
from node.rpc.status import Context, fail
from node.wire.balances import award_effects, stamp
from node.wire.parse import bad_request_id, is_request_id, time_ms
from node.wire.programme import programme_from_proto, programme_to_proto
from node.wire.purchases import purchase_from

DEFAULT_PAGE = 50
MAX_PAGE = 500
MAX_TOKEN_DIGITS = 20


class ProgrammeService(programme_service_pb2_grpc.ProgrammeServiceServicer):
    """See the proto. `published` is told after a version was made durable, to hand it to the shards."""

    def __init__(
        self,
        control: Control,
        published: Callable[[], Awaitable[None]],
        *,
        tz: str,
        currency: str,
        language: str,
    ) -> None:
        self._control = control
        self._published = published
        self._tz, self._currency, self._language = tz, currency, language

    async def PublishProgramme(
        self, request: pb.PublishProgrammeRequest, context: Context
    ) -> pb.PublishProgrammeResponse:
        """Makes a draft the next version."""
        caller = CALLER.get()
        if not is_request_id(request.request_id):
            await fail(context, bad_request_id())
        draft = programme_from_proto(request.programme)
        if isinstance(draft, tuple):
            await fail(context, _invalid(draft))
            raise AssertionError("fail always raises")
        author = f"{caller.role.value}:{caller.id}"
        published = self._control.publish(draft, author, f"{author}/{request.request_id}", _now_ms())
        if isinstance(published, Refused):
            await fail(context, published)
            raise AssertionError("fail always raises")
        await self._published()
        return pb.PublishProgrammeResponse(
            version=published.version, effective_time=stamp(published.effective_ms)
        )

    async def GetProgramme(
        self, request: pb.GetProgrammeRequest, context: Context
    ) -> pb.GetProgrammeResponse:
        """One version, or the one in force at a moment."""
        found: Programme | None
        if request.version:
            found = self._control.programme(request.version)
        else:
            at_ms = time_ms(request.at_time, "at_time") if request.HasField("at_time") else _now_ms()
            found = None if isinstance(at_ms, Refused) else self._control.programme_at(at_ms)
        if found is None:
            await fail(context, refuse(Reason.PROGRAMME_NOT_FOUND, "There is no such programme version."))
            raise AssertionError("fail always raises")
        return pb.GetProgrammeResponse(programme=programme_to_proto(found))

    async def ListProgrammes(
        self, request: pb.ListProgrammesRequest, context: Context
    ) -> pb.ListProgrammesResponse:
        """The versions, newest first."""
        before = len(self._control.programmes) + 1
        if request.page_token:
            token = request.page_token
            if not (token.isascii() and token.isdigit() and len(token) < MAX_TOKEN_DIGITS):
                await fail(
                    context, refuse(Reason.INVALID_CURSOR, "The page token is not one of this node's.")
                )
            before = int(token)
        size = min(max(request.page_size, 0) or DEFAULT_PAGE, MAX_PAGE)
        versions = [one for one in reversed(self._control.programmes) if one.version < before]
        page = versions[:size]
        return pb.ListProgrammesResponse(
            programmes=[
                pb.ProgrammeSummary(
                    version=one.version,
                    name=one.name,
                    effective_time=stamp(one.effective_ms),
                    author=one.author,
                )
                for one in page
            ],
            next_page_token=str(page[-1].version) if len(versions) > size else "",
        )

    async def PreviewProgramme(
        self, request: pb.PreviewProgrammeRequest, context: Context
    ) -> pb.PreviewProgrammeResponse:
        """What a purchase would earn under a draft."""
        draft = programme_from_proto(request.programme)
        if isinstance(draft, tuple):
            await fail(context, _invalid(draft))
            raise AssertionError("fail always raises")
        purchase = purchase_from(request.purchase, "")
        problem = purchase if isinstance(purchase, Refused) else purchase_problem(purchase, self._currency)
        occurred_ms = (
            time_ms(request.occurred_time, "occurred_time")
            if request.HasField("occurred_time")
            else _now_ms()
        )
        if isinstance(occurred_ms, Refused) or problem is not None or isinstance(purchase, Refused):
            refused = problem if problem is not None else occurred_ms
            assert isinstance(refused, Refused)
            await fail(context, refused)
            raise AssertionError("fail always raises")
        edition = Programmes([draft], tz=self._tz, currency=self._currency).at(occurred_ms)
        awards = edition.compiled.evaluate(purchase, None, occurred_ms, self._language)
        return pb.PreviewProgrammeResponse(effects=award_effects(awards, edition.purses))


def _invalid(problems: tuple[Problem, ...]) -> Refused:
    """All problems of a draft in one refusal: the first in words, each of them in the details."""
    first = problems[0]
    rest = f" There are {len(problems) - 1} more problems." if len(problems) > 1 else ""
    listed = tuple((problem.path, problem.message) for problem in problems[:50])
    return Refused(Reason.INVALID_PROGRAMME, f"{first.path}: {first.message}{rest}", listed)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
