"""A whole node inside this process, for tests and fuzzing: gRPC over mutual TLS on loopback, real stores.

It is built by the node's own composition root; only Ray is missing, whose shards run on threads here. Its
clock can be moved on, so that a year's expiry or a hold's end needs no waiting.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import grpc

from node import installation
from node.actors.ports import LocalShard, start_local_shards
from node.actors.steps import step
from node.app import Addresses, Node
from node.config import default_toml
from node.identity.ca import issue_client_certificate, signing_request
from node.identity.caller import Caller, Role
from node.identity.keys import new_tls_key, private_key_pem
from node.proto.vafa.common.v1 import identifier_pb2
from node.proto.vafa.member.v1 import member_service_pb2
from node.storage.check import Findings, check_store
from node.storage.keyspace import partition_of
from node.storage.meta import StoreKind, open_store
from node.wire.commands import AnswerKind, Command, LinkWish, Op, encode
from simulators.enrolment import TillCertificate
from simulators.operations import timestamp
from simulators.purchases import card_identifier

MERCHANT = "shop-1"
_CERTIFICATE_DAYS = 30


class LocalNode:
    """An installation below `directory` and, between `start` and `stop`, its node.

    `settings` are keys of vafa.toml by their bare names (such as `queue_per_shard`).
    """

    def __init__(
        self,
        directory: Path,
        *,
        shards: int = 1,
        settings: Mapping[str, str | int | bool] | None = None,
        merchant: str = MERCHANT,
    ) -> None:
        self.merchant = merchant
        toml = default_toml(
            merchant, name="فروشگاه", country="IR", time_zone="Asia/Tehran", currency="USD",
            currency_exponent=2,
        )  # fmt: skip
        wanted: dict[str, str | int | bool] = {
            "listen": "127.0.0.1:0",
            "enrol_listen": "127.0.0.1:0",
            "metrics_listen": "127.0.0.1:0",
            "shards": shards,
            "level": "error",
            **(settings or {}),
        }
        for key, value in wanted.items():
            toml = _with(toml, key, value)
        self.config = installation.create(directory / "node", toml).config
        self.directory = directory / "node"
        self._certificates: dict[tuple[Role, str, str], TillCertificate] = {}
        self._node: Node | None = None
        self._addresses: Addresses | None = None
        self._ahead_ms = 0

    # --- its life ---------------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        """The running node, for a look inside."""
        assert self._node is not None, "the node is not running"
        return self._node

    @property
    def addresses(self) -> Addresses:
        """Where it serves."""
        assert self._addresses is not None, "the node is not running"
        return self._addresses

    async def start(self) -> None:
        """Serves."""
        self._node = Node(self.config, start_local_shards)
        self._addresses = await self._node.start()
        self._set_clocks()

    async def stop(self) -> None:
        """Drains and closes the books."""
        node, self._node, self._addresses = self.node, None, None
        await node.stop()

    async def restart(self) -> None:
        """Stops and starts again, over the same books and with the clock as it was moved."""
        await self.stop()
        await self.start()

    def check(self) -> Findings:
        """Proves the books of the stopped node from its stores."""
        assert self._node is None, "stop the node first"
        findings = Findings(problems=[], books={})
        for directory in sorted(self.config.storage.directory.glob("shard-*")):
            opened = open_store(directory, merchant_id=self.merchant, kind=StoreKind.SHARD)
            try:
                findings.add(check_store(opened.store, sorted(opened.hosted)))
            finally:
                opened.close()
        findings.finish()
        return findings

    async def deliver(self) -> None:
        """Returns once nothing waits in an outbox that could be delivered now."""
        while (await self.node.upkeep._delivery.round())[0]:
            pass

    # --- its clock --------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The shards' clock."""
        return time.time_ns() // 1_000_000 + self._ahead_ms

    def advance(self, milliseconds: int) -> None:
        """Moves the shards' clock on; it never goes back, as the journal's never does."""
        assert milliseconds >= 0
        self._ahead_ms += milliseconds
        self._set_clocks()

    def _set_clocks(self) -> None:
        self.node.upkeep._linking._clock = self.now_ms
        for shard in self.shards:
            shard.host.shard._desk.clock = self.now_ms

    @property
    def shards(self) -> list[LocalShard]:
        """The shards, for a look inside."""
        return [shard for shard in self.node.shards if isinstance(shard, LocalShard)]

    # --- who calls it -----------------------------------------------------------------------------

    def certificate(self, role: Role, caller_id: str, store: str = "") -> TillCertificate:
        """A caller's certificate, made once with the authority's own key, past the enrolment."""
        key = (role, caller_id, store)
        if key not in self._certificates:
            self._certificates[key] = self.new_certificate(role, caller_id, store)
        return self._certificates[key]

    def new_certificate(
        self,
        role: Role,
        caller_id: str,
        store: str = "",
        *,
        issued_days_ago: int = 0,
        terminals: tuple[str, ...] = (),
    ) -> TillCertificate:
        """A fresh certificate that the node knows of; a gateway's with its `terminals`."""
        authority = self.node.secrets.authority
        key = new_tls_key()
        issued = issue_client_certificate(
            authority,
            signing_request(key),
            Caller(role, self.merchant, caller_id, store),
            now_ms=time.time_ns() // 1_000_000 - issued_days_ago * 86_400_000,
            validity_days=_CERTIFICATE_DAYS,
        )
        self.node.control.issued(issued.caller, terminals)
        return TillCertificate(authority.certificate_pem, issued.pem, private_key_pem(key))

    def channel(self, certificate: TillCertificate) -> grpc.aio.Channel:
        """A connection of its own with mutual TLS; the caller closes it."""
        # Two channels with the same settings would share one connection, and so one certificate check.
        options = (("grpc.use_local_subchannel_pool", 1),)
        return grpc.aio.secure_channel(
            self.addresses.address, certificate.channel_credentials(), options=options
        )

    # --- members ----------------------------------------------------------------------------------

    async def enrol(self, *identifiers: identifier_pb2.Identifier) -> str:
        """Opens an account with these identifiers, by the steps that the member service takes; its id."""
        router, now_ms = self.node.router, self.now_ms()
        account_id = uuid.uuid4().bytes
        wishes = []
        for one in identifiers:
            digest = self.node.resolver.digest(one.kind, one.value)
            assert isinstance(digest, bytes)
            wishes.append(LinkWish(digest, one.kind, one.value[-4:], account_id, 0, now_ms))
        request = member_service_pb2.EnrolRequest(
            request_id=uuid.uuid4().hex, occurred_time=timestamp(now_ms)
        )
        opening = Command(
            Op.ENROL, partition_of(account_id, router.partitions), account_id, b"", "staff:test", "",
            "staff:test", "", request.SerializeToString(), encode(tuple(wishes)),
        )  # fmt: skip
        claims, confirmations = (
            [step(op, partition_of(wish.digest, router.partitions), body=encode(wish)) for wish in wishes]
            for op in (Op.CLAIM_IDENTIFIER, Op.CONFIRM_IDENTIFIER)
        )
        for commands in (claims, [opening], confirmations):
            answers = await router.ask_many(commands)
            assert all(answer.kind == AnswerKind.DONE for answer in answers), answers
        return account_id.hex()


def new_card() -> identifier_pb2.Identifier:
    """A card that nobody has yet."""
    return card_identifier(uuid.uuid4().hex[:20].upper())


def _with(toml: str, key: str, value: str | int | bool) -> str:
    shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
    text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {shown}", toml)
    assert count == 1, f"the template has one line for {key}"
    return text
