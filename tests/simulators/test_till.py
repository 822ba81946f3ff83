"""What a shop can rely on from the sample till, whatever the line does."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.rpc import code_pb2

from node.identity.ca import issue_client_certificate
from node.identity.caller import Caller, Role
from node.proto.vafa.common.v1 import (
    balance_pb2,
    identifier_pb2,
    money_pb2,
    purchase_pb2,
    refusal_pb2,
    transaction_pb2,
)
from node.proto.vafa.pos.v1 import operation_pb2, undo_pb2
from simulators.enrolment import TillCertificate, enrol_with_code, new_key_and_request
from simulators.operations import OperationWriter, change_in
from simulators.purchases import card_identifier
from simulators.refusal import Refused
from simulators.scripted_node import ScriptedNode, refusing, serve_scripted_node
from simulators.till import OutcomeUnknown, Patience, Till, TillOffline
from simulators.till_queue import TillQueue

MEMBER = card_identifier("4000123412341234")
QUICK = Patience(
    attempts=4,
    attempt_seconds=1.0,
    total_seconds=6.0,
    first_wait_seconds=0.001,
    longest_wait_seconds=0.01,
)


def sale(receipt: str = "r-1") -> purchase_pb2.Purchase:
    return purchase_pb2.Purchase(receipt_number=receipt, total=money_pb2.Money(currency="USD", minor=1250))


def till_of(node: ScriptedNode, queue: TillQueue | None = None, patience: Patience = QUICK) -> Till:
    return Till(node.address, node.certificate(), queue=queue, patience=patience, chance=random.Random(1))


async def caught_up(till: Till, **how: bool) -> list[tuple[str, operation_pb2.OperationResult]]:
    return [(change_in(sent).request_id, result) async for sent, result in till.catch_up(**how)]


async def test_a_lost_answer_is_fetched_with_the_same_bytes_and_the_sale_counts_once(
    scripted_node: ScriptedNode,
) -> None:
    scripted_node.script = ["lose", "cut", "lose"]
    async with till_of(scripted_node) as till:
        answer = await till.accrue(MEMBER, sale())
    assert len({message for _, message in scripted_node.received}) == 1
    assert len(scripted_node.received) == 4
    assert [answer.transaction_id] == [f"tx-{request}" for request in scripted_node.executed]


async def test_a_call_without_an_answer_is_unknown_and_kept_until_it_is_known(
    scripted_node: ScriptedNode,
) -> None:
    scripted_node.script = ["hang", "lose"]
    patience = Patience(attempts=2, attempt_seconds=0.3, total_seconds=2.0, first_wait_seconds=0.001)
    async with till_of(scripted_node, patience=patience) as till:
        with pytest.raises(OutcomeUnknown) as unknown:
            await till.accrue(MEMBER, sale())
        assert till.unanswered == 1
        settled = await caught_up(till)
        assert till.unanswered == 0
    assert unknown.value.operation is not None
    request_id = unknown.value.operation.accrue.request_id
    assert [(name, result.accrue.transaction_id) for name, result in settled] == [
        (request_id, f"tx-{request_id}")
    ]
    assert scripted_node.executed == [request_id]


async def test_an_overloaded_node_is_given_the_time_it_asks_for(scripted_node: ScriptedNode) -> None:
    overloaded = refusing(code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED", "The queue is full.", retry_delay_ms=250)
    scripted_node.script = [overloaded]
    async with till_of(scripted_node) as till:
        await till.accrue(MEMBER, sale())
    first, second = scripted_node.received_at
    assert second - first >= 0.25


async def test_a_node_that_stays_overloaded_is_a_refusal_and_not_an_unknown_outcome(
    scripted_node: ScriptedNode,
) -> None:
    full = refusing(code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED", "The queue is full.", action="RETRY")
    scripted_node.script = [full] * QUICK.attempts
    async with till_of(scripted_node) as till:
        with pytest.raises(Refused) as refused:
            await till.accrue(MEMBER, sale())
        assert till.unanswered == 0
    assert refused.value.refusal.reason == "OVERLOADED"


async def test_one_try_of_unknown_outcome_makes_the_whole_unknown(scripted_node: ScriptedNode) -> None:
    full = refusing(code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED", "The queue is full.", action="RETRY")
    scripted_node.script = ["lose", *[full] * (QUICK.attempts - 1)]
    async with till_of(scripted_node) as till:
        with pytest.raises(OutcomeUnknown):
            await till.accrue(MEMBER, sale())
        assert till.unanswered == 1


async def test_a_final_refusal_is_shown_at_once_with_its_reason(scripted_node: ScriptedNode) -> None:
    scripted_node.script = [
        refusing(
            code_pb2.FAILED_PRECONDITION,
            "INSUFFICIENT_BALANCE",
            "The purse holds less.",
            action="SHOW",
            spendable="120",
        )
    ]
    async with till_of(scripted_node) as till:
        with pytest.raises(Refused) as refused:
            await till.redeem(MEMBER, [balance_pb2.Spend(purse="points", units=500)])
        assert till.unanswered == 0
    refusal = refused.value.refusal
    assert (refusal.reason, refusal.message) == ("INSUFFICIENT_BALANCE", "The purse holds less.")
    assert refusal.metadata == {"spendable": "120"}
    assert len(scripted_node.received) == 1


async def test_a_till_that_lost_power_sends_the_same_bytes_when_it_is_on_again(
    scripted_node: ScriptedNode, tmp_path: Path
) -> None:
    scripted_node.script = ["lose"]
    patience = Patience(attempts=1, attempt_seconds=1.0)
    async with till_of(scripted_node, TillQueue(tmp_path), patience) as till:
        with pytest.raises(OutcomeUnknown):
            await till.accrue(MEMBER, sale())
    before = scripted_node.received[0][1]
    async with till_of(scripted_node, TillQueue(tmp_path)) as till:
        assert till.unanswered == 1
        settled = await caught_up(till)
    sent = operation_pb2.SubmitRequest.FromString(scripted_node.received[1][1])
    assert [item.accrue.SerializeToString() for item in sent.operations] == [before]
    assert len(settled) == len(scripted_node.executed) == 1
    assert len(TillQueue(tmp_path)) == 0


async def test_an_offline_till_sends_nothing(scripted_node: ScriptedNode) -> None:
    async with till_of(scripted_node) as till:
        till.go_offline()
        with pytest.raises(TillOffline):
            await till.accrue(MEMBER, sale())
        till.keep(till.write.accrual(MEMBER, sale()))
        assert till.unanswered == 1
    assert scripted_node.received == []


@pytest.mark.parametrize("over_stream", [False, True], ids=["batch", "stream"])
async def test_what_was_sold_offline_is_posted_in_its_order_with_its_own_times(
    scripted_node: ScriptedNode, over_stream: bool
) -> None:
    times = iter(range(1_700_000_000_000, 1_700_000_060_000, 1_000))
    writer = OperationWriter(clock=lambda: next(times))
    till = Till(scripted_node.address, scripted_node.certificate(), write=writer, patience=QUICK)
    async with till:
        till.go_offline()
        kept = [till.write.accrual(MEMBER, sale(f"r-{number}")) for number in range(20)]
        for operation in kept:
            till.keep(operation)
        settled = await caught_up(till, over_stream=over_stream)
        assert till.unanswered == 0
    assert [name for name, _ in settled] == [operation.accrue.request_id for operation in kept]
    assert scripted_node.executed == [operation.accrue.request_id for operation in kept]
    assert kept[7].accrue.occurred_time.ToMilliseconds() == 1_700_000_007_000


@pytest.mark.parametrize("over_stream", [False, True], ids=["batch", "stream"])
async def test_catching_up_shows_refusals_and_repeats_what_may_still_succeed(
    scripted_node: ScriptedNode, over_stream: bool
) -> None:
    async with till_of(scripted_node) as till:
        operations = [till.write.accrual(MEMBER, sale(f"r-{number}")) for number in range(3)]
        for operation in operations:
            till.keep(operation)
        busy, final, fine = (operation.accrue.request_id for operation in operations)
        scripted_node.item_refusals = {
            busy: [
                refusal_pb2.Refusal(
                    reason=refusal_pb2.REASON_UNAVAILABLE, action=refusal_pb2.TILL_ACTION_RETRY
                )
            ],
            final: [
                refusal_pb2.Refusal(
                    reason=refusal_pb2.REASON_DUPLICATE_RECEIPT,
                    action=refusal_pb2.TILL_ACTION_SHOW,
                    message="The receipt is known.",
                )
            ],
        }
        settled = dict(await caught_up(till, over_stream=over_stream))
        assert till.unanswered == 0
    assert settled[final].refusal.message == "The receipt is known."
    assert settled[busy].accrue.transaction_id == f"tx-{busy}"
    assert scripted_node.executed == [fine, busy]


async def test_a_stream_that_breaks_goes_on_where_it_broke(scripted_node: ScriptedNode) -> None:
    scripted_node.break_stream_after = 4
    async with till_of(scripted_node) as till:
        for number in range(10):
            till.keep(till.write.accrual(MEMBER, sale(f"r-{number}")))
        settled = await caught_up(till, over_stream=True)
        assert till.unanswered == 0
    names = [name for name, _ in settled]
    assert names == scripted_node.executed
    assert len(names) == len(set(names)) == 10


async def test_a_batch_without_an_answer_stays_queued(scripted_node: ScriptedNode) -> None:
    scripted_node.script = ["lose"] * QUICK.attempts
    async with till_of(scripted_node) as till:
        till.keep(till.write.accrual(MEMBER, sale()))
        assert await caught_up(till) == []
        assert till.unanswered == 1
        assert len(await caught_up(till)) == 1


async def test_giving_up_reverses_the_unknown_operation_and_forgets_it(
    scripted_node: ScriptedNode,
) -> None:
    scripted_node.script = ["lose"]
    async with till_of(scripted_node, patience=Patience(attempts=1)) as till:
        spend = till.write.redemption(MEMBER, [balance_pb2.Spend(purse="points", units=5)])
        with pytest.raises(OutcomeUnknown):
            await till.send(spend)
        await till.give_up(spend)
        assert till.unanswered == 0
    kind, message = scripted_node.received[-1]
    assert kind == "reverse"
    reversal = undo_pb2.ReverseRequest.FromString(message)
    assert reversal.original_request_id == spend.redeem.request_id
    assert reversal.occurred_time == spend.redeem.occurred_time
    assert reversal.identifier == MEMBER


async def test_a_till_that_asks_hears_what_became_of_a_request(scripted_node: ScriptedNode) -> None:
    async with till_of(scripted_node) as till:
        operation = till.write.accrual(MEMBER, sale())
        assert await till.ask(operation) is None
        answer = (await till.send(operation)).accrue
        found = await till.ask(operation)
    assert found is not None
    assert found.transaction_id == answer.transaction_id


async def test_a_statement_is_read_to_its_end_over_pages(scripted_node: ScriptedNode) -> None:
    scripted_node.transactions = [
        transaction_pb2.Transaction(transaction_id=str(number)) for number in range(7)
    ]
    async with till_of(scripted_node) as till:
        read = [entry.transaction_id async for entry in till.statement(MEMBER, page_size=3)]
    assert read == [str(number) for number in range(7)]


async def test_a_till_enrols_with_a_code_and_then_calls_with_its_own_certificate(
    scripted_node: ScriptedNode,
) -> None:
    trusted = scripted_node.authority.certificate_pem
    certificate = await enrol_with_code(scripted_node.enrol_address, trusted, "1234")
    async with Till(scripted_node.address, certificate, patience=QUICK) as till:
        assert (await till.accrue(MEMBER, sale())).transaction_id
    assert b"PRIVATE" not in repr(certificate).encode()
    with pytest.raises(grpc.aio.AioRpcError):
        await enrol_with_code(scripted_node.enrol_address, trusted, "0000")


def test_a_return_names_the_purchase_and_carries_the_member() -> None:
    operation = OperationWriter(acting_for="store-1/till-1").return_of(MEMBER, "tx-1", amount_minor=5)
    change = change_in(operation)
    assert (change.transaction_id, change.amount_minor) == ("tx-1", 5)
    assert change.identifier.kind == identifier_pb2.IDENTIFIER_KIND_CARD
    assert change.terminal_id == "store-1/till-1"


async def test_a_till_that_the_node_lets_not_in_is_told_what_to_check(scripted_node: ScriptedNode) -> None:
    own, authority = scripted_node.certificate(), scripted_node.authority
    key_pem, request_pem = new_key_and_request()
    long_ago_ms = time.time_ns() // 1_000_000 - 10 * 86_400_000
    till = Caller(Role.TILL, "shop", "till-1", "store-1")
    ended = issue_client_certificate(authority, request_pem, till, now_ms=long_ago_ms, validity_days=2).pem
    async with serve_scripted_node() as other:
        foreign = other.certificate()
    shown = {
        "ended on": TillCertificate(own.authority_pem, ended, key_pem),
        "of another authority": TillCertificate(own.authority_pem, foreign.certificate_pem, foreign.key_pem),
        "not the node of this till's authority": foreign,
    }
    patience = Patience(attempts=1, first_wait_seconds=0.001, longest_wait_seconds=0.001)
    for says, certificate in shown.items():
        async with Till(scripted_node.address, certificate, patience=patience) as stranger:
            with pytest.raises(OutcomeUnknown, match=says):
                await stranger.identify(MEMBER)
    assert scripted_node.received == []


def test_a_key_that_is_not_the_certificates_is_found_before_any_line_is_made(
    scripted_node: ScriptedNode,
) -> None:
    own = scripted_node.certificate()
    now = datetime.now(UTC)
    assert own.problem(now) == ""
    assert "Set the clock" in own.problem(now - timedelta(days=30))
    assert "not its certificate's" in TillCertificate(
        own.authority_pem, own.certificate_pem, new_key_and_request()[0]
    ).problem(now)
    assert "cannot be read" in TillCertificate(own.authority_pem, b"", own.key_pem).problem(now)
