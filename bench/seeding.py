"""Gives an installation many members before its node starts, through the node's own shards, without a server.

What is written is what enrolling by the API writes to the books: the identifier's claim and confirmation in
the index, and the account with its link. Nothing is known of the persons behind them.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.messages import card_number
from bench.plain_shard import account_id, insist
from node import config as configuration
from node import installation
from node.actors.control import Control
from node.actors.host import ShardHost, ShardSpec
from node.actors.settings import ShardSettings
from node.actors.steps import step
from node.config import Config
from node.identity.digests import IdentifierDigests
from node.identity.keys import NodeSecrets, load_secrets
from node.people.identifiers import IdentifierKind
from node.proto.vafa.member.v1.member_service_pb2 import EnrolRequest
from node.storage.keyspace import partition_of
from node.storage.meta import registered_stores
from node.wire.commands import Command, LinkWish, Op, encode

AT_ONCE = 1_000
"""Members in one batch of each shard."""

_AUTHOR = "admin:bench"


def seed(config_path: Path, members: range, *, now_ms: int) -> None:
    """Open an account with a card for each of the benches' `members`, all of them new, as of `now_ms`.

    The node must not be running: its stores admit one process.
    """
    config = configuration.load(config_path)
    secrets = load_secrets(config.secrets_directory)
    digests = IdentifierDigests(secrets.index_key)
    with _hosts(config, secrets) as hosts:
        for first in range(members.start, members.stop, AT_ONCE):
            some = range(first, min(first + AT_ONCE, members.stop))
            by_host: defaultdict[int, list[Command]] = defaultdict(list)
            for member in some:
                digest = digests.digest(IdentifierKind.CARD, card_number(member))
                for command in _enrolment(member, digest, config.storage.partitions, now_ms):
                    by_host[hosts.of_partition[command.partition]].append(command)
            for number, commands in by_host.items():
                insist(hosts.hosts[number].apply(encode(commands)))


@dataclass(frozen=True, slots=True)
class _Hosts:
    hosts: list[ShardHost]
    of_partition: dict[int, int]


@contextlib.contextmanager
def _hosts(config: Config, secrets: NodeSecrets) -> Iterator[_Hosts]:
    """The shards of an installation, in this process."""
    opened = [ShardHost(spec) for spec in _specs(config, secrets)]
    try:
        yield _Hosts(
            opened, {partition: at for at, host in enumerate(opened) for partition in host.sequences()}
        )
    finally:
        for host in opened:
            host.close()


def _specs(config: Config, secrets: NodeSecrets) -> list[ShardSpec]:
    merchant = config.merchant
    settings = ShardSettings(merchant.id, merchant.currency, merchant.time_zone, config.storage.partitions)
    control = installation.open_control(config)
    try:
        return [
            ShardSpec(
                number=number,
                directory=str(installation.shard_directory(config, identity.store_id)),
                store_id=identity.store_id,
                generation=control.identity.generation,
                settings=settings,
                programmes=Control(control.store).programmes_snapshot(),
                master_key=secrets.master_key.raw,
            )
            for number, identity in enumerate(registered_stores(control.store))
        ]
    finally:
        control.close()


def _enrolment(member: int, digest: bytes, partitions: int, now_ms: int) -> Iterator[Command]:
    """The steps of one enrolment: claim, account, confirm."""
    account, card = account_id(member), card_number(member)
    index, home = partition_of(digest, partitions), partition_of(account, partitions)
    wish = LinkWish(digest, IdentifierKind.CARD, card[-4:], account, 0, now_ms)
    yield step(Op.CLAIM_IDENTIFIER, index, body=encode(wish))
    request = EnrolRequest(request_id=f"seed-{member}")
    request.occurred_time.FromMilliseconds(now_ms)
    body, extra = request.SerializeToString(), encode((wish,))
    yield Command(Op.ENROL, home, account, b"", _AUTHOR, "", _AUTHOR, "", body, extra)
    yield step(Op.CONFIRM_IDENTIFIER, index, body=encode(wish))
