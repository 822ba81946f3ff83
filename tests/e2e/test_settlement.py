"""Two merchants' whole nodes and the operator's process: members shop at each other's, the week is closed,
netted, verified.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from node.actors.settling import Settling
from node.cli.operator_home import OperatorHome
from node.cli.operator_service import OperatorProcess, authority_of
from node.coalition.directory import OperatorNode, SettlementTerms, Window
from node.settlement.documents import CloseBasis, Net, SignedClose
from node.settlement.peer_messages import Heads
from node.settlement.windows import WindowState
from node.wire.coalition_directory import sign_directory
from node.wire.settlement_lines import ReadStatement, read_signed_statement
from node.wire.settlement_signing import sign_head
from node.wire.settlement_store import WindowRecord
from tests.cli.cli_shop import run_vafa
from tests.e2e.union import DAY_MS, Merchant, Union
from tests.settlement.test_payment_files import _camt, _entry
from verifier.__main__ import main as vafa_verify

pytestmark = pytest.mark.slow

CUT_SECONDS = 25.0
"""Long enough to open all lanes and shop; then the window is cut by everybody's clock."""


class Week(Union):
    """A coalition with an operator's process, whose first window is cut a little after it was opened."""

    def __init__(self, home: OperatorHome, *merchants: Merchant) -> None:
        super().__init__(*merchants)
        self.home, self.operator = home, home.signer()
        now_ms = time.time_ns() // 1_000_000
        self.cut_ms = now_ms + int(CUT_SECONDS * 1000)
        self.windows = (
            Window(1, now_ms - DAY_MS, self.cut_ms),
            Window(2, self.cut_ms, self.cut_ms + 30 * DAY_MS),
        )
        self.node = OperatorNode()

    def publish(self, **changes: Any) -> None:
        """Signs the next directory; every node follows it, and so does the operator's process."""
        terms = (SettlementTerms(1, "USD", 2, close_grace_seconds=3_600),)
        super().publish(windows=self.windows, settlement_terms=terms, operator=self.node, **changes)
        assert self.directory is not None
        self.file = self.home.publish(sign_directory(self.directory, self.operator))

    async def serve(self) -> OperatorProcess:
        """Starts the operator's process, and tells everybody where it is."""
        process = OperatorProcess(self.home)
        authority = authority_of(self.home)
        assert authority is not None
        self.node = OperatorNode((await process.start("127.0.0.1:0"),), authority.certificate_pem)
        self.publish()
        return process


@pytest.fixture
async def week(tmp_path: Path) -> AsyncIterator[Week]:
    home = OperatorHome(tmp_path / "operator")
    home.make("")
    merchants = [
        Merchant(tmp_path / name, name, prefix) for name, prefix in (("nile", "11"), ("saffron", "22"))
    ]
    for merchant in merchants:
        await merchant.start()
    week = Week(home, *merchants)
    try:
        week.publish()
        await week.open()
        yield week
    finally:
        for merchant in merchants:
            await merchant.stop()
    for merchant in merchants:
        assert merchant.node.check().problems == []


async def test_a_week_of_shopping_is_settled_by_whole_nodes_and_anybody_verifies_it(
    week: Week, tmp_path: Path
) -> None:
    nile, saffron = week.merchants
    process = await week.serve()
    try:
        card = await saffron.member(200)
        await nile.accrue(card, 30)
        proof = await nile.proof(card, 40, saffron)
        await nile.redeem(card, 40, proof)
        other = await nile.member()
        await saffron.accrue(other, 7)
        left = max(week.cut_ms - time.time_ns() // 1_000_000, 0) / 1000
        await asyncio.sleep(left + 0.2)  # until the cut, by everybody's clock
        keepers = [one.node.node.coalition.settlement._keeper for one in week.merchants]

        async def closed() -> bool:
            for keeper in keepers:
                await keeper.look()
            return len(process.books.closes(1)) == 2

        async with asyncio.timeout(60):
            while not await closed():  # noqa: ASYNC110 - each look is work of its own
                await asyncio.sleep(0.2)
        record = process.books.close_window(1, time.time_ns() // 1_000_000)
        assert isinstance(record, WindowRecord)
        done = process.books.settle(1, time.time_ns() // 1_000_000)
        assert isinstance(done, WindowRecord), done
        assert done.state is WindowState.PENDING
        for keeper in keepers:
            await keeper.look()
        assert all(one.node.node.coalition.settlement.settling.statement(1) for one in week.merchants)
        data = process.books.statement_bytes(1)
        assert data is not None
        statement = read_signed_statement(data)
        closes = [line.close for line in statement.lines if isinstance(line, SignedClose)]
        assert {one.basis for one in closes} == {CloseBasis.AGREED}
        nets = {line.party_id: line.payable for line in statement.lines if isinstance(line, Net)}
        # Nile owes 30 for what saffron's member earned there and gets 40 for what it spent; saffron owes 7.
        assert nets == {"nile": 100 * (40 - 30 + 7), "saffron": -100 * (40 - 30 + 7), "operator": 0}
        path = tmp_path / "one.statement"
        path.write_bytes(data)
        assert vafa_verify([str(path), "--directory", str(week.file)]) == 0
        await _commands(week, path, tmp_path)
        await _paid_by_the_banks(week, process, statement, tmp_path)
    finally:
        await process.stop()


async def _commands(week: Week, statement: Path, folder: Path) -> None:
    """The merchant's commands against its running node."""
    saffron = week.merchants[1]
    addresses = saffron.node.addresses
    at = ("--config", saffron.node.directory / "vafa.toml", "--address", addresses.address)
    known = ("--directory", week.file)
    assert "sum" in await _run("settlement", "show", statement, *known)
    agreed = await _run("settlement", "verify", statement, *known, "--own", *at)
    assert "is what our own records give" in agreed
    assert "WRONG" not in agreed
    lines = read_signed_statement(await asyncio.to_thread(statement.read_bytes)).lines
    closes = [one.close for one in lines if isinstance(one, SignedClose) and one.close.home_id == "saffron"]
    lane = closes[0].lanes[0]
    proof = folder / "proof"
    await _run("settlement", "prove", statement, "nile", lane.lane, 1, "--out", proof, *at)
    assert "PROVED: window 1 counts record 1" in await _run("settlement", "check-proof", proof, *known)
    table = folder / "one.csv"
    await _run("settlement", "export", statement, *known, "--out", table)
    assert (await asyncio.to_thread(table.read_bytes)).startswith(b"\xef\xbb\xbf")


def _at(merchant: Merchant) -> tuple[object, ...]:
    node = merchant.node
    return ("--config", node.directory / "vafa.toml", "--address", node.addresses.address)


async def _paid_by_the_banks(
    week: Week, process: OperatorProcess, statement: ReadStatement, folder: Path
) -> None:
    """What the nodes say of themselves, before and after both banks have said what was paid."""
    nile, saffron = week.merchants
    listed = await _run("settlement", "show", *_at(nile))
    assert "pending" in listed
    assert "2/2" in listed
    shown = json.loads(await _run("settlement", "show", "--window", 1, "--json", *_at(nile)))
    assert [one["signed_by"] for one in shown["closes"]] == [["nile", "saffron"], ["saffron", "nile"]]
    [payment] = shown["payments"]["payments"]
    assert (payment["from"], payment["to"], payment["state"]) == ("saffron", "nile", "due")
    position = json.loads(await _run("settlement", "position", "--json", *_at(saffron)))
    assert (position["partners"][0]["records"], position["operator"]["unpaid"]) == (0, payment["amount"])
    assert position["partners"][0]["used_units"] > 0  # it is settled, and not paid yet
    assert "Not settled yet, in USD; window 2 is open." in await _run("settlement", "position", *_at(nile))
    amount = f"{Decimal(payment['amount']).scaleb(-2):f}"
    files = {}
    for merchant, direction in ((saffron, "DBIT"), (nile, "CRDT")):
        files[merchant.name] = folder / f"{merchant.name}.xml"
        entry = _entry(payment["reference"], amount, direction, "USD")
        await asyncio.to_thread(files[merchant.name].write_bytes, _camt(entry))
    said = await _run("settlement", "paid", "--camt", files["saffron"], *_at(saffron))
    assert said.strip().endswith("the operator has it as said")
    for _ in range(2):  # the same file once more changes nothing
        said = await _run("settlement", "paid", "--camt", files["nile"], "--window", 1, *_at(nile))
        assert said.strip().endswith("the operator has it as paid")
    record = process.books.window(1)
    assert isinstance(record, WindowRecord)
    assert record.state is WindowState.SETTLED
    for merchant in week.merchants:
        await merchant.node.node.coalition.settlement._keeper.look()
    assert "one statement for each window" in await _run(
        "settlement", "two-statements", "--out", folder / "two", *_at(nile)
    )
    found = saffron.node.node.coalition.settlement.settling
    assert await _cheated(week, found, statement) == 1
    ran = await asyncio.to_thread(
        run_vafa, "settlement", "two-statements", "--out", folder / "two", *_at(saffron)
    )
    assert ran.status == 1
    said = await _run(
        "settlement", "check-two-statements", folder / "two" / "window-1.two-statements",
        "--directory", week.file,
    )  # fmt: skip
    assert "PROVED" in said
    position = json.loads(await _run("settlement", "position", "--json", *_at(saffron)))
    assert (position["partners"][0]["used_units"], position["operator"]["unpaid"]) == (0, "0")
    assert "settled" in await _run("settlement", "show", *_at(saffron))


async def _cheated(week: Week, settling: Settling, statement: ReadStatement) -> int:
    """The operator signs another head for the window, and a merchant hears of it."""
    other = replace(statement.head.head, statement_hash=bytes(32))
    return len(settling.compare_heads(Heads((sign_head(other, week.operator),))))


async def _run(*arguments: object) -> str:
    ran = await asyncio.to_thread(run_vafa, *arguments)
    assert ran.status == 0, ran.out + ran.err
    return ran.out
