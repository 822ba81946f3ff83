"""A partner's port trusts whom the newest directory names, and does not fall over when many dial at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from node.identity.ca import new_authority
from node.identity.peers import new_peer_identity
from node.peering import channels

NOW_MS = time.time_ns() // 1_000_000


def test_the_configuration_is_replaced_only_when_other_authorities_are_to_be_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # grpc frees a configuration that is replaced while another handshake still uses it: with a new one for
    # every handshake, as it was here once, partners that dialled at once ended the process.
    fetchers: list[Callable[[], Any]] = []

    def taken(initial: object, fetcher: Callable[[], Any], **_: object) -> None:
        assert initial is not None
        fetchers.append(fetcher)

    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", taken)
    authority = new_authority("nile", now_ms=NOW_MS)
    trusted = [authority.certificate_pem]
    channels.peer_credentials(new_peer_identity(authority, "nile", now_ms=NOW_MS), lambda: list(trusted))
    [fetch] = fetchers
    assert fetch() is None
    trusted.append(new_authority("saffron", now_ms=NOW_MS).certificate_pem)
    assert fetch() is not None
    assert fetch() is None
    trusted.pop()
    assert fetch() is not None
