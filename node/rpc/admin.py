"""Running a node: status, backups, the proof of the books, accounts that were set aside."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from node.actors.books import Books
from node.actors.control import Control
from node.actors.counter import Counter
from node.actors.ports import ShardGone, ShardHandle
from node.actors.router import Router
from node.actors.totals import Totals, totals_of
from node.ledger.refusals import Reason, refuse
from node.proto.vafa.admin.v1 import admin_service_pb2 as pb
from node.proto.vafa.admin.v1 import admin_service_pb2_grpc
from node.rpc.admission import CALLER
from node.rpc.status import Context, fail
from node.storage.keyspace import partition_of
from node.storage.store import StoreError, StoreForeign
from node.wire.balances import stamp
from node.wire.commands import Command, Op
from node.wire.parse import bad_request_id, invalid, is_request_id
from node.wire.records import QUARANTINE

MAX_QUARANTINED = 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class AdminService(admin_service_pb2_grpc.AdminServiceServicer):
    """See the proto."""

    def __init__(
        self,
        merchant: str,
        started_ms: int,
        shards: Sequence[ShardHandle],
        router: Router,
        counter: Counter,
        control: Control,
        books: Books,
        backups: Path,
    ) -> None:
        self._merchant = merchant
        self._started_ms = started_ms
        self._shards = shards
        self._router = router
        self._counter = counter
        self._control = control
        self._books = books
        self._backups = backups

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        """How the node and its shards are."""
        states = await asyncio.gather(
            *(shard.call("state") for shard in self._shards), return_exceptions=True
        )
        shards, known = [], []
        for shard, lane, state in zip(self._shards, self._router.lanes, states, strict=True):
            message = pb.ShardStatus(shard=shard.number, queued=lane.queued)
            if isinstance(state, ShardGone):
                shards.append(message)
                continue
            if isinstance(state, BaseException):
                raise state
            message.serving = True
            message.partitions.extend(
                partition
                for partition in range(self._router.partitions)
                if self._router.shard_of(partition) == shard.number
            )
            message.entries, message.active_accounts = state.entries, state.active_accounts
            message.quarantined_accounts = state.quarantined_accounts
            shards.append(message)
            known.append(state)
        in_force = self._control.programme_at(time.time_ns() // 1_000_000)
        return pb.GetStatusResponse(
            merchant_id=self._merchant,
            version=version("vafa"),
            start_time=stamp(self._started_ms),
            programme_version=0 if in_force is None else in_force.version,
            shards=shards,
            totals=[_totals(one) for one in totals_of(row for state in known for row in state.books)],
            accounts=sum(state.accounts for state in known),
        )

    async def CreateBackup(
        self, request: pb.CreateBackupRequest, context: Context
    ) -> pb.CreateBackupResponse:
        """Writes a backup while the node serves."""
        if not _NAME.fullmatch(request.name):
            await fail(context, invalid("name", "A backup's name has 1 to 64 of A-Z a-z 0-9 . _ and -."))
        destination = self._backups / request.name
        try:
            manifest = await self._books.back_up(destination)
        except StoreForeign as taken:  # a backup of that name is there already
            await fail(context, invalid("name", str(taken)))
            raise AssertionError("fail always raises") from None
        except StoreError as wrong:
            await fail(context, refuse(Reason.UNAVAILABLE, str(wrong)))
            raise AssertionError("fail always raises") from None
        size = sum(file.size_bytes for store in manifest.stores for file in store.files)
        return pb.CreateBackupResponse(path=str(destination), size_bytes=size)

    async def CheckBooks(self, request: pb.CheckBooksRequest, context: Context) -> pb.CheckBooksResponse:
        """Proves the books as they are now."""
        findings = await self._books.check()
        rows = [(book, purse, units) for (book, purse), units in findings.books.items()]
        return pb.CheckBooksResponse(
            clean=findings.clean,
            entries=findings.entries,
            accounts=findings.accounts,
            findings=findings.problems,
            totals=[_totals(one) for one in totals_of(rows)],
        )

    async def ListQuarantined(
        self, request: pb.ListQuarantinedRequest, context: Context
    ) -> pb.ListQuarantinedResponse:
        """Accounts that were set aside, by account id."""
        size = min(max(request.page_size, 0) or 50, MAX_QUARANTINED)
        found = []
        for shard in self._shards:
            found += [QUARANTINE.decode(data) for data in await shard.call("quarantined", MAX_QUARANTINED)]
        after = sorted(
            (one for one in found if one.account_id.hex() > request.page_token),
            key=lambda one: one.account_id,
        )
        return pb.ListQuarantinedResponse(
            accounts=[
                pb.QuarantinedAccount(
                    account_id=one.account_id.hex(),
                    time=stamp(one.at_ms),
                    fault=one.fault,
                    request_id=one.request_id,
                )
                for one in after[:size]
            ],
            next_page_token=after[size - 1].account_id.hex() if len(after) > size else "",
        )

    async def ReleaseQuarantined(
        self, request: pb.ReleaseQuarantinedRequest, context: Context
    ) -> pb.ReleaseQuarantinedResponse:
        """Puts an account that was set aside back to work."""
        if not is_request_id(request.request_id):
            await fail(context, bad_request_id())
        try:
            account_id = bytes.fromhex(request.account_id)
            partition = partition_of(account_id, self._router.partitions)
        except ValueError:
            await fail(context, invalid("account_id", "An account id is 32 hexadecimal digits."))
            raise AssertionError("fail always raises") from None
        caller = CALLER.get()
        author = f"{caller.role.value}:{caller.id}"
        command = Command(
            Op.RELEASE_QUARANTINED,
            partition,
            account_id,
            b"",
            author,
            "",
            author,
            "",
            request.SerializeToString(),
        )
        answer = await self._router.ask(command)
        if answer.refusal is not None:
            await fail(context, answer.refusal)
        return pb.ReleaseQuarantinedResponse(time=stamp(time.time_ns() // 1_000_000))


def _totals(one: Totals) -> pb.PurseTotals:
    return pb.PurseTotals(
        purse=one.purse,
        issued=one.issued,
        redeemed=one.redeemed,
        breakage=one.breakage,
        outstanding=one.outstanding,
        books_sum=one.books_sum,
    )
