"""The peer is a fair one: it does each accrual once, keeps a balance and a journal, and answers a repeat."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bench import peers, postgres_front
from bench.load import run_async
from bench.messages import AccrualMaker, card_number
from bench.postgres_cluster import Cluster, find_programs, running
from bench.postgres_front import PostgresFront
from node.proto.vafa.common.v1.refusal_pb2 import REASON_MEMBER_NOT_FOUND, REASON_REQUEST_ID_REUSED
from node.proto.vafa.pos.v1.earning_pb2 import AccrueRequest, AccrueResponse
from node.proto.vafa.pos.v1.operation_pb2 import Operation, SubmitRequest, SubmitResponse

MEMBERS = 20
_PROGRAMS = find_programs()
_installed = pytest.mark.skipif(_PROGRAMS is None, reason="PostgreSQL's programs are not installed")
_UNITS = 150  # a basket of 150,000, a unit for each 1,000


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster with members, new for each test: they count its rows."""
    assert _PROGRAMS is not None
    with running(_PROGRAMS) as made:
        run_async(postgres_front.prepare(made, MEMBERS))
        yield made


class _Aborted(Exception):
    """What a gRPC call ends with that is refused."""


class _Context:
    async def abort(self, code: Any, details: str) -> None:
        raise _Aborted(details)


class _Desk:
    """The front without gRPC around it, and a look at the tables."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.front = PostgresFront(pool)

    async def accrue(self, body: bytes) -> AccrueResponse:
        return AccrueResponse.FromString(await self.front.accrue(body, _Context()))  # type: ignore[arg-type]  # a double

    async def submit(self, *bodies: bytes) -> SubmitResponse:
        operations = [Operation(accrue=AccrueRequest.FromString(body)) for body in bodies]
        request = SubmitRequest(operations=operations).SerializeToString()
        return SubmitResponse.FromString(await self.front.submit(request, None))  # type: ignore[arg-type]  # a double

    async def entries(self, card: str) -> list[Any]:
        found: list[Any] = await self.pool.fetch(
            "select j.* from journal j join card c using (account_id) where c.number = $1 order by sequence",
            card,
        )
        return found


def _with_desk(cluster: Cluster, scenario: Any) -> None:
    async def run() -> None:
        async with asyncpg.create_pool(
            host="127.0.0.1", port=cluster.port, user="vafa", password=cluster.password, database="postgres"
        ) as pool:
            await scenario(_Desk(pool))

    run_async(run())


def _maker(member: int) -> AccrualMaker:
    return AccrualMaker([card_number(member)], occurred_ms=time.time_ns() // 1_000_000)


@_installed
def test_a_repeated_request_gets_its_first_answer_and_takes_effect_once(cluster: Cluster) -> None:
    async def scenario(desk: _Desk) -> None:
        [body, later] = _maker(1).accruals(2)
        first = await desk.accrue(body)
        await desk.accrue(later)
        assert await desk.accrue(body) == first
        [repeated] = (await desk.submit(body)).results
        assert repeated.accrue == first
        assert first.effects[0].points.units == _UNITS
        assert [entry["balance"] for entry in await desk.entries(card_number(1))] == [_UNITS, 2 * _UNITS]

    _with_desk(cluster, scenario)


@_installed
def test_the_same_request_at_the_same_moment_takes_effect_once(cluster: Cluster) -> None:
    async def scenario(desk: _Desk) -> None:
        [body] = _maker(2).accruals(1)
        answers = await asyncio.gather(*(desk.accrue(body) for _ in range(8)), desk.submit(body))
        assert len({str(answer) for answer in answers[:-1]}) == 1
        assert len(await desk.entries(card_number(2))) == 1

    _with_desk(cluster, scenario)


@_installed
def test_a_batch_does_what_the_same_accruals_one_by_one_would(cluster: Cluster) -> None:
    async def scenario(desk: _Desk) -> None:
        bodies = [body for member in (3, 4, 3, 3) for body in _maker(member).accruals(1)]
        results = (await desk.submit(*bodies, bodies[0])).results
        balances = [result.accrue.balances[0].spendable for result in results]
        assert balances == [_UNITS, _UNITS, 2 * _UNITS, 3 * _UNITS, _UNITS]
        assert [entry["balance"] for entry in await desk.entries(card_number(3))] == [150, 300, 450]
        total = "select sum(balance) from account where id = 3"
        assert await desk.pool.fetchval(total) == 3 * _UNITS

    _with_desk(cluster, scenario)


@_installed
def test_another_body_under_a_known_id_and_an_unknown_card_are_refused(cluster: Cluster) -> None:
    async def scenario(desk: _Desk) -> None:
        [body] = _maker(5).accruals(1)
        await desk.accrue(body)
        changed = AccrueRequest.FromString(body)
        changed.purchase.total.minor += 1
        [stranger] = _maker(MEMBERS + 1).accruals(1)
        reused, unknown = (await desk.submit(changed.SerializeToString(), stranger)).results
        for body, why in ((changed.SerializeToString(), "reused"), (stranger, "unknown")):
            with pytest.raises(_Aborted, match=why):
                await desk.accrue(body)
        assert reused.refusal.reason == REASON_REQUEST_ID_REUSED
        assert unknown.refusal.reason == REASON_MEMBER_NOT_FOUND
        assert len(await desk.entries(card_number(5))) == 1

    _with_desk(cluster, scenario)


@_installed
def test_batches_over_the_same_members_keep_every_balance_in_step_with_the_journal(cluster: Cluster) -> None:
    async def scenario(desk: _Desk) -> None:
        maker = AccrualMaker([card_number(each) for each in range(6, 16)], occurred_ms=1_700_000_000_000)
        await asyncio.gather(*(desk.submit(*maker.accruals(40)) for _ in range(12)))
        sums = "select sum(balance) from account where id between 6 and 15"
        assert await desk.pool.fetchval(sums) == 12 * 40 * _UNITS
        out_of_step = """
            select count(*) from (
                select balance, sum(units) over (partition by account_id order by sequence) as running
                from journal
            ) as entry where balance <> running"""
        assert await desk.pool.fetchval(out_of_step) == 0

    _with_desk(cluster, scenario)


@_installed
def test_it_commits_as_durably_as_the_node_and_asks_for_a_password(cluster: Cluster) -> None:
    async def scenario(desk: _Desk) -> None:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await desk.pool.fetchval(f"show {setting}") == "on"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                host="127.0.0.1", port=cluster.port, user="vafa", password="x", database="postgres"
            )

    _with_desk(cluster, scenario)


@_installed
def test_pgbench_calls_the_same_procedure(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MEMBERS", MEMBERS)

    async def scenario(desk: _Desk) -> None:
        journal = "select count(*) from journal where receipt_number like 'p-%'"
        before = await desk.pool.fetchval(journal)
        assert peers.pgbench(cluster, 2, 1) > 0
        assert await desk.pool.fetchval(journal) > before

    _with_desk(cluster, scenario)


def test_without_postgresql_the_bench_says_so_and_succeeds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "find_programs", lambda: None)
    written = tmp_path / "peers.json"
    assert peers.main(["--json", str(written)]) == 0
    assert "not installed" in capsys.readouterr().err
    assert json.loads(written.read_text("utf-8"))["installed"] is False
