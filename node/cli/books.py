"""`vafa check`, `vafa backup`, `vafa status`: the books as a whole."""

from __future__ import annotations

import json as json_format
import sys
import time
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from node.actors.totals import Totals, totals_of
from node.cli.connection import (
    DEFAULT_CONFIG,
    AddressOption,
    CertificateOption,
    ConfigOption,
    JsonOption,
    connected,
    load,
    show,
)
from node.cli.stores import opened_shards
from node.proto.vafa.admin.v1 import admin_service_pb2 as pb
from node.proto.vafa.admin.v1 import admin_service_pb2_grpc
from node.storage.check import Findings, check_store

BACKUP_DEADLINE_SECONDS = 3_600.0
_WHILE_RUNNING = "Ask the running node with `vafa status --check`, or stop it first."


def check(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Prove the books of a stopped node: journals replay to balances, chains hold, all sums are 0.

    Exit status 0 means clean, 1 that something is wrong. For a running node ask `vafa status --check`.
    """
    findings = Findings(problems=[], books={})
    started = time.monotonic()
    with (
        opened_shards(load(config), _WHILE_RUNNING) as shards,
        Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task("replaying journals", total=None)
        for shard in shards:
            hosted = sorted(shard.hosted)
            findings.add(
                check_store(shard.store, hosted, lambda entries: progress.update(task, completed=entries))
            )
    findings.finish()
    found = totals_of([(book, purse, units) for (book, purse), units in findings.books.items()])
    if json:
        print(json_format.dumps(_as_json(findings, found), ensure_ascii=False, indent=2))
    else:
        seconds = time.monotonic() - started
        print(f"Replayed {findings.entries:,} entries of {findings.accounts:,} accounts in {seconds:.1f} s.")
        print(_table(found))
        print("clean" if findings.clean else "\n".join(f"WRONG: {problem}" for problem in findings.problems))
    if not findings.clean:
        raise typer.Exit(1)


def _as_json(findings: Findings, found: list[Totals]) -> dict[str, Any]:
    return {
        "clean": findings.clean,
        "entries": findings.entries,
        "accounts": findings.accounts,
        "findings": findings.problems,
        "totals": [msgspec.to_builtins(one) for one in found],
    }


def _table(found: list[Totals]) -> str:
    head = f"{'purse':<12}{'issued':>16}{'redeemed':>16}{'lapsed':>14}{'outstanding':>16}{'sum':>6}"
    rows = [
        f"{one.purse:<12}{one.issued:>16,}{one.redeemed:>16,}{one.breakage:>14,}{one.outstanding:>16,}"
        f"{one.books_sum:>6}"
        for one in found
    ]
    return "\n".join([head, *rows]) if rows else "The books are empty."


def status(
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    prove: Annotated[bool, typer.Option("--check", help="Also prove the books, from a copy.")] = False,
    json: JsonOption = False,
) -> None:
    """Say how the running node and its shards are."""
    with connected(config, address, certificate) as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        answer = stub.GetStatus(pb.GetStatusRequest(), timeout=30)
        proof = stub.CheckBooks(pb.CheckBooksRequest(), timeout=BACKUP_DEADLINE_SECONDS) if prove else None
    show(proof if proof is not None else answer, json, lambda: _status(answer, proof))
    if proof is not None and not proof.clean:
        raise typer.Exit(1)


def _status(answer: pb.GetStatusResponse, proof: pb.CheckBooksResponse | None) -> str:
    lines = [
        f"{answer.merchant_id}, version {answer.version}, programme version {answer.programme_version}, "
        f"{answer.accounts:,} accounts"
    ]
    for shard in answer.shards:
        state = "serving" if shard.serving else "NOT ANSWERING"
        lines.append(
            f"shard {shard.shard}: {state}, {len(shard.partitions)} partitions, {shard.entries:,} entries, "
            f"{shard.queued} queued, {shard.active_accounts:,} active, {shard.quarantined_accounts} set aside"
        )
    lines.append(
        _table([Totals(one.purse, one.issued, one.redeemed, one.breakage, one.outstanding, one.books_sum)
                for one in answer.totals])
    )  # fmt: skip
    if proof is not None:
        lines.append("books: clean" if proof.clean else "\n".join(f"WRONG: {one}" for one in proof.findings))
    return "\n".join(lines)


def backup(
    name: Annotated[str, typer.Argument(help="The backup's name; empty is the present time.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    address: AddressOption = "",
    certificate: CertificateOption = None,
    json: JsonOption = False,
) -> None:
    """Back up all stores of the running node, at one moment. Keep the secrets directory apart from it."""
    chosen = name or time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    with connected(config, address, certificate) as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        answer = stub.CreateBackup(pb.CreateBackupRequest(name=chosen), timeout=BACKUP_DEADLINE_SECONDS)
    show(answer, json, lambda: f"Wrote {answer.path}, {answer.size_bytes:,} bytes.")
