"""The keys that sign what a node owes: which may sign is the directory's to say, and none is ever lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.identity.exchange_keys import exchange_key_pems, load_exchange_keys, new_exchange_key
from node.identity.keys import KeyUnusable, create_secrets
from node.identity.signers import verifier_from_uri

NOW_MS = 1_800_000_000_000


def test_a_new_node_signs_with_its_own_key(tmp_path: Path) -> None:
    secrets = create_secrets(tmp_path / "secrets", "nile", now_ms=NOW_MS)
    keys = load_exchange_keys(tmp_path / "secrets", secrets.node_key_uri)
    (uri,) = keys.uris
    signature = keys.newest.sign("type", b"payload")
    verifier_from_uri(uri).verify("type", b"payload", signature)


def test_the_newest_key_that_is_admitted_signs_and_older_ones_until_then(tmp_path: Path) -> None:
    secrets = create_secrets(tmp_path / "secrets", "nile", now_ms=NOW_MS)
    own = load_exchange_keys(tmp_path / "secrets", secrets.node_key_uri).uris[0]
    path = new_exchange_key(tmp_path / "secrets")
    assert path.stat().st_mode & 0o077 == 0
    keys = load_exchange_keys(tmp_path / "secrets", secrets.node_key_uri)
    assert keys.uris[0] == own
    new = keys.uris[1]
    assert keys.valid_one(lambda uri: uri == own).public_uri == own
    assert keys.valid_one(lambda uri: True).public_uri == new
    with pytest.raises(KeyUnusable, match="vafa join"):
        keys.valid_one(lambda uri: False)
    assert len(exchange_key_pems(tmp_path / "secrets", secrets.node_key_uri)) == 2


def test_keys_keep_their_order_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    secrets = create_secrets(tmp_path / "secrets", "nile", now_ms=NOW_MS)
    made = [new_exchange_key(tmp_path / "secrets") for _ in range(12)]
    assert sorted(made) == made
    made[3].write_bytes(b"not a key")
    with pytest.raises(KeyUnusable, match=made[3].name):
        load_exchange_keys(tmp_path / "secrets", secrets.node_key_uri)
