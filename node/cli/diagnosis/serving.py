"""The running node, as it says itself over mutual TLS."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from grpc_health.v1 import health_pb2, health_pb2_grpc

from node import installation
from node.cli.connection import CallFailed, connected
from node.cli.diagnosis.finding import Finding, ok, warn, wrong
from node.cli.stores import in_use_text
from node.config import Config
from node.identity.keys import KeyUnusable
from node.proto.vafa.admin.v1 import admin_service_pb2 as pb
from node.proto.vafa.admin.v1 import admin_service_pb2_grpc
from node.proto.vafa.terminal.v1 import terminal_service_pb2 as terminal_pb
from node.proto.vafa.terminal.v1 import terminal_service_pb2_grpc

DEADLINE_SECONDS = 10.0
CERTIFICATE_WARN_DAYS = 30
MAX_PAGE = 500


def holders_of(config: Config, held: Mapping[Path, int]) -> Iterator[Finding]:
    """What the locks say: a node holds the control store and its shards, or something is left of one."""
    if installation.control_directory(config) in held:
        yield ok("stores", f"{in_use_text(dict(held))} They are asked through it, not opened.")
    else:
        yield wrong(
            "stores",
            f"{in_use_text(dict(held))} The control store is free: a shard has outlived its node.",
            "Wait a minute. If it stays, end that process; then start the node.",
        )


def node(path: Path, address: str) -> Iterator[Finding]:
    """Health, shards, books and certificates of the running node."""
    try:
        with connected(path, address, None) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=DEADLINE_SECONDS
            )
            if health.status != health_pb2.HealthCheckResponse.SERVING:
                yield wrong(
                    "node", "The node answers, and says that it does not serve.", "It may be stopping."
                )
                return
            yield ok("node", "The node answers over mutual TLS and serves.")
            stub = admin_service_pb2_grpc.AdminServiceStub(channel)
            status = stub.GetStatus(pb.GetStatusRequest(), timeout=DEADLINE_SECONDS)
            yield from _shards(status)
            yield from _callers(terminal_service_pb2_grpc.TerminalServiceStub(channel))
    except (CallFailed, KeyUnusable) as failed:
        yield wrong("node", str(failed))


def _shards(status: pb.GetStatusResponse) -> Iterator[Finding]:
    away = [str(shard.shard) for shard in status.shards if not shard.serving]
    if away:
        yield wrong("shards", f"Shards {', '.join(away)} do not answer.", "The node's log says why.")
    else:
        yield ok("shards", f"All {len(status.shards)} shards answer.")
    aside = sum(shard.quarantined_accounts for shard in status.shards)
    if aside:
        yield warn("quarantine", f"{aside} accounts are set aside after a fault.", "`vafa quarantine list`")
    crooked = [one.purse for one in status.totals if one.books_sum]
    if crooked:
        yield wrong(
            "books", f"The books of {', '.join(crooked)} do not sum to zero.", "`vafa status --check`"
        )
    elif not away:
        yield ok("books", "The books of every purse sum to zero. `vafa status --check` proves all of them.")
    if status.start_time.ToMilliseconds() > time.time_ns() // 1_000_000:
        yield wrong(
            "clock", "The node started in this clock's future.", "Set the clock; keep it right by NTP."
        )


def _callers(stub: terminal_service_pb2_grpc.TerminalServiceStub) -> Iterator[Finding]:
    """Whose certificate ends soon, with none of theirs that lasts longer."""
    ends: dict[str, int] = {}
    token = ""
    while True:
        request = terminal_pb.ListCallersRequest(page_size=MAX_PAGE, page_token=token)
        page = stub.ListCallers(request, timeout=DEADLINE_SECONDS)
        for record in page.callers:
            if not record.revoked:
                who = record.identity
                name = f"{who.store_id}/{who.id}" if who.store_id else who.id
                ends[name] = max(ends.get(name, 0), record.expire_time.ToMilliseconds())
        token = page.next_page_token
        if not token:
            break
    soon_ms = time.time_ns() // 1_000_000 + CERTIFICATE_WARN_DAYS * 86_400_000
    soon = sorted(name for name, end_ms in ends.items() if end_ms < soon_ms)
    if soon:
        shown = ", ".join(soon[:5]) + (f" and {len(soon) - 5} more" if len(soon) > 5 else "")
        text = f"{len(soon)} certificates have expired or will within {CERTIFICATE_WARN_DAYS} days: {shown}."
        yield warn(
            "terminals", text, "They renew themselves (RenewCertificate), or enrol anew: vafa terminal code."
        )
    else:
        yield ok("terminals", f"{len(ends)} callers are enrolled; no certificate ends soon.")
