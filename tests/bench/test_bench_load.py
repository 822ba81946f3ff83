"""The load driver sends each request once, counts only good answers, and fails a bench for one bad one."""

from __future__ import annotations

import time

import pytest
from google.rpc import code_pb2

from bench import echo
from bench.load import LoadFailed, Target, drive_stream, drive_unary, run_async
from bench.messages import AccrualMaker, card_number
from bench.tls import ServerTls
from node.proto.vafa.common.v1.refusal_pb2 import REASON_MEMBER_NOT_FOUND, Refusal
from node.proto.vafa.pos.v1.earning_pb2 import AccrueRequest
from node.proto.vafa.pos.v1.operation_pb2 import SubmitRequest
from simulators.enrolment import TillCertificate
from simulators.scripted_node import ScriptedNode, refusing

_SERVICE = "/vafa.pos.v1.PosService"


def _target(node: ScriptedNode, method: str) -> Target:
    return Target("scripted", node.address, f"{_SERVICE}/{method}", node.certificate())


def _maker() -> AccrualMaker:
    return AccrualMaker([card_number(0)], occurred_ms=time.time_ns() // 1_000_000)


async def test_every_request_is_sent_once_and_every_answer_counted(scripted_node: ScriptedNode) -> None:
    requests = _maker().accruals(100)
    measured = await drive_unary(_target(scripted_node, "Accrue"), requests, in_flight=16, seconds=30)
    measured.insist("accruals")
    assert sorted(body for _, body in scripted_node.received) == sorted(requests)
    assert measured.work == measured.calls == len(measured.latencies_ms) == 100
    assert 0 < measured.latency_ms(50) <= measured.latency_ms(99)
    assert measured.per_second == pytest.approx(100 / measured.seconds)


async def test_a_single_refused_accrual_fails_the_bench_and_says_why(scripted_node: ScriptedNode) -> None:
    scripted_node.script = [
        refusing(code_pb2.FAILED_PRECONDITION, "MEMBER_NOT_FOUND", "No member carries this.")
    ]
    measured = await drive_unary(
        _target(scripted_node, "Accrue"), _maker().accruals(20), in_flight=4, seconds=30
    )
    assert (measured.work, measured.calls) == (19, 20)
    with pytest.raises(LoadFailed, match=r"1 of 20 calls failed.*No member carries this"):
        measured.insist("accruals")


async def test_a_refused_item_of_a_batch_is_not_counted_as_work(scripted_node: ScriptedNode) -> None:
    batches = _maker().batches(2, 10)
    refused_id = SubmitRequest.FromString(batches[1]).operations[3].accrue.request_id
    scripted_node.item_refusals[refused_id] = [Refusal(reason=REASON_MEMBER_NOT_FOUND, message="nobody")]
    measured = await drive_unary(
        _target(scripted_node, "Submit"), batches, in_flight=2, seconds=30, accruals_per_call=10
    )
    assert measured.work == 19
    with pytest.raises(LoadFailed, match="MEMBER_NOT_FOUND"):
        measured.insist("batches")


async def test_batches_are_counted_by_their_accruals(scripted_node: ScriptedNode) -> None:
    measured = await drive_unary(
        _target(scripted_node, "Submit"), _maker().batches(3, 10), in_flight=2, seconds=30,
        accruals_per_call=10,
    )  # fmt: skip
    assert measured.insist("batches").work == 30
    assert measured.calls == 3
    assert len(scripted_node.executed) == 30


async def test_a_stream_answers_every_message(scripted_node: ScriptedNode) -> None:
    maker = _maker()
    measured = await drive_stream(
        _target(scripted_node, "SubmitStream"), maker.streamed(60), streams=3, in_flight=12, seconds=30
    )
    assert measured.insist("stream").work == 60
    assert len(set(scripted_node.executed)) == 60


async def test_a_stream_that_breaks_off_fails_the_bench(scripted_node: ScriptedNode) -> None:
    scripted_node.break_stream_after = 7
    measured = await drive_stream(
        _target(scripted_node, "SubmitStream"), _maker().streamed(30), streams=1, in_flight=4, seconds=30
    )
    with pytest.raises(LoadFailed, match=r"Socket closed|Internal error from Core"):
        measured.insist("stream")


async def test_a_refused_message_on_a_stream_fails_the_bench(scripted_node: ScriptedNode) -> None:
    maker = _maker()
    last = AccrueRequest.FromString(maker.accruals(5)[-1]).request_id
    maker._next = 0  # the same series once more, now as messages of a stream
    scripted_node.item_refusals[last] = [Refusal(reason=REASON_MEMBER_NOT_FOUND, message="nobody")]
    measured = await drive_stream(
        _target(scripted_node, "SubmitStream"), maker.streamed(5), streams=1, in_flight=2, seconds=30
    )
    with pytest.raises(LoadFailed, match="nobody"):
        measured.insist("stream")


async def test_a_run_ends_by_its_time_and_begins_nothing_afterwards(scripted_node: ScriptedNode) -> None:
    requests = _maker().accruals(20_000)
    measured = await drive_unary(_target(scripted_node, "Accrue"), requests, in_flight=8, seconds=0.3)
    assert 0 < measured.insist("accruals").work < 20_000
    assert len(scripted_node.received) == measured.calls


def test_the_echo_gives_back_what_it_gets_to_whoever_shows_a_certificate(
    certificates: tuple[ServerTls, TillCertificate],
) -> None:
    tls, till = certificates
    with echo.serving(tls) as served:
        unary = Target("echo", served.address, echo.UNARY, till)
        assert run_async(drive_unary(unary, [b""] * 200, in_flight=32, seconds=30)).insist("echo").work == 200
        stream = Target("echo", served.address, echo.STREAM, till)
        streamed = run_async(
            drive_stream(stream, [b"x"] * 200, streams=2, in_flight=32, seconds=30, check=False)
        )
        assert streamed.insist("echo").work == 200
        # An empty answer is no answer to a batch: it must never count as accruals.
        measured = run_async(drive_unary(unary, [b""], in_flight=1, seconds=30, accruals_per_call=1_000))
        with pytest.raises(LoadFailed, match="missing"):
            measured.insist("batches")
