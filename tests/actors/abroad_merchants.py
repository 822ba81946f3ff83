"""Two merchants' nodes without Ray, gRPC or a disk, and a network between them that a test pumps by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.actors.coalition_spec import CoalitionSpec
from node.actors.exchanging import Exchanging
from node.coalition.acquirer_facts import AcquirerExchange, Secretly
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
from node.coalition.envelopes import MemberProof
from node.coalition.messages import (
    Accrue,
    Challenge,
    MessageType,
    Reserve,
    ReturnAbroad,
    SaleTerms,
    sha256,
)
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.keys import SecretKey, private_key_pem
from node.identity.signers import Signer, ed25519_signer
from node.ledger.refusals import Refused
from node.storage.check import Findings, check_store
from node.storage.keyspace import Kind, partner_partition
from node.storage.memory import MemoryStore
from node.storage.store import Batch
from node.telemetry import Figures
from node.wire.coalition import EnvelopeSealer, carried_bytes, identifier_commitment, proof_commitment
from node.wire.coalition_bodies import ENCODER, proof_bytes
from node.wire.coalition_directory import sign_directory
from node.wire.coalition_frames import RecordsWish
from node.wire.coalition_records import CodeToSend, ExchangeWish, LaneWish, Outcome, WishRecord
from node.wire.coalition_trust import KnownDirectories, first
from node.wire.commands import Op, encode
from tests.actors.harness import START_MS, Actors, card
from tests.actors.stored import PARTITIONS

DAY_MS = 86_400_000
NILE, SAFFRON = "nile", "saffron"
CARD = 1  # IdentifierKind.CARD
MASTER = SecretKey(b"m" * 32)
_KEYS = {
    name: Ed25519PrivateKey.from_private_bytes(bytes((at,)) * 32)
    for at, name in enumerate((NILE, SAFFRON), 1)
}
_OPERATOR = ed25519_signer(Ed25519PrivateKey.from_private_bytes(b"o" * 32))


def _partner(name: str, prefix: str) -> Partner:
    key = Key(ed25519_signer(_KEYS[name]).public_uri, START_MS - DAY_MS)
    return Partner(
        name, name.title(), PartnerStatus.ACTIVE, (f"{name}.test:7445",), keys=(key,), authority_pem=b"x",
        ranges=(IdentifierRange(CARD, prefix),), partitions=PARTITIONS,
    )  # fmt: skip


DIRECTORY = Directory(
    coalition_id="bazaar",
    version=1,
    publish_time_ms=START_MS,
    partners=(_partner(NILE, "6273"), _partner(SAFFRON, "5022")),
    purse=CoalitionPurse("points", (("en", "Points"),)),
    rates=(Rate(1, START_MS - DAY_MS, 900_000, 1_000_000, "IRR"),),
    windows=(
        Window(1, START_MS - DAY_MS, START_MS + DAY_MS),
        Window(2, START_MS + DAY_MS, START_MS + 60 * DAY_MS),
    ),
    caps=(Cap(NILE, SAFFRON, 80_000), Cap(SAFFRON, NILE, 80_000)),
)


class Directories:
    """What both nodes follow."""

    def __init__(self) -> None:
        signed = sign_directory(DIRECTORY, _OPERATOR).data
        found = first(signed, _OPERATOR.public_uri, START_MS)
        assert isinstance(found, KnownDirectories), found
        self.known: KnownDirectories | None = found
        self.signed = signed


class WireLinks:
    """One node's end of the network."""

    def __init__(self, own_id: str, network: list[tuple[str, str, bytes]]) -> None:
        self._own_id = own_id
        self._network = network

    def connected(self, partner_id: str) -> bool:
        return True

    async def send(self, partner_id: str, carried: bytes) -> bool:
        self._network.append((self._own_id, partner_id, carried))
        return True

    async def list_records(self, partner_id: str, wish: RecordsWish) -> Sequence[bytes] | None:
        return None


class Merchant(Actors):
    """A merchant of the coalition. `partner` is the other one's id."""

    def __init__(self, own_id: str, partner: str, network: list[tuple[str, str, bytes]]) -> None:
        self.own_id, self.partner = own_id, partner
        self.network = network
        self.nodes: Callable[[], dict[str, Merchant]] = dict
        self.codes: list[CodeToSend] = []
        self.outcomes: list[Outcome] = []
        self.directories = Directories()
        self._randoms = count(sum(own_id.encode()) << 16)
        super().__init__(2)

    def _build(self) -> None:
        super()._build()
        spec = CoalitionSpec(self.own_id, (self.directories.signed,), (private_key_pem(_KEYS[self.own_id]),))
        for shard in self.shards:
            shard.join(spec, CoalitionSecrets(MASTER))
            abroad: Any = shard._abroad
            abroad.entropy = self._entropy
        signer = ed25519_signer(_KEYS[self.own_id])
        self.exchanging = Exchanging(
            self.own_id, self.router, self.resolver, self.directories,  # type: ignore[arg-type]  # a double
            lambda: EnvelopeSealer(DIRECTORY.coalition_id, self.own_id, _always(signer)), Figures(),
            clock_ms=lambda: self.now_ms,
        )  # fmt: skip
        self.exchanging.links = WireLinks(self.own_id, self.network)
        self.exchanging.noted = self._noted

    def _entropy(self, size: int) -> bytes:
        return hashlib.shake_128(next(self._randoms).to_bytes(8, "big")).digest(size)

    def _noted(self, partition: int, outcome: Outcome, by_home: bool) -> None:
        self.outcomes.append(outcome)
        self.codes += getattr(outcome, "codes", ())

    # --- the life of the node ------------------------------------------------------------------------------

    async def opens(self) -> None:
        """HELLO on all lanes with the partner."""
        for partition in range(PARTITIONS):
            await self.does(Op.HOME_HELLO, partition, LaneWish((self.partner,)))

    async def asks_for_hello(self) -> Outcome:
        return await self.does(Op.ACQUIRER_HELLO, self.partners, LaneWish((self.partner,)))

    async def ticks(self) -> None:
        for partition in range(PARTITIONS):
            await self.does(Op.HOME_TICK, partition, LaneWish((self.partner,)))

    async def sends_what_is_due(self) -> Outcome:
        return await self.does(Op.ACQUIRER_DUE, self.partners, LaneWish())

    @property
    def partners(self) -> int:
        """The partition in which this node keeps everything about the partner."""
        return partner_partition(self.partner, PARTITIONS)

    async def does(self, op: Op, partition: int, body: object) -> Outcome:
        outcome = await self.exchanging.do(op, partition, encode(body))
        assert not isinstance(outcome, Refused), outcome
        return outcome

    def backup(self) -> list[MemoryStore]:
        return [copy_of(store) for store in self.stores]

    def restore(self, stores: list[MemoryStore]) -> None:
        """A process over an old backup."""
        self.stores = [copy_of(store) for store in stores]
        self._build()

    # --- its tills -----------------------------------------------------------------------------------------

    async def begins(self, request_id: str, body: Reserve | Accrue | ReturnAbroad, **more: Any) -> Outcome:
        wish = self.wish(request_id, body, **more)
        return await self.does(Op.ACQUIRER_BEGIN, self.partners, wish)

    def wish(self, request_id: str, body: Reserve | Accrue | ReturnAbroad, **more: Any) -> WishRecord:
        secrets = CoalitionSecrets(MASTER)
        types = {Reserve: MessageType.RESERVE, Accrue: MessageType.ACCRUE, ReturnAbroad: MessageType.RETURN}
        return WishRecord(
            self.partner, secrets.exchange_id("shop/till", request_id), types[type(body)], ENCODER.body(body),
            more.pop("secretly", Secretly()), "shop/till", request_id, **more,
        )  # fmt: skip

    async def asks_for_code(self, number: int, ceiling: int) -> str:
        """The code that the member's home node sends; empty where it sends none."""
        kind, value = CARD, card(number).value
        salt = b"s" * 16
        terms = SaleTerms("shop", "till", self.now_ms, b"")
        body = Challenge(ceiling, identifier_commitment(salt, kind, value), terms)
        question = sha256(f"{number} {self.now_ms}".encode())[:16]
        message = self.exchanging.seal(MessageType.CHALLENGE, question, body, self.partner)
        assert message is not None
        home = self.nodes()[self.partner]
        sent = len(home.codes)
        carried = carried_bytes(message, identifier_kind=kind, identifier=value, salt=salt)
        await home.exchanging.received(self.own_id, carried)
        return home.codes[-1].code if len(home.codes) > sent else ""

    async def earns(self, request_id: str, number: int, units: int) -> Outcome:
        """A partner's member earns here."""
        kind, value = CARD, card(number).value
        salt = CoalitionSecrets(MASTER).salt("shop/till", request_id)
        terms = SaleTerms("shop", "till", self.now_ms, b"")
        body = Accrue(units, terms, 0, 0, b"", identifier_commitment(salt, kind, value))
        return await self.begins(request_id, body, secretly=Secretly(kind, value, b"", salt))

    async def spends(
        self, request_id: str, number: int, units: int, code: str, one_step: bool = False
    ) -> Outcome:
        """A partner's member spends here, with the code that was sent to them."""
        kind, value = CARD, card(number).value
        salt = CoalitionSecrets(MASTER).salt("shop/till", request_id)
        proof = MemberProof(confirmation_code=code)
        body = Reserve(
            units, SaleTerms("shop", "till", self.now_ms, b""), 900, b"",
            identifier_commitment(salt, kind, value), proof_commitment(salt, proof),
        )  # fmt: skip
        secretly = Secretly(kind, value, proof_bytes(proof), salt)
        return await self.begins(request_id, body, secretly=secretly, one_step=one_step)

    async def captures(self, request_id: str, units: int) -> Outcome:
        exchange_id = CoalitionSecrets(MASTER).exchange_id("shop/till", request_id)
        return await self.does(
            Op.ACQUIRER_CAPTURE, self.partners, ExchangeWish(self.partner, exchange_id, units)
        )

    async def cancels(self, request_id: str) -> Outcome:
        exchange_id = CoalitionSecrets(MASTER).exchange_id("shop/till", request_id)
        return await self.does(Op.ACQUIRER_CANCEL, self.partners, ExchangeWish(self.partner, exchange_id))

    async def looks(self, request_id: str) -> AcquirerExchange:
        exchange_id = CoalitionSecrets(MASTER).exchange_id("shop/till", request_id)
        wish = ExchangeWish(self.partner, exchange_id)
        found = (await self.does(Op.ACQUIRER_LOOK, self.partners, wish)).exchange
        assert found is not None
        return found

    # --- what must hold ------------------------------------------------------------------------------------

    def assert_proved(self) -> Findings:
        """`vafa check` finds nothing."""
        findings = Findings(problems=[], books={})
        for at, store in enumerate(self.stores):
            hosted = [number for number in range(PARTITIONS) if number % len(self.stores) == at]
            findings.add(check_store(store, hosted))
        findings.finish()
        assert findings.clean, findings.problems
        return findings

    def position(self) -> int:
        """What this node owes the partner, net."""
        return sum(units for (book, _), units in self.books().items() if book.endswith(f":{self.partner}"))

    def lane_records(self) -> list[bytes]:
        """All records of lanes, as both sides must have them."""
        return sorted(value for _, value in self.stored(Kind.LANE_RECORD))


class Bazaar:
    """Nile, whose members shop, and saffron, at whose tills they do."""

    def __init__(self) -> None:
        self.network: list[tuple[str, str, bytes]] = []
        self.nile = Merchant(NILE, SAFFRON, self.network)
        self.saffron = Merchant(SAFFRON, NILE, self.network)
        for node in (self.nile, self.saffron):
            node.nodes = lambda: self._nodes

    @property
    def _nodes(self) -> dict[str, Merchant]:
        return {NILE: self.nile, SAFFRON: self.saffron}

    async def open(self) -> None:
        """Both nodes start."""
        await self.nile.opens()
        await self.saffron.asks_for_hello()
        await self.pump()

    async def pump(self, loses: Callable[[int], bool] = lambda at: False, bound: int = 2_000) -> int:
        """Messages arrive in order until none is left; `loses` says which of them do not."""
        for at in range(bound):
            if not self.network:
                return at
            sender, receiver, carried = self.network.pop(0)
            if not loses(at):
                await self._nodes[receiver].exchanging.received(sender, carried)
        raise AssertionError("the two never stop talking")

    async def time_passes(self, ms: int) -> None:
        """Time, and what it makes due."""
        self.nile.now_ms += ms
        self.saffron.now_ms += ms
        await self.saffron.sends_what_is_due()
        await self.nile.ticks()
        await self.pump()

    def assert_agreed(self) -> None:
        """Both stores are proved, both hold the same records, and neither owes what the other is not owed."""
        self.nile.assert_proved()
        self.saffron.assert_proved()
        self.nile.assert_balanced()
        assert self.nile.lane_records() == self.saffron.lane_records()
        assert self.nile.position() == -self.saffron.position()


def copy_of(store: MemoryStore) -> MemoryStore:
    """A store with what another has."""
    other, batch = MemoryStore(), Batch()
    for key, value in store.scan(b"\x00", b"\xff" * 9):
        batch.put(key, value)
    other.write(batch)
    other.sync()
    return other


def _always(signer: Signer) -> Callable[[int], Signer]:
    return lambda at_ms: signer
