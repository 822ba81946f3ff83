"""The peer's front: the node's own messages over gRPC with mutual TLS, and PostgreSQL behind them.

`serving` runs it as a process of its own; as a program (`python -m bench.postgres_front`) it is that process,
and reads where the cluster is from PostgreSQL's usual environment variables.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from grpc import aio

from bench.messages import card_number
from bench.postgres_cluster import Cluster
from bench.processes import Served, serve_handlers, serve_module, serving_main
from bench.tls import ServerTls
from node.proto.vafa.common.v1.refusal_pb2 import Reason
from node.proto.vafa.pos.v1.earning_pb2 import AccrueRequest, AccrueResponse
from node.proto.vafa.pos.v1.operation_pb2 import OperationResult, SubmitRequest, SubmitResponse

SERVICE = "vafa.pos.v1.PosService"
ACCRUE = f"/{SERVICE}/Accrue"
SUBMIT = f"/{SERVICE}/Submit"

POOL_CONNECTIONS = 32
"""Sessions, and so backends: enough for group commit to gather many transactions into one WAL flush."""

ATTEMPTS = 3
"""Tries of a call that met another with its request id; the second finds the first's answer."""

_TERMINAL = "till-1"
_ACCRUE_SQL = "select * from accrue($1, $2, $3, $4, $5, $6, $7)"
_ACCRUE_MANY_SQL = "select * from accrue_many($1, $2, $3, $4, $5, $6, $7)"
_REFUSALS = {"reused": Reason.REASON_REQUEST_ID_REUSED, "unknown": Reason.REASON_MEMBER_NOT_FOUND}
_SCHEMA = Path(__file__).with_name("postgres_schema.sql")


async def prepare(cluster: Cluster, members: int) -> None:
    """Create the tables and procedures in an empty cluster, with the benches' members 0 … members-1."""
    connection = await cluster.connect()
    try:
        await connection.execute(_SCHEMA.read_text(encoding="utf-8"))
        await connection.copy_records_to_table("account", records=((each, 0, 0) for each in range(members)))
        await connection.copy_records_to_table(
            "card", records=((card_number(each), each) for each in range(members))
        )
        await connection.execute("analyze")
    finally:
        await connection.close()


@contextlib.contextmanager
def serving(cluster: Cluster, tls: ServerTls) -> Iterator[Served]:
    """The front for the time of the block, on a free loopback port, with these certificates."""
    with serve_module("bench.postgres_front", tls.arguments(), cluster.environment()) as served:
        yield served


class PostgresFront:
    """Accrue and Submit on a pool of connections; requests and answers are the node's, as bytes."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def accrue(self, body: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        """One accrual, in one transaction."""
        rows = await self._call(_ACCRUE_SQL, *_arguments(AccrueRequest.FromString(body), body))
        if rows[0]["what"] != "posted":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, rows[0]["what"])
        return _answer(rows[0]).SerializeToString()

    async def submit(self, body: bytes, _: aio.ServicerContext[bytes, bytes]) -> bytes:
        """Many accruals, in one call of the set-based procedure and so in one transaction."""
        items = [operation.accrue for operation in SubmitRequest.FromString(body).operations]
        columns = zip(*(_arguments(item, item.SerializeToString())[1:] for item in items), strict=True)
        rows = await self._call(_ACCRUE_MANY_SQL, _TERMINAL, *(list(column) for column in columns))
        return SubmitResponse(results=[_result(row) for row in rows]).SerializeToString()

    async def _call(self, sql: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(asyncpg.UniqueViolationError):
                return await self._fetch(sql, arguments)
        return await self._fetch(sql, arguments)

    async def _fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
        async with self._pool.acquire() as connection:
            rows: Sequence[Mapping[str, Any]] = await connection.fetch(sql, *arguments)
            return rows


def _arguments(request: AccrueRequest, body: bytes) -> tuple[Any, ...]:
    purchase = request.purchase
    return (
        _TERMINAL,
        request.request_id,
        hashlib.sha256(body).digest(),
        request.identifier.value,
        request.occurred_time.ToDatetime(tzinfo=UTC),
        purchase.receipt_number,
        purchase.total.minor,
    )


def _answer(row: Mapping[str, Any]) -> AccrueResponse:
    answer = AccrueResponse(transaction_id=str(row["journal_id"]), programme_version=1)
    answer.post_time.FromDatetime(row["post_time"])
    points = answer.effects.add(rule="base").points
    points.purse, points.units = "points", row["units"]
    answer.balances.add(purse="points", spendable=row["balance"])
    return answer


def _result(row: Mapping[str, Any]) -> OperationResult:
    if row["what"] == "posted":
        return OperationResult(accrue=_answer(row))
    result = OperationResult()
    result.refusal.reason = _REFUSALS[row["what"]]
    return result


async def serve(tls: ServerTls, ready_file: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    # asyncpg reads PGHOST and the rest by itself.
    async with asyncpg.create_pool(min_size=POOL_CONNECTIONS, max_size=POOL_CONNECTIONS) as pool:
        front = PostgresFront(pool)
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Accrue": grpc.unary_unary_rpc_method_handler(front.accrue),
            "Submit": grpc.unary_unary_rpc_method_handler(front.submit),
        }
        await serve_handlers(SERVICE, handlers, tls, ready_file)


if __name__ == "__main__":
    serving_main("bench.postgres_front", serve)
