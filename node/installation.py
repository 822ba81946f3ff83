"""An installation on disk: what `vafa init` makes, and where everything in it lies.

vafa.toml          the configuration, for people
ca.crt             what callers trust
admin.crt, admin.key   the certificate of the command line at the node
data/secrets/      the node's keys, 0600
data/control/      the control store
data/shard-…/      one store a shard, named after its store id
backups/           where `vafa backup` writes
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from msgspec import Struct

from node import config as configuration
from node.actors.control import Control
from node.config import Config
from node.identity.ca import issue_client_certificate, signing_request
from node.identity.caller import Caller, Role
from node.identity.keys import create_secrets, new_tls_key, private_key_pem, write_secret
from node.programme.default import starter_programme
from node.storage.meta import OpenStore, StoreIdentity, StoreKind, create_store, open_store, register_store
from node.storage.store import Batch

CONFIG_NAME = "vafa.toml"
ADMIN = "admin"
ADMIN_CERTIFICATE_DAYS = 3_650


class InstallationExists(Exception):
    """The directory holds an installation already; nothing was changed."""


class Made(Struct, frozen=True):
    """What `create` made: the configuration, and its file."""

    config: Config
    path: Path


def control_directory(config: Config) -> Path:
    """Where the control store lies."""
    return config.storage.directory / "control"


def shard_directory(config: Config, store_id: bytes) -> Path:
    """Where a shard's store lies."""
    return config.storage.directory / f"shard-{store_id.hex()[:12]}"


def backup_directory(config: Config) -> Path:
    """Where backups are written, beside the data and never in it."""
    return config.storage.directory.parent / "backups"


def open_control(config: Config) -> OpenStore:
    """The control store of an installation; raises StoreError with what is wrong and what to do."""
    return open_store(control_directory(config), merchant_id=config.merchant.id, kind=StoreKind.CONTROL)


def create(directory: Path, toml: str) -> Made:
    """Makes an installation from the text of its configuration; raises InstallationExists, ConfigError.

    A crash half-way leaves a directory that `vafa init` refuses and that can be deleted: nothing of value is
    in it before the configuration file, which is written last.
    """
    path = directory / CONFIG_NAME
    if path.exists():
        raise InstallationExists(f"{path} exists: this directory holds an installation. Nothing was changed.")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = directory / f".{CONFIG_NAME}.new"
    draft.write_text(toml, encoding="utf-8")
    config = configuration.load(draft)
    now_ms = time.time_ns() // 1_000_000
    secrets = create_secrets(config.secrets_directory, config.merchant.id, now_ms=now_ms)
    _create_stores(config, now_ms)
    (directory / "ca.crt").write_bytes(secrets.authority.certificate_pem)
    key = new_tls_key()
    admin = Caller(Role.ADMIN, config.merchant.id, ADMIN)
    issued = issue_client_certificate(
        secrets.authority, signing_request(key), admin, now_ms=now_ms, validity_days=ADMIN_CERTIFICATE_DAYS
    )
    write_secret(directory / "admin.key", private_key_pem(key))
    (directory / "admin.crt").write_bytes(issued.pem)
    draft.rename(path)
    return Made(config, path)


def _create_stores(config: Config, now_ms: int) -> None:
    count, partitions = config.shard_count(), config.storage.partitions
    control_id = os.urandom(16)
    create_store(
        control_directory(config),
        StoreIdentity(control_id, StoreKind.CONTROL, config.merchant.id, partitions),
    )
    batch = Batch()
    for number in range(count):
        identity = StoreIdentity(os.urandom(16), StoreKind.SHARD, config.merchant.id, partitions)
        hosted = range(number, partitions, count)
        create_store(shard_directory(config, identity.store_id), identity, hosted=hosted)
        register_store(batch, identity)
    opened = open_control(config)
    try:
        opened.store.write(batch)
        opened.store.sync()
        draft = starter_programme(config.merchant.currency_exponent, name=config.merchant.name)
        Control(opened.store).publish(draft, ADMIN, "init", now_ms)
    finally:
        opened.close()
