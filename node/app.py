"""The composition root: builds a node from its configuration, serves, drains. It alone knows everything."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from msgspec import Struct
from msgspec.structs import replace

from node import installation, telemetry
from node.actors.books import Books
from node.actors.card_keys import CardKeys
from node.actors.control import Control
from node.actors.counter import Counter
from node.actors.delivery import Delivery
from node.actors.directories import Directories
from node.actors.environment import calm_garbage_collector
from node.actors.erasing import Erasing
from node.actors.host import ShardSpec, when_unlocked
from node.actors.linking import Linking
from node.actors.member_counter import MemberCounter
from node.actors.ports import ShardHandle, ShardNotStarted, StartShards
from node.actors.resolver import Resolver
from node.actors.router import Router
from node.actors.settings import DAY_MS, ShardSettings
from node.actors.upkeep import Upkeep
from node.config import Config, split_address
from node.identity.ca import issue_server_certificate
from node.identity.caller import Caller, Role
from node.identity.digests import IdentifierDigests, RequestDigests
from node.identity.keys import NodeSecrets, load_secrets, private_key_pem
from node.logs import configure_logging
from node.rpc import server as servers
from node.rpc.admin import AdminService
from node.rpc.admission import Admission
from node.rpc.coalition_side import CoalitionSide
from node.rpc.feed import FeedService
from node.rpc.programme import ProgrammeService
from node.rpc.services import ENROLMENT, SERVICES, Services, enrolment_handlers, handlers
from node.rpc.terminal import EnrolmentService, TerminalService
from node.storage.meta import OpenStore, registered_stores

SERVER_CERTIFICATE_DAYS = 825
DRAIN_SECONDS = 20.0
"""How long calls under way may take when the node stops; a till's own deadline is shorter."""

log = structlog.get_logger()


class Addresses(Struct, frozen=True):
    """Where a node serves."""

    address: str
    enrol_address: str
    metrics_address: str
    peer_address: str = ""


class Node:
    """A merchant's node. `start`, then `serve` until `stop`; every part is built in one place, here."""

    def __init__(
        self, config: Config, start_shards: StartShards, on_lost: Callable[[], None] = lambda: None
    ) -> None:
        self.config = config
        self._start_shards = start_shards
        self._on_lost = on_lost
        self.lost = ""
        self.figures = telemetry.Figures()
        self.secrets: NodeSecrets = load_secrets(config.secrets_directory)
        self.started_ms = time.time_ns() // 1_000_000
        self._opened: OpenStore = when_unlocked(lambda: installation.open_control(config))
        self.control = Control(self._opened.store)
        self.shards: Sequence[ShardHandle] = ()
        self._servers: list[grpc.aio.Server] = []
        self._metrics: telemetry.MetricsServer | None = None

    async def start(self) -> Addresses:
        """Opens every store, then listens. Raises what keeps the node from serving."""
        config = self.config
        self.shards = await self._start_shards(self._specs(), config.ray.shard_pins)
        self.router = Router(
            self.shards,
            await self._placement(),
            queue_limit=config.limits.queue_per_shard,
            batch_limit=config.limits.batch_commands,
        )
        digests = IdentifierDigests(self.secrets.index_key)
        self.resolver = Resolver(self.router, digests, config.merchant.country)
        self.counter = Counter(
            self.router,
            self.resolver,
            self.control.terminals_of,
            config.merchant.currency,
            RequestDigests(self.secrets.master_key),
        )
        linking = Linking(self.router, self.resolver, self.control.erased)
        delivery = Delivery(self.shards, self.router, linking)
        self.members = MemberCounter(
            self.counter,
            linking,
            digests,
            self.control.terminals_of,
            region=config.merchant.country,
            wake=delivery.wake,
        )
        erasing = Erasing(
            self.members,
            linking,
            self.control.erasures_to_repeat,
            self.control.erased,
            Caller(Role.ADMIN, config.merchant.id, "restore"),
        )
        await erasing.run()
        self.coalition = CoalitionSide(
            config,
            self.secrets,
            Directories(self._opened.store),
            self.shards,
            self.counter,
            self.members,
            lambda: self.control.programmes,
            self.figures,
        )
        self.books = Books(self.router, self.shards, self._opened)
        self.backups = installation.backup_directory(config)
        self.exporter = telemetry.Exporter(self.figures)
        self.upkeep = Upkeep(
            self.shards, self.router, linking, delivery, erasing, self.exporter, self.figures, self._report,
            self.card_keys,
        )  # fmt: skip
        addresses = await self._listen()
        self.upkeep.start()
        return replace(addresses, peer_address=await self.coalition.start())

    def _specs(self) -> list[ShardSpec]:
        merchant, limits = self.config.merchant, self.config.limits
        self.card_keys = CardKeys(merchant.id, self.config.cards)
        settings = ShardSettings(
            merchant=merchant.id,
            currency=merchant.currency,
            time_zone=merchant.time_zone,
            language=merchant.language,
            partitions=self.config.storage.partitions,
            retention_ms=limits.request_retention_days * DAY_MS,
            lateness_ms=limits.lateness_days * DAY_MS,
            future_ms=limits.freshness_seconds * 1000,
            cached_accounts=limits.cached_accounts_per_shard,
        )
        return [
            ShardSpec(
                number=number,
                directory=str(installation.shard_directory(self.config, identity.store_id)),
                store_id=identity.store_id,
                generation=self._opened.identity.generation,
                settings=settings,
                programmes=self.control.programmes_snapshot(),
                master_key=self.secrets.master_key.raw,
                log_level=self.config.log.level,
                log_format=self.config.log.format,
                cards=self.card_keys.spec,
            )
            for number, identity in enumerate(registered_stores(self._opened.store))
        ]

    async def _placement(self) -> dict[int, int]:
        """Which shard hosts each partition, as the shards' own stores say."""
        placement: dict[int, int] = {}
        for shard in self.shards:
            for partition in await shard.call("sequences"):
                if partition in placement:
                    raise RuntimeError(f"partition {partition} is in two stores; run `vafa doctor`")
                placement[partition] = shard.number
        missing = sorted(set(range(self.config.storage.partitions)) - placement.keys())
        if missing:
            raise RuntimeError(f"no store holds partitions {missing}; run `vafa doctor`")
        return placement

    async def _listen(self) -> Addresses:
        config, services = self.config, self._services()
        plain = config.node.plaintext
        everybody = Caller(Role.ADMIN, config.merchant.id, "plaintext") if plain else None
        admission = Admission(
            config.merchant.id, lambda: self.control.revoked, self.figures, plaintext_caller=everybody
        )
        self._health = health.aio.HealthServicer()
        main = servers.new_server(admission, handlers(services))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, main)
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), main)
        key, certificate = self._server_certificate()
        credentials = servers.mutual_tls(key, certificate, self.secrets.authority.certificate_pem)
        port = servers.listen(main, config.node.listen, None if plain else credentials)
        self._servers = [main]
        enrol_port = 0
        if config.node.enrol_listen:
            enrol = servers.new_server(admission, enrolment_handlers(services))
            reflection.enable_server_reflection((ENROLMENT, reflection.SERVICE_NAME), enrol)
            open_credentials = None if plain else servers.server_tls(key, certificate)
            enrol_port = servers.listen(enrol, config.node.enrol_listen, open_credentials)
            self._servers.append(enrol)
        for server in self._servers:
            await server.start()
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        host, metrics_port = split_address(config.node.metrics_listen)
        self._metrics = telemetry.MetricsServer(self.exporter, host, metrics_port)
        return Addresses(
            _reachable(config.node.listen, port),
            _reachable(config.node.enrol_listen, enrol_port) if enrol_port else "",
            f"{host}:{self._metrics.port}",
        )

    def _services(self) -> Services:
        merchant, authority = self.config.merchant, self.secrets.authority
        return Services(
            counter=self.counter,
            members=self.members,
            figures=self.figures,
            programme=ProgrammeService(
                self.control,
                self.programmes_published,
                tz=merchant.time_zone,
                currency=merchant.currency,
                language=merchant.language,
            ),
            terminal=TerminalService(self.control, authority, merchant.id),
            enrolment=EnrolmentService(self.control, authority, merchant.id),
            feed=FeedService(self.shards, self.config.storage.partitions, self.figures),
            admin=AdminService(
                merchant.id,
                self.started_ms,
                self.shards,
                self.router,
                self.counter,
                self.control,
                self.books,
                self.backups,
            ),
            coalition=self.coalition.service(),
            settlement=self.coalition.settlement.service(),
        )

    def _server_certificate(self) -> tuple[bytes, bytes]:
        """The server's key and a certificate issued now: a restart renews it."""
        certificate = issue_server_certificate(
            self.secrets.authority,
            self.secrets.server_key.public_key(),
            self.config.node.host_names,
            now_ms=self.started_ms,
            validity_days=SERVER_CERTIFICATE_DAYS,
        )
        return private_key_pem(self.secrets.server_key), certificate

    async def _report(self, whole: bool, lost: str) -> None:
        """Tells whoever asks for the node's health whether every shard answers.

        With a shard that cannot come back the node must end: only a new start, once that was mended, opens
        its store again.
        """
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if whole else status.NOT_SERVING)
        if lost and not self.lost:
            self.lost = lost
            self._on_lost()

    async def programmes_published(self) -> None:
        """Hands the present versions to every shard; answered once they judge by them."""
        snapshot = self.control.programmes_snapshot()
        await asyncio.gather(*(shard.publish(snapshot) for shard in self.shards))

    async def stop(self) -> None:
        """Drains: no new calls, those under way are finished, every store is closed in good order."""
        log.info("draining")
        if self._servers:
            await self._health.enter_graceful_shutdown()
            await asyncio.gather(*(server.stop(DRAIN_SECONDS) for server in self._servers))
            await self.members.drain()
            await self.coalition.stop()
            await self.upkeep.stop()
            await self.router.drain()
        if self._metrics is not None:
            self._metrics.close()
        await asyncio.gather(*(shard.close() for shard in self.shards))
        self._opened.close()
        log.info("stopped")


def _reachable(listen: str, port: int) -> str:
    host, _ = split_address(listen)
    return f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared, not bound


def _write_ready(path: Path, addresses: Addresses) -> None:
    """Says where the node serves, whole or not at all."""
    ready: dict[str, Any] = {
        "address": addresses.address,
        "enrol_address": addresses.enrol_address,
        "metrics_address": addresses.metrics_address,
        "peer_address": addresses.peer_address,
        "pid": os.getpid(),
    }
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(ready), encoding="utf-8")
    draft.rename(path)


def _on_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)


async def serve(config: Config, start_shards: StartShards, ready_file: Path | None) -> None:
    """Runs a node until SIGTERM or SIGINT, then drains it.

    Raises ShardNotStarted, after the drain, where a shard was lost meanwhile. The handlers are put in place
    here, after Ray has started, since Ray puts handlers of its own there.
    """
    configure_logging(config.log.level, config.log.format)
    stopped = asyncio.Event()
    node = Node(config, start_shards, stopped.set)
    _on_signals(stopped)
    try:
        addresses = await node.start()
        log.info(
            "serving", address=addresses.address, enrolment=addresses.enrol_address, shards=len(node.shards)
        )
        calm_garbage_collector()
        if ready_file is not None:
            _write_ready(ready_file, addresses)
        await stopped.wait()
    finally:
        await node.stop()
    if node.lost:
        what_to_do = (
            "" if "kept" in node.lost else " Everything acknowledged is kept; `vafa doctor` says more."
        )
        raise ShardNotStarted(
            f"A shard ended and could not start again, so the node has stopped. {node.lost}{what_to_do}"
        )
