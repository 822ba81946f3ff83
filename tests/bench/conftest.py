"""What the benches' tests share: a node in miniature, and certificates for a server beside it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.tls import ServerTls, write_server_tls
from node.identity.ca import issue_client_certificate, new_authority, signing_request
from node.identity.caller import Caller, Role
from node.identity.keys import new_tls_key, private_key_pem
from simulators.enrolment import TillCertificate
from simulators.scripted_node import ScriptedNode, serve_scripted_node


@pytest.fixture
async def scripted_node() -> AsyncIterator[ScriptedNode]:
    """A node in miniature on loopback, one for each test."""
    async with serve_scripted_node() as node:
        yield node


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[ServerTls, TillCertificate]:
    """A server's files and a till's certificate under one authority."""
    now_ms = time.time_ns() // 1_000_000
    authority = new_authority("bench", now_ms=now_ms)
    tls = write_server_tls(tmp_path, authority, new_tls_key(), now_ms=now_ms)
    key = new_tls_key()
    till = Caller(Role.TILL, "bench", "till-1", "store-1")
    issued = issue_client_certificate(authority, signing_request(key), till, now_ms=now_ms, validity_days=1)
    return tls, TillCertificate(authority.certificate_pem, issued.pem, private_key_pem(key))
