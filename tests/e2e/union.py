"""A coalition for tests: an operator and merchants' whole nodes in this process, linked over loopback TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from node.coalition.acquirer_facts import AcquirerExchange
from node.coalition.directory import (
    Cap,
    CoalitionPurse,
    Directory,
    IdentifierRange,
    Key,
    Partner,
    PartnerStatus,
    Rate,
    Window,
)
from node.coalition.proofs import CHALLENGE_PAUSE_MS
from node.identity.caller import Role
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.exchange_keys import load_exchange_keys
from node.identity.signers import ed25519_signer
from node.ledger.refusals import Refused
from node.proto.vafa.coalition.v1 import coalition_service_pb2_grpc, envelope_pb2
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.member.v1 import member_service_pb2, person_pb2
from node.proto.vafa.pos.v1 import inquiry_pb2, spending_pb2
from node.proto.vafa.programme.v1 import programme_pb2, programme_service_pb2
from node.storage.keyspace import partner_partition
from node.wire.coalition_directory import sign_directory
from node.wire.coalition_records import ExchangeWish, Outcome
from node.wire.commands import Op, encode
from simulators.local_node import LocalNode
from simulators.operations import OperationWriter
from simulators.purchases import card_identifier
from tests.rpc.shop import Line, sale, spend

DAY_MS = 86_400_000
WAIT_SECONDS = 60.0
PURSE = "points"
"""The purse that the starter programme grants is the coalition's, too."""


class Merchant:
    """One merchant: its node, a till, and members whose cards begin with its prefix."""

    def __init__(self, directory: Path, name: str, prefix: str, *, listens: bool = True) -> None:
        self.name, self.prefix = name, prefix
        directory.mkdir()
        self.messages = directory / "messages.jsonl"
        settings: dict[str, str | int | bool] = {
            "peer_listen": "127.0.0.1:0" if listens else "",
            "message_gateway": "file",
            "message_file": str(self.messages),
            "partitions": 4,
        }
        self.node = LocalNode(directory, settings=settings, merchant=name)
        self.write = OperationWriter(clock=self.node.now_ms)
        self._lines: list[Line] = []

    async def start(self) -> None:
        await self.node.start()
        self.till = Line(self.node.channel(self.node.certificate(Role.TILL, "till-1", "north")))
        self.admin = Line(self.node.channel(self.node.certificate(Role.ADMIN, "admin")))
        self._lines += [self.till, self.admin]
        self.coalition = coalition_service_pb2_grpc.CoalitionServiceStub(self.admin.channel)

    async def stop(self) -> None:
        for line in self._lines:
            await line.channel.close()
        self._lines.clear()
        await self.node.stop()

    @property
    def address(self) -> str:
        return self.node.node.coalition.partners.address

    def entry(self) -> Partner:
        """The merchant as its join request would have it."""
        secrets, config = self.node.node.secrets, self.node.config
        keys = load_exchange_keys(config.secrets_directory, secrets.node_key_uri)
        return Partner(
            self.name,
            self.name.title(),
            PartnerStatus.ACTIVE,
            endpoints=(self.address,) if self.address else (),
            keys=tuple(Key(uri, 0) for uri in keys.uris),
            authority_pem=secrets.authority.certificate_pem,
            ranges=(IdentifierRange(1, self.prefix),),
            partitions=config.storage.partitions,
            sealing_key=CoalitionSecrets(secrets.master_key).sealing.uri,
        )

    async def member(self, points: int = 0) -> Identifier:
        """A new member's card, with so many points earned at home."""
        card = card_identifier(self.prefix + uuid.uuid4().hex[:16].upper())
        request = member_service_pb2.EnrolRequest(
            request_id=uuid.uuid4().hex,
            occurred_time=self.write.now(),
            identifiers=[card],
            person=person_pb2.Person(given_name="Ali", phone="+989121234567", locale="en"),
        )
        await self.admin.members.Enrol(request)
        if points:
            await self.accrue(card, points)
        return card

    async def accrue(self, card: Identifier | None, points: int, **purchase: Any) -> Any:
        """A purchase at this merchant's till that is worth so many points."""
        return await self.till.send(self.write.accrual(card, sale(points * 100, **purchase)))

    async def points(self, card: Identifier) -> int:
        """What a till here says that the member can spend."""
        answer = await self.till.pos.GetBalance(inquiry_pb2.GetBalanceRequest(identifier=card))
        return next((one.spendable for one in answer.balances if one.purse == PURSE), 0)

    async def limit_codes(self, *, transaction: int, day: int) -> None:
        """Publishes a programme that lets codes spend so much abroad."""
        current = await self.admin.programmes.GetProgramme(programme_service_pb2.GetProgrammeRequest())
        draft = current.programme
        draft.ClearField("proofs")
        draft.ClearField("effective_time")
        draft.proofs.add(
            proof=programme_pb2.PROOF_KIND_CONFIRMATION_CODE, transaction_units=transaction, daily_units=day
        )
        await self.admin.programmes.PublishProgramme(
            programme_service_pb2.PublishProgrammeRequest(request_id=uuid.uuid4().hex, programme=draft)
        )

    async def begun(self, home: Merchant, request_id: str) -> AcquirerExchange | None:
        """The exchange that a request of the till here began."""
        exchanging = self.node.node.coalition.exchanging
        secrets = CoalitionSecrets(self.node.node.secrets.master_key)
        wish = ExchangeWish(home.name, secrets.exchange_id("north/till-1", request_id))
        partition = partner_partition(home.name, exchanging.router.partitions)
        outcome = await exchanging.ask(Op.ACQUIRER_LOOK, partition, encode(wish))
        assert isinstance(outcome, Outcome)
        return outcome.exchange

    async def proof(
        self, card: Identifier, units: int, home: Merchant, *, again: bool = False
    ) -> envelope_pb2.MemberProof:
        """A code that the till here asks for, and that the member reads out of the home node's message.

        `again`: the home node's clock is moved past the pause between two codes.
        """
        if again:
            home.node.advance(CHALLENGE_PAUSE_MS)
        before = [one for one in home.sent() if "code" in one["about"]]
        request = spending_pb2.RequestProofRequest(
            request_id=uuid.uuid4().hex,
            identifier=card,
            occurred_time=self.write.now(),
            spends=[spend(units, PURSE)],
        )
        answer = await self.till.pos.RequestProof(request)
        assert answer.required
        await until(lambda: len([one for one in home.sent() if "code" in one["about"]]) > len(before))
        said = [one["text"] for one in home.sent() if "code" in one["about"]][-1]
        return envelope_pb2.MemberProof(confirmation_code=said.rsplit(" ", 1)[1])

    def sent(self) -> list[Any]:
        """All messages to members so far."""
        if not self.messages.exists():
            return []
        return [json.loads(line) for line in self.messages.read_text("utf-8").splitlines()]

    async def redeem(self, card: Identifier, units: int, proof: Any) -> Any:
        """Spends in one step."""
        operation = self.write.redemption(card, [spend(units, PURSE)])
        operation.redeem.proof.CopyFrom(proof)
        return await self.till.send(operation)


class Union:
    """An operator and its merchants."""

    def __init__(self, *merchants: Merchant, relays: Mapping[str, str] | None = None) -> None:
        self.merchants = merchants
        self.relays = relays or {}
        self.operator = ed25519_signer(Ed25519PrivateKey.generate())
        self.directory: Directory | None = None

    def publish(self, **changes: Any) -> None:
        """Signs the next directory and hands it to every node that runs."""
        now_ms = time.time_ns() // 1_000_000
        version = self.directory.version + 1 if self.directory else 1
        names = [one.name for one in self.merchants]
        made = Directory(
            "union",
            version,
            now_ms,
            tuple(
                replace(one.entry(), relay_partner_id=self.relays.get(one.name, "")) for one in self.merchants
            ),
            CoalitionPurse(PURSE, (("en", "union points"),)),
            rates=(Rate(1, 1, 1_000_000, 1_000_000, "USD"),),
            windows=(Window(1, now_ms - DAY_MS, now_ms + 365 * DAY_MS),)
            if self.directory is None
            else self.directory.windows,
            caps=tuple(Cap(a, b, 1_000_000) for a in names for b in names if a != b),
        )
        self.directory = replace(made, **changes)
        data = sign_directory(self.directory, self.operator).data
        for merchant in self.merchants:
            directories = merchant.node.node.coalition.directories
            found = directories.adopt(data, now_ms, self.operator.public_uri)
            assert not isinstance(found, Refused), found

    async def open(self) -> None:
        """Returns once every lane of every pair is open."""
        for one in self.merchants:
            for other in self.merchants:
                if one is not other:
                    await until(lambda one=one, other=other: lanes_open(one, other))


def lanes_open(one: Merchant, other: Merchant) -> bool:
    keeper = one.node.node.coalition.keeper
    return keeper.lanes_open(other.name) == one.node.config.storage.partitions


async def until(condition: Any) -> None:
    """Returns once `condition` holds; fails where it does not within a long time."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - conditions of many kinds
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def union(
    directory: Path, *names: str, only_dialling: Iterable[str] = (), relays: Mapping[str, str] | None = None
) -> AsyncIterator[Union]:
    """Merchants that trade with each other; at the end everybody's books are proven."""
    merchants = [
        Merchant(directory / name, name, f"{number}{number}", listens=name not in only_dialling)
        for number, name in enumerate(names, 11)
    ]
    made = Union(*merchants, relays=relays)
    try:
        for merchant in merchants:
            await merchant.start()
        made.publish()
        await made.open()
        yield made
    finally:
        for merchant in merchants:
            if merchant.node._node is not None:
                await merchant.stop()
    for merchant in merchants:
        assert merchant.node.check().problems == []
