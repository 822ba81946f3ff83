"""The operator's process over mutual TLS: partners hand in closes and fetch statements; nobody else gets
in.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from node.cli.operator import app
from node.cli.operator_standing import applied, standings
from node.cli.settlement_paid import all_payments
from node.coalition.directory import OPERATOR_ID, Fee, PartnerStatus
from node.identity.ca import new_authority
from node.peering.operator_client import OperatorRefuses
from node.proto.vafa.coalition.v1.exchange_pb2 import LaneRecord
from node.proto.vafa.settlement.v1 import settlement_service_pb2 as pb
from node.settlement.documents import CloseBasis, Net
from node.settlement.windows import WindowState
from node.wire.settlement_camt import matched, read_bank_file
from node.wire.settlement_fields import wide
from node.wire.settlement_lines import read_signed_statement
from node.wire.settlement_publish import head_hash
from node.wire.settlement_rpc import SERVICE
from tests.settlement.operator_town import NOW, Town, all_submit, operator_says, settled_payments
from tests.settlement.test_payment_files import _camt, _entry
from verifier.signatures import load_directory
from verifier.statement import verify


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(tmp_path)
    await town.start()
    yield town
    for client in town.clients:
        await client.close()
    await town.stop()


async def test_a_window_is_closed_settled_fetched_and_verified_over_the_wire(town: Town) -> None:
    await all_submit(town)
    assert "closed" in await operator_says(town, "window", "close", "1")
    shown = await operator_says(town, "settle", "1", "--out", str(town.home.directory / "one"))
    assert "sum" in shown
    listed = await operator_says(town, "window", "list")
    assert "pending" in listed
    assert "6/6" in listed
    client = town.client("m001")
    windows = await client.windows(1)
    assert windows is not None
    assert [(one.number, one.state, one.published) for one in windows] == [
        (1, WindowState.PENDING, True),
        (2, WindowState.OPEN, False),
    ]
    data = await client.statement(1)
    assert data == (town.home.directory / "one").read_bytes()
    assert data is not None
    report = verify(data, *load_directory(town.signed.data))
    assert report.sound, report.checks


async def test_after_a_restart_of_the_operator_everything_is_still_there(town: Town) -> None:
    await all_submit(town)
    await town.stop()
    await town.start()
    await operator_says(town, "window", "close", "1")
    await operator_says(town, "settle", "1")
    first = await town.client("m000").statement(1)
    await town.stop()
    await town.start()
    assert await town.client("m000").statement(1) == first


async def test_payments_are_marked_one_by_one_until_the_window_is_settled(town: Town) -> None:
    await all_submit(town)
    await operator_says(town, "window", "close", "1")
    await operator_says(town, "settle", "1", "--out", str(town.home.directory / "one"))
    statement = read_signed_statement((town.home.directory / "one").read_bytes())
    assert sum(line.payable for line in statement.lines if isinstance(line, Net)) == 0
    assert head_hash(statement)
    assert town.process is not None
    record = town.process.books.window(1)
    references = getattr(record, "payments", ())
    assert references
    for reference in references:
        shown = await operator_says(town, "paid", "1", reference, "--bank", "B1")
    assert "settled" in shown


async def test_a_correction_stands_in_the_next_statement_and_counts_once(town: Town) -> None:
    await all_submit(town)
    for _ in range(2):
        await operator_says(
            town,
            "correct",
            "m001",
            "m002",
            "12.5",
            "--of-window",
            "1",
            "--note",
            "by phone",
            "--request-id",
            "c1",
        )
    await operator_says(town, "window", "close", "1")
    shown = await operator_says(town, "settle", "1")
    assert shown.count("correction of window 1: Merchant m001 owes Merchant m002 12.500000 (by phone)") == 1


async def test_partners_report_what_their_banks_say_and_the_operator_sees_it_line_by_line(town: Town) -> None:
    payments = await settled_payments(town)
    first = payments[0]

    async def reports(who: str, amount: int) -> None:
        request = pb.ReportPaymentsRequest(
            request_id=f"{who} {amount}",
            window=1,
            bookings=[pb.BookedPayment(reference=first.reference, amount=wide(amount), bank_reference="B5")],
        )
        assert await town.client(who).report_payments(request.SerializeToString()) is not None

    assert "open" in await operator_says(town, "payments", "1")
    await reports(first.debtor_id, first.amount)
    assert f"the payer says that it paid {first.amount}" in await operator_says(town, "payments", "1")
    await reports(first.creditor_id, first.amount - 1)
    assert f"NOT PAID: {first.amount - 1} came" in await operator_says(town, "payments", "1")
    await reports(first.creditor_id, first.amount)
    await town.stop()
    await town.start()
    shown = await operator_says(town, "payments", "1")
    assert "paid B5" in shown
    positions = json.loads(await operator_says(town, "positions", "--json"))
    unpaid = {one["partner"]: int(one["unpaid"]) for one in positions}
    assert unpaid[first.debtor_id] == sum(
        one.amount for one in payments[1:] if one.debtor_id == first.debtor_id
    )
    own = pb.ListPositionsResponse.FromString(await town.client("m001").positions() or b"")
    assert [one.partner_id for one in own.positions] == ["m001"]  # of others a partner learns nothing


async def test_an_agents_bank_file_marks_what_came_in_and_what_went_out_and_says_what_is_wrong(
    tmp_path: Path,
) -> None:
    town = Town(tmp_path, agent=True)
    await town.start()
    try:
        payments = await settled_payments(town)
        files = {one.name: one.read_bytes() for one in town.home.directory.glob("one.*")}
        assert set(files) == {"one.csv", "one.pacs.029.xml", "one.pain.001.xml"}
        assert all(one.reference.encode() in files["one.csv"] for one in payments)
        paid_out = [one for one in payments if one.debtor_id == OPERATOR_ID]
        assert files["one.pain.001.xml"].count(b"<EndToEndId>") == len(paid_out)
        assert all(OPERATOR_ID in (one.debtor_id, one.creditor_id) for one in payments)
        entries = [
            _entry(one.reference, str(one.amount), "CRDT" if one.creditor_id == OPERATOR_ID else "DBIT")
            for one in payments
        ]
        camt = tmp_path / "camt.xml"
        wrong = _entry(payments[0].reference, str(payments[0].amount + 1), "CRDT")
        camt.write_bytes(_camt(wrong, *entries[1:]))
        for _ in range(2):
            shown = await operator_says(town, "paid", "1", "--camt", str(camt))
            assert f"NOT PAID: {payments[0].amount + 1} came" in shown
            assert "pending" in shown
        camt.write_bytes(_camt(*entries))
        assert "settled" in await operator_says(town, "paid", "1", "--camt", str(camt))
        camt.write_bytes(_camt(_entry("no-such", "7")))
        arguments = ["paid", "1", "--camt", str(camt), "--dir", str(town.home.directory)]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert "booked no payment of window 1" in str(result.exception)
    finally:
        await town.stop()


async def test_a_partner_that_does_not_pay_is_suspended_in_the_next_directory_and_the_others_finish(
    town: Town,
) -> None:
    payments = await settled_payments(town)
    debtor = payments[0].debtor_id
    shown = await operator_says(town, "default", "1", debtor, "--reason", "bankrupt")
    assert f"IN DEFAULT: Merchant {debtor}: bankrupt" in shown
    assert "Between the two:" in shown
    assert await town.client("m001").defaulted(1) == frozenset({debtor})
    for served in (True, False):  # by the running service, and by its books at rest
        if not served:
            await town.stop()
        found = await asyncio.to_thread(standings, town.home)
        made, lines = applied(town.directory, found)
        partner = made.partner(debtor)
        assert partner is not None
        assert partner.status is PartnerStatus.SUSPENDED
        assert {cap.units for cap in made.caps if cap.debtor_id == debtor} == {0}
        assert {cap.units for cap in made.caps if cap.debtor_id != debtor} == {1_000}
        assert any("is in default of window 1" in line for line in lines)
    await town.start()


async def test_who_pays_what_stands_after_a_default_is_given_back_its_place_by_the_next_directory(
    town: Town,
) -> None:
    payments = await settled_payments(town)
    debtor = payments[0].debtor_id
    await operator_says(town, "default", "1", debtor, "--reason", "late")
    client = town.client("m001")
    now = pb.ListPaymentsResponse.FromString(await client.payments(1) or b"")
    debts = [one for one in all_payments(now) if one.reference in {debt.reference for debt in now.standing}]
    owed = [one for one in debts if one.debtor_id == debtor]
    assert owed
    # The first creditor reads its bank's file, as `vafa settlement paid` does, and tells what it finds.
    camt = _camt(_entry(owed[0].reference, str(owed[0].amount - 1), "CRDT"))
    facts = read_signed_statement((town.home.directory / "one").read_bytes()).facts
    [(match, _)] = matched(read_bank_file(camt), debts, facts, owed[0].creditor_id).wrong
    booked = pb.BookedPayment(reference=match.payment.reference, amount=wide(match.units), bank_reference="B")
    request = pb.ReportPaymentsRequest(request_id="r", window=1, bookings=[booked])
    data = await town.client(owed[0].creditor_id).report_payments(request.SerializeToString())
    [told] = pb.ReportPaymentsResponse.FromString(data or b"").payments
    assert (told.payment.reference, told.state) == (owed[0].reference, pb.PAYMENT_STATE_DIFFERENT)
    assert int.from_bytes(told.payment.amount, "big") == 1
    for debt in owed:  # the operator has what is left, by its own account
        shown = await operator_says(town, "paid", "1", debt.reference, "--bank", "B1")
        assert debt.reference not in shown
    found = await asyncio.to_thread(standings, town.home)
    partner = applied(town.directory, found)[0].partner(debtor)
    assert partner is not None
    assert partner.status is PartnerStatus.ACTIVE


async def test_a_fee_that_stands_after_a_default_is_found_in_the_operators_bank_file(tmp_path: Path) -> None:
    town = Town(tmp_path, fees=(Fee("seat", window_micro=5_000_000),))
    await town.start()
    try:
        payments = await settled_payments(town)
        debtor = next(one.debtor_id for one in payments if one.debtor_id != OPERATOR_ID)
        await operator_says(town, "default", "1", debtor, "--reason", "late")
        now = pb.ListPaymentsResponse.FromString(await town.client("m001").payments(1) or b"")
        [fee] = [one for one in now.standing if (one.debtor_id, one.creditor_id) == (debtor, OPERATOR_ID)]
        camt = town.home.directory / "camt.xml"
        camt.write_bytes(_camt(_entry(fee.reference, str(int.from_bytes(fee.amount, "big")), "CRDT")))
        assert fee.reference not in await operator_says(town, "paid", "1", "--camt", str(camt))
    finally:
        for client in town.clients:
            await client.close()
        await town.stop()


async def test_caps_of_one_that_pays_ahead_are_never_above_what_its_balance_covers(tmp_path: Path) -> None:
    town = Town(tmp_path, prepaid=1)
    await town.start()
    try:
        found = await asyncio.to_thread(standings, town.home)
        made, lines = applied(town.directory, found)
        assert made.partner("m000") == replace(town.directory.partners[0], status=PartnerStatus.SUSPENDED)
        assert any("has used its prepaid balance up" in line for line in lines)
        assert "USED UP" in await operator_says(town, "prepaid")
        assert "SUSPEND" in await operator_says(town, "positions")
        await operator_says(town, "top-up", "m000", "500", "--reference", "B1")
        made, lines = applied(town.directory, await asyncio.to_thread(standings, town.home))
        assert made.partner("m000") == town.directory.partners[0]
        dearest = max(max(one.accrual_micro, one.redemption_micro) for one in town.directory.rates)
        covered = {cap.creditor_id: cap.units for cap in made.caps if cap.debtor_id == "m000"}
        assert covered == dict.fromkeys(("m001", "m002"), 500 * 1_000_000 // (dearest * 2))
        assert all(units < 1_000 for units in covered.values())
        await operator_says(town, "top-up", "m000", "1000000000", "--reference", "B2")
        made, lines = applied(town.directory, await asyncio.to_thread(standings, town.home))
        assert (made, lines) == (town.directory, [])
    finally:
        await town.stop()


async def test_who_is_no_partner_and_who_hands_in_for_others_is_refused(town: Town) -> None:
    signed = town.world.all_closes(1)[0]
    stranger = town.client("m000", new_authority("m000", now_ms=NOW))
    assert await stranger.windows(0) is None  # the handshake fails: its authority is nobody's
    other = next(one for one in town.directory.partners if one.partner_id not in signed.close.pair)
    assert other.status is PartnerStatus.ACTIVE
    with pytest.raises(OperatorRefuses, match="one of its two sides"):
        await town.client(other.partner_id).submit(signed)


async def test_only_the_operator_closes_and_settles(town: Town) -> None:
    channel: Any = town.client("m000")._channel
    for name in ("AddCorrection", "CloseWindow", "SettleWindow", "ConfirmPayment", "DeclareDefault", "TopUp"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(f"/{SERVICE}/{name}")(b"")
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_close_by_one_side_alone_is_taken_with_all_its_records_and_not_otherwise(town: Town) -> None:
    pair = ("m000", "m001")
    close = town.world.close(pair, 1, basis=CloseBasis.ACQUIRER_ALONE)
    alone = replace(town.world.signed(close), evidence=town.world.evidence(close, 1))
    records = [one for key, made in sorted(town.world.records.items()) if key[:2] == pair for one in made]
    client = town.client("m001")
    with pytest.raises(OperatorRefuses, match="comes with its records"):
        await client.submit(alone)
    for wrong in (records[:-1], records[1:], [*records, records[-1]]):
        with pytest.raises(OperatorRefuses):
            await client.submit_alone(alone, wrong)
    inflated = replace(close, sums=tuple(replace(one, units=one.units * 2) for one in close.sums))
    lying = replace(town.world.signed(inflated), evidence=alone.evidence)
    with pytest.raises(OperatorRefuses, match="sums are not those of its records"):
        await client.submit_alone(lying, records)
    bare = LaneRecord.FromString(records[1])
    bare.request.signature = bytes(64)  # the chain does not cover signatures: each is looked at
    with pytest.raises(OperatorRefuses, match="not signed by both sides"):
        await client.submit_alone(alone, [records[0], bare.SerializeToString(), *records[2:]])
    assert await client.submit_alone(alone, records)
    assert town.process is not None
    assert [one.close.basis for one in town.process.books.closes(1)] == [CloseBasis.ACQUIRER_ALONE]


async def test_an_operator_that_is_away_is_no_fault(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.address = "127.0.0.1:9"
    client = town.client("m000")
    assert await client.statement(1) is None
    assert await client.windows(0) is None
    await client.close()
    assert OPERATOR_ID not in town.authorities
