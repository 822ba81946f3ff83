"""`vafa doctor` finds each thing that can be wrong, says what to do, and changes nothing."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node import config as configuration
from node import installation
from node.cli.diagnosis import setup
from node.cli.diagnosis.finding import Level
from node.cli.restore import NOTE
from node.cli.stores import see
from node.storage.keyspace import PartitionMeta, partition_meta_key
from node.storage.meta import StoreKind, open_store
from node.storage.move import move_partition
from node.storage.store import Batch
from node.wire import records
from tests.cli.cli_shop import Shop

DAY_MS = 86_400_000


def findings(shop: Shop, *options: str) -> list[dict[str, Any]]:
    ran = shop.local("doctor", "--json", *options)
    found: list[dict[str, Any]] = msgspec.json.decode(ran.out)
    assert ran.status == int(any(one["level"] == "WRONG" for one in found))
    return found


def wrong(shop: Shop) -> dict[str, str]:
    """What is WRONG, by check, with what to do."""
    return {one["check"]: f"{one['text']} {one['todo']}" for one in findings(shop) if one["level"] == "WRONG"}


def warned(shop: Shop) -> dict[str, str]:
    return {one["check"]: f"{one['text']} {one['todo']}" for one in findings(shop) if one["level"] == "WARN"}


def test_a_new_installation_is_sound_but_for_its_first_backup(shop: Shop) -> None:
    assert wrong(shop) == {}
    assert "vafa backup" in warned(shop)["backups"]
    lines = shop.local("doctor")
    assert lines.status == 0
    assert any(line.startswith("OK    placement") for line in lines.out.splitlines())
    quiet = shop.local("doctor", "--quiet").out
    assert not any(line.startswith("OK ") for line in quiet.splitlines())


def test_a_running_node_is_asked_and_its_stores_are_left_alone(shop: Shop) -> None:
    with shop.serving():
        found = {one["check"]: one for one in findings(shop, "--address", shop.served.address)}
    assert {one["level"] for check, one in found.items() if check != "backups"} <= {"OK", "WARN"}
    assert str(os.getpid()) in found["stores"]["text"]  # who holds them
    assert found["node"]["level"] == found["shards"]["level"] == found["books"]["level"] == "OK"


def test_a_node_that_holds_its_stores_and_does_not_answer_is_wrong(shop: Shop) -> None:
    with shop.serving(), socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
        closed.close()
        found = {one["check"]: one for one in findings(shop, "--address", f"127.0.0.1:{port}")}
    assert found["node"]["level"] == "WRONG"


def test_looking_changes_no_file_of_the_books(shop: Shop) -> None:
    def heads() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in shop.data.glob("*/head")}

    before = heads()
    assert len(before) == 3
    assert wrong(shop) == {}
    assert heads() == before
    assert shop.local("check").status == 0


# --- the set-up -----------------------------------------------------------------------------------


def open_secrets(shop: Shop) -> None:
    (shop.data / "secrets" / "master.key").chmod(0o640)


def lost_secret(shop: Shop) -> None:
    (shop.data / "secrets" / "index.key").unlink()


def torn_secret(shop: Shop) -> None:
    (shop.data / "secrets" / "ca.key").write_text("half")


def foreign_authority(shop: Shop) -> None:
    (shop.home / "ca.crt").write_bytes((shop.home / "admin.crt").read_bytes())


def open_admin_key(shop: Shop) -> None:
    (shop.home / "admin.key").chmod(0o644)


def other_admin_key(shop: Shop) -> None:
    shutil.copy(shop.data / "secrets" / "server.key", shop.home / "admin.key")


def authority_as_admin(shop: Shop) -> None:
    shutil.copy(shop.home / "ca.crt", shop.home / "admin.crt")


def mistake_in_file(shop: Shop) -> None:
    shop.set("partitions", '"many"')


def more_partitions(shop: Shop) -> None:
    shop.set("partitions", "16")


def one_pin(shop: Shop) -> None:
    shop.set("shards", "0")
    shop.set("shard_pins", '["shop-a"]')


def lost_store(shop: Shop) -> None:
    shop.shards()[1].rename(shop.home / "away")


def swapped_stores(shop: Shop) -> None:
    first, second = shop.shards()
    first.rename(shop.home / "third")
    second.rename(first)
    (shop.home / "third").rename(second)


def lost_head(shop: Shop) -> None:
    (shop.shards()[0] / "head").unlink()


def damaged_table(shop: Shop) -> None:
    table = next(shop.shards()[0].glob("db/*.sst"))
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)


def interrupted_move(shop: Shop) -> None:
    source, target = shop.shards()

    def die(step: str, keys: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move_partition(source, target, min(see(source).owned), progress=die)


def interrupted_restore(shop: Shop) -> None:
    shutil.copytree(shop.data, shop.home / "data.restored")
    (shop.home / "data.restored" / NOTE).write_text("{}")
    shop.data.rename(shop.home / "data.before-x")


def clock_of_the_future(shop: Shop) -> None:
    post_at(shop, time.time_ns() // 1_000_000 + DAY_MS)


def post_at(shop: Shop, clock_ms: int) -> None:
    """Lets a partition's last posting be of that time."""
    opened = open_store(shop.shards()[0], merchant_id="shop-1", kind=StoreKind.SHARD)
    batch = Batch()
    head = records.PartitionHead(0, b"", clock_ms)
    batch.put(partition_meta_key(min(opened.hosted), PartitionMeta.HEAD), records.HEAD.encode(head))
    opened.store.write(batch)
    opened.store.sync()
    opened.close()


@pytest.mark.parametrize(
    ("harm", "check", "says"),
    [
        (open_secrets, "secrets", "chmod 600"),
        (open_admin_key, "admin certificate", "chmod 600"),
        (mistake_in_file, "configuration", "storage.partitions"),
        (more_partitions, "control store", "Set it back to 8"),
        (one_pin, "configuration", "one for each shard"),
        (lost_store, "stores", "put it back"),
        (swapped_stores, "shard 0", "another store"),
        (lost_head, "stores", "vafa restore"),
        (damaged_table, "stores", "vafa restore"),
        (interrupted_move, "placement", "vafa shards move "),
        (interrupted_restore, "stores", "vafa restore"),
        (clock_of_the_future, "clock", "NTP"),
    ],
)
def test_what_is_wrong_is_found_and_said(
    shop: Shop, harm: Callable[[Shop], None], check: str, says: str
) -> None:
    harm(shop)
    found = wrong(shop)
    assert check in found, found
    assert says in found[check]


@pytest.mark.parametrize(
    ("harm", "check", "says"),
    [
        (lost_secret, "secrets", "index.key"),
        (torn_secret, "secrets", "ca.key"),
        (foreign_authority, "authority", "cp "),
        (other_admin_key, "admin certificate", "vafa terminal admin"),
        (authority_as_admin, "admin certificate", "vafa terminal admin"),
    ],
)
def test_keys_and_certificates_that_do_not_fit_are_found(
    shop: Shop, harm: Callable[[Shop], None], check: str, says: str
) -> None:
    harm(shop)
    config = configuration.load(shop.config_path)
    secrets, found = setup.secrets_of(config)
    if secrets is not None:
        found.extend(setup.certificates(shop.home, config, secrets, setup.now_utc()))
    said = {one.check: f"{one.text} {one.todo}" for one in found if one.level is Level.WRONG}
    assert list(said) == [check]
    assert says in said[check]


def test_secrets_of_another_node_are_found_by_the_persons_they_do_not_open(shop: Shop) -> None:
    with shop.serving():
        assert shop.vafa("member", "enrol", "--given-name", "Ali").status == 0
    assert wrong(shop) == {}
    key = shop.data / "secrets" / "master.key"
    key.write_text(os.urandom(32).hex())
    assert "master.key is not the key" in wrong(shop)["secrets"]


def test_a_new_admin_certificate_is_made_from_the_authority_and_is_good_at_once(shop: Shop) -> None:
    other_admin_key(shop)
    assert shop.local("terminal", "admin").status == 0
    assert wrong(shop) == {}
    with shop.serving():
        assert shop.vafa("status").status == 0


@pytest.mark.parametrize(("days_left", "level"), [(400, "OK"), (20, "WARN"), (-1, "WRONG")])
def test_the_admin_certificates_end_is_seen_coming(shop: Shop, days_left: int, level: str) -> None:
    config = configuration.load(shop.config_path)
    secrets, _ = setup.secrets_of(config)
    assert secrets is not None
    now = datetime.now(UTC) + timedelta(days=installation.ADMIN_CERTIFICATE_DAYS - days_left)
    found = {one.check: one.level for one in setup.certificates(shop.home, config, secrets, now)}
    assert found["admin certificate"] == level


def test_a_port_that_is_taken_is_named(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        shop.set("enrol_listen", f'"{address}"')
        assert f"enrol_listen {address}" in wrong(shop)["ports"]


def test_what_interrupted_work_left_behind_is_listed(shop: Shop) -> None:
    assert "leftovers" not in warned(shop)
    left = [
        shop.shards()[0] / "staging",
        shop.data / "shard-000000000000.creating",
        shop.data / "emptied-shard-0",
        shop.home / "data.restored.restoring",
        shop.home / "data.before-20260101-000000",
        shop.home / "backups" / "half",
    ]
    for path in left:
        path.mkdir(parents=True)
    said = "\n".join(one["text"] for one in findings(shop) if one["check"] == "leftovers")
    assert [str(path) for path in left if str(path) not in said] == []


def test_a_store_that_is_not_registered_is_pointed_out(shop: Shop) -> None:
    copy = shop.data / "shard-0123456789ab"
    shutil.copytree(shop.shards()[0], copy)
    assert str(copy) in warned(shop)["leftovers"]
    assert wrong(shop) == {}


def test_an_old_backup_is_a_warning_and_a_damaged_one_too(shop: Shop) -> None:
    with shop.serving():
        assert shop.vafa("backup", "b1").status == 0
    assert "backups" not in warned(shop)
    manifest = shop.home / "backups" / "b1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("shop-1", "shop-2"))
    assert any("damaged" in one["text"] for one in findings(shop) if one["check"] == "backups")
