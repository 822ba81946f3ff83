"""Two merchants' real shards close a window: over signed messages, from records that shopping left in their
lanes.
"""

import asyncio
import hashlib
from collections.abc import Awaitable
from itertools import count
from typing import TypeVar

import pytest
from msgspec.structs import replace

from node.actors.settling import Settling
from node.actors.settling_lanes import PeerVoice, ShardLanes
from node.actors.settling_ports import SettlingFault
from node.coalition.directory import Directory, SettlementTerms
from node.coalition.envelopes import Message
from node.coalition.messages import RecordKind
from node.identity.signers import ed25519_signer
from node.settlement.documents import Net, SignedClose
from node.settlement.statement import WindowInput
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.storage.keyspace import Kind
from node.storage.memory import MemoryStore
from node.storage.store import Batch
from node.wire.coalition import Unopened
from node.wire.settlement_publish import publish
from tests.actors.abroad_merchants import _KEYS, _OPERATOR, DAY_MS, NILE, SAFFRON, Bazaar, Merchant
from tests.actors.harness import card
from verifier.signatures import load_directory
from verifier.statement import verify

T = TypeVar("T")
TERMS = SettlementTerms(1, "IRR", 0, close_grace_seconds=3_600)


class Settler:
    """A merchant of the bazaar with its settling."""

    def __init__(self, merchant: Merchant) -> None:
        self.merchant, self.store = merchant, MemoryStore()
        self._ids = count(1)
        exchanging = merchant.exchanging
        voice = PeerVoice(exchanging, lambda size: hashlib.shake_128(self._next()).digest(size))
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


@pytest.fixture
async def bazaar() -> Bazaar:
    bazaar = Bazaar()
    for number in range(1, 9):
        await bazaar.nile.enrol(card(number))
        await bazaar.nile.buys(card(number), 1_000)
    await bazaar.open()
    for number in range(1, 9):
        await bazaar.saffron.earns(f"e{number}", number, 40 + number)
    await bazaar.pump()
    code = await bazaar.saffron.asks_for_code(1, 500)
    await bazaar.pump()
    await bazaar.saffron.spends("s1", 1, 25, code, True)
    await bazaar.pump()
    return bazaar


async def _pumped(bazaar: Bazaar, work: Awaitable[T]) -> T:
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.sleep(0)
        await bazaar.pump()
    return task.result()


async def _cut(bazaar: Bazaar) -> None:
    await bazaar.time_passes(DAY_MS + 60_000)
    await bazaar.pump()


async def test_what_members_did_abroad_is_closed_by_both_and_netted(bazaar: Bazaar) -> None:
    nile, saffron = Settler(bazaar.nile), Settler(bazaar.saffron)
    await _cut(bazaar)
    signed = await _pumped(bazaar, nile.settling.close_with(SAFFRON, 1))
    back = await _pumped(bazaar, saffron.settling.close_with(NILE, 1))
    assert isinstance(signed, SignedClose)
    assert isinstance(back, SignedClose)
    assert {one.kind: (one.record_count, one.units) for one in signed.close.sums} == {
        RecordKind.ACCRUAL: (8, sum(40 + number for number in range(1, 9))),
        RecordKind.REDEMPTION: (1, 25),
    }
    assert back.close.record_count == 0
    directory = nile._directory()
    from node.wire.coalition_directory import sign_directory

    body = sign_directory(directory, _OPERATOR)
    data = publish(
        directory, body.body, TERMS, 1, WindowInput((signed, back)), _OPERATOR, now_ms=bazaar.nile.now_ms
    )
    for settler in (nile, saffron):
        assert all(one.agrees for one in settler.settling.adopt(data))
    report = verify(data, *load_directory(body.data))
    assert report.sound, report.checks
    statement = nile.settling.statement(1)
    assert statement is not None
    owed = 8 * 44.5 * 0.9 - 25  # saffron owes for what was earned, less what was spent
    nets = {line.party_id: line.payable for line in statement.lines if isinstance(line, Net)}
    assert nets == {"nile": round(owed), "saffron": -round(owed), "operator": 0}


async def test_trading_goes_on_while_a_window_is_closed_and_the_next_one_takes_it_up(bazaar: Bazaar) -> None:
    nile, saffron = Settler(bazaar.nile), Settler(bazaar.saffron)
    await _cut(bazaar)
    closing = asyncio.ensure_future(nile.settling.close_with(SAFFRON, 1))
    await bazaar.saffron.earns("later", 2, 11)
    signed = await _pumped(bazaar, closing)
    assert signed is not None
    assert sum(one.units for one in signed.close.sums if one.kind is RecordKind.ACCRUAL) == sum(
        40 + number for number in range(1, 9)
    )
    bazaar.assert_agreed()
    assert (await saffron.settling.compute((NILE, SAFFRON), 1)) == signed.close


async def test_records_that_were_changed_on_the_disk_are_never_signed_over(bazaar: Bazaar) -> None:
    nile = Settler(bazaar.nile)
    await _cut(bazaar)
    for store in bazaar.nile.stores:
        for key, value in list(store.scan(b"\x00", b"\x40")):
            if key[1] == Kind.LANE_RECORD:
                broken = bytearray(value)
                broken[broken.find(b"points") - 20] ^= 1
                batch = Batch()
                batch.put(key, bytes(broken))
                store.write(batch)
                partition, role, partner, lane, _ = keys.parse_lane_record(key)
                assert (role, partner, lane) == (Role.HOME, SAFFRON, partition)
                with pytest.raises(SettlingFault):
                    await nile.settling.compute((NILE, SAFFRON), 1)
                return
