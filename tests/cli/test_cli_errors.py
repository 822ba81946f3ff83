"""What goes wrong on the command line is one sentence on standard error, and never a trace."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from node import config as configuration
from node.actors import host
from node.actors.ports import ShardNotStarted
from node.cli import books
from node.storage.lock import OWNER_FILE
from tests.cli.cli_shop import Shop, run_vafa

Serve = Callable[..., Coroutine[Any, Any, None]]


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--merchant", "Shop 1", "merchant.id"),
        ("--name", " ", "merchant.name"),
        ("--country", "ZZ", "merchant.country"),
        ("--timezone", "Tehran", "merchant.time_zone"),
        ("--currency", "rial", "merchant.currency"),
        ("--exponent", "9", "merchant.currency_exponent"),
        ("--host", "shop 1", "node.host_names"),
        ("--listen", "localhost:7443", "node.listen"),
        ("--listen", 'a"b\\1', "node.listen"),
        ("--metrics", "0.0.0.0:9464", "node.metrics_listen"),
        ("--partitions", "65", "storage.partitions"),
        ("--shards", "17", "storage.shards"),
    ],
)
def test_init_names_the_value_that_it_cannot_use_and_makes_nothing(
    tmp_path: Path, option: str, value: str, says: str
) -> None:
    given = {"--merchant": "shop-1", option: value}
    refused = run_vafa("init", tmp_path / "shop", *(part for pair in given.items() for part in pair))
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith(f"vafa: vafa.toml: {says}")
    assert refused.err.count("\n") == 1
    assert not (tmp_path / "shop").exists()


def test_init_never_touches_an_installation(shop: Shop) -> None:
    before = shop.config_path.read_bytes()
    refused = run_vafa("init", shop.home, "--merchant", "shop-2")
    assert refused.status == 1
    assert "Nothing was changed" in refused.err
    assert shop.config_path.read_bytes() == before


def test_a_node_with_a_name_of_its_own_is_still_reached_from_its_own_command_line(tmp_path: Path) -> None:
    home = tmp_path / "shop"
    made = run_vafa("init", home, "--merchant", "shop-1", "--host", "shop.example", "--host", "127.0.0.1")
    assert made.status == 0, made.err
    names = configuration.load(home / "vafa.toml").node.host_names
    assert names == ("shop.example", "127.0.0.1", "localhost")


def test_init_takes_persian_and_arabic_names_as_they_are(tmp_path: Path) -> None:
    made = run_vafa(
        "init", tmp_path / "shop", "--merchant", "shop-1", "--name", "متجر «الوفاء» رقم ١", "--shards", 1
    )
    assert made.status == 0, made.err
    assert 'name = "متجر «الوفاء» رقم ١"' in (tmp_path / "shop" / "vafa.toml").read_text("utf-8")


@pytest.mark.parametrize("words", [("status",), ("check",), ("doctor",), ("run",), ("shards", "list")])
def test_without_an_installation_every_command_says_where_it_looked(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    missing = tmp_path / "vafa.toml"
    refused = run_vafa(*words, "--config", missing)
    assert refused.status == 1
    assert f"{missing}: there is no such file" in refused.out + refused.err


def test_the_environment_may_name_the_installation(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAFA_CONFIG", str(shop.config_path))
    assert run_vafa("check", "--json").json()["clean"]


def test_a_check_of_a_running_nodes_stores_says_how_to_ask_the_node(shop: Shop) -> None:
    with shop.serving():
        refused = shop.local("check")
        assert shop.vafa("status", "--check").status == 0
    assert (refused.status, refused.out) == (1, "")
    assert f"in use by process {os.getpid()}" in refused.err
    assert "`vafa status --check`" in refused.err


def test_a_command_without_a_node_says_so(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    refused = shop.vafa("status", address=f"127.0.0.1:{port}")
    assert refused.err == (
        f"vafa: No node answers at 127.0.0.1:{port}. Start it with `vafa run`, or name another --address.\n"
    )
    assert "port 0" in shop.local("status").err  # the file names none


def test_a_foreign_authority_and_a_foreign_caller_are_told_apart(shop: Shop, tmp_path: Path) -> None:
    run_vafa("init", tmp_path / "other", "--merchant", "shop-1", "--shards", 1)
    ours = (shop.home / "ca.crt").read_bytes()
    with shop.serving():
        refused = shop.vafa("status", "--certificate", tmp_path / "other" / "admin.crt")
        assert "does not know the certificate" in refused.err
        assert (
            f"other/admin.crt is not a certificate of the authority in {shop.home / 'ca.crt'}." in refused.err
        )
        missing = shop.vafa("status", "--certificate", tmp_path / "nobody.crt")
        assert "nobody.key: cannot be read" in missing.err
        (shop.home / "ca.crt").write_bytes((tmp_path / "other" / "ca.crt").read_bytes())
        assert "no certificate that this ca.crt vouches for" in shop.vafa("status").err
        (shop.home / "ca.crt").write_bytes(ours)
        assert shop.vafa("status").status == 0


def test_a_code_is_not_wasted_where_the_key_could_not_be_written(shop: Shop, tmp_path: Path) -> None:
    till = tmp_path / "till.crt"
    till.with_suffix(".key").write_text("somebody else's")
    with shop.serving():
        code = shop.vafa("terminal", "code", "north/till-1", "--json").json()["code"]
        enrol = ("terminal", "enrol", shop.served.enrol_address, "--code", code, "--out", till)
        refused = run_vafa(*enrol, "--authority", shop.home / "ca.crt")
        assert (refused.status, till.with_suffix(".key").read_text()) == (1, "somebody else's")
        till.with_suffix(".key").unlink()
        assert run_vafa(*enrol, "--authority", shop.home / "ca.crt").status == 0
        key = till.with_suffix(".key").read_bytes()
        assert shop.vafa("terminal", "renew", till).status == 0
        assert till.with_suffix(".key").read_bytes() != key
        assert till.with_suffix(".key").stat().st_mode & 0o777 == 0o600
        assert shop.vafa("terminal", "list").out.count("north/till-1") == 2


def test_a_file_that_is_no_programme_is_refused_in_words(shop: Shop, tmp_path: Path) -> None:
    draft = tmp_path / "programme.toml"
    draft.write_bytes(b"\xff\xfe")
    for path in (draft, tmp_path / "missing.toml"):
        refused = run_vafa("programme", "preview", path, "--config", shop.config_path)
        assert (refused.status, refused.out) == (1, "")
        assert "fault" not in refused.err
        assert path.name in refused.err


# --- vafa run --------------------------------------------------------------------------------------


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> Callable[[Serve], None]:
    """Lets `vafa run` do everything but Ray; what it would serve with is given."""
    import node.actors.placement as placement
    import node.app as app

    for name in ("start_ray", "stop_ray"):
        monkeypatch.setattr(placement, name, lambda *_: None)

    def serve_with(serve: Serve) -> None:
        monkeypatch.setattr(app, "serve", serve)

    return serve_with


def failing(fault: BaseException) -> Serve:
    async def serve(*_: object) -> None:
        raise fault

    return serve


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            RuntimeError("Failed to bind to address 127.0.0.1:7443; set GRPC_VERBOSITY=debug"),
            "127.0.0.1:7443 is already",
        ),
        (OSError(errno.EADDRINUSE, "Address already in use"), "127.0.0.1:0 is already in use"),
        (RuntimeError("partition 3 is in two stores; run `vafa doctor`"), "partition 3 is in two stores"),
        (ShardNotStarted("the disk is gone"), "the disk is gone"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "/x: No space left on device"),
        (KeyError("09121234567"), "a fault in this program"),
    ],
)
def test_what_keeps_a_node_from_serving_is_said_in_words(
    shop: Shop, without_ray: Callable[..., None], fault: BaseException, says: str
) -> None:
    without_ray(failing(fault))
    ended = shop.local("run")
    assert (ended.status, ended.out) == (1, "")
    assert says in ended.err
    assert "09121234567" not in ended.err  # what a fault quotes is not for logs


def test_a_second_node_waits_a_bounded_time_and_says_who_holds_the_stores(
    shop: Shop, without_ray: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "LOCK_SECONDS", 0.2)
    with (shop.data / "control" / "db" / OWNER_FILE).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = shop.local("run")
    assert (ended.status, ended.out) == (1, "")
    waiting, gave_up = ended.err.splitlines()
    assert f"in use by process {os.getpid()}" in waiting
    assert "Waiting" in waiting
    assert "in use by another process" in gave_up


def test_a_changed_number_of_partitions_never_serves(shop: Shop, without_ray: Callable[..., None]) -> None:
    without_ray(failing(AssertionError("it served")))
    shop.set("partitions", "16")
    assert "Set it back to 8" in shop.local("run").err
    shop.set("partitions", "8")
    shop.set("shards", "0")
    shop.set("shard_pins", '["only-one"]')
    assert "one pin for each shard" in shop.local("run").err


def test_a_cluster_that_is_not_there_is_said_at_once(shop: Shop, without_ray: Callable[..., None]) -> None:
    without_ray(failing(AssertionError("it served")))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    shop.set("address", json.dumps(address))
    assert f"No Ray answers at {address}" in shop.local("run").err


# --- the process itself -----------------------------------------------------------------------------


def test_answers_go_to_standard_output_and_everything_else_to_standard_error(shop: Shop) -> None:
    with shop.serving():
        command = [
            sys.executable,
            "-m",
            "node.cli.main",
            "status",
            "--json",
            "--address",
            shop.served.address,
        ]
        ran = subprocess.run(
            [*command, "--config", str(shop.config_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["merchant_id"] == "shop-1"


def test_a_fault_shows_its_kind_and_place_and_nothing_that_it_holds(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("member 09121234567")

    monkeypatch.setattr(books, "opened_shards", broken)
    ended = shop.local("check")
    assert (ended.status, ended.out) == (1, "")
    assert "ValueError at " in ended.err
    assert "09121234567" not in ended.err


HANDSHAKE = """
import asyncio, socket, sys
import node.cli.main
import grpc
from node.identity.ca import issue_server_certificate
from node.identity.keys import create_secrets, private_key_pem
from node.rpc.server import mutual_tls

async def main(secrets):
    certificate = issue_server_certificate(
        secrets.authority, secrets.server_key.public_key(), ("localhost",), now_ms=secrets_ms, validity_days=9
    )
    server = grpc.aio.server()
    credentials = mutual_tls(
        private_key_pem(secrets.server_key), certificate, secrets.authority.certificate_pem
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    def knock():
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
            return line.recv(100)
    print(await asyncio.to_thread(knock))
    await server.stop(None)

import time, pathlib
secrets_ms = time.time_ns() // 1_000_000
asyncio.run(main(create_secrets(pathlib.Path(sys.argv[1]), "shop-1", now_ms=secrets_ms)))
"""


def test_whoever_knocks_with_garbage_writes_no_lines_into_the_nodes_log(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "GRPC_VERBOSITY"}
    command = [sys.executable, "-c", HANDSHAKE, str(tmp_path / "secrets")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "b''\n", "")
