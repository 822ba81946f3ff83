"""Merchants that settle over a bazaar's lanes, an operator who hears one, and a disk that loses records."""

import asyncio
import hashlib
from collections.abc import Awaitable, Iterable
from itertools import count
from typing import TypeVar

from msgspec.structs import replace

from node.actors.settling import Settling
from node.actors.settling_lanes import PeerVoice, ShardLanes
from node.coalition.directory import Directory, SettlementTerms
from node.coalition.envelopes import Message
from node.identity.signers import ed25519_signer
from node.settlement.documents import Mismatch, SignedClose
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.storage.keyspace import Kind
from node.storage.memory import MemoryStore
from node.storage.store import Batch
from node.wire.coalition import Unopened
from node.wire.coalition_store import LANE_ENTRY
from node.wire.settlement_alone import AloneCheck
from node.wire.settlement_rpc import WindowShown
from node.wire.settlement_scan import entry_of
from node.wire.settlement_signing import close_problem
from tests.actors.abroad_merchants import _KEYS, _OPERATOR, DAY_MS, Bazaar, Merchant

T = TypeVar("T")


TERMS = SettlementTerms(1, "IRR", 0, close_grace_seconds=3_600)


class Settler:
    """A merchant of the bazaar with its settling."""

    def __init__(self, merchant: Merchant) -> None:
        self.merchant, self.store = merchant, MemoryStore()
        self._ids = count(1)
        exchanging = merchant.exchanging
        self.voice = voice = PeerVoice(exchanging, lambda size: hashlib.shake_128(self._next()).digest(size))
        exchanging.settling = voice.heard
        signer = ed25519_signer(_KEYS[merchant.own_id])
        self.settling = Settling(
            merchant.own_id,
            self.store,
            self._directory,
            lambda: [_OPERATOR.public_uri],
            lambda: signer,
            ShardLanes(exchanging),
            voice,
            self._open,
            lambda: merchant.now_ms,
        )
        voice.answer = self.settling.answer

    def _next(self) -> bytes:
        return f"{self.merchant.own_id} {next(self._ids)}".encode()

    def _directory(self) -> Directory:
        assert self.merchant.directories.known is not None
        return replace(self.merchant.directories.known.newest, settlement_terms=(TERMS,))

    def _open(self, envelope: bytes) -> Message | None:
        opened = self.merchant.exchanging._opener.evidence(envelope)
        return None if isinstance(opened, Unopened) else opened


async def pumped(bazaar: Bazaar, work: Awaitable[T]) -> T:
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.sleep(0)
        await bazaar.pump()
    return task.result()


async def cut(bazaar: Bazaar) -> None:
    await bazaar.time_passes(DAY_MS + 60_000)
    await bazaar.pump()


class Nobody:
    """The links of a node whose partner is out of reach."""

    def connected(self, partner_id: str) -> bool:
        return False

    async def send(self, partner_id: str, carried: bytes) -> bool:
        return False


class HeardOperator:
    """An operator that has published nothing, and takes what it would take from a partner."""

    def __init__(self, settler: Settler, now_ms: int) -> None:
        self._settler, self._now_ms = settler, now_ms
        self.taken: list[SignedClose] = []

    async def submit(self, signed: SignedClose) -> bool:
        directory = self._settler._directory()
        window = directory.window(signed.close.window)
        assert window is not None
        assert close_problem(directory, window, signed, self._now_ms, self._settler._open) is None
        self.taken.append(signed)
        return True

    async def submit_alone(self, signed: SignedClose, records: Iterable[bytes]) -> bool:
        check = AloneCheck(signed, self._settler._directory())
        assert check.add([entry_of(one) for one in records]) == ""
        assert check.end() == ""
        return await self.submit(signed)

    async def report(self, found: Mismatch) -> bool:
        raise AssertionError("nothing was found")

    async def windows(self, from_number: int) -> list[WindowShown] | None:
        return None

    async def defaulted(self, window: int) -> frozenset[str] | None:
        return None

    async def statement(self, window: int) -> bytes | None:
        return None


def lose_last(merchant: Merchant, role: Role, most: int) -> tuple[int, int]:
    """Loses the last records of the longest lane in a role, but for a cut that came after them; gives the
    lane, and the last record before the loss.
    """
    kept: dict[int, list[tuple[MemoryStore, bytes]]] = {}
    for store in merchant.stores:
        for key, _ in store.scan(b"\x00", b"\x40"):
            if key[1] == Kind.LANE_RECORD and keys.parse_lane_record(key)[1] is role:
                kept.setdefault(keys.parse_lane_record(key)[3], []).append((store, key))
    lane, records = max(kept.items(), key=lambda item: len(item[1]))
    store, last = records[-1]
    if LANE_ENTRY.decode(store.get(last) or b"").request is None:
        records.pop()
    for store, key in records[-most:]:
        batch = Batch()
        batch.delete(key)
        store.write(batch)
        store.sync()
    return lane, len(records) - most
